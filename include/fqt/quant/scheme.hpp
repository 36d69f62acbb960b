#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A scheme names the format of every tensor that crosses a pass. Nothing else in the library decides a precision.

#include <fqt/core/half.hpp>
#include <fqt/quant/block_scaled.hpp>
#include <fqt/quant/blocks.hpp>
#include <fqt/quant/dorefa.hpp>
#include <fqt/quant/hadamard.hpp>
#include <fqt/quant/mean_of.hpp>
#include <fqt/quant/quantizer.hpp>

#include <algorithm>
#include <concepts>
#include <type_traits>

namespace fqt {

/// Whether the scales of weights are folded into h before it is quantized for dX, a product of codes that sums over
/// channels. A transformed h meets weights with one grid of their own.
template <class Gradient, class Weight>
inline constexpr bool folds_scales_of_weights = is_linear<Gradient>&& is_linear<Weight> && !is_rotated<Gradient>;

/// The first and the last product of a network use at least 8 bits and the whole range wherever the scheme says
/// `symmetric` or block_scaled<...>; quantizers of other kinds stay as they are, without hadamard<...>.
struct eight_bit_edges {};
/// The first and the last product are not quantized, as in most papers.
struct float_edges {};
/// The first and the last product use the scheme as it is.
struct uniform_edges {};
/// The first and the last product use the quantizers of another scheme: edges_of<w8a8g8> with grids that
/// eight_bit_edges leaves as they are.
template <const auto& Scheme>
struct edges_of {};

namespace detail {
template <class T, class... Others>
inline constexpr bool one_of = (std::same_as<T, Others> || ...);
}

/// The formats of a network's tensors; designated initialisers name them, and what is left out has the default:
/// weights, activations and gradients are floats.
///   weight           one grid per tensor or output channel
///   activation       the input of a product; one grid per tensor, unsigned where the tensor cannot be negative
///   input_gradient   h = dL/d(sums) as it enters the input gradient dX; per tensor or sample, or per_householder. The
///                    weight scale of each output channel is folded into h first, so that both passes use the same
///                    weight codes; hadamard<...> transforms both instead
///   weight_gradient  h as it enters the weight gradient dW; per tensor, channel or sample. The same type as
///                    input_gradient means the same codes, except for block formats
///   sums             what a product leaves (binary16, or float); range proved by types, no grid
///   gradient         the gradient between layers (bfloat16, or float)
///   residual         a residual sum that no product reads as codes (binary16, bfloat16, or float)
///   edges            eight_bit_edges, float_edges, uniform_edges or edges_of<another scheme>
template <class Weight = real, class Activation = real, class InputGradient = real,
          class WeightGradient = InputGradient, class Sums = binary16, class Gradient = bfloat16,
          class Residual = binary16, class Edges = eight_bit_edges>
struct scheme {
    Weight weight{};
    Activation activation{};
    InputGradient input_gradient{};
    WeightGradient weight_gradient{};
    Sums sums{};
    Gradient gradient{};
    Residual residual{};
    Edges edges{};

    using weight_quantizer = Weight;
    using activation_quantizer = Activation;
    using input_gradient_quantizer = InputGradient;
    using weight_gradient_quantizer = WeightGradient;
    using sums_type = Sums;
    using gradient_type = Gradient;
    using residual_type = Residual;
    using edges_type = Edges;

    static_assert(detail::one_of<Sums, binary16, float>,
                  "fqt: scheme.sums is binary16{} or float{}; bfloat16 would round away most of a sum");
    static_assert(detail::one_of<Gradient, bfloat16, float>,
                  "fqt: scheme.gradient is bfloat16{} or float{}; most gradients are below what binary16 holds");
    static_assert(detail::one_of<Residual, binary16, bfloat16, float>,
                  "fqt: scheme.residual is binary16{}, bfloat16{} or float{}");
    static_assert(quantizer<Weight>, "fqt: scheme.weight is not a quantizer");
    static_assert(quantizer<Activation>, "fqt: scheme.activation is not a quantizer");
    static_assert(quantizer<InputGradient>, "fqt: scheme.input_gradient is not a quantizer");
    static_assert(quantizer<WeightGradient>, "fqt: scheme.weight_gradient is not a quantizer");
    static_assert(!has_granularity<Weight, per_sample>,
                  "fqt: scheme.weight is per sample, but weights have no samples; use per_channel or per_tensor");
    static_assert(!has_granularity<Weight, per_householder> && !has_granularity<WeightGradient, per_householder>,
                  "fqt: per_householder is for scheme.input_gradient alone, since dX is turned back sample by sample; "
                  "give scheme.weight_gradient per_sample, and scheme.weight per_channel");
    static_assert(
        !is_rotated<Weight> && !is_rotated<Activation>,
        "fqt: hadamard<quantizer> is for gradients; give scheme.weight and scheme.activation the quantizer by itself");
    static_assert(!quantizer_traits<Weight>::stratifies,
                  "fqt: scheme.weight is rounded by `stratified`, which pairs neighbouring pixels, and weights have "
                  "none; use stochastic");
    static_assert(!(is_blocked<Activation> && quantizer_traits<Activation>::stratifies)
                      && !(is_blocked<InputGradient> && quantizer_traits<InputGradient>::stratifies)
                      && !(is_blocked<WeightGradient> && quantizer_traits<WeightGradient>::stratifies),
                  "fqt: a block format is rounded by `stratified`, but draws a number for each value; use stochastic");
    static_assert(
        !quantizer_traits<Weight>::scales_blocks && !quantizer_traits<Activation>::scales_blocks,
        "fqt: block_scaled<quantizer> is for gradients; give scheme.weight and scheme.activation the quantizer "
        "by itself");
    static_assert(
        !quantizer_traits<WeightGradient>::scales_blocks || !has_granularity<WeightGradient, per_channel>,
        "fqt: scheme.weight_gradient is block_scaled and per channel, two scales for one value; use per_sample or "
        "per_tensor");
    static_assert(has_granularity<Activation, per_tensor> || is_blocked<Activation>,
                  "fqt: scheme.activation has several grids, which do not factor out of the products; use per_tensor");
    static_assert(quantizer_traits<InputGradient>::copies == 1 && quantizer_traits<Weight>::copies == 1
                      && quantizer_traits<Activation>::copies == 1,
                  "fqt: mean_of<N, quantizer> averages weight gradients; use it for scheme.weight_gradient alone");
    static_assert(!is_blocked<WeightGradient> || quantizer_traits<WeightGradient>::copies == 1,
                  "fqt: scheme.weight_gradient is mean_of a block format, which is rounded once; use the block format");
    static_assert(!range_traits<typename quantizer_traits<InputGradient>::range>::learned
                      && !range_traits<typename quantizer_traits<WeightGradient>::range>::learned,
                  "fqt: scheme.input_gradient or scheme.weight_gradient learns its range, but gradients have none to "
                  "learn by; use full_range or a rule of clipping.hpp");
    static_assert(!takes_no_negatives<Weight>,
                  "fqt: scheme.weight has a range for tensors that cannot be negative; use learned_step or sawb");
    static_assert(
        !takes_no_negatives<InputGradient> && !takes_no_negatives<WeightGradient>,
        "fqt: scheme.input_gradient or scheme.weight_gradient has a range for tensors that cannot be negative, "
        "and gradients can; use full_range or a rule of clipping.hpp");
    static_assert(
        !transforms_weights<Activation> && !transforms_weights<InputGradient> && !transforms_weights<WeightGradient>,
        "fqt: tanh_weights<quantizer> is for scheme.weight alone; use the quantizer by itself");
    static_assert(
        !has_granularity<InputGradient, per_channel>,
        "fqt: scheme.input_gradient is per channel, which does not factor out of the sum over channels in dX; "
        "use per_sample or per_tensor");
};

// ---- schemes by name ----

/// 32-bit floats everywhere: the baseline that everything is compared with.
inline constexpr scheme<real, real, real, real, float, float, float, uniform_edges> fp32{};

/// 8-bit weights and activations, gradients in floats: quantization-aware training.
inline constexpr scheme<symmetric<8, nearest, per_channel>, symmetric<8>, real, real, binary16, float> w8a8{};

/// 8-bit weights and activations; gradients of Bits bits in both products, stochastically rounded, one grid a sample.
template <int Bits, granularity Granularity = per_sample>
inline constexpr scheme<symmetric<8, nearest, per_channel>, symmetric<8>, symmetric<Bits, stochastic, Granularity>>
    w8a8_gradient{};

inline constexpr auto w8a8g8 = w8a8_gradient<8>;
inline constexpr auto w8a8g4 = w8a8_gradient<4>;
inline constexpr auto w8a8g2 = w8a8_gradient<2>;

/// The quantizer of w8a8_blocks: 2^Bits levels without zero and a scale for each 16 channels, transformed by H before,
/// rounded by strata.
template <int Bits>
using rotated_blocks = hadamard<block_scaled<dorefa_levels<Bits, stratified, per_sample>>>;

/// 8-bit weights and activations; gradients in rotated_blocks of Bits bits, and half a bit for the scales, into both
/// products, which share their codes. w8a8_blocks<2, 8> rounds h anew for dW, to 8 bits, one grid a sample. Layers
/// between the first and the last need output channels in multiples of 16.
template <int Bits, int WeightGradientBits = Bits>
inline constexpr scheme<symmetric<8, nearest, per_channel>, symmetric<8>, rotated_blocks<Bits>,
                        std::conditional_t<Bits == WeightGradientBits, rotated_blocks<Bits>,
                                           symmetric<WeightGradientBits, stochastic, per_sample>>>
    w8a8_blocks{};

// ---- a scheme at a place in the network ----

namespace detail {

template <class Q>
struct at_least_eight_bits {
    using type = Q;
};
template <int Bits, class Rounding, class Granularity, class Range>
struct at_least_eight_bits<symmetric<Bits, Rounding, Granularity, Range>> {
    using type = symmetric<std::max(Bits, 8), Rounding, Granularity>;
};
template <class Q>
struct at_least_eight_bits<hadamard<Q>> : at_least_eight_bits<Q> {};
template <int N, class Q>
struct at_least_eight_bits<mean_of<N, Q>> { // 8 bits need no mean
    using wide = typename at_least_eight_bits<Q>::type;
    using type = std::conditional_t<std::same_as<wide, Q>, mean_of<N, Q>, wide>;
};
template <class Q>
struct at_least_eight_bits<block_scaled<Q>> {
    using type = symmetric<8, typename Q::rounding, typename Q::granularity>;
};

template <class S, class Edges = typename S::edges_type>
struct edge_scheme {
    using type = S;
};
template <class S>
struct edge_scheme<S, eight_bit_edges> {
    template <class Q>
    using wide = typename at_least_eight_bits<Q>::type;
    using type = scheme<wide<typename S::weight_quantizer>, wide<typename S::activation_quantizer>,
                        wide<typename S::input_gradient_quantizer>, wide<typename S::weight_gradient_quantizer>,
                        typename S::sums_type, typename S::gradient_type, typename S::residual_type, uniform_edges>;
};

template <class S>
struct edge_scheme<S, float_edges> {
    using type = scheme<real, real, real, real, typename S::sums_type, typename S::gradient_type,
                        typename S::residual_type, uniform_edges>;
};

template <class S, const auto& Other>
struct edge_scheme<S, edges_of<Other>> {
    using other = std::remove_cvref_t<decltype(Other)>;
    using type = scheme<typename other::weight_quantizer, typename other::activation_quantizer,
                        typename other::input_gradient_quantizer, typename other::weight_gradient_quantizer,
                        typename S::sums_type, typename S::gradient_type, typename S::residual_type, uniform_edges>;
};

} // namespace detail

/// A scheme handed down the network, with whether the first and the last product lie below.
template <class Scheme, bool First, bool Last>
struct placed : Scheme {
    using base = Scheme;
    static constexpr bool first = First, last = Last;
};
/// The scheme of a product: that of the edges where it is the first or the last.
template <class P>
using product_scheme = typename std::conditional_t<P::first || P::last, detail::edge_scheme<typename P::base>,
                                                   std::type_identity<typename P::base>>::type;

} // namespace fqt
