// SPDX-License-Identifier: BSD-3-Clause
// A layer whose output channels do not fill blocks of 16, transformed.
// expect: fqt: scheme.input_gradient or scheme.weight_gradient is hadamard<quantizer>, which takes output channels
// expect: give this layer another scheme: with<scheme>(layer)
#include <fqt/network/network.hpp>

using namespace fqt::layers;

using gradient = fqt::symmetric<4, fqt::stochastic, fqt::per_sample>;
constexpr fqt::scheme mine{fqt::symmetric<8>{}, fqt::symmetric<8>{}, fqt::hadamard<gradient>{}, gradient{}};
#if FQT_FAIL
constexpr auto net = input<3, 4, 4> | dense<16> | dense<24> | dense<10>;
#else
constexpr auto net = input<3, 4, 4> | dense<24> | dense<32> | dense<10>;
#endif

int main() { return fqt::network<net, mine>::memory(1).bytes(1) == 0; }
