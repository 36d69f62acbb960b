// SPDX-License-Identifier: BSD-3-Clause
// Zero points of channels, which do not factor out of a weight gradient.
// expect: fqt: scheme.weight_gradient is per channel, so it must have a linear grid without a zero point, fqt::grid;
#include <fqt/network/network.hpp>
#include <fqt/quant/asymmetric.hpp>

using namespace fqt::layers;
#if FQT_FAIL
using granularity = fqt::per_channel;
#else
using granularity = fqt::per_sample;
#endif
constexpr fqt::scheme mine{
    .weight = fqt::symmetric<8>{},
    .activation = fqt::symmetric<8>{},
    .input_gradient = fqt::symmetric<4, fqt::stochastic>{},
    .weight_gradient = fqt::asymmetric<4, fqt::stochastic, granularity>{},
};
constexpr auto net = input<1, 1, 1> | dense<16> | dense<10>;

int main() { return fqt::network<net, mine>{fqt::seed{1}, {.batch = 1}}.batch() - 1; }
