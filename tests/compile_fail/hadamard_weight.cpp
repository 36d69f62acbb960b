// SPDX-License-Identifier: BSD-3-Clause
// Weights that are transformed by themselves, without the gradient that meets them.
// expect: fqt: hadamard<quantizer> is for gradients; give scheme.weight and scheme.activation the quantizer by itself
#include <fqt/network/network.hpp>

using gradient = fqt::symmetric<4, fqt::stochastic, fqt::per_sample>;
#if FQT_FAIL
constexpr fqt::scheme mine{fqt::hadamard<fqt::symmetric<8>>{}, fqt::symmetric<8>{}, gradient{}};
#else
constexpr fqt::scheme mine{fqt::symmetric<8>{}, fqt::symmetric<8>{}, fqt::hadamard<gradient>{}};
#endif

int main() { return sizeof mine == 0; }
