// SPDX-License-Identifier: BSD-3-Clause
// A normalization policy that does not say what sigma is.
// expect: fqt: batch_norm's second policy is no normalization
#include <fqt/layers/batch_norm.hpp>

struct floored {
#if FQT_FAIL
    static double of(const fqt::channel_statistics& s) { return s.variance; }
#else
    static fqt::sigma_squared of(const fqt::channel_statistics& s) { return {s.variance, 1}; }
#endif
};
constexpr auto spec = fqt::layers::batch_norm<fqt::unrectified, floored>;

int main() { return sizeof(spec) == 0; }
