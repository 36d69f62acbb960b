#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Matrix registers of AMX: 16 x 16 sums of 64 products are one instruction, which takes 16 cycles. As assembly, for
// the intrinsics of g++ 12 do not tell the compiler what they read. A process asks the system for the registers before
// main (cpu.hpp). Include matrix.hpp.

#include <fqt/simd/matrix.hpp>

#if defined(FQT_HAS_AMX)

#include <fqt/core/inline.hpp>
#include <fqt/simd/cpu.hpp>

#include <immintrin.h>

namespace fqt::simd {

template <int Rows, int Codes>
class matrix_registers<arch::amx, Rows, Codes> {
    static_assert(Rows > 0 && Rows <= most_matrix_rows && Codes % 4 == 0 && Codes > 0 && Codes <= matrix_row_bytes);

    // What `ldtilecfg` reads: the size of each register.
    struct sizes {
        std::uint8_t palette = 1, start_row = 0, reserved[14]{};
        std::uint16_t row_bytes[16]{};
        std::uint8_t rows[16]{};
    };
    alignas(64) static constexpr sizes all_sizes = [] {
        sizes s;
        for (int i = 0; i < 8; ++i) {
            s.rows[i] = i < 6 ? Rows : Codes / 4;
            s.row_bytes[i] = i == 4 || i == 5 ? Codes : matrix_row_bytes;
        }
        return s;
    }();
    static_assert(sizeof(sizes) == 64);

public:
    FQT_INLINE matrix_registers() { asm volatile("ldtilecfg %0" : : "m"(all_sizes)); }
    /// The registers are unused again, so that a switch of threads need not save them.
    FQT_INLINE ~matrix_registers() { asm volatile("tilerelease"); }
    matrix_registers(const matrix_registers&) = delete;
    matrix_registers& operator=(const matrix_registers&) = delete;

    template <int I>
    FQT_INLINE void zero() {
        asm volatile("tilezero %%tmm%c0" : : "i"(I));
    }
    template <int I>
    FQT_INLINE void repeat(const std::byte* row) {
        load<I>(row, 0);
    }
    template <int I>
    FQT_INLINE void load_sums(const std::byte* from) {
        load<I>(from, matrix_row_bytes);
    }
    template <int I>
    FQT_INLINE void load(const std::byte* from, std::ptrdiff_t stride) {
        asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(I) : "memory");
    }
    template <int Sums, int I, int J, class A>
    FQT_INLINE void multiply_add() {
        if constexpr (std::is_signed_v<A>)
            asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sums), "i"(I), "i"(J));
        else asm volatile("tdpbusd %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(Sums), "i"(I), "i"(J));
    }
    template <int I>
    FQT_INLINE void store(std::byte* to, std::ptrdiff_t stride = matrix_row_bytes) const {
        asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(I) : "memory");
    }
};

FQT_INLINE void transpose_words(arch::amx, const std::byte* words, std::byte* to, std::ptrdiff_t stride) {
    // Blocks of 4 x 4 words are transposed by pairs of rows, then by pairs of pairs; then the blocks are.
    // Unrolled, so that rows are registers.
    __m512i row[lanes], pair[lanes];
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) row[i] = _mm512_loadu_si512(words + i * 64);
#pragma GCC unroll 16
    for (int i = 0; i < lanes; i += 2) {
        pair[i] = _mm512_unpacklo_epi32(row[i], row[i + 1]);
        pair[i + 1] = _mm512_unpackhi_epi32(row[i], row[i + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < lanes; i += 4) {
        row[i] = _mm512_unpacklo_epi64(pair[i], pair[i + 2]);
        row[i + 1] = _mm512_unpackhi_epi64(pair[i], pair[i + 2]);
        row[i + 2] = _mm512_unpacklo_epi64(pair[i + 1], pair[i + 3]);
        row[i + 3] = _mm512_unpackhi_epi64(pair[i + 1], pair[i + 3]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 4; ++i) { // column i of each of the four blocks of row[i], row[i + 4], ...
        const __m512i low01 = _mm512_shuffle_i32x4(row[i], row[i + 4], 0x88),
                      high01 = _mm512_shuffle_i32x4(row[i], row[i + 4], 0xdd),
                      low23 = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0x88),
                      high23 = _mm512_shuffle_i32x4(row[i + 8], row[i + 12], 0xdd);
        pair[i] = _mm512_shuffle_i32x4(low01, low23, 0x88);
        pair[i + 4] = _mm512_shuffle_i32x4(high01, high23, 0x88);
        pair[i + 8] = _mm512_shuffle_i32x4(low01, low23, 0xdd);
        pair[i + 12] = _mm512_shuffle_i32x4(high01, high23, 0xdd);
    }
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) _mm512_storeu_si512(to + i * stride, pair[i]);
}

} // namespace fqt::simd

#endif
