#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What both kernels on matrix registers do with all of a tile at a time. Its type has the size of the matrices but
// nothing of the layer, so a network compiles it a few times instead of once for each kernel.

#include <fqt/core/inline.hpp>
#include <fqt/kernels/unroll.hpp>

#include <cstddef>

namespace fqt::kernels {

/// Rows by Columns matrices of sums, each 1 or 2; that of row i and column j is register i * Columns + j. Registers is
/// a simd::matrix_registers, whose registers 4 and 5 are the rows' operands and 6 and 7 the columns'.
template <class Registers, int Rows, int Columns>
struct matrix_tile {
    static_assert(Rows >= 1 && Rows <= 2 && Columns >= 1 && Columns <= 2);
    static constexpr int size = Rows * Columns;

    Registers& m;

    FQT_INLINE void zero() const {
        unroll<size>([&](auto i) FQT_INLINE_LAMBDA { m.template zero<i>(); });
    }
    /// All rows of the matrices of column j are 16 sums; those of the next column begin `bytes` further.
    FQT_INLINE void repeat(const std::byte* sums, std::ptrdiff_t bytes) const {
        unroll<size>([&](auto i) FQT_INLINE_LAMBDA { m.template repeat<i>(sums + i % Columns * bytes); });
    }
    /// Sums as store() left them, `bytes` each.
    FQT_INLINE void load_sums(const std::byte* sums, std::ptrdiff_t bytes) const {
        unroll<size>([&](auto i) FQT_INLINE_LAMBDA { m.template load_sums<i>(sums + i * bytes); });
    }
    FQT_INLINE void store(std::byte* sums, std::ptrdiff_t bytes) const {
        unroll<size>([&](auto i) FQT_INLINE_LAMBDA { m.template store<i>(sums + i * bytes); });
    }
    /// Adds the products of the operand of every row, `row_at` bytes behind rows[i], with that of every column. What a
    /// register takes as its rows lies `row_stride` or `column_stride` bytes apart. A is the type of the rows' codes.
    template <class A>
    FQT_INLINE void multiply_add(const std::byte* const (&rows)[Rows], std::ptrdiff_t row_at, std::ptrdiff_t row_stride,
                                 const std::byte* const (&columns)[Columns], std::ptrdiff_t column_at,
                                 std::ptrdiff_t column_stride) const {
        unroll<Rows>([&](auto i) FQT_INLINE_LAMBDA { m.template load<4 + i>(rows[i] + row_at, row_stride); });
        unroll<Columns>([&](auto j)
                            FQT_INLINE_LAMBDA { m.template load<6 + j>(columns[j] + column_at, column_stride); });
        unroll<size>([&](auto i)
                         FQT_INLINE_LAMBDA { m.template multiply_add<i, 4 + i / Columns, 6 + i % Columns, A>(); });
    }
};

} // namespace fqt::kernels
