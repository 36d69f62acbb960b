// SPDX-License-Identifier: BSD-3-Clause
// A granularity whose scales do not factor out of the input gradient.
// expect: fqt: scheme.input_gradient is per channel, which does not factor out of the sum over channels in dX
// expect: use per_sample or per_tensor
#include <fqt/quant/scheme.hpp>

#if FQT_FAIL
using granularity = fqt::per_channel;
#else
using granularity = fqt::per_sample;
#endif
constexpr fqt::scheme mine{
    .weight = fqt::symmetric<8>{},
    .activation = fqt::symmetric<8>{},
    .input_gradient = fqt::symmetric<4, fqt::stochastic, granularity>{},
};

int main() { return sizeof(mine) == 0; }
