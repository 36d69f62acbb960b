// SPDX-License-Identifier: BSD-3-Clause
// Several roundings where there is one product.
// expect: fqt: mean_of<N, quantizer> averages weight gradients; use it for scheme.weight_gradient alone
#include <fqt/quant/mean_of.hpp>
#include <fqt/quant/scheme.hpp>

using one = fqt::symmetric<4, fqt::stochastic>;
#if FQT_FAIL
using input_gradient = fqt::mean_of<2, one>;
#else
using input_gradient = one;
#endif
constexpr fqt::scheme mine{
    .weight = fqt::symmetric<8>{},
    .activation = fqt::symmetric<8>{},
    .input_gradient = input_gradient{},
    .weight_gradient = fqt::mean_of<2, one>{},
};

int main() { return sizeof(mine) == 0; }
