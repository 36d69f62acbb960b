#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The kernel of weight_gradient.hpp on matrix registers, which sum over up to 64 pixels at a time: rows of a matrix of
// sums are 16 outputs k, columns 16 channels c.
//
// Both operands are rows of pixels of one pitch, one row after the other without a gap. At stride S an activation lies
// in the plane of the remainders of its padded row and column by S, where the windows of neighbouring outputs are
// neighbours:
//   activations [block][row % S][column % S][row / S][four of column / S] [16 channels][4 pixels]
//   gradients   [block] [16 k][row][column], zeros where a row is longer than h's and behind the last
// Kernel row r is then an offset of whole rows into the activations, and kernel column s one of s / S pixels, by which
// gradients are read earlier: what they meet across the end of a row are zeros. So activations are staged once for all
// taps, and nothing is rearranged between them.
//
// Sums are exact. The running gradient is [block of k][s][block of c][r] [16 k][16 c]. Include weight_gradient.hpp.

#include <fqt/kernels/matrix_tile.hpp>
#include <fqt/kernels/weight_gradient.hpp>
#include <fqt/simd/matrix.hpp>

namespace fqt::kernels {

/// How samples are staged.
template <geometry G, class Arch>
struct pixel_rows {
private:
    static constexpr shape out = G.out();
    static constexpr int shifts = (G.kernel_width - 1) / G.stride; // of a gradient against the activations, at most

public:
    static constexpr int row_phases = std::min(G.stride, G.kernel_height),
                         column_phases = std::min(G.stride, G.kernel_width);
    // A row in groups of four pixels, and all of them; matrices sum over `groups` of these, `parts` times.
    static constexpr int row_groups = (out.width + shifts + 3) / 4, all_groups = out.height * row_groups;
    static constexpr int parts = (all_groups * 4 + simd::matrix_row_bytes - 1) / simd::matrix_row_bytes,
                         groups = (all_groups + parts - 1) / parts;

    static constexpr std::ptrdiff_t row_bytes = std::ptrdiff_t{row_groups} * vector_bytes;
    static constexpr int plane_rows = out.height + (G.kernel_height - 1) / G.stride;
    static constexpr std::ptrdiff_t plane_bytes = plane_rows * row_bytes,
                                    block_bytes = row_phases * column_phases * plane_bytes;
    /// Where the pixel begins that kernel row r multiplies with pixel 0 of h, in the plane of some kernel columns.
    static constexpr std::ptrdiff_t row_offset(int r, int column_phase) {
        return (r % G.stride * column_phases + column_phase) * plane_bytes + r / G.stride * row_bytes;
    }

    static constexpr std::ptrdiff_t output_bytes = std::ptrdiff_t{parts} * simd::matrix_row_bytes,
                                    gradient_block_bytes = lanes * output_bytes;
    static constexpr int output_blocks = blocks(G.outputs);
    // Before the gradients, -128 times the sum of each output's h, and zeros.
    static constexpr std::ptrdiff_t start_bytes = std::ptrdiff_t{output_blocks} * vector_bytes,
                                    margin_bytes = round_up(shifts, 64), gradients_at = start_bytes + margin_bytes;

private:
    static constexpr int padded_columns = row_groups * 4 * G.stride;
    static constexpr std::ptrdiff_t row_at = blocks(G.in.channels) * block_bytes;

public:
    // Behind the activations a matrix may read on for what gradients have zeros for; before that, it is a row's copy.
    static constexpr std::size_t activation_bytes =
        whole_lines(row_at + std::max<std::ptrdiff_t>(padded_columns * lanes, parts* vector_bytes));
    static constexpr std::size_t gradient_bytes = whole_lines(gradients_at + output_blocks * gradient_block_bytes);

    template <class Source>
    static void stage_activation(const Source& x, bool is_signed, std::byte* staged) {
        const std::byte border = zero_code(is_signed);
        std::byte* row = staged + row_at;
        std::fill(row, row + padded_columns * lanes, border);
        for (int block = 0; block < blocks(G.in.channels); ++block)
            for (int phase = 0; phase < row_phases; ++phase)
                for (int i = 0; i < plane_rows; ++i) {
                    const int y = i * G.stride + phase - G.pad;
                    const bool is_border = y < 0 || y >= G.in.height;
                    constexpr int columns = std::min(G.in.width, padded_columns - G.pad);
                    if (!is_border)
                        for (int j = 0; j < columns; ++j)
                            x.template bytes<Arch>(y * G.in.width + j, block).store(row + (j + G.pad) * lanes);
                    for (int of_columns = 0; of_columns < column_phases; ++of_columns) {
                        std::byte* to = staged + block * block_bytes + row_offset(phase, of_columns) + i * row_bytes;
                        if (is_border) std::fill(to, to + row_bytes, border);
                        else stage_row(row + of_columns * lanes, to);
                    }
                }
    }

    /// Codes of h are always signed.
    template <class Source>
    static void stage_gradient(const Source& h, std::byte* staged) {
        std::fill(staged + start_bytes, staged + gradients_at, std::byte{0});
        for (int block = 0; block < output_blocks; ++block) {
            sums total = sums::repeat(0);
            for (int part = 0; part < parts; ++part) {
                alignas(64) std::byte of_groups[16 * vector_bytes];
                for (int i = 0; i < 16; ++i) stage_group(h, part * 16 + i, block, of_groups + i * vector_bytes, total);
                simd::transpose_words(
                    Arch{}, of_groups,
                    staged + gradients_at + block * gradient_block_bytes + part * simd::matrix_row_bytes, output_bytes);
            }
            std::int32_t of_lanes[lanes];
            simd::i32x16<Arch>(total).store(of_lanes);
            for (int i = 0; i < lanes; ++i) store(staged + (block * lanes + i) * 4, of_lanes[i] * -128);
        }
    }

private:
    using registers = typename Arch::registers;
    using sums = simd::code_sums<registers>;

    static void stage_row(const std::byte* row, std::byte* to) {
        for (int group = 0; group < row_groups; ++group, to += vector_bytes)
            simd::store_transposed<G.stride * lanes>(registers{}, row + group * 4 * G.stride * lanes, to);
    }

    // Four pixels of a row of h, zeros beyond its end and the last row's.
    template <class Source>
    static void stage_group(const Source& h, int group, int block, std::byte* to, sums& total) {
        const int y = group / row_groups, x = group % row_groups * 4;
        if (y >= out.height || x >= out.width) {
            std::fill(to, to + vector_bytes, std::byte{0});
            return;
        }
        stage_four<Arch>(h, out, y, x, block, to, total);
    }
};

/// Whether a weight gradient is faster so: matrices must have some pixels in each row, and whole blocks of channels.
/// Sums that int32 cannot hold are left to vectors.
template <geometry G, class Kind, class Arch, std::int64_t Longest>
inline constexpr bool gradient_in_matrices = [] {
    if constexpr (!simd::has_matrices<Arch> || !std::is_same_v<Kind, integer>) return false;
    else
        return G.groups == 1 && G.in.channels % lanes == 0 && G.out().pixels() <= Longest
            && G.out().height * ((G.out().width + 3) / 4) >= 4;
}();

template <geometry G, class Kind, class Arch, std::int64_t Longest>
    requires gradient_in_matrices<G, Kind, Arch, Longest>
struct weight_gradient_kernel<G, Kind, Arch, Longest> {
private:
    static constexpr int output_blocks = blocks(G.outputs), channel_blocks = blocks(G.in.channels);
    static constexpr int sums_of_matrix = lanes * lanes;

public:
    using staged = pixel_rows<G, Arch>;
    static constexpr std::size_t sums =
        std::size_t{G.in.channels} * std::size_t{G.taps()} * std::size_t{padded(G.outputs)};
    static constexpr bool writes_all_sums = true;

    using sample = staged_sample;
    /// As for vectors. Processors that have matrix registers have second caches of 2 MB.
    static constexpr int samples_at_once = [] {
        constexpr std::size_t kilobytes = 1024, megabytes = 1024 * kilobytes;
        constexpr std::size_t staged_bytes = sums * sizeof(float) <= megabytes ? 24 * kilobytes : megabytes;
        return std::clamp(static_cast<int>(staged_bytes / (staged::activation_bytes + staged::gradient_bytes)), 1, 16);
    }();

    /// Adds scale * (the sample's weight gradient) to `into` for each sample in order; to zeros instead, if these are
    /// the first of a group. is_signed says whether activations are.
    static void run(const sample* samples, int count, bool is_signed, bool are_first, float* into) {
        registers m;
        unroll<staged::column_phases>([&](auto phase) {
            for_pairs<output_blocks * taps_of(phase)>([&](auto rows, int row) {
                for_pairs<channel_blocks * G.kernel_height>([&](auto columns, int column) {
                    for (int i = 0; i < count; ++i)
                        multiply<phase, rows, columns>(m, samples[i], is_signed, are_first && i == 0, row, column,
                                                       into);
                });
            });
        });
    }

    /// Adds `count` such sums up, in order, and writes them times factor[k] as the logical gradient [k][r][s][c], for
    /// the outputs k of one block of 16. Returns whether all of it is finite.
    static bool unpack(const float* from, int count, const float* factor, int block, float* dw) {
        using floats = simd::f32x16<Arch>;
        floats poison(0.0f);
        for (int k = block * lanes; k < std::min((block + 1) * lanes, G.outputs); ++k)
            for (int r = 0; r < G.kernel_height; ++r)
                for (int s = 0; s < G.kernel_width; ++s) {
                    float* to = dw + ((std::ptrdiff_t{k} * G.kernel_height + r) * G.kernel_width + s) * G.in.channels;
                    for (int c = 0; c < channel_blocks; ++c, to += lanes)
                        sum_up<sums>(from + matrix_at(block, s, c, r) + k % lanes * lanes, count, floats(factor[k]),
                                     poison)
                            .store(to);
                }
        return all(poison == floats(0.0f));
    }

private:
    using registers = simd::matrix_registers<typename Arch::matrices, lanes, staged::groups * 4>;

    /// Kernel columns whose remainder by the stride is `phase`.
    static constexpr int taps_of(int phase) { return (G.kernel_width - phase + G.stride - 1) / G.stride; }
    /// f(how many, first) for pairs of N things, and the one that may be left.
    template <int N, class F>
    static void for_pairs(const F& f) {
        for (int i = 0; i + 1 < N; i += 2) f(std::integral_constant<int, 2>{}, i);
        if constexpr (N % 2 != 0) f(std::integral_constant<int, 1>{}, N - 1);
    }
    static constexpr std::ptrdiff_t matrix_at(int block, int s, int channel_block, int r) {
        return (((std::ptrdiff_t{block} * G.kernel_width + s) * channel_blocks + channel_block) * G.kernel_height + r)
            * sums_of_matrix;
    }

    // Rows are counted [block of outputs][kernel columns of the phase], columns [block of channels][kernel rows].
    template <int Phase, int Rows, int Columns>
    static void multiply(registers& m, const sample& x, bool is_signed, bool is_first, int row, int column,
                         float* into) {
        constexpr int size = Rows * Columns, taps = taps_of(Phase);
        const std::byte *gradient[Rows], *activation[Columns];
        for (int i = 0; i < Rows; ++i)
            gradient[i] =
                x.gradient + staged::gradients_at + (row + i) / taps * staged::gradient_block_bytes - (row + i) % taps;
        for (int i = 0; i < Columns; ++i)
            activation[i] = x.activation + (column + i) / G.kernel_height * staged::block_bytes
                + staged::row_offset((column + i) % G.kernel_height, Phase);
        const matrix_tile<registers, Rows, Columns> tile{m};
        tile.zero();
        for (int part = 0; part < staged::parts; ++part)
            tile.template multiply_add<typename Kind::weight>(
                gradient, part * staged::groups * 4, staged::output_bytes, //
                activation, part * staged::groups * vector_bytes, vector_bytes);
        constexpr std::ptrdiff_t sum_bytes = lanes * vector_bytes;
        alignas(64) std::byte sum[size * sum_bytes];
        tile.store(sum, sum_bytes);
        for (int i = 0; i < size; ++i) {
            const int at_row = row + i / Columns, at_column = column + i % Columns;
            add_matrix(x, is_signed, is_first, at_row / taps, sum + i * sum_bytes,
                       into
                           + matrix_at(at_row / taps, Phase + at_row % taps * G.stride, at_column / G.kernel_height,
                                       at_column % G.kernel_height));
        }
    }

    FQT_INLINE static void add_matrix(const sample& x, bool is_signed, bool is_first, int block, const std::byte* sum,
                                      float* into) {
        const std::int32_t* starts = reinterpret_cast<const std::int32_t*>(x.gradient) + block * lanes;
        for (int k = 0; k < lanes; ++k, into += lanes) {
            auto of_k = simd::i32x16<Arch>::load(reinterpret_cast<const std::int32_t*>(sum + k * vector_bytes));
            if (is_signed) of_k = of_k + simd::i32x16<Arch>(starts[k]);
            add_scaled(x.scale, of_k.to_float(), is_first, into);
        }
    }
};

} // namespace fqt::kernels
