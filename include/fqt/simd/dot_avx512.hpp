#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The atom on AVX-512 with VNNI: one instruction, `vpdpbusd`, which wraps. Include dot.hpp.

#include <fqt/simd/dot.hpp>

#if defined(FQT_HAS_AVX512)

#include <fqt/simd/transpose.hpp>

#include <immintrin.h>

namespace fqt::simd {

/// Of 32 registers. About ten sums hide the instruction's latency of five cycles at two a cycle.
template <>
struct tile_registers<arch::avx512> {
    static constexpr int sums = 16, operands = 12, gradient_sums = 24;
    static constexpr bool reads_across = true;
};

template <>
struct code_sums<arch::avx512> {
    using int_lanes [[gnu::vector_size(64)]] = std::int32_t;
    int_lanes all;

    FQT_INLINE static code_sums load(const std::int32_t* from) {
        return {reinterpret_cast<int_lanes>(_mm512_loadu_si512(from))};
    }
    FQT_INLINE static code_sums repeat(std::int32_t v) { return {reinterpret_cast<int_lanes>(_mm512_set1_epi32(v))}; }
    FQT_INLINE operator i32x16<arch::avx512>() const {
        i32x16<arch::avx512> r;
        r.part[0] = reinterpret_cast<__m512i>(all);
        return r;
    }
};

template <class Code>
struct code_group<arch::avx512, Code> {
    __m512i codes;

    FQT_INLINE static code_group load(const std::byte* from) {
        std::int32_t four;
        std::memcpy(&four, from, sizeof four);
        return {_mm512_set1_epi32(four)};
    }
};

template <class Code>
struct code_matrix<arch::avx512, Code> {
    __m512i codes;

    FQT_INLINE static code_matrix load(const std::byte* from) {
        __m512i codes = _mm512_loadu_si512(from);
        // Held in a register: g++ would repeat this load for each product, and a core loads less than it multiplies.
        asm("" : "+v"(codes));
        return {codes};
    }
    FQT_INLINE static code_matrix across(const std::byte* from) {
        return {detail::transposed(_mm512_loadu_si512(from))};
    }
};

namespace detail {
template <class A, class B>
FQT_INLINE void add_products(code_sums<arch::avx512>& sums, __m512i a, __m512i b) {
    static_assert(std::is_signed_v<A> != std::is_signed_v<B>);
    using int_lanes = code_sums<arch::avx512>::int_lanes;
    const __m512i old = reinterpret_cast<__m512i>(sums.all);
    sums.all = reinterpret_cast<int_lanes>(std::is_signed_v<B> ? _mm512_dpbusd_epi32(old, a, b)
                                                               : _mm512_dpbusd_epi32(old, b, a));
}
} // namespace detail

template <class A, class B>
FQT_INLINE void multiply_add(arch::avx512, code_sums<arch::avx512>& sums, const code_group<arch::avx512, A>& group,
                             const code_matrix<arch::avx512, B>& matrix) {
    detail::add_products<A, B>(sums, group.codes, matrix.codes);
}
template <class A, class B>
FQT_INLINE void multiply_add(arch::avx512, code_sums<arch::avx512>& sums, const code_matrix<arch::avx512, A>& a,
                             const code_matrix<arch::avx512, B>& b) {
    detail::add_products<A, B>(sums, a.codes, b.codes);
}

} // namespace fqt::simd

#endif
