// SPDX-License-Identifier: BSD-3-Clause
// The mean of roundings that are all the same.
// expect: fqt: mean_of<N, quantizer> needs a rounding that draws, such as stochastic
#include <fqt/quant/mean_of.hpp>

#if FQT_FAIL
using rounding = fqt::nearest;
#else
using rounding = fqt::stochastic;
#endif

int main() { return fqt::mean_of<2, fqt::symmetric<4, rounding>>::copies - 2; }
