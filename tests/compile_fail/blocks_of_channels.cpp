// SPDX-License-Identifier: BSD-3-Clause
// A block that does not divide the channels that a product contracts over.
// expect: fqt: scheme.activation or scheme.input_gradient has blocks that do not divide a layer's channels
// expect: use a smaller per_block<Size>
#include <fqt/network/network.hpp>

using namespace fqt::layers;
#if FQT_FAIL
using blocks = fqt::mxfp8_e4m3<>;
#else
using blocks = fqt::blocks_of<fqt::e4m3<>, fqt::per_block<16>>;
#endif
constexpr fqt::scheme mine{
    .weight = blocks{}, .activation = blocks{}, .input_gradient = fqt::real{}, .edges = fqt::uniform_edges{}};
constexpr auto net = input<48, 1, 1> | dense<10>;

int main() { return fqt::network<net, mine>{fqt::seed{1}, {.batch = 1}}.batch() - 1; }
