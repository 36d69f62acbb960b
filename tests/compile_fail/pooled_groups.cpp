// SPDX-License-Identifier: BSD-3-Clause
// A pool has no groups.
// expect: fqt: a pool takes each channel by itself; leave its window's groups at 1
#include <fqt/network/network.hpp>

using namespace fqt::layers;

#if FQT_FAIL
constexpr int groups = 4;
#else
constexpr int groups = 1;
#endif
inline constexpr auto spec =
    input<16, 8,
          8> | conv<16> | max_pool<fqt::window{.kernel = 2, .stride = 2, .pad = 0, .groups = groups}> | dense<10>;

int main() { return fqt::network<spec, fqt::fp32>::parameters == 0; }
