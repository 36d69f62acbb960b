#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// How a sample's activations and gradients are staged for the weight gradient, which sums over pixels. In both kinds
// one channel of one step is four bytes, and a block of 16 channels is one vector:
//   integer  a step is four neighbouring output pixels of a row; activations are copied
//            once for each kernel column s, where one channel's pixels are to be side by side,
//              [block][padded row][step][s] [16 channels][4 pixels]
//            or else once, columns of one remainder by the stride together, of those remainders that a step reads
//              [block][padded row][column % stride][column / stride] [16 channels]
//            gradients   [block][y][step] [16 k][4 pixels]
//   real     a step is one output pixel, and activations are the padded image as it is
//            activations [padded row][padded column] [channel], depthwise [block][padded row][padded column] [16]
//            gradients   [block][y][x] [16 k]
// Blocks are outermost, so that a tile reads contiguous memory.
// Before the gradients, the integer kind keeps -128 times the sum of h, [run of rows][k], the start of every sum that
// multiplies signed activations, which have 128 added.

#include <fqt/kernels/limits.hpp>
#include <fqt/kernels/staging.hpp>
#include <fqt/kernels/unroll.hpp>
#include <fqt/simd/transpose.hpp>

#include <algorithm>
#include <array>

namespace fqt::kernels {

/// Four neighbouring pixels of a row of h, of shape `out`, from (y, x) on, in one block: signed codes, each output's
/// side by side, and zeros beyond the row's end. Adds them to the outputs' totals.
template <class Arch, class Source>
FQT_INLINE void stage_four(const Source& h, shape out, int y, int x, int block, std::byte* to,
                           simd::code_sums<typename Arch::registers>& total) {
    using registers = typename Arch::registers;
    alignas(16) static constexpr auto zeros = [] {
        std::array<std::byte, lanes> codes{};
        codes.fill(zero_code(true));
        return codes;
    }();
    simd::u8x16<Arch> rows[4];
    unroll<4>([&](auto i) FQT_INLINE_LAMBDA {
        if (x + i < out.width) rows[i] = less_128(h.template bytes<Arch>(y * out.width + x + i, block));
        else rows[i] = less_128(simd::u8x16<Arch>::load(zeros.data()));
    });
    store_transposed(registers{}, rows, to);
    // Part of staging, not of the product: the registers' own tag keeps it out of a derived tag's count.
    static constexpr std::byte ones[4] = {std::byte{1}, std::byte{1}, std::byte{1}, std::byte{1}};
    multiply_add(registers{}, total, integer::repeat<Arch, std::uint8_t>(ones), integer::vector<Arch, std::int8_t>(to));
}

/// SideBySide: whether activations are wanted with one channel's pixels side by side; of the real kind they always are.
template <geometry G, class Kind, class Arch, std::int64_t Longest, bool SideBySide = true>
struct pixel_groups {
private:
    static constexpr shape out = G.out();
    static constexpr bool depthwise = is_depthwise(G);
    // Columns of a row that some step reads, and of each remainder by the stride.
    static constexpr int row_columns =
        std::max(forward_image(G).width(),
                 ((out.width + Kind::group - 1) / Kind::group * Kind::group - 1) * G.stride + G.kernel_width);
    static constexpr int phases = std::min(G.stride, G.kernel_width),
                         phase_columns = (row_columns + G.stride - 1) / G.stride;
    static constexpr std::ptrdiff_t place_of_column(int x) {
        return std::ptrdiff_t{x % G.stride * phase_columns + x / G.stride} * lanes;
    }
    using image = staged_image<forward_image(G), Kind, Arch, depthwise>;
    using registers = typename Arch::registers;

public:
    static constexpr int steps = (out.width + Kind::group - 1) / Kind::group, output_blocks = blocks(G.outputs);

    // Activations, in bytes; a channel is 4.
    static constexpr bool narrow = staged_channels<Kind>(G.in.channels) < lanes;
    static constexpr bool columns = is_integer<Kind> && !SideBySide;
    static_assert(!(columns && narrow));
    static_assert(
        requires { requires !is_integer<Kind> || Kind::bias == 128; }, "sources give 128 added; it stays");
    static constexpr std::ptrdiff_t tap_bytes =
        depthwise || (is_integer<Kind> && !narrow) ? vector_bytes : staged_channels<Kind>(G.in.channels) * 4;
    static constexpr std::ptrdiff_t step_bytes =
        columns ? vector_bytes : tap_bytes * (is_integer<Kind> ? G.kernel_width : G.stride);
    static constexpr std::ptrdiff_t row_bytes = columns ? phases * phase_columns * lanes
        : is_integer<Kind>                              ? steps * step_bytes
                                                        : forward_image(G).width() * tap_bytes;
    /// Where kernel column s of a step begins.
    static constexpr std::ptrdiff_t tap_offset(int s) { return columns ? place_of_column(s) : s * tap_bytes; }
    // Rows that some kernel row reads.
    static constexpr int used_rows = (out.height - 1) * G.stride + G.kernel_height;
    static constexpr std::ptrdiff_t block_bytes = is_integer<Kind> ? used_rows * row_bytes
        : depthwise                                                ? forward_image(G).height() * row_bytes
                                                                   : vector_bytes;

    // Gradients.
    static constexpr std::ptrdiff_t gradient_block_bytes = std::ptrdiff_t{out.height} * steps * vector_bytes;
    static constexpr int run_rows =
        is_integer<Kind> ? static_cast<int>(std::min<std::int64_t>(Longest / out.width, out.height)) : out.height;
    static_assert(run_rows > 0, "fqt: a row of more than 65,793 output pixels has no exact int32 sum; split the image");
    static constexpr int runs = (out.height + run_rows - 1) / run_rows;
    static constexpr std::ptrdiff_t run_start_bytes = std::ptrdiff_t{output_blocks} * vector_bytes;
    static constexpr std::ptrdiff_t start_bytes = is_integer<Kind> ? runs * run_start_bytes : 0;

    static constexpr std::ptrdiff_t channel_offset(int c) { return c / lanes * block_bytes + c % lanes * 4; }
    static constexpr std::ptrdiff_t gradient_offset(int k) {
        return start_bytes + k / lanes * gradient_block_bytes + k % lanes * 4;
    }

private:
    static constexpr std::ptrdiff_t row_at = round_up(blocks(G.in.channels) * block_bytes + vector_bytes, 64);

public:
    static constexpr std::size_t activation_bytes = columns ? whole_lines(blocks(G.in.channels) * block_bytes)
        : is_integer<Kind>                                  ? whole_lines(row_at + row_columns * lanes)
                                                            : image::bytes;
    static constexpr std::size_t gradient_bytes = whole_lines(start_bytes + output_blocks * gradient_block_bytes);

    /// The starts of a staged gradient's sums over one run of rows.
    static const std::int32_t* starts(const std::byte* gradient, int run) {
        return reinterpret_cast<const std::int32_t*>(gradient + run * run_start_bytes);
    }

    template <class Source>
    static void stage_activation(const Source& x, bool is_signed, std::byte* staged) {
        if constexpr (columns) stage_columns(x, zero_code(is_signed), staged);
        else if constexpr (is_integer<Kind>) stage_codes(x, zero_code(is_signed), staged);
        else image::stage(x, staged);
    }

    template <class Source>
    static void stage_gradient(const Source& h, std::byte* staged) {
        std::byte* to = staged + start_bytes;
        for (int run = 0; run < runs; ++run) {
            sums totals[output_blocks];
            for (sums& t : totals) t = sums::repeat(0);
            for (int y = run * run_rows; y < std::min((run + 1) * run_rows, out.height); ++y)
                for (int x = 0; x < out.width; x += Kind::group, to += vector_bytes)
                    for (int block = 0; block < output_blocks; ++block) {
                        std::byte* at = to + block * gradient_block_bytes;
                        if constexpr (is_integer<Kind>) stage_four<Arch>(h, out, y, x, block, at, totals[block]);
                        else h.template values<Arch>(y * out.width + x, block).store(reinterpret_cast<float*>(at));
                    }
            if constexpr (is_integer<Kind>) store_starts(totals, staged + run * run_start_bytes);
        }
    }

private:
    using sums = simd::code_sums<registers>;

    template <class Source>
    static void stage_columns(const Source& x, std::byte border, std::byte* staged) {
        std::byte borders[lanes];
        std::fill(borders, borders + lanes, border);
        const auto outside = simd::u8x16<Arch>::load(borders);
        for (int block = 0; block < blocks(G.in.channels); ++block)
            for (int padded_y = 0; padded_y < used_rows; ++padded_y) {
                const int y = padded_y - G.pad;
                std::byte* to = staged + block * block_bytes + padded_y * row_bytes;
                const auto put = [to](int column, auto codes) {
                    if (column % G.stride < phases) codes.store(to + place_of_column(column));
                };
                if (y < 0 || y >= G.in.height) {
                    std::fill(to, to + row_bytes, border);
                } else if (padded_y % G.stride < G.kernel_height) {
                    for (int i = 0; i < G.pad; ++i) put(i, outside);
                    for (int i = 0; i < G.in.width; ++i)
                        put(i + G.pad, x.template bytes<Arch>(y * G.in.width + i, block));
                    for (int i = G.in.width + G.pad; i < G.stride * phase_columns; ++i) put(i, outside);
                }
            }
    }

    // A row of the image is first copied with its borders, behind the staged data; then every step's window is taken
    // from there. Narrow pixels are written with more than they have; the next window overwrites the excess.
    template <class Source>
    static void stage_codes(const Source& x, std::byte border, std::byte* staged) {
        std::byte* row = staged + row_at;
        std::fill(row, row + row_columns * lanes, border);
        for (int block = 0; block < blocks(G.in.channels); ++block)
            for (int padded_y = 0; padded_y < used_rows; ++padded_y) {
                const int y = padded_y - G.pad;
                std::byte* to = staged + block * block_bytes + padded_y * row_bytes;
                if (y < 0 || y >= G.in.height) {
                    std::fill(to, to + row_bytes, border);
                } else if (padded_y % G.stride < G.kernel_height) {
                    for (int i = 0; i < G.in.width; ++i)
                        x.template bytes<Arch>(y * G.in.width + i, block).store(row + (i + G.pad) * lanes);
                    stage_windows(row, to);
                }
            }
    }
    static void stage_windows(const std::byte* row, std::byte* to) {
        for (int step = 0; step < steps; ++step)
            for (int s = 0; s < G.kernel_width; ++s, to += tap_bytes)
                simd::store_transposed<G.stride * lanes>(registers{}, row + (step * Kind::group * G.stride + s) * lanes,
                                                         to);
    }

    static void store_starts(const sums (&totals)[output_blocks], std::byte* to) {
        for (int block = 0; block < output_blocks; ++block) {
            std::int32_t total[lanes];
            simd::i32x16<Arch>(totals[block]).store(total);
            for (int lane = 0; lane < lanes; ++lane, to += 4) store(to, total[lane] * -128);
        }
    }
};

} // namespace fqt::kernels
