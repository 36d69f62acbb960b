// SPDX-License-Identifier: BSD-3-Clause
// A block format, which draws a number for each value, rounded by strata of pixels.
// expect: fqt: a block format is rounded by `stratified`, but draws a number for each value; use stochastic
#include <fqt/network/network.hpp>

#if FQT_FAIL
using rounding = fqt::stratified;
#else
using rounding = fqt::stochastic;
#endif
constexpr fqt::scheme mine{fqt::mxint8<>{}, fqt::mxint8<>{}, fqt::mxint8<rounding>{}};

int main() { return sizeof mine == 0; }
