// SPDX-License-Identifier: BSD-3-Clause
// A learnt range of weights, of which a layer has one.
// expect: fqt: scheme.weight learns its range, of which there is one a tensor; use per_tensor
#include <fqt/network/network.hpp>
#include <fqt/quant/learned_range.hpp>

using namespace fqt::layers;
#if FQT_FAIL
using granularity = fqt::per_channel;
#else
using granularity = fqt::per_tensor;
#endif
constexpr fqt::scheme mine{
    .weight = fqt::symmetric<4, fqt::nearest, granularity, fqt::learned_step>{},
    .activation = fqt::symmetric<8>{},
    .edges = fqt::uniform_edges{},
};
constexpr auto net = input<1, 1, 1> | dense<16> | dense<10>;

int main() { return fqt::network<net, mine>{fqt::seed{1}, {.batch = 1}}.batch() - 1; }
