#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The atom of products on instruction sets with matrix registers: a product of two small matrices of codes,
//
//   sums[m][n] += sum over k of a[m][k] * b[k / 4][n][k % 4]     modulo 2^32
//
// for 16 columns n, Rows rows m and Codes codes k. One of a and b is unsigned and the other signed. It is the same sum
// that dot.hpp's atom forms: exact, if the true value fits 32 bits.

#include <fqt/core/shape.hpp>
#include <fqt/simd/arch.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace fqt::simd {

/// Whether an instruction set has matrix registers: its tag has a type `matrices`, which says whose they are.
template <class Arch>
inline constexpr bool has_matrices = requires {
    typename Arch::matrices;
};

/// Rows of a matrix at most, and bytes of a row.
inline constexpr int most_matrix_rows = 16, matrix_row_bytes = 64;

/// Eight matrix registers of one thread, from construction to destruction. A thread has one such object at a time,
/// since the end of another would empty its registers: epilogues run no kernels. Registers 0 to 3 hold sums, 4 and 5
/// are for a, of which a row is Codes bytes, 6 and 7 for b, of which it is 64. Codes is a multiple of 4 up to 64.
template <class Matrices, int Rows, int Codes>
class matrix_registers {
    static_assert(std::is_same_v<Matrices, arch::generic>);

public:
    matrix_registers() = default;
    matrix_registers(const matrix_registers&) = delete;
    matrix_registers& operator=(const matrix_registers&) = delete;

    template <int I>
    void zero() {
        std::memset(sums[I], 0, sizeof sums[I]);
    }
    /// All rows are these 16 sums.
    template <int I>
    void repeat(const std::byte* row) {
        for (auto& s : sums[I]) std::memcpy(s, row, sizeof s);
    }
    /// Sums as store() left them.
    template <int I>
    void load_sums(const std::byte* from) {
        std::memcpy(sums[I], from, sizeof sums[I]);
    }
    /// Rows that lie `stride` bytes apart.
    template <int I>
    void load(const std::byte* from, std::ptrdiff_t stride) {
        constexpr int rows = I < 6 ? Rows : Codes / 4, bytes = I < 6 ? Codes : matrix_row_bytes;
        for (int row = 0; row < rows; ++row) std::memcpy(operands[I - 4][row], from + row * stride, bytes);
    }
    /// Register Sums += A * B; A, the type of a's codes, says which of the two are signed.
    template <int Sums, int I, int J, class A>
    void multiply_add() {
        using B = std::conditional_t<std::is_signed_v<A>, std::uint8_t, std::int8_t>;
        for (int m = 0; m < Rows; ++m)
            for (int n = 0; n < lanes; ++n)
                for (int k = 0; k < Codes; ++k)
                    sums[Sums][m][n] +=
                        static_cast<std::uint32_t>(std::int32_t{static_cast<A>(operands[I - 4][m][k])}
                                                   * static_cast<B>(operands[J - 4][k / 4][n * 4 + k % 4]));
    }
    /// Writes the sums, rows of 16 int32 that begin `stride` bytes apart: side by side unless said otherwise.
    template <int I>
    void store(std::byte* to, std::ptrdiff_t stride = matrix_row_bytes) const {
        for (int row = 0; row < Rows; ++row) std::memcpy(to + row * stride, sums[I][row], matrix_row_bytes);
    }

private:
    std::uint32_t sums[4][Rows][lanes]; // unsigned, since sums wrap
    std::uint8_t operands[4][most_matrix_rows][matrix_row_bytes];
};

/// Transposes a matrix of 16 by 16 words of 32 bits, whose rows are then `stride` bytes apart: what is laid out as b
/// becomes an a.
inline void transpose_words(arch::generic, const std::byte* words, std::byte* to, std::ptrdiff_t stride) {
    for (int i = 0; i < lanes; ++i)
        for (int j = 0; j < lanes; ++j) std::memcpy(to + i * stride + j * 4, words + (j * lanes + i) * 4, 4);
}

} // namespace fqt::simd

#include <fqt/simd/matrix_amx.hpp>
