#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The weight gradient of one sample of a depthwise convolution:
//   dw[c][r][s] += scale * sum over y, x of h[c][y][x] * x[c][y * stride + r - pad][x * stride + s - pad]
//
// Both operands are vectors of 16 channels, staged as for any other convolution (pixel_groups.hpp). A tile holds, over
// all pixels, the sums of some rows and columns of the window. Exactness, order and interface are those of
// weight_gradient.hpp, but no rows are left out. Include that.

#include <fqt/kernels/weight_gradient.hpp>

namespace fqt::kernels {

template <geometry G, class Kind, class Arch, std::int64_t Longest>
    requires(is_depthwise(G))
struct weight_gradient_kernel<G, Kind, Arch, Longest> {
private:
    using accumulator = typename Kind::template sums<Arch>;
    using floats = simd::f32x16<Arch>;

    static constexpr shape out = G.out();
    static constexpr int most_sums = simd::tile_registers<typename Arch::registers>::gradient_sums;
    // Columns and rows of the window that one tile holds.
    static constexpr int taps = taps_in_row(G.kernel_width) <= most_sums ? taps_in_row(G.kernel_width) : 1;
    static constexpr even_tiles tiles = split_evenly(G.kernel_height, most_sums / taps);

public:
    using staged = pixel_groups<G, Kind, Arch, Longest>;
    /// Floats of the running gradient, [r][s][lane].
    static constexpr std::size_t sums = std::size_t{G.taps()} * std::size_t{padded(G.outputs)};
    static constexpr bool writes_all_sums = true;

    using sample = staged_sample;
    static constexpr int samples_at_once = 1;

    /// Adds scale * (the sample's weight gradient) to `into` for each sample in order; to zeros instead, if these are
    /// the first of a group. is_signed says whether activations are.
    static void run(const sample* samples, int count, bool is_signed, bool are_first, float* into) {
        for (int i = 0; i < count; ++i)
            for (int block = 0; block < staged::output_blocks; ++block)
                for (int s = 0; s < G.kernel_width; s += taps) {
                    for (int r = 0; r < tiles.count * tiles.full; r += tiles.full)
                        run_tile<tiles.full>(samples[i], is_signed, are_first && i == 0, block, r, s, into);
                    if constexpr (tiles.rest > 0)
                        run_tile<tiles.rest>(samples[i], is_signed, are_first && i == 0, block,
                                             tiles.count * tiles.full, s, into);
                }
    }

    /// Adds `count` such sums up, in order, and writes them times factor[k] as the logical gradient [k][r][s], for the
    /// outputs k of one block of 16. Returns whether all of it is finite.
    static bool unpack(const float* from, int count, const float* factor, int block, float* dw) {
        const int first = block * lanes, last = std::min(first + lanes, G.outputs);
        floats poison(0.0f);
        for (int tap = 0; tap < G.taps(); ++tap) {
            float of_lanes[lanes];
            sum_up<sums>(from + sum_index(0, tap, block), count, floats::load(factor + first), poison).store(of_lanes);
            for (int k = first; k < last; ++k) dw[k * G.taps() + tap] = of_lanes[k - first];
        }
        return all(poison == floats(0.0f));
    }

private:
    static constexpr std::ptrdiff_t sum_index(int r, int s, int block) {
        return (std::ptrdiff_t{r} * G.kernel_width + s) * padded(G.outputs) + block * lanes;
    }

    // Sums are [row][tap], for Rows rows of the window from r and its columns from s.
    template <int Rows>
    static void run_tile(const sample& x, bool is_signed, bool is_first, int block, int r, int s, float* into) {
        constexpr int size = Rows * taps;
        for (int run = 0; run < staged::runs; ++run) {
            accumulator sum[size];
            unroll<size>([&](auto i) FQT_INLINE_LAMBDA { sum[i] = start(x, is_signed, run, block); });
            add_rows<Rows>(sum, x, run, block, r, s);
            unroll<size>([&](auto i) FQT_INLINE_LAMBDA {
                add_scaled<Kind, Arch>(x.scale, sum[i], is_first && run == 0,
                                       into + sum_index(r + i / taps, s + i % taps, block));
            });
        }
    }

    template <int Rows>
    FQT_INLINE static void add_rows(accumulator (&sum)[Rows * taps], const sample& x, int run, int block, int r,
                                    int s) {
        int y = run * staged::run_rows;
        const int end = std::min(y + staged::run_rows, out.height);
        const std::byte* activation_row = x.activation + staged::channel_offset(block * lanes) + s * staged::tap_bytes
            + (std::ptrdiff_t{y} * G.stride + r) * staged::row_bytes;
        const std::byte* gradient =
            x.gradient + staged::gradient_offset(block * lanes) + std::ptrdiff_t{y} * staged::steps * vector_bytes;
        // Tested below, for the reason given in correlate.hpp.
        do {
            const std::byte* activation = activation_row;
            int step = 0;
            do {
                const auto h = Kind::template vector<Arch, typename Kind::weight>(gradient);
                unroll<Rows * taps>([&](auto i) FQT_INLINE_LAMBDA {
                    const auto a = Kind::template vector<Arch, typename Kind::operand>(
                        activation + i / taps * staged::row_bytes + i % taps * staged::tap_bytes);
                    multiply_add(Arch{}, sum[i], a, h);
                });
                activation += staged::step_bytes;
                gradient += vector_bytes;
            } while (++step < staged::steps);
            activation_row += G.stride * staged::row_bytes;
        } while (++y < end);
    }

    FQT_INLINE static accumulator start(const sample& x, bool is_signed, int run, int block) {
        if constexpr (is_integer<Kind>)
            return is_signed ? accumulator::load(staged::starts(x.gradient, run) + block * lanes)
                             : accumulator::repeat(0);
        else return accumulator::zero();
    }
};

} // namespace fqt::kernels
