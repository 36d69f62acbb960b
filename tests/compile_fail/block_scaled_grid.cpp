// SPDX-License-Identifier: BSD-3-Clause
// Scales of blocks on a grid with a zero point, whose integers could leave a byte.
// expect: fqt: block_scaled<quantizer> multiplies integers that are even about zero; give it symmetric or power_of_two
#include <fqt/quant/asymmetric.hpp>
#include <fqt/quant/block_scaled.hpp>

#if FQT_FAIL
using gradient = fqt::block_scaled<fqt::asymmetric<4, fqt::stochastic>>;
#else
using gradient = fqt::block_scaled<fqt::symmetric<4, fqt::stochastic>>;
#endif

int main() { return gradient::greatest == 0; }
