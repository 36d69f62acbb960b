// SPDX-License-Identifier: BSD-3-Clause
// Scales of blocks where several channels would have to share one.
// expect: fqt: block_scaled<quantizer> is for gradients; give scheme.weight and scheme.activation the
#include <fqt/quant/scheme.hpp>

using plain = fqt::symmetric<4>;
#if FQT_FAIL
using activation = fqt::block_scaled<plain>;
#else
using activation = plain;
#endif
constexpr fqt::scheme mine{
    .weight = fqt::symmetric<8>{},
    .activation = activation{},
    .input_gradient = fqt::block_scaled<fqt::symmetric<4, fqt::stochastic>>{},
};

int main() { return sizeof(mine) == 0; }
