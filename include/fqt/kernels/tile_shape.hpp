#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// How many rows (pixels, or channels) and vectors of 16 lanes a tile holds. The choice minimizes an estimate of time: a
// core does two multiply-adds and one load a cycle, and a multiply-add waits five cycles for the one before it in its
// sum. (Some cores load twice a cycle, most of them not 64 bytes.) Sizes divide what they tile as evenly as possible,
// and remainders have tiles of their own, so nothing is computed in vain.

#include <fqt/core/shape.hpp>

#include <algorithm>
#include <cstdint>

namespace fqt::kernels {

/// n things in `count` tiles of `full` and one of `rest` (0: none), with full <= most and as few tiles as possible.
struct even_tiles {
    int full, rest, count;
};
constexpr even_tiles split_evenly(int n, int most) {
    if (n <= 0) return {1, 0, 0};
    const int tiles = (n + most - 1) / most, full = (n + tiles - 1) / tiles;
    return {full, n % full, n / full};
}

/// The same with a `full` that divides 16, so that no tile crosses the border of two blocks of 16.
constexpr even_tiles split_within_blocks(int n, int most) {
    int full = lanes;
    while (full > most) full /= 2;
    return {full, n % full, n / full};
}

/// What a tile is chosen for: `rows` rows times `blocks` vectors, at most `most_sums` sums and `most_operands` vectors
/// at a time. In one step, each pair of a row and a vector does `products` multiply-adds in `sums` sums; a row is read
/// in `row_reads` loads, of which it shares `shared_reads` with the next one, and a vector in `vector_reads` loads.
struct tile_problem {
    int rows, blocks, most_sums, most_operands;
    int products, sums, row_reads, shared_reads, vector_reads;
    bool within_blocks = false;
};

struct tile_shape {
    int rows, vectors;
    std::int64_t time; // of one step of all tiles, in half cycles
};

constexpr tile_shape best_tile(const tile_problem& p) {
    tile_shape best{};
    std::int64_t fewest_reads = 0;
    for (int vectors = 1; vectors <= std::min(p.blocks, p.most_sums); ++vectors) {
        const int most_rows = p.most_sums / (vectors * p.sums);
        const bool fits = most_rows > 0 && vectors * p.vector_reads <= p.most_operands;
        if (p.blocks % vectors != 0 || (!fits && vectors > 1)) continue;
        const int most = std::max(most_rows, 1);
        const even_tiles tiles = p.within_blocks ? split_within_blocks(p.rows, most) : split_evenly(p.rows, most);
        tile_shape shape{tiles.full, vectors, 0};
        std::int64_t reads = 0;
        const auto add = [&](int rows, int count) {
            const std::int64_t loads = rows * p.row_reads - (rows - 1) * p.shared_reads + vectors * p.vector_reads;
            const std::int64_t multiply_adds = std::int64_t{rows} * vectors * p.products,
                               chain = p.products / std::max(p.sums, 1);
            shape.time += std::max({multiply_adds, 2 * loads, 10 * chain}) * count * (p.blocks / vectors);
            reads += loads * count * (p.blocks / vectors);
        };
        add(tiles.full, tiles.count);
        if (tiles.rest > 0) add(tiles.rest, 1);
        if (best.rows == 0 || shape.time < best.time || (shape.time == best.time && reads < fewest_reads)) {
            best = shape;
            fewest_reads = reads;
        }
    }
    return best;
}

} // namespace fqt::kernels
