// SPDX-License-Identifier: BSD-3-Clause
// A part called like a part without a name, a number.
// expect: fqt: named<
#include <fqt/network/network.hpp>

using namespace fqt::layers;

#if FQT_FAIL
inline constexpr auto stem = named<"3">(conv<8> | relu);
#else
inline constexpr auto stem = named<"stem3">(conv<8> | relu);
#endif
inline constexpr auto spec = input<1, 8, 8> | stem | dense<10>;

int main() { return fqt::network<spec, fqt::fp32>::parameters == 0; }
