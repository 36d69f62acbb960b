// SPDX-License-Identifier: BSD-3-Clause
// A batch normalization whose policy is no rectifier.
// expect: fqt: batch_norm's policy is not a rectifier
#include <fqt/layers/batch_norm.hpp>

struct no_rectifier {};
#if FQT_FAIL
constexpr auto spec = fqt::layers::batch_norm<no_rectifier>;
#else
constexpr auto spec = fqt::layers::batch_norm<fqt::gain_hinge<>>;
#endif

int main() { return sizeof(spec) == 0; }
