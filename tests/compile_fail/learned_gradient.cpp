// SPDX-License-Identifier: BSD-3-Clause
// A gradient whose range is to be learnt.
// expect: fqt: scheme.input_gradient or scheme.weight_gradient learns its range, but gradients have none to learn by
#include <fqt/quant/learned_range.hpp>
#include <fqt/quant/scheme.hpp>

#if FQT_FAIL
using range = fqt::learned_step;
#else
using range = fqt::full_range;
#endif
constexpr fqt::scheme mine{.weight = fqt::symmetric<8>{},
                           .activation = fqt::symmetric<8>{},
                           .input_gradient = fqt::symmetric<4, fqt::stochastic, fqt::per_tensor, range>{}};

int main() { return sizeof(mine) == 0; }
