#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Schemes that the study compares beside the library's own: 8-bit weights and activations as in w8a8, and gradients on
// different grids.

#include <fqt/fqt.hpp>

namespace program::schemes {

// At the edges all of them have linear 8-bit gradients: with a grid a sample, but where eight_bit_edges widens the
// scheme's own: `tensor` and `ends_at_rms`, whose granularity stays, and w8a8_blocks, whose strata do.
template <class InputGradient, class WeightGradient = InputGradient>
using with_gradients =
    fqt::scheme<fqt::symmetric<8, fqt::nearest, fqt::per_channel>, fqt::symmetric<8>, InputGradient, WeightGradient,
                fqt::binary16, fqt::bfloat16, fqt::binary16, fqt::edges_of<fqt::w8a8g8>>;

/// One linear grid a tensor.
template <int Bits>
inline constexpr auto tensor = fqt::w8a8_gradient<Bits, fqt::per_tensor>;
/// The same, and one a channel into dW.
template <int Bits>
inline constexpr with_gradients<fqt::symmetric<Bits, fqt::stochastic, fqt::per_tensor>,
                                fqt::symmetric<Bits, fqt::stochastic, fqt::per_channel>>
    channel{};
/// One linear grid a sample (StatQuant's PSQ, symmetric).
template <int Bits>
inline constexpr auto sample = fqt::w8a8_gradient<Bits>;
/// LUQ's logarithmic grid, one a tensor.
template <int Bits>
inline constexpr with_gradients<fqt::luq<Bits>> luq{};
/// The same, one a sample.
template <int Bits>
inline constexpr with_gradients<fqt::luq<Bits, fqt::stochastic, fqt::per_sample>> luq_sample{};
/// Linear grids that end at a multiple of the values' rms instead of their largest magnitude, but not at the edges.
template <int Bits, class Granularity, float Multiple>
inline constexpr fqt::scheme<fqt::symmetric<8, fqt::nearest, fqt::per_channel>, fqt::symmetric<8>,
                             fqt::symmetric<Bits, fqt::stochastic, Granularity, fqt::rms_multiple<Multiple>>>
    ends_at_rms{};
/// Grids of samples that end at a multiple of their rms instead of their largest magnitude; 8 bits into dW.
template <int Bits, float Multiple>
inline constexpr with_gradients<fqt::symmetric<Bits, fqt::stochastic, fqt::per_sample, fqt::rms_multiple<Multiple>>,
                                fqt::symmetric<8, fqt::stochastic, fqt::per_sample>>
    clipped{};
/// dW is the mean of N products, each with its own rounding.
template <int Bits, int N>
inline constexpr with_gradients<fqt::symmetric<Bits, fqt::stochastic, fqt::per_sample>,
                                fqt::mean_of<N, fqt::symmetric<Bits, fqt::stochastic, fqt::per_sample>>>
    averaged{};
/// The blocks of fqt::w8a8_blocks with independent draws instead of strata.
template <int Bits>
inline constexpr with_gradients<
    fqt::hadamard<fqt::block_scaled<fqt::dorefa_levels<Bits, fqt::stochastic, fqt::per_sample>>>>
    independent_blocks{};
/// Few bits into dX, 8 into dW.
template <int Bits>
inline constexpr with_gradients<fqt::symmetric<Bits, fqt::stochastic, fqt::per_sample>,
                                fqt::symmetric<8, fqt::stochastic, fqt::per_sample>>
    split{};

} // namespace program::schemes
