// SPDX-License-Identifier: BSD-3-Clause
// A network that does not say what its images are.
// expect: fqt: a network starts with input<C, H, W>
#include <fqt/network/network.hpp>

using namespace fqt::layers;

#if FQT_FAIL
inline constexpr auto spec = conv<4> | relu | global_avg_pool | dense<10>;
#else
inline constexpr auto spec = input<1, 8, 8> | conv<4> | relu | global_avg_pool | dense<10>;
#endif

int main() { return fqt::network<spec, fqt::fp32>::parameters == 0; }
