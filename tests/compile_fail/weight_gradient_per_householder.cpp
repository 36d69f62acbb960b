// SPDX-License-Identifier: BSD-3-Clause
// A transform over samples in the product that sums over them. By default both gradients have one format.
// expect: fqt: per_householder is for scheme.input_gradient alone
// expect: give scheme.weight_gradient per_sample
#include <fqt/quant/scheme.hpp>

#if FQT_FAIL
using granularity = fqt::per_householder;
#else
using granularity = fqt::per_sample;
#endif
constexpr fqt::scheme mine{
    .weight = fqt::symmetric<8>{},
    .activation = fqt::symmetric<8>{},
    .input_gradient = fqt::symmetric<4, fqt::stochastic, fqt::per_householder>{},
    .weight_gradient = fqt::symmetric<4, fqt::stochastic, granularity>{},
};

int main() { return sizeof(mine) == 0; }
