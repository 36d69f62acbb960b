// SPDX-License-Identifier: BSD-3-Clause
// Weights, which have no pixels, rounded by strata of pixels.
// expect: fqt: scheme.weight is rounded by `stratified`, which pairs neighbouring pixels, and weights have none
#include <fqt/network/network.hpp>

#if FQT_FAIL
using rounding = fqt::stratified;
#else
using rounding = fqt::stochastic;
#endif
constexpr fqt::scheme mine{fqt::symmetric<4, rounding>{}, fqt::symmetric<8>{}, fqt::symmetric<4, fqt::stratified>{}};

int main() { return sizeof mine == 0; }
