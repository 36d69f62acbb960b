#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The atom on AVX2. `vpmaddubsw` saturates at 16 bits, so codes are widened to 16 bits and `vpmaddwd` adds pairs in 32:
// the codes 0 and 2 of each lane in one product, 1 and 3 in another, so that every lane's sum stays in its own lane.
// Products so small that several fit 16 bits take `vpmaddubsw` after all, half the instructions. Include dot.hpp.

#include <fqt/simd/dot.hpp>

#if defined(FQT_HAS_AVX2)

#include <immintrin.h>

namespace fqt::simd {

template <>
struct tile_registers<arch::avx2> : tile_registers<arch::generic> {
    static constexpr bool reads_across = false;
};

template <>
struct code_sums<arch::avx2> {
    using int_lanes [[gnu::vector_size(32)]] = std::uint32_t; // unsigned, since sums wrap
    int_lanes low, high;                                      // lanes 0 to 7, 8 to 15

    FQT_INLINE static code_sums load(const std::int32_t* from) {
        const __m256i* at = reinterpret_cast<const __m256i*>(from);
        return {reinterpret_cast<int_lanes>(_mm256_loadu_si256(at)),
                reinterpret_cast<int_lanes>(_mm256_loadu_si256(at + 1))};
    }
    FQT_INLINE static code_sums repeat(std::int32_t v) {
        const int_lanes all = reinterpret_cast<int_lanes>(_mm256_set1_epi32(v));
        return {all, all};
    }
    FQT_INLINE operator i32x16<arch::avx2>() const {
        i32x16<arch::avx2> r;
        r.part[0] = reinterpret_cast<__m256i>(low);
        r.part[1] = reinterpret_cast<__m256i>(high);
        return r;
    }
};

namespace detail {

/// The codes 0 and 2 of each lane, and 1 and 3, as 16-bit numbers.
template <class Code>
FQT_INLINE __m256i even_codes(__m256i v) {
    if constexpr (std::is_signed_v<Code>) return _mm256_srai_epi16(_mm256_slli_epi16(v, 8), 8);
    else return _mm256_and_si256(v, _mm256_set1_epi16(255));
}
template <class Code>
FQT_INLINE __m256i odd_codes(__m256i v) {
    return std::is_signed_v<Code> ? _mm256_srai_epi16(v, 8) : _mm256_srli_epi16(v, 8);
}
template <class Code>
FQT_INLINE __m256i widened(__m128i v) {
    return std::is_signed_v<Code> ? _mm256_cvtepi8_epi16(v) : _mm256_cvtepu8_epi16(v);
}

} // namespace detail

template <class Code>
struct code_group<arch::avx2, Code> {
    __m256i even, odd;

    FQT_INLINE static code_group load(const std::byte* from) {
        std::int32_t four;
        std::memcpy(&four, from, sizeof four);
        const __m256i v = _mm256_set1_epi32(four);
        return {detail::even_codes<Code>(v), detail::odd_codes<Code>(v)};
    }
};

template <class Code>
struct code_matrix<arch::avx2, Code> {
    __m256i even_low, odd_low, even_high, odd_high; // lanes 0 to 7, 8 to 15

    FQT_INLINE static code_matrix load(const std::byte* from) {
        const __m256i low = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
        const __m256i high = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from + 32));
        return {detail::even_codes<Code>(low), detail::odd_codes<Code>(low), detail::even_codes<Code>(high),
                detail::odd_codes<Code>(high)};
    }
    FQT_INLINE static code_matrix across(const std::byte* from) {
        const __m128i* rows = reinterpret_cast<const __m128i*>(from);
        const __m128i row0 = _mm_loadu_si128(rows), row1 = _mm_loadu_si128(rows + 1), row2 = _mm_loadu_si128(rows + 2),
                      row3 = _mm_loadu_si128(rows + 3);
        return {
            detail::widened<Code>(_mm_unpacklo_epi8(row0, row2)), detail::widened<Code>(_mm_unpacklo_epi8(row1, row3)),
            detail::widened<Code>(_mm_unpackhi_epi8(row0, row2)), detail::widened<Code>(_mm_unpackhi_epi8(row1, row3))};
    }
};

namespace detail {
/// Adds products to a sum. Products are hidden until the sum is at hand, or g++ would collect those of a whole step,
/// beyond what registers hold, and add them up by another tree.
template <class Lanes>
FQT_INLINE void add_hidden(Lanes& sum, Lanes products) {
    asm("" : "+x"(products) : "x"(sum));
    sum = sum + products;
}
/// Adds the products of eight lanes' codes 0 and 2, and 1 and 3. A pair is at most 2 * 255 * 128 in magnitude, two
/// pairs 130,560.
FQT_INLINE void add_products(code_sums<arch::avx2>::int_lanes& sums, __m256i even_a, __m256i odd_a, __m256i even_b,
                             __m256i odd_b) {
    const __m256i products = _mm256_add_epi32(_mm256_madd_epi16(even_a, even_b), _mm256_madd_epi16(odd_a, odd_b));
    add_hidden(sums, reinterpret_cast<code_sums<arch::avx2>::int_lanes>(products));
}
} // namespace detail

template <class A, class B>
FQT_INLINE void multiply_add(arch::avx2, code_sums<arch::avx2>& sums, const code_group<arch::avx2, A>& group,
                             const code_matrix<arch::avx2, B>& matrix) {
    static_assert(std::is_signed_v<A> != std::is_signed_v<B>);
    detail::add_products(sums.low, group.even, group.odd, matrix.even_low, matrix.odd_low);
    detail::add_products(sums.high, group.even, group.odd, matrix.even_high, matrix.odd_high);
}
template <class A, class B>
FQT_INLINE void multiply_add(arch::avx2, code_sums<arch::avx2>& sums, const code_matrix<arch::avx2, A>& a,
                             const code_matrix<arch::avx2, B>& b) {
    static_assert(std::is_signed_v<A> != std::is_signed_v<B>);
    detail::add_products(sums.low, a.even_low, a.odd_low, b.even_low, b.odd_low);
    detail::add_products(sums.high, a.even_high, a.odd_high, b.even_high, b.odd_high);
}

template <>
inline constexpr bool has_short_sums<arch::avx2> = true;

template <>
struct short_sums<arch::avx2> {
    using short_lanes [[gnu::vector_size(32)]] = std::uint16_t; // so do those of lanes that nobody reads
    short_lanes low, high;                                      // pairs of lanes 0 to 7, 8 to 15

    FQT_INLINE static short_sums zero() { return {short_lanes{}, short_lanes{}}; }
    FQT_INLINE void add_to(code_sums<arch::avx2>& sums) const {
        using int_lanes = code_sums<arch::avx2>::int_lanes;
        const __m256i ones = _mm256_set1_epi16(1);
        sums.low = sums.low + reinterpret_cast<int_lanes>(_mm256_madd_epi16(reinterpret_cast<__m256i>(low), ones));
        sums.high = sums.high + reinterpret_cast<int_lanes>(_mm256_madd_epi16(reinterpret_cast<__m256i>(high), ones));
    }
};

template <class Code>
struct short_group<arch::avx2, Code> {
    __m256i codes;

    FQT_INLINE static short_group load(const std::byte* from) {
        std::int32_t four;
        std::memcpy(&four, from, sizeof four);
        return {_mm256_set1_epi32(four)};
    }
};

template <class Code>
struct short_matrix<arch::avx2, Code> {
    __m256i low, high; // lanes 0 to 7, 8 to 15

    FQT_INLINE static short_matrix load(const std::byte* from) {
        const __m256i* at = reinterpret_cast<const __m256i*>(from);
        return {_mm256_loadu_si256(at), _mm256_loadu_si256(at + 1)};
    }
};

/// The caller sees to it that no sum leaves 16 bits.
template <class A, class B>
FQT_INLINE void multiply_add(arch::avx2, short_sums<arch::avx2>& sums, const short_group<arch::avx2, A>& group,
                             const short_matrix<arch::avx2, B>& matrix) {
    static_assert(std::is_signed_v<A> != std::is_signed_v<B>);
    using short_lanes = short_sums<arch::avx2>::short_lanes;
    const auto products = [&](__m256i of_matrix) FQT_INLINE_LAMBDA {
        return reinterpret_cast<short_lanes>(std::is_signed_v<A> ? _mm256_maddubs_epi16(of_matrix, group.codes)
                                                                 : _mm256_maddubs_epi16(group.codes, of_matrix));
    };
    detail::add_hidden(sums.low, products(matrix.low));
    detail::add_hidden(sums.high, products(matrix.high));
}

} // namespace fqt::simd

#endif
