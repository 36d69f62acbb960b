// SPDX-License-Identifier: BSD-3-Clause
// A range for tensors that cannot be negative, on one that can.
// expect: fqt: scheme.activation is for inputs that cannot be negative, and a layer's input can be: put a relu before
// it
#include <fqt/network/network.hpp>
#include <fqt/quant/learned_range.hpp>

using namespace fqt::layers;
constexpr fqt::scheme mine{.weight = fqt::symmetric<8>{},
                           .activation = fqt::symmetric<4, fqt::nearest, fqt::per_tensor, fqt::clipped_activation>{}};
#if FQT_FAIL
constexpr auto net = input<1, 1, 1> | dense<16> | dense<16> | dense<10>;
#else
constexpr auto net = input<1, 1, 1> | dense<16> | relu | dense<16> | dense<10>;
#endif

int main() { return fqt::network<net, mine>{fqt::seed{1}, {.batch = 1}}.batch() - 1; }
