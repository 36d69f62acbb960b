#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What one register of AVX2 or AVX-512 can do beyond xsimd, or differently: xsimd's fma is not fused and its -0 is +0.
// lanes_x86.hpp makes values of 16 lanes of these registers.

#include <fqt/simd/arch.hpp>
#include <fqt/simd/lanes_generic.hpp>

#if defined(FQT_HAS_AVX2)

// g++ 12 warns of what its own AVX-512 intrinsics leave undefined on purpose (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

#include <xsimd/xsimd.hpp>

#include <immintrin.h>

namespace fqt::simd {

namespace detail {

/// The instructions on one register of each instruction set.
template <class Registers>
struct isa;

template <>
struct isa<arch::avx2> {
    using set = xsimd::avx2;
    using f32 = xsimd::batch<float, set>;
    using i32 = xsimd::batch<std::int32_t, set>;
    using u32 = xsimd::batch<std::uint32_t, set>;
    using f64 = xsimd::batch<double, set>;
    using mask = xsimd::batch_bool<float, set>;

    FQT_INLINE static f32 hidden(f32 v) {
        __m256 r = v;
        asm("" : "+x"(r));
        return r;
    }
    FQT_INLINE static f32 fma(f32 a, f32 b, f32 c) { return _mm256_fmadd_ps(a, b, c); }
    FQT_INLINE static f32 negative(f32 a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
    FQT_INLINE static u32 counting() { return _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7); }
    FQT_INLINE static u32 multiply(u32 a, u32 b) { return _mm256_mullo_epi32(a, b); }
    FQT_INLINE static mask first(int n) {
        return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_set1_epi32(n), counting()));
    }
    FQT_INLINE static unsigned bits(mask m) { return static_cast<unsigned>(_mm256_movemask_ps(m)); }
    FQT_INLINE static i32 to_i32(f32 a) { return _mm256_cvtps_epi32(a); }
    FQT_INLINE static f32 to_float(i32 a) { return _mm256_cvtepi32_ps(a); }
    FQT_INLINE static f32 as_float(u32 a) { return _mm256_castsi256_ps(a); }
    FQT_INLINE static u32 as_bits(f32 a) { return _mm256_castps_si256(a); }
    // The instruction multiplies even lanes only; products of odd lanes are interleaved with them.
    FQT_INLINE static wide_product<u32> mul_hi_lo(u32 a, u32 b) {
        const __m256i even = _mm256_mul_epu32(a, b), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), b);
        return {_mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xaa),
                _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xaa)};
    }
    template <int N>
    FQT_INLINE static f32 swapped(f32 a) {
        if constexpr (N == 4) return _mm256_permute2f128_ps(a, a, 0x01);
        else return _mm256_permute_ps(a, N == 2 ? 0x4e : 0xb1);
    }
    FQT_INLINE static f64 low(f32 a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a)); }
    FQT_INLINE static f64 high(f32 a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)); }
    FQT_INLINE static f64 fma(f64 a, f64 b, f64 c) { return _mm256_fmadd_pd(a, b, c); }
};

#if defined(FQT_HAS_AVX512)
template <>
struct isa<arch::avx512> {
    using set = xsimd::avx512bw;
    using f32 = xsimd::batch<float, set>;
    using i32 = xsimd::batch<std::int32_t, set>;
    using u32 = xsimd::batch<std::uint32_t, set>;
    using f64 = xsimd::batch<double, set>;
    using mask = xsimd::batch_bool<float, set>;

    FQT_INLINE static f32 hidden(f32 v) {
        __m512 r = v;
        asm("" : "+v"(r));
        return r;
    }
    FQT_INLINE static f32 fma(f32 a, f32 b, f32 c) { return _mm512_fmadd_ps(a, b, c); }
    FQT_INLINE static f32 negative(f32 a) { return _mm512_xor_ps(a, _mm512_set1_ps(-0.0f)); }
    FQT_INLINE static u32 counting() { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
    FQT_INLINE static u32 multiply(u32 a, u32 b) { return _mm512_mullo_epi32(a, b); }
    FQT_INLINE static mask first(int n) { return static_cast<__mmask16>((1u << n) - 1); }
    FQT_INLINE static unsigned bits(mask m) { return static_cast<__mmask16>(m); }
    FQT_INLINE static i32 to_i32(f32 a) { return _mm512_cvtps_epi32(a); }
    FQT_INLINE static f32 to_float(i32 a) { return _mm512_cvtepi32_ps(a); }
    FQT_INLINE static f32 as_float(u32 a) { return _mm512_castsi512_ps(a); }
    FQT_INLINE static u32 as_bits(f32 a) { return _mm512_castps_si512(a); }
    // One shuffle under a mask both swaps the halves of a product and merges it with its neighbour's.
    FQT_INLINE static wide_product<u32> mul_hi_lo(u32 a, u32 b) {
        const __m512i even = _mm512_mul_epu32(a, b), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), b);
        return {_mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_CDAB),
                _mm512_mask_shuffle_epi32(even, 0xaaaa, odd, _MM_PERM_CDAB)};
    }
    template <int N>
    FQT_INLINE static f32 swapped(f32 a) {
        if constexpr (N >= 4) return _mm512_shuffle_f32x4(a, a, N == 8 ? 0x4e : 0xb1);
        else return _mm512_permute_ps(a, N == 2 ? 0x4e : 0xb1);
    }
    FQT_INLINE static f64 low(f32 a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a)); }
    FQT_INLINE static f64 high(f32 a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)); }
    FQT_INLINE static f64 fma(f64 a, f64 b, f64 c) { return _mm512_fmadd_pd(a, b, c); }
};
#endif

} // namespace detail

} // namespace fqt::simd

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#endif
