#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// AVX-512 for a processor that has AVX2 alone, so that its code runs in the tests of any machine: the macros by which
// that code is chosen, and each intrinsic that it or xsimd calls, lane by lane as Intel's guide defines it. To be
// included before everything else (-include). What is missing here fails to compile ("target specific option
// mismatch"); the real signatures are seen to by the test `compiles for AVX-512`.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <immintrin.h>
#include <limits>

namespace emulated {

using f32 = __m512;
using f64 = __m512d;
using i512 = __m512i;
using mask = __mmask16;

// ---- lanes ----

/// A register's lanes.
template <class Lane, class Register>
struct lanes_of {
    static constexpr int count = sizeof(Register) / sizeof(Lane);
    Lane at[count];
};
template <class Lane, class Register>
lanes_of<Lane, Register> split(Register a) {
    return std::bit_cast<lanes_of<Lane, Register>>(a);
}
template <class Lane, class Register>
Register join(const lanes_of<Lane, Register>& x) {
    return std::bit_cast<Register>(x);
}

/// f of each lane, or of each pair of lanes.
template <class Lane, class Register, class F>
Register each(F f, Register a) {
    auto x = split<Lane>(a);
    for (Lane& lane : x.at) lane = f(lane);
    return join(x);
}
template <class Lane, class Register, class F>
Register each(F f, Register a, Register b) {
    auto x = split<Lane>(a);
    const auto y = split<Lane>(b);
    for (int i = 0; i < x.count; ++i) x.at[i] = f(x.at[i], y.at[i]);
    return join(x);
}
template <class Register, class Lane>
Register repeat(Lane v) {
    lanes_of<Lane, Register> x;
    for (Lane& lane : x.at) lane = v;
    return join(x);
}

/// Lane i is lane from(i) of a.
template <class Lane, class Register, class F>
Register arrange(F from, Register a) {
    const auto x = split<Lane>(a);
    auto y = x;
    for (int i = 0; i < x.count; ++i) y.at[i] = x.at[from(i)];
    return join(y);
}

/// Lanes converted from one type to another.
template <class To, class From, class Out, class In>
Out convert(In a) {
    const auto x = split<From>(a);
    lanes_of<To, Out> y;
    static_assert(x.count == y.count);
    for (int i = 0; i < x.count; ++i) y.at[i] = static_cast<To>(x.at[i]);
    return join(y);
}

/// b where the mask is set, else a.
template <class Lane, class Register>
Register choose(mask k, Register a, Register b) {
    auto x = split<Lane>(a);
    const auto y = split<Lane>(b);
    for (int i = 0; i < x.count; ++i)
        if (k >> i & 1) x.at[i] = y.at[i];
    return join(x);
}

/// The field of two bits that an order of four fields has for i.
inline int field(int order, int i) { return order >> 2 * i & 3; }

[[noreturn]] inline void unknown(const char* what, int value) {
    std::fprintf(stderr, "emulated_avx512.hpp: no %s %d\n", what, value);
    std::abort();
}

template <class Register>
Register load(const void* from) {
    Register r;
    std::memcpy(&r, from, sizeof r);
    return r;
}
template <class Register>
void store(void* to, Register a) {
    std::memcpy(to, &a, sizeof a);
}

// ---- floats ----

inline f32 add_ps(f32 a, f32 b) { return a + b; }
inline f32 sub_ps(f32 a, f32 b) { return a - b; }
inline f32 mul_ps(f32 a, f32 b) { return a * b; }
inline f32 div_ps(f32 a, f32 b) { return a / b; }
inline f32 max_ps(f32 a, f32 b) {
    return each<float>([](float x, float y) { return x > y ? x : y; }, a, b);
}
inline f32 min_ps(f32 a, f32 b) {
    return each<float>([](float x, float y) { return x < y ? x : y; }, a, b);
}
inline f32 sqrt_ps(f32 a) {
    return each<float>([](float x) { return std::sqrt(x); }, a);
}
inline f32 fmadd_ps(f32 a, f32 b, f32 c) {
    auto x = split<float>(a);
    const auto y = split<float>(b), z = split<float>(c);
    for (int i = 0; i < x.count; ++i) x.at[i] = std::fma(x.at[i], y.at[i], z.at[i]);
    return join(x);
}
inline f32 roundscale_ps(f32 a, int mode) {
    switch (mode) {
    case _MM_FROUND_TO_NEAREST_INT:
        return each<float>([](float x) { return std::nearbyint(x); }, a);
    case _MM_FROUND_TO_NEG_INF:
        return each<float>([](float x) { return std::floor(x); }, a);
    default:
        unknown("rounding", mode);
    }
}
inline f32 roundscale_round_ps(f32 a, int mode, int) { return roundscale_ps(a, mode & 7); }
inline mask cmp_ps_mask(f32 a, f32 b, int predicate) {
    const auto x = split<float>(a), y = split<float>(b);
    unsigned bits = 0;
    for (int i = 0; i < x.count; ++i) {
        bool holds = false;
        switch (predicate) {
        case _CMP_EQ_OQ:
            holds = x.at[i] == y.at[i];
            break;
        case _CMP_LT_OQ:
            holds = x.at[i] < y.at[i];
            break;
        case _CMP_LE_OQ:
            holds = x.at[i] <= y.at[i];
            break;
        case _CMP_UNORD_Q:
            holds = std::isnan(x.at[i]) || std::isnan(y.at[i]);
            break;
        default:
            unknown("comparison", predicate);
        }
        bits |= unsigned{holds} << i;
    }
    return static_cast<mask>(bits);
}
inline f32 xor_ps(f32 a, f32 b) {
    return each<std::uint32_t>([](std::uint32_t x, std::uint32_t y) { return x ^ y; }, a, b);
}
inline f32 setzero_ps() { return f32{}; }
inline f32 set1_ps(float v) { return repeat<f32>(v); }
inline f32 mask_blend_ps(mask k, f32 a, f32 b) { return choose<float>(k, a, b); }
inline f32 permute_ps(f32 a, int order) {
    return arrange<float>([=](int i) { return i / 4 * 4 + field(order, i % 4); }, a);
}
inline f32 shuffle_f32x4(f32 a, f32 b, int order) {
    const auto from = [=](int i) { return 4 * field(order, i / 4) + i % 4; };
    return choose<float>(0xff00, arrange<float>(from, a), arrange<float>(from, b));
}

inline f64 add_pd(f64 a, f64 b) { return a + b; }
inline f64 set1_pd(double v) { return repeat<f64>(v); }
inline f64 fmadd_pd(f64 a, f64 b, f64 c) {
    auto x = split<double>(a);
    const auto y = split<double>(b), z = split<double>(c);
    for (int i = 0; i < x.count; ++i) x.at[i] = std::fma(x.at[i], y.at[i], z.at[i]);
    return join(x);
}

// ---- integers ----

template <class F>
i512 words(F f, i512 a, i512 b) {
    return each<std::uint32_t>(f, a, b);
}
inline i512 add_epi32(i512 a, i512 b) {
    return words([](std::uint32_t x, std::uint32_t y) { return x + y; }, a, b);
}
inline i512 sub_epi32(i512 a, i512 b) {
    return words([](std::uint32_t x, std::uint32_t y) { return x - y; }, a, b);
}
inline i512 mullo_epi32(i512 a, i512 b) {
    return words([](std::uint32_t x, std::uint32_t y) { return x * y; }, a, b);
}
inline i512 mul_epu32(i512 a, i512 b) {
    return each<std::uint64_t>([](std::uint64_t x, std::uint64_t y) { return (x & 0xffff'ffffu) * (y & 0xffff'ffffu); },
                               a, b);
}
inline i512 and_si512(i512 a, i512 b) { return a & b; }
inline i512 or_si512(i512 a, i512 b) { return a | b; }
inline i512 xor_si512(i512 a, i512 b) { return a ^ b; }
inline i512 slli_epi32(i512 a, unsigned n) {
    return each<std::uint32_t>([n](std::uint32_t x) { return n < 32 ? x << n : 0; }, a);
}
inline i512 srli_epi32(i512 a, unsigned n) {
    return each<std::uint32_t>([n](std::uint32_t x) { return n < 32 ? x >> n : 0; }, a);
}
inline i512 srli_epi64(i512 a, unsigned n) {
    return each<std::uint64_t>([n](std::uint64_t x) { return n < 64 ? x >> n : 0; }, a);
}
inline i512 set1_epi32(int v) { return repeat<i512>(v); }
template <class... Int>
i512 setr_epi32(Int... v) {
    const int lanes[] = {v...};
    return load<i512>(lanes);
}
inline i512 mask_or_epi32(i512 other, mask k, i512 a, i512 b) { return choose<std::int32_t>(k, other, a | b); }
inline i512 mask_shuffle_epi32(i512 other, mask k, i512 a, int order) {
    const auto from = [=](int i) { return i / 4 * 4 + field(order, i % 4); };
    return choose<std::int32_t>(k, other, arrange<std::int32_t>(from, a));
}
inline i512 permutexvar_epi8(i512 order, i512 a) {
    const auto from = split<std::uint8_t>(order);
    return arrange<std::uint8_t>([&](int i) { return from.at[i] & 63; }, a);
}
inline i512 permutexvar_epi32(i512 order, i512 a) {
    const auto from = split<std::uint32_t>(order);
    return arrange<std::uint32_t>([&](int i) { return static_cast<int>(from.at[i] & 15); }, a);
}
inline i512 sllv_epi32(i512 a, i512 n) {
    return words([](std::uint32_t x, std::uint32_t by) { return by < 32 ? x << by : 0; }, a, n);
}
/// In each quarter the upper half of a, then that of b.
inline i512 unpackhi_epi64(i512 a, i512 b) {
    const auto x = split<std::uint64_t>(a), y = split<std::uint64_t>(b);
    auto z = x;
    for (int i = 0; i < z.count; ++i) z.at[i] = i % 2 == 0 ? x.at[i + 1] : y.at[i];
    return join(z);
}
/// In each quarter the lanes of a, then those of b, narrowed to what is nearest.
template <class To, class From>
i512 pack(i512 a, i512 b) {
    const auto x = split<From>(a), y = split<From>(b);
    lanes_of<To, i512> z;
    constexpr int quarter = x.count / 4;
    for (int i = 0; i < z.count; ++i) {
        const int at = i / (2 * quarter) * quarter + i % quarter;
        const From v = i / quarter % 2 == 0 ? x.at[at] : y.at[at];
        z.at[i] = static_cast<To>(std::clamp<From>(v, std::numeric_limits<To>::min(), std::numeric_limits<To>::max()));
    }
    return join(z);
}
inline i512 packs_epi32(i512 a, i512 b) { return pack<std::int16_t, std::int32_t>(a, b); }
inline i512 packs_epi16(i512 a, i512 b) { return pack<std::int8_t, std::int16_t>(a, b); }
inline i512 packus_epi16(i512 a, i512 b) { return pack<std::uint8_t, std::int16_t>(a, b); }
inline i512 dpbusd_epi32(i512 sums, i512 a, i512 b) {
    auto sum = split<std::uint32_t>(sums); // it wraps
    const auto x = split<std::uint8_t>(a);
    const auto y = split<std::int8_t>(b);
    for (int i = 0; i < x.count; ++i) sum.at[i / 4] += static_cast<std::uint32_t>(x.at[i] * y.at[i]);
    return join(sum);
}

// ---- between types and sizes ----

inline f32 castsi512_ps(i512 a) { return std::bit_cast<f32>(a); }
inline i512 castps_si512(f32 a) { return std::bit_cast<i512>(a); }
inline f64 cvtps_pd(__m256 a) { return convert<double, float, f64>(a); }
inline f32 cvtepi32_ps(i512 a) { return convert<float, std::int32_t, f32>(a); }
inline i512 cvtepi8_epi32(__m128i a) { return convert<std::int32_t, std::int8_t, i512>(a); }
inline i512 cvtepu8_epi32(__m128i a) { return convert<std::int32_t, std::uint8_t, i512>(a); }
inline i512 cvtepi16_epi32(__m256i a) { return convert<std::int32_t, std::int16_t, i512>(a); }
inline i512 cvtepu16_epi32(__m256i a) { return convert<std::int32_t, std::uint16_t, i512>(a); }
inline __m128i cvtepi32_epi8(i512 a) { return convert<std::uint8_t, std::uint32_t, __m128i>(a); }
inline __m256i cvtepi32_epi16(i512 a) { return convert<std::uint16_t, std::uint32_t, __m256i>(a); }

/// A half of a register, and a register of two halves.
template <class Half, class Register>
Half half(Register a, int at) {
    return split<Half>(a).at[at];
}
template <class Register, class Half>
Register whole(Half low, Half high) {
    const Half halves[] = {low, high};
    return load<Register>(halves);
}
inline __m256i castsi512_si256(i512 a) { return half<__m256i>(a, 0); }
inline __m128i castsi512_si128(i512 a) { return half<__m128i>(a, 0); }
inline __m256 castps512_ps256(f32 a) { return half<__m256>(a, 0); }
inline __m256 extractf32x8_ps(f32 a, int at) { return half<__m256>(a, at); }
inline __m256d extractf64x4_pd(f64 a, int at) { return half<__m256d>(a, at); }
inline i512 castsi256_si512(__m256i a) { return whole<i512>(a, a); }
inline i512 inserti64x4(i512 a, __m256i b, int at) {
    return at == 0 ? whole<i512>(b, half<__m256i>(a, 1)) : whole<i512>(half<__m256i>(a, 0), b);
}

// What AVX2 has for halves: these round as the register for rounding says, or treat what has no integer in their own
// way.
inline i512 cvtps_epi32(f32 a) {
    return whole<i512>(_mm256_cvtps_epi32(half<__m256>(a, 0)), _mm256_cvtps_epi32(half<__m256>(a, 1)));
}
inline f32 cvtph_ps(__m256i a) {
    return whole<f32>(_mm256_cvtph_ps(half<__m128i>(a, 0)), _mm256_cvtph_ps(half<__m128i>(a, 1)));
}
inline __m256i cvtps_ph(f32 a, int mode) {
    if ((mode & 7) != _MM_FROUND_TO_NEAREST_INT) unknown("rounding", mode);
    return whole<__m256i>(_mm256_cvtps_ph(half<__m256>(a, 0), _MM_FROUND_TO_NEAREST_INT),
                          _mm256_cvtps_ph(half<__m256>(a, 1), _MM_FROUND_TO_NEAREST_INT));
}

} // namespace emulated

// Without optimisation the compiler has macros for those with a constant argument.
#undef _mm512_cmp_ps_mask
#undef _mm512_cvtps_ph
#undef _mm512_extractf32x8_ps
#undef _mm512_extractf64x4_pd
#undef _mm512_inserti64x4
#undef _mm512_mask_shuffle_epi32
#undef _mm512_permute_ps
#undef _mm512_roundscale_ps
#undef _mm512_roundscale_round_ps
#undef _mm512_setr_epi32
#undef _mm512_shuffle_f32x4
#undef _mm512_slli_epi32
#undef _mm512_srli_epi32
#undef _mm512_srli_epi64

#define _mm512_add_epi32 emulated::add_epi32
#define _mm512_add_pd emulated::add_pd
#define _mm512_add_ps emulated::add_ps
#define _mm512_and_epi32 emulated::and_si512
#define _mm512_and_si512 emulated::and_si512
#define _mm512_castps512_ps256 emulated::castps512_ps256
#define _mm512_castps_si512 emulated::castps_si512
#define _mm512_castsi256_si512 emulated::castsi256_si512
#define _mm512_castsi512_ps emulated::castsi512_ps
#define _mm512_castsi512_si128 emulated::castsi512_si128
#define _mm512_castsi512_si256 emulated::castsi512_si256
#define _mm512_cmp_ps_mask emulated::cmp_ps_mask
#define _mm512_cvtepi16_epi32 emulated::cvtepi16_epi32
#define _mm512_cvtepi32_epi16 emulated::cvtepi32_epi16
#define _mm512_cvtepi32_epi8 emulated::cvtepi32_epi8
#define _mm512_cvtepi32_ps emulated::cvtepi32_ps
#define _mm512_cvtepi8_epi32 emulated::cvtepi8_epi32
#define _mm512_cvtepu16_epi32 emulated::cvtepu16_epi32
#define _mm512_cvtepu8_epi32 emulated::cvtepu8_epi32
#define _mm512_cvtph_ps emulated::cvtph_ps
#define _mm512_cvtps_epi32 emulated::cvtps_epi32
#define _mm512_cvtps_pd emulated::cvtps_pd
#define _mm512_cvtps_ph emulated::cvtps_ph
#define _mm512_div_ps emulated::div_ps
#define _mm512_dpbusd_epi32 emulated::dpbusd_epi32
#define _mm512_extractf32x8_ps emulated::extractf32x8_ps
#define _mm512_extractf64x4_pd emulated::extractf64x4_pd
#define _mm512_fmadd_pd emulated::fmadd_pd
#define _mm512_fmadd_ps emulated::fmadd_ps
#define _mm512_inserti64x4 emulated::inserti64x4
#define _mm512_load_ps emulated::load<__m512>
#define _mm512_load_si512 emulated::load<__m512i>
#define _mm512_loadu_pd emulated::load<__m512d>
#define _mm512_loadu_ps emulated::load<__m512>
#define _mm512_loadu_si512 emulated::load<__m512i>
#define _mm512_mask_blend_ps emulated::mask_blend_ps
#define _mm512_mask_or_epi32 emulated::mask_or_epi32
#define _mm512_mask_shuffle_epi32 emulated::mask_shuffle_epi32
#define _mm512_max_ps emulated::max_ps
#define _mm512_min_ps emulated::min_ps
#define _mm512_mul_epu32 emulated::mul_epu32
#define _mm512_mul_ps emulated::mul_ps
#define _mm512_mullo_epi32 emulated::mullo_epi32
#define _mm512_or_si512 emulated::or_si512
#define _mm512_packs_epi16 emulated::packs_epi16
#define _mm512_packs_epi32 emulated::packs_epi32
#define _mm512_packus_epi16 emulated::packus_epi16
#define _mm512_permute_ps emulated::permute_ps
#define _mm512_permutexvar_epi32 emulated::permutexvar_epi32
#define _mm512_permutexvar_epi8 emulated::permutexvar_epi8
#define _mm512_roundscale_ps emulated::roundscale_ps
#define _mm512_roundscale_round_ps emulated::roundscale_round_ps
#define _mm512_set1_epi32 emulated::set1_epi32
#define _mm512_set1_pd emulated::set1_pd
#define _mm512_set1_ps emulated::set1_ps
#define _mm512_setr_epi32 emulated::setr_epi32
#define _mm512_setzero_ps emulated::setzero_ps
#define _mm512_shuffle_f32x4 emulated::shuffle_f32x4
#define _mm512_slli_epi32 emulated::slli_epi32
#define _mm512_sllv_epi32 emulated::sllv_epi32
#define _mm512_sqrt_ps emulated::sqrt_ps
#define _mm512_srli_epi32 emulated::srli_epi32
#define _mm512_srli_epi64 emulated::srli_epi64
#define _mm512_store_pd emulated::store<__m512d>
#define _mm512_store_ps emulated::store<__m512>
#define _mm512_store_si512 emulated::store<__m512i>
#define _mm512_storeu_pd emulated::store<__m512d>
#define _mm512_storeu_ps emulated::store<__m512>
#define _mm512_storeu_si512 emulated::store<__m512i>
#define _mm512_sub_epi32 emulated::sub_epi32
#define _mm512_sub_ps emulated::sub_ps
#define _mm512_unpackhi_epi64 emulated::unpackhi_epi64
#define _mm512_xor_ps emulated::xor_ps
#define _mm512_xor_si512 emulated::xor_si512

#define __AVX512F__ 1
#define __AVX512BW__ 1
#define __AVX512CD__ 1
#define __AVX512DQ__ 1
#define __AVX512VL__ 1
#define __AVX512VBMI__ 1
#define __AVX512VNNI__ 1

// The library refuses to start on a processor without these, and asks for registers of AVX-512 to keep products apart
// from sums, which -ffp-contract=off does here.
#define __builtin_cpu_supports(feature) 1
#define asm(...) static_assert(true)
