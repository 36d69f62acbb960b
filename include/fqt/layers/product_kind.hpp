#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// On what a product of two quantized tensors runs: integers or floats, of how many bytes, and by which kernels.

#include <fqt/kernels/kind.hpp>
#include <fqt/kernels/taps.hpp>
#include <fqt/quant/hadamard.hpp>
#include <fqt/quant/quantizer.hpp>

#include <algorithm>
#include <concepts>
#include <type_traits>

namespace fqt {

/// The product of two quantized tensors runs on integers where both grids are linear.
template <class A, class B>
using product_kind = std::conditional_t<is_linear<A> && is_linear<B>, kernels::integer, kernels::real>;

/// Bytes of Q's integers in its product with Other; of those that may be negative and those that may not the more.
template <class Q, class Other>
inline constexpr int product_bytes = is_linear<Q>&& is_linear<Other>
    ? std::max(quantizer_traits<Q>::integer_bytes(true), quantizer_traits<Q>::integer_bytes(false))
    : 1;

/// The largest magnitude of Q's integers; more than a byte where it has none.
template <class Q>
constexpr int magnitude_of(bool is_signed) {
    if constexpr (is_linear<Q>) return quantizer_traits<Q>::greatest_magnitude(is_signed);
    else return 256;
}

/// The kernels of such a product: some instruction sets have faster ones for integers of few bits. Not so depthwise
/// products, which multiply little for what they read.
template <geometry G, class Arch, class Operand, class Weight, int OfSigned, int OfUnsigned, int OfWeights>
using kernel_kind = std::conditional_t<
    std::same_as<product_kind<Operand, Weight>, kernels::integer> && product_bytes<Operand, Weight> == 1
        && product_bytes<Weight, Operand> == 1 && !kernels::is_depthwise(G),
    kernels::integer_kind<Arch, OfSigned, OfUnsigned, OfWeights>, product_kind<Operand, Weight>>;

/// Those of the three products. Gradients are always signed. Weights that were transformed for the input gradient may
/// be any bytes, and activations of weight gradients have 128 added where they are signed, whatever their bits.
template <geometry G, class Arch, class Activation, class Weight>
using forward_kernel_kind = kernel_kind<G, Arch, Activation, Weight, magnitude_of<Activation>(true),
                                        magnitude_of<Activation>(false), magnitude_of<Weight>(true)>;
template <geometry G, class Arch, class Gradient, class Weight>
using dx_kernel_kind = kernel_kind<G, Arch, Gradient, Weight, magnitude_of<Gradient>(true), 0,
                                   is_rotated<Gradient> ? 128 : magnitude_of<Weight>(true)>;
template <geometry G, class Arch, class Activation, class Gradient>
using dw_kernel_kind = kernel_kind<G, Arch, Activation, Gradient, 128, 255, magnitude_of<Gradient>(true)>;

} // namespace fqt
