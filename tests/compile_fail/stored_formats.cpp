// SPDX-License-Identifier: BSD-3-Clause
// Formats in which sums and gradients would be lost, and a range that gradients exceed.
// expect: fqt: scheme.sums is binary16{} or float{}; bfloat16 would round away most of a sum
// expect: fqt: scheme.gradient is bfloat16{} or float{}; most gradients are below what binary16 holds
// expect: fqt: scheme.input_gradient or scheme.weight_gradient has a range for tensors that cannot be negative
#include <fqt/quant/asymmetric.hpp>
#include <fqt/quant/scheme.hpp>

#include "either.hpp"

using whole = fqt::symmetric<8, fqt::stochastic>;
using of_zero_to_one = fqt::asymmetric<8, fqt::stochastic, fqt::per_tensor, fqt::fixed_range<0.0f, 1.0f>>;
constexpr fqt::scheme sums{.weight = fqt::symmetric<8>{}, .sums = EITHER(fqt::binary16, fqt::bfloat16){}};
constexpr fqt::scheme gradient{.weight = fqt::symmetric<8>{}, .gradient = EITHER(fqt::bfloat16, fqt::binary16){}};
constexpr fqt::scheme range{.input_gradient = EITHER(whole, of_zero_to_one){}};

int main() { return sizeof(sums) + sizeof(gradient) + sizeof(range) == 0; }
