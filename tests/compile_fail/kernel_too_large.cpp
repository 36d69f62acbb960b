// SPDX-License-Identifier: BSD-3-Clause
// A kernel that does not fit into what is left of the image.
// expect: fqt: shapes do not fit
// expect: the kernel is larger than its input
// expect: shape{8, 7, 7}
#include <fqt/network/network.hpp>

using namespace fqt::layers;

#if FQT_FAIL
constexpr int size = 7;
#else
constexpr int size = 3;
#endif
inline constexpr auto spec =
    input<1, 8, 8> | conv<8> | max_pool<> | conv<16, fqt::window{.kernel = size, .pad = 0}> | dense<10>;

int main() { return fqt::network<spec, fqt::fp32>::parameters == 0; }
