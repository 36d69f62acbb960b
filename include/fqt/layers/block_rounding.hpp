#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Block formats at work: one sample of a lazy tensor is quantized along an axis and decoded again into floats, in which
// its product runs. A tensor in blocks is not kept: each product that reads it evaluates and quantizes it anew, along
// its own contraction, while the sample is in cache.

#include <fqt/layers/passes.hpp>
#include <fqt/quant/blocks.hpp>

namespace fqt {

/// What a block lies along.
enum class block_axis { channels, pixels };

/// Floats of one sample, as kernels read them.
struct float_source {
    static constexpr bool is_signed = true;
    const float* data; // (pixel, block, lane)
    int padded_channels;

    template <class Arch>
    floats<Arch> values(int p, int b) const {
        return floats<Arch>::load(data + std::ptrdiff_t{p} * padded_channels + b * lanes);
    }
};

template <class Q, block_axis Axis, shape Shape, class Arch>
struct block_rounding {
    // A group is a run of pixels times blocks of channels that has one grid; along pixels, each channel has its own.
    static constexpr int size = block_size_of<Q>;
    static constexpr bool by_lane = Axis == block_axis::pixels && !is_tiled<Q>;
    static constexpr int pixels = Axis == block_axis::pixels || is_tiled<Q> ? size : 1;
    static constexpr int together =
        Axis == block_axis::channels || is_tiled<Q> ? std::min(size / lanes, blocks(Shape.channels)) : 1;
    static_assert(
        together * lanes >= Shape.channels || Shape.channels % (together * lanes) == 0 || by_lane,
        "fqt: scheme.activation or scheme.input_gradient has blocks that do not divide a layer's channels; use "
        "a smaller per_block<Size>, or give this layer another scheme: with<scheme>(layer)");

    /// Quantizes sample n of x into `to`, padded_size(Shape) floats. `sample` keys its random numbers.
    template <class X>
    static void round(const X& x, int n, const grid& tensor, const random_stream& stream, std::uint32_t sample,
                      float* to) {
        for (int first = 0; first < Shape.pixels(); first += patch)
            for (int block = 0; block < blocks(Shape.channels); block += together)
                round_patch(x, n, tensor, stream, sample, first, block, to);
    }

private:
    using lane_grid = passes::lane_grid<Arch>;
    using traits = quantizer_traits<Q>;
    // Whole octets of pixels, since one draw of random bits serves an octet: one group, or eight of a pixel each.
    static constexpr int patch = std::max(pixels, 8), groups = patch / pixels;

    template <class X>
    static void round_patch(const X& x, int n, const grid& tensor, const random_stream& stream, std::uint32_t sample,
                            int first, int block, float* to) {
        const int end = std::min(first + patch, Shape.pixels());
        lane_grid grids[groups];
        for (int g = 0; g < groups && first + g * pixels < end; ++g) {
            floats<Arch> most(0.0f);
            for (int p = first + g * pixels; p < std::min(first + (g + 1) * pixels, end); ++p)
                for (int b = block; b < block + together; ++b) most = max(abs(x.template load<Arch>(n, p, b)), most);
            grids[g] = fitted(most, tensor);
        }
        for (int b = block; b < block + together; ++b)
            for (int octet = first; octet < end; octet += 8) {
                const auto encode = [&](int p, floats<Arch> u) {
                    const auto v = x.template load<Arch>(n, p, b);
                    const lane_grid& g = grids[(p - first) / pixels];
                    const auto q = passes::clamped<Arch>(Q::encode(v, g, u), traits::limits(true));
                    without_padding<Arch, Shape>(Q::decode(q, g), b)
                        .store(to + std::ptrdiff_t{p} * padded(Shape.channels) + b * lanes);
                };
                const int last = std::min(octet + 8, end);
                if constexpr (traits::draws) {
                    const simd::octet_bits<Arch> bits(stream, sample, b * lanes, octet / 8, Shape.pixels());
                    for (int p = octet; p < last; ++p) encode(p, bits.uniform(p - octet));
                } else {
                    for (int p = octet; p < last; ++p) encode(p, floats<Arch>(0.0f));
                }
            }
    }

    static lane_grid fitted(floats<Arch> most, const grid& tensor) {
        if constexpr (!by_lane) {
            const grid g = Q::fit_block(reduce_max(most), tensor);
            return {floats<Arch>(g.step), floats<Arch>(g.inverse)};
        } else {
            float of_lane[lanes], step[lanes], inverse[lanes];
            most.store(of_lane);
            for (int i = 0; i < lanes; ++i) {
                const grid g = Q::fit_block(of_lane[i], tensor);
                step[i] = g.step;
                inverse[i] = g.inverse;
            }
            return {floats<Arch>::load(step), floats<Arch>::load(inverse)};
        }
    }
};

/// True, but for a block format Q whose blocks do not divide the channels: then the compiler says so.
template <class Q, shape Shape, class Arch>
inline constexpr bool blocks_fit = true;
template <class Q, shape Shape, class Arch>
    requires(is_blocked<Q>)
inline constexpr bool blocks_fit<Q, Shape, Arch> = sizeof(block_rounding<Q, block_axis::channels, Shape, Arch>) > 0;

/// The same for weights (k, r, s, c): blocks lie along c for the forward product and along k for the input gradient;
/// tiles of k times c serve both.
template <class Q, geometry G>
struct block_weight_rounding {
    static constexpr int size = block_size_of<Q>, channels = G.channels_per_group(), row = G.weights() / G.outputs;

    /// Quantizes all weights into `to`, along c or along k.
    static void round(const float* w, bool along_outputs, const grid& tensor, const random_stream& stream, int threads,
                      float* to) {
        const int deep = is_tiled<Q> || along_outputs ? size : 1, wide = is_tiled<Q> || !along_outputs ? size : 1;
        const int rows = (G.outputs + deep - 1) / deep, columns = (channels + wide - 1) / wide;
        parallel_for(rows, threads, [&](int i, int) {
            for (int tap = 0; tap < G.taps(); ++tap)
                for (int j = 0; j < columns; ++j) {
                    const int k = i * deep, c = j * wide;
                    group(w, k, std::min(k + deep, G.outputs), tap * channels + c,
                          tap * channels + std::min(c + wide, channels), tensor, stream, to);
                }
        });
    }

private:
    using one = floats<arch::generic>;
    using traits = quantizer_traits<Q>;

    // Outputs k to last_k - 1, and places i to last_i - 1 within their rows.
    static void group(const float* w, int k, int last_k, int i, int last_i, const grid& tensor,
                      const random_stream& stream, float* to) {
        float most = 0;
        for (int a = k; a < last_k; ++a)
            for (int b = i; b < last_i; ++b) most = std::max(most, std::abs(w[a * row + b]));
        const grid g = Q::fit_block(most, tensor);
        for (int a = k; a < last_k; ++a)
            for (int b = i; b < last_i; b += lanes) {
                const int count = std::min(lanes, last_i - b);
                float v[lanes]{}, u[lanes]{};
                std::copy_n(w + a * row + b, count, v);
                if constexpr (traits::draws)
                    for (int j = 0; j < count; ++j) u[j] = uniform16(stream.bits16(0, a, b + j, row));
                const one q =
                    passes::clamped<arch::generic>(Q::encode(one::load(v), g, one::load(u)), traits::limits(true));
                one(Q::decode(q, g)).store(v);
                std::copy_n(v, count, to + a * row + b);
            }
    }
};

} // namespace fqt
