#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Four pixels of 16 channels, [4 pixels][16], rearranged into [16 channels][4 pixels]: memory holds the channels of one
// pixel side by side, while sums over pixels want neighbouring pixels of one channel side by side.

#include <fqt/simd/arch.hpp>
#include <fqt/simd/convert.hpp>

#include <array>
#include <cstddef>

namespace fqt::simd {

/// to[channel * 4 + j] = channel of rows[j].
inline void store_transposed(arch::generic, const u8_generic (&rows)[4], std::byte* to) {
    for (int i = 0; i < lanes; ++i)
        for (int j = 0; j < 4; ++j) to[i * 4 + j] = std::byte{rows[j].part[i]};
}

/// The same for rows in memory, `Stride` bytes apart.
template <int Stride>
inline void store_transposed(arch::generic tag, const std::byte* from, std::byte* to) {
    const u8_generic rows[4] = {u8_generic::load(from), u8_generic::load(from + Stride),
                                u8_generic::load(from + 2 * Stride), u8_generic::load(from + 3 * Stride)};
    store_transposed(tag, rows, to);
}

/// Codes that a source has given with 128 added, as signed codes.
inline u8_generic less_128(u8_generic v) {
    for (auto& p : v.part) p ^= 128;
    return v;
}

#if defined(FQT_HAS_AVX2)

FQT_INLINE u8_register less_128(u8_register v) { return {_mm_xor_si128(v.part, _mm_set1_epi8(-128))}; }

FQT_INLINE void store_transposed(arch::avx2, const u8_register (&rows)[4], std::byte* to) {
    const __m128i low01 = _mm_unpacklo_epi8(rows[0].part, rows[1].part),
                  high01 = _mm_unpackhi_epi8(rows[0].part, rows[1].part);
    const __m128i low23 = _mm_unpacklo_epi8(rows[2].part, rows[3].part),
                  high23 = _mm_unpackhi_epi8(rows[2].part, rows[3].part);
    __m128i* out = reinterpret_cast<__m128i*>(to);
    _mm_storeu_si128(out + 0, _mm_unpacklo_epi16(low01, low23));
    _mm_storeu_si128(out + 1, _mm_unpackhi_epi16(low01, low23));
    _mm_storeu_si128(out + 2, _mm_unpacklo_epi16(high01, high23));
    _mm_storeu_si128(out + 3, _mm_unpackhi_epi16(high01, high23));
}

template <int Stride>
FQT_INLINE void store_transposed(arch::avx2 tag, const std::byte* from, std::byte* to) {
    const u8_register rows[4] = {u8_register::load(from), u8_register::load(from + Stride),
                                 u8_register::load(from + 2 * Stride), u8_register::load(from + 3 * Stride)};
    store_transposed(tag, rows, to);
}

#endif

#if defined(FQT_HAS_AVX512)

namespace detail {

/// Byte channel * 4 + j comes from byte j * 16 + channel.
inline constexpr auto transposed_order = [] {
    std::array<std::uint8_t, 64> order{};
    for (std::size_t i = 0; i < 64; ++i) order[i] = static_cast<std::uint8_t>(i % 4 * 16 + i / 4);
    return order;
}();

FQT_INLINE __m512i transposed(__m512i rows) {
    return _mm512_permutexvar_epi8(_mm512_loadu_si512(transposed_order.data()), rows);
}

} // namespace detail

FQT_INLINE void store_transposed(arch::avx512, const u8_register (&rows)[4], std::byte* to) {
    const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(rows[0].part), rows[1].part, 1);
    const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(rows[2].part), rows[3].part, 1);
    _mm512_storeu_si512(to, detail::transposed(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1)));
}

template <int Stride>
FQT_INLINE void store_transposed(arch::avx512 tag, const std::byte* from, std::byte* to) {
    if constexpr (Stride == lanes) {
        _mm512_storeu_si512(to, detail::transposed(_mm512_loadu_si512(from)));
    } else {
        const u8_register rows[4] = {u8_register::load(from), u8_register::load(from + Stride),
                                     u8_register::load(from + 2 * Stride), u8_register::load(from + 3 * Stride)};
        store_transposed(tag, rows, to);
    }
}

#endif

} // namespace fqt::simd
