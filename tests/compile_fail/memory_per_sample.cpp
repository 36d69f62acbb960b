// SPDX-License-Identifier: BSD-3-Clause
// A range rule that remembers, where samples come and go.
// expect: fqt: scheme.input_gradient or scheme.weight_gradient is per sample, and its range rule remembers
#include <fqt/network/network.hpp>
#include <fqt/quant/clip_memory.hpp>

using namespace fqt::layers;
#if FQT_FAIL
using granularity = fqt::per_sample;
#else
using granularity = fqt::per_tensor;
#endif
constexpr fqt::scheme mine{
    .weight = fqt::symmetric<8>{},
    .activation = fqt::symmetric<8>{},
    .input_gradient = fqt::symmetric<4, fqt::stochastic, granularity, fqt::delayed<4>>{},
    .edges = fqt::uniform_edges{},
};
constexpr auto net = input<1, 1, 1> | dense<16> | dense<10>;

int main() { return fqt::network<net, mine>{fqt::seed{1}, {.batch = 1}}.batch() - 1; }
