// SPDX-License-Identifier: BSD-3-Clause
// Two parts of one name.
// expect: fqt: two parts of a chain have the same name
#include <fqt/network/network.hpp>

using namespace fqt::layers;

#if FQT_FAIL
inline constexpr auto second = named<"stage">(conv<8> | relu);
#else
inline constexpr auto second = named<"stage2">(conv<8> | relu);
#endif
inline constexpr auto spec = input<1, 8, 8> | named<"stage">(conv<8> | relu) | second | dense<10>;

int main() { return fqt::network<spec, fqt::fp32>::parameters == 0; }
