// SPDX-License-Identifier: BSD-3-Clause
// A transform of weights on activations.
// expect: fqt: tanh_weights<quantizer> is for scheme.weight alone; use the quantizer by itself
#include <fqt/quant/scheme.hpp>
#include <fqt/quant/tanh_weights.hpp>

#if FQT_FAIL
using activation = fqt::tanh_weights<fqt::symmetric<8>>;
#else
using activation = fqt::symmetric<8>;
#endif
constexpr fqt::scheme mine{.weight = fqt::tanh_weights<fqt::symmetric<8>>{}, .activation = activation{}};

int main() { return sizeof(mine) == 0; }
