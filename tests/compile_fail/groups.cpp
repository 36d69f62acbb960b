// SPDX-License-Identifier: BSD-3-Clause
// Groups that do not divide the channels.
// expect: fqt: shapes do not fit
// expect: groups do not divide the channels
#include <fqt/network/network.hpp>

using namespace fqt::layers;

#if FQT_FAIL
constexpr int groups = 3;
#else
constexpr int groups = 4;
#endif
inline constexpr auto spec = input<1, 8, 8> | conv<8> | conv<8, fqt::window{.groups = groups}> | dense<10>;

int main() { return fqt::network<spec, fqt::fp32>::parameters == 0; }
