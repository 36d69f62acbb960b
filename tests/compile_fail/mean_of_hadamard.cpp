// SPDX-License-Identifier: BSD-3-Clause
// An average around a transform, which would be lost.
// expect: fqt: mean_of<N, hadamard<quantizer>> would not transform; write hadamard<mean_of<N, quantizer>>
#include <fqt/network/network.hpp>
#include <fqt/quant/mean_of.hpp>

using gradient = fqt::symmetric<4, fqt::stochastic, fqt::per_sample>;
#if FQT_FAIL
using averaged = fqt::mean_of<2, fqt::hadamard<gradient>>;
#else
using averaged = fqt::hadamard<fqt::mean_of<2, gradient>>;
#endif
constexpr fqt::scheme mine{fqt::symmetric<8>{}, fqt::symmetric<8>{}, gradient{}, averaged{}};

int main() { return sizeof mine == 0; }
