#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The weight gradient of one sample:
//   dw[k][r][s][c] += scale * sum over y, x of h[k][y][x] * x[c][y * stride + r - pad][x * stride + s - pad]
//
// The sum runs over pixels, in steps of four codes or one float (pixel_groups.hpp). A tile holds, over all pixels, the
// sums of one row of kernel columns s for
//   some channels c times V vectors of 16 outputs: activations are repeated, gradients are vectors; or
//   some outputs k times V vectors of 16 channels: gradients are repeated, activations are vectors,
// whichever is estimated to be faster.
//
// Rows y of h that kernel row r multiplies with border alone are left out, but where activations are signed: those
// sums start from all rows, and so must meet all of them.
//
// Where there are matrix registers, weight_gradient_matrices.hpp multiplies most layers.
//
// Integer sums are exact; each run of rows, short enough for int32, is one sum and is added as
//   into[i] = fma(scale, float(sum), into[i]).
// A float sum is a chain of fma from 0 over y, x ascending, operands of the border included but for rows of border;
// then the same fma.

#include <fqt/kernels/pixel_groups.hpp>
#include <fqt/kernels/running_gradient.hpp>
#include <fqt/kernels/tile_shape.hpp>

namespace fqt::kernels {

/// From staged samples to the gradient.
template <geometry G, class Kind, class Arch, std::int64_t Longest>
struct weight_gradient_kernel {
private:
    using registers = simd::tile_registers<typename Arch::registers>;
    using accumulator = typename Kind::template sums<Arch>;
    using floats = simd::f32x16<Arch>;

    static constexpr shape out = G.out();
    static constexpr grouping groups{G.in.channels, G.outputs, G.groups, lanes};
    // Channels that a block of outputs meets.
    static constexpr int channels = groups.count();

    // Kernel columns that one tile holds.
    static constexpr int taps = taps_in_row(G.kernel_width) <= registers::operands ? taps_in_row(G.kernel_width) : 1;

    static constexpr tile_shape with_output_lanes = best_tile({.rows = channels,
                                                               .blocks = groups.alike(),
                                                               .most_sums = registers::gradient_sums,
                                                               .most_operands = registers::operands,
                                                               .products = taps,
                                                               .sums = taps,
                                                               .row_reads = taps,
                                                               .shared_reads = 0,
                                                               .vector_reads = 1,
                                                               .within_blocks = true});
    static constexpr tile_shape with_input_lanes = best_tile({.rows = G.outputs,
                                                              .blocks = blocks(channels),
                                                              .most_sums = registers::gradient_sums,
                                                              .most_operands = registers::operands,
                                                              .products = taps,
                                                              .sums = taps,
                                                              .row_reads = 1,
                                                              .shared_reads = 0,
                                                              .vector_reads = taps,
                                                              .within_blocks = true});
    // Inputs are lanes only in whole blocks, which narrow first layers do not have.
    static constexpr bool reads_inputs =
        G.groups == 1 && channels % lanes == 0 && (!is_integer<Kind> || registers::reads_across);
    static constexpr bool input_lanes = reads_inputs && with_input_lanes.time <= with_output_lanes.time;
    static constexpr int vectors = (input_lanes ? with_input_lanes : with_output_lanes).vectors;
    static constexpr int row_count = input_lanes ? G.outputs : channels;
    static constexpr int lane_count = input_lanes ? channels : padded(G.outputs);
    static constexpr even_tiles tiles =
        split_within_blocks(row_count, (input_lanes ? with_input_lanes : with_output_lanes).rows);

public:
    /// How a sample is staged.
    using staged = pixel_groups<G, Kind, Arch, Longest, !input_lanes>;
    /// Floats of the running gradient, in the order of tiles: [r][row][s][lane]. The number is the same on every
    /// instruction set, so that callers may let it decide what must be equal there.
    static constexpr std::size_t sums = std::size_t{channels} * std::size_t{G.taps()} * std::size_t{padded(G.outputs)};
    static_assert(std::int64_t{row_count} * G.taps() * lane_count <= std::int64_t{sums});

    /// Whether run() writes each of them; where groups are narrow, it leaves out those that unpack() does not need.
    static constexpr bool writes_all_sums = G.groups == 1;

    using sample = staged_sample;
    /// Samples that are best given to run() together. A tile's sums come from the second cache anew for each sample,
    /// and beyond its size from memory; so they serve several, whose staged forms fit the first cache, or the second.
    static constexpr int samples_at_once =
        std::clamp(static_cast<int>((std::size_t{sums * sizeof(float) <= 512 * 1024 ? 24 : 256} * 1024)
                                    / (staged::activation_bytes + staged::gradient_bytes)),
                   1, 16);

    /// Adds scale * (the sample's weight gradient) to `into` for each sample in order; to zeros instead, if these are
    /// the first of a group. is_signed says whether activations are.
    static void run(const sample* samples, int count, bool is_signed, bool are_first, float* into) {
        for (int r = 0; r < G.kernel_height; ++r)
            for (int s = 0; s < G.kernel_width; s += taps)
                for (int lane = 0; lane < lane_count; lane += vectors * lanes)
                    for (int tile = 0; tile < tiles.count + (tiles.rest > 0); ++tile)
                        for (int i = 0; i < count; ++i) {
                            const task x{samples[i], is_signed, are_first && i == 0, into};
                            if (tile < tiles.count) run_tile<tiles.full>(x, r, s, tile * tiles.full, lane);
                            else if constexpr (tiles.rest > 0)
                                run_tile<tiles.rest>(x, r, s, tiles.count * tiles.full, lane);
                        }
    }

    /// Adds `count` such sums up, in order, and writes them times factor[k] as the logical gradient
    /// [k][r][s][channel of the group], for the outputs k of one block of 16. Returns whether all of it is finite.
    static bool unpack(const float* from, int count, const float* factor, int block, float* dw) {
        const int first = block * lanes, last = std::min(first + lanes, G.outputs);
        const auto at = [dw](int k, int r, int s) {
            return dw + ((std::ptrdiff_t{k} * G.kernel_height + r) * G.kernel_width + s) * G.channels_per_group();
        };
        floats poison(0.0f);
        const auto total = [&](std::ptrdiff_t index, floats scale) {
            return sum_up<sums>(from + index, count, scale, poison);
        };
        for (int r = 0; r < G.kernel_height; ++r)
            for (int s = 0; s < G.kernel_width; ++s)
                if constexpr (input_lanes) {
                    for (int k = first; k < last; ++k)
                        for (int c = 0; c < channels; c += lanes)
                            total(sum_index(r, k, s) + c, floats(factor[k])).store(at(k, r, s) + c);
                } else {
                    const int first_channel = groups.first(block);
                    for (int row = 0; row < std::min(channels, G.in.channels - first_channel); ++row) {
                        float of_lanes[lanes];
                        total(sum_index(r, row, s) + first, floats::load(factor + first)).store(of_lanes);
                        for (int k = first; k < last; ++k)
                            if (groups.meets(first_channel + row, k))
                                at(k, r, s)[(first_channel + row) % G.channels_per_group()] = of_lanes[k - first];
                    }
                }
        return all(poison == floats(0.0f));
    }

private:
    struct task : sample {
        bool is_signed, is_first;
        float* into;

        const std::int32_t* starts(int run) const { return staged::starts(this->gradient, run); }
    };

    // Output rows at which kernel row r lies in the image; none if first >= end.
    static constexpr index_range rows_in_image(int r) {
        const auto output_row = [](int row) { return (std::max(row, 0) + G.stride - 1) / G.stride; };
        return {output_row(G.pad - r), std::min(output_row(G.in.height + G.pad - r), out.height)};
    }

    static constexpr std::ptrdiff_t sum_index(int r, int row, int s) {
        return ((std::ptrdiff_t{r} * row_count + row) * G.kernel_width + s) * lane_count;
    }

    // Sums are [row][tap][vector], for Rows rows from `row`, kernel row r, columns from s, lanes from `lane`.
    template <int Rows>
    FQT_INLINE static void run_tile(const task& x, int r, int s, int row, int lane) {
        constexpr int size = Rows * taps * vectors;
        // A block of outputs of few channels meets fewer than others do.
        if (G.groups > 1 && groups.first(lane / lanes) + row >= G.in.channels) return;
        float* into = x.into + sum_index(r, row, s) + lane;
        for (int run = 0; run < staged::runs; ++run) {
            accumulator sum[size];
            unroll<size>([&](auto i) FQT_INLINE_LAMBDA {
                constexpr int v = i % vectors, first = i / (taps * vectors);
                sum[i] = start(x, run, input_lanes ? row + first : lane + v * lanes);
            });
            const index_range in_image =
                is_integer<Kind> && x.is_signed ? index_range{0, out.height} : rows_in_image(r);
            const index_range ys{std::max(run * staged::run_rows, in_image.first),
                                 std::min((run + 1) * staged::run_rows, in_image.end)};
            if (ys.first < ys.end) add_rows<Rows>(sum, x, ys, r, s, row, lane);
            unroll<size>([&](auto i) FQT_INLINE_LAMBDA {
                constexpr int v = i % vectors, tap = i / vectors % taps, of_row = i / (taps * vectors);
                add_scaled<Kind, Arch>(x.scale, sum[i], x.is_first && run == 0,
                                       into + sum_index(0, of_row, tap) + v * lanes);
            });
        }
    }

    template <int Rows>
    FQT_INLINE static void add_rows(accumulator (&sum)[Rows * taps * vectors], const task& x, index_range ys, int r,
                                    int s, int row, int lane) {
        int y = ys.first, step = 0;
        const int channel = input_lanes ? lane : groups.first(lane / lanes) + row, k = input_lanes ? row : lane;
        const std::byte* activation_row = x.activation + staged::channel_offset(channel) + staged::tap_offset(s)
            + (std::ptrdiff_t{y} * G.stride + r) * staged::row_bytes;
        const std::byte *activation = activation_row,
                        *gradient =
                            x.gradient + staged::gradient_offset(k) + std::ptrdiff_t{y} * staged::steps * vector_bytes;
        const auto add_step = [&](auto& to) FQT_INLINE_LAMBDA {
            if constexpr (input_lanes) add_step_of_inputs<Rows>(to, activation, gradient);
            else add_step_of_outputs<Rows>(to, activation, gradient);
            activation += staged::step_bytes;
            gradient += vector_bytes;
        };
        const auto end_row = [&]() FQT_INLINE_LAMBDA {
            step = 0;
            activation = activation_row += G.stride * staged::row_bytes;
        };
        // Tested below, for the reason given in correlate.hpp.
        if constexpr (is_short<Kind>) {
            const auto add_steps = [&](auto& to, int count) FQT_INLINE_LAMBDA {
                do {
                    add_step(to);
                    if (++step == staged::steps) end_row();
                } while (--count > 0);
            };
            add_in_parts<Kind, Arch, 1>(sum, (ys.end - ys.first) * staged::steps, add_steps);
        } else {
            do {
                do {
                    add_step(sum);
                } while (++step < staged::steps);
                end_row();
            } while (++y < ys.end);
        }
    }

    template <int Rows>
    FQT_INLINE static void add_step_of_outputs(auto& sum, const std::byte* activation, const std::byte* gradient) {
        using weight = typename Kind::weight;
        decltype(Kind::template vector<Arch, weight>(gradient)) h[vectors];
        unroll<vectors>([&](auto v) FQT_INLINE_LAMBDA {
            h[v] = Kind::template vector<Arch, weight>(gradient + v * staged::gradient_block_bytes);
        });
        decltype(Kind::template repeat<Arch, typename Kind::operand>(activation)) a;
        unroll<Rows * taps * vectors>([&](auto i) FQT_INLINE_LAMBDA {
            constexpr int v = i % vectors, tap = i / vectors % taps, of_row = i / (taps * vectors);
            if constexpr (v == 0)
                a = Kind::template repeat<Arch, typename Kind::operand>(activation + of_row * 4
                                                                        + tap * staged::tap_bytes);
            multiply_add(Arch{}, sum[i], a, h[v]);
        });
    }

    template <int Rows>
    FQT_INLINE static void add_step_of_inputs(auto& sum, const std::byte* activation, const std::byte* gradient) {
        // Column s of a tile is column s of the window, unless there is but one.
        decltype(Kind::template pixels<Arch>(activation)) a[taps * vectors];
        unroll<taps * vectors>([&](auto i) FQT_INLINE_LAMBDA {
            a[i] = Kind::template pixels<Arch>(activation + staged::tap_offset(i / vectors)
                                               + i % vectors * staged::block_bytes);
        });
        decltype(Kind::template repeat<Arch, typename Kind::weight>(gradient)) h;
        unroll<Rows * taps * vectors>([&](auto i) FQT_INLINE_LAMBDA {
            constexpr int of_tile = i % (taps * vectors), row = i / (taps * vectors);
            if constexpr (of_tile == 0) h = Kind::template repeat<Arch, typename Kind::weight>(gradient + row * 4);
            multiply_add(Arch{}, sum[i], h, a[of_tile]);
        });
    }

    // Of output k in all lanes, or of the outputs from k on.
    FQT_INLINE static accumulator start(const task& x, int run, int k) {
        if constexpr (!is_integer<Kind>) return accumulator::zero();
        else if constexpr (input_lanes) return accumulator::repeat(x.is_signed ? x.starts(run)[k] : 0);
        else return x.is_signed ? accumulator::load(x.starts(run) + k) : accumulator::repeat(0);
    }
};

template <geometry G, class Kind, class Arch, std::int64_t Longest = longest_sum>
struct weight_gradient_product : weight_gradient_kernel<G, Kind, Arch, Longest> {
private:
    using kernel = weight_gradient_kernel<G, Kind, Arch, Longest>;
    using staged = typename kernel::staged;

public:
    using typename kernel::sample, kernel::run;
    static constexpr int outputs = G.outputs;
    /// Buffers are aligned to 64 bytes.
    static constexpr std::size_t staged_activation_bytes = staged::activation_bytes,
                                 staged_gradient_bytes = staged::gradient_bytes;

    /// Copies a sample of shape G.in, padded with zeros.
    template <class Source>
    static void stage_activation(const Source& x, bool is_signed, std::byte* to) {
        staged::stage_activation(x, is_signed, to);
    }

    /// Copies a sample of h, of shape G.out(); codes of h are always signed.
    template <class Source>
    static void stage_gradient(const Source& h, std::byte* to) {
        staged::stage_gradient(h, to);
    }

    /// Adds the gradient of one sample to `into`.
    static void run(const std::byte* activation, const std::byte* gradient, bool is_signed, float scale, float* into) {
        const sample one{activation, gradient, scale};
        run(&one, 1, is_signed, false, into);
    }
};

} // namespace fqt::kernels

#include <fqt/kernels/depthwise_weight_gradient.hpp>
#include <fqt/kernels/weight_gradient_matrices.hpp>
