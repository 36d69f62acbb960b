#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The kernel of correlate.hpp on matrix registers. Rows of a matrix of operands are neighbouring sites of one line, and
// its columns a part of the bytes under one row of taps: the channels of one tap after those of another. Two such
// matrices times those of two blocks of 16 outputs are multiplied at a time.
//
// A line is a row of sites, and taps lie side by side in the staged sample. Where a row fills less than a matrix, the
// sample is staged once for each column of the window (staged_columns): then all sites are one line.
//
// Packed weights:
//   [start of each sum: block] [16 lanes]                     int32, -bias * sum of the output's weights if signed
//   [block / 2][row of taps][part of it][block % 2] [codes / 4] [16 lanes][4]
// Sums are exact. Include correlate.hpp.

#include <fqt/kernels/correlate.hpp>
#include <fqt/kernels/matrix_tile.hpp>
#include <fqt/kernels/staging.hpp>
#include <fqt/simd/matrix.hpp>

namespace fqt::kernels {

/// Codes that one matrix holds of `codes` neighbouring ones, a multiple of 4: as many as divide them.
constexpr int codes_of_matrix(int codes) {
    for (int n = std::min(codes, simd::matrix_row_bytes) / 4 * 4; n > 0; n -= 4)
        if (codes % n == 0) return n;
    return 0;
}

/// Matrices that so many sites take.
constexpr int matrices_of(int sites) { return (sites + simd::most_matrix_rows - 1) / simd::most_matrix_rows; }

/// Whether a correlation is to have its samples staged by columns of the window: a matrix takes several rows of sites
/// then, and as many codes. (With two rows, copies cost more of the first cache than loads of weights gain.)
template <correlation C, class Kind>
inline constexpr bool by_columns = [] {
    const int pixel_bytes = staged_channels<Kind>(C.depth), codes = codes_of_matrix(C.taps_x * pixel_bytes);
    const bool is_whole = C.top == 0 && C.left == 0 && C.image_width == C.sites_x + C.taps_x - 1
        && C.image_rows.end <= C.sites_y + C.taps_y - 1 && C.target_width == C.sites_x;
    return C.plane == 0 && C.groups == 1 && C.stride == 1 && C.target_step == 1 && is_whole //
        && codes > 0 && pixel_bytes % codes == 0 && C.sites_y > 1
        && (C.taps_x > 1 ? 4 : 2) * C.sites_x <= simd::most_matrix_rows;
}();

/// Whether a correlation is faster so: a matrix must have some rows, and some codes in each.
template <correlation C, class Kind, class Arch, std::int64_t Longest>
inline constexpr bool in_matrices = [] {
    if constexpr (!simd::has_matrices<Arch> || !std::is_same_v<Kind, integer>) return false;
    else
        return C.plane == 0 && C.groups == 1 && C.sites_y > 0
            && (by_columns<C, Kind> ? C.sites_y * C.sites_x : C.sites_x) >= 4
            && codes_of_matrix(C.taps_x * staged_channels<Kind>(C.depth)) >= 32
            && std::int64_t{C.taps()} * C.depth <= Longest;
}();

/// How the samples of a correlation are staged, S being their shape with borders.
template <correlation C, staged_shape S, class Kind, class Arch, std::int64_t Longest>
using image_of = std::conditional_t<in_matrices<C, Kind, Arch, Longest> && by_columns<C, Kind>,
                                    staged_columns<S, C.taps_x, Kind, Arch>, staged_image<S, Kind, Arch, C.plane != 0>>;

template <correlation C, class Kind, class Arch, std::int64_t Longest>
    requires in_matrices<C, Kind, Arch, Longest>
struct correlate<C, Kind, Arch, Longest> {
private:
    static constexpr int output_blocks = blocks(C.outputs);
    static constexpr int pixel_bytes = staged_channels<Kind>(C.depth), row_bytes = C.taps_x * pixel_bytes;
    static constexpr int codes = codes_of_matrix(row_bytes), row_parts = row_bytes / codes;
    static constexpr bool columns = by_columns<C, Kind>;
    static constexpr std::ptrdiff_t image_row_bytes = std::ptrdiff_t{columns ? C.sites_x : C.image_width} * pixel_bytes,
                                    column_bytes = columns ? (C.sites_y + C.taps_y - 1) * image_row_bytes : pixel_bytes;
    // Where a part of a row of taps lies, from that row on.
    static constexpr std::ptrdiff_t part_offset(int part) {
        return columns ? part * codes / pixel_bytes * column_bytes + part * codes % pixel_bytes : part * codes;
    }

    // The last matrix of a line begins early enough to be whole, and shares its first sites with the one before.
    static constexpr int line_sites = columns ? C.sites_y * C.sites_x : C.sites_x,
                         matrices_in_line = matrices_of(line_sites),
                         rows = (line_sites + matrices_in_line - 1) / matrices_in_line,
                         matrices = (columns ? 1 : C.sites_y) * matrices_in_line;
    static constexpr int first_site(int matrix) {
        return std::min(matrix % matrices_in_line * rows, line_sites - rows);
    }
    static constexpr int shared_sites(int matrix) { return matrix % matrices_in_line * rows - first_site(matrix); }
    static constexpr int target(int matrix, int row) {
        const int line = matrix / matrices_in_line, site = first_site(matrix) + row;
        return columns ? site : C.target(line, site);
    }

    static constexpr std::ptrdiff_t start_bytes = std::ptrdiff_t{output_blocks} * vector_bytes,
                                    matrix_bytes = codes / 4 * vector_bytes, sum_bytes = rows * vector_bytes,
                                    block_bytes = std::ptrdiff_t{C.taps_y} * row_parts * matrix_bytes;
    using registers = simd::matrix_registers<typename Arch::matrices, rows, codes>;

    // Weights that do not fit the first cache are taken span by span, each for several pairs of matrices of sites,
    // whose sums are put aside in between.
    static constexpr int steps = C.taps_y * row_parts, most_steps = static_cast<int>(36 * 1024 / (2 * matrix_bytes)),
                         spans = std::max((steps + most_steps - 1) / most_steps, 1),
                         span_steps = (steps + spans - 1) / spans;
    static constexpr int pairs_at_once = spans > 1 ? std::min((matrices + 1) / 2, 8) : 1;

public:
    using sums_type = simd::i32x16<Arch>;
    static constexpr std::size_t packed_bytes = whole_lines(start_bytes + output_blocks * block_bytes);

    /// Packed weights can be written in so many independent parts.
    static constexpr int parts = (output_blocks + 1) / 2;

    /// Writes one part of the packed form of weights (pack.hpp).
    template <class Weights>
    static void pack(const Weights& weights, bool is_signed, int part, std::byte* packed) {
        const int first = part * 2, count = std::min(2, output_blocks - first);
        std::byte *starts = packed + first * vector_bytes, *to = packed + start_bytes + first * block_bytes;
        std::memset(starts, 0, static_cast<std::size_t>(count * vector_bytes));
        for (int t = 0; t < C.taps_y; ++t)
            for (int begin = 0; begin < row_bytes; begin += codes)
                for (int i = 0; i < count; ++i)
                    for (int code = begin; code < begin + codes; code += Kind::group, to += vector_bytes) {
                        pack_vector<C, Kind, Arch>(weights, first + i, code % pixel_bytes, t, code / pixel_bytes, to);
                        if (is_signed) add_bias<Kind, Arch>(to, starts + i * vector_bytes);
                    }
        negate(starts, count * lanes);
    }

    /// Calls epilogue(target pixel, block, sums) once for every site and block of 16 outputs, or writes to where it
    /// keeps them.
    template <class Epilogue>
    static void run(const std::byte* staged, const std::byte* packed, const Epilogue& epilogue) {
        registers m;
        for (int block = 0; block + 1 < output_blocks; block += 2) run_blocks<2>(m, staged, packed, block, epilogue);
        if constexpr (output_blocks % 2 != 0) run_blocks<1>(m, staged, packed, output_blocks - 1, epilogue);
    }

private:
    template <int Blocks, class Epilogue>
    static void run_blocks(registers& m, const std::byte* staged, const std::byte* packed, int block,
                           const Epilogue& epilogue) {
        constexpr std::ptrdiff_t pair_bytes = 2 * Blocks * sum_bytes;
        alignas(64) std::byte sums[pairs_at_once * pair_bytes];
        for (int first = 0; first < matrices; first += 2 * pairs_at_once)
            for (int span = 0; span < spans; ++span)
                for (int pair = 0; pair < pairs_at_once; ++pair) {
                    const int matrix = first + 2 * pair;
                    if (matrix + 1 < matrices)
                        multiply<2, Blocks>(m, staged, packed, block, matrix, span, sums + pair * pair_bytes, epilogue);
                    else if (matrix < matrices)
                        multiply<1, Blocks>(m, staged, packed, block, matrix, span, sums + pair * pair_bytes, epilogue);
                }
    }

    // One span of steps; after the last one the sums are done. (A phase that no tap reaches has one without steps.)
    template <int Count, int Blocks, class Epilogue>
    static void multiply(registers& m, const std::byte* staged, const std::byte* packed, int block, int matrix,
                         int span, std::byte* sums, const Epilogue& shared_epilogue) {
        const matrix_tile<registers, Count, Blocks> tile{m};
        const std::byte *operands[Count], *weights[Blocks];
        for (int i = 0; i < Count; ++i)
            operands[i] = staged + (C.top + (matrix + i) / matrices_in_line * C.stride) * image_row_bytes
                + (C.left + first_site(matrix + i) * C.stride) * pixel_bytes;
        for (int i = 0; i < Blocks; ++i) weights[i] = packed + start_bytes + block * block_bytes + i * matrix_bytes;
        if (span == 0) tile.repeat(packed + block * vector_bytes, vector_bytes);
        else tile.load_sums(sums, sum_bytes);
        const int first = span * span_steps, end = std::min(first + span_steps, steps);
        int t = first / row_parts, part = first % row_parts;
        for (int step = first; step < end; ++step) {
            tile.template multiply_add<typename Kind::operand>(operands, t * image_row_bytes + part_offset(part),
                                                               C.stride * pixel_bytes, //
                                                               weights, step * Blocks * matrix_bytes, vector_bytes);
            if (++part == row_parts) part = 0, ++t;
        }
        if constexpr (keeps_sums<Epilogue>) {
            static_assert(C.target_step == 1);
            if (span + 1 == spans) {
                unroll<Count * Blocks>([&](auto i) FQT_INLINE_LAMBDA {
                    m.template store<i>(shared_epilogue.place(target(matrix + i / Blocks, 0), block + i % Blocks),
                                        Epilogue::pixel_bytes);
                });
                return;
            }
        }
        tile.store(sums, sum_bytes);
        if (span + 1 < spans) return;
        const Epilogue epilogue = shared_epilogue; // what it captures by value stays in registers
        for (int i = 0; i < Count; ++i)
            for (int row = shared_sites(matrix + i); row < rows; ++row)
                for (int b = 0; b < Blocks; ++b)
                    epilogue(target(matrix + i, row), block + b,
                             sums_type::load(reinterpret_cast<const std::int32_t*>(sums + (i * Blocks + b) * sum_bytes
                                                                                   + row * vector_bytes)));
    }
};

} // namespace fqt::kernels
