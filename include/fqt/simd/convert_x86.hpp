#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Sixteen lanes to and from memory on AVX2 and AVX-512. Include convert.hpp, which explains the formats. bfloat16 is
// converted by integer arithmetic: the instructions of AVX512_BF16 would flush subnormal numbers.

#include <fqt/core/half.hpp>
#include <fqt/simd/lanes.hpp>

#include <cstddef>
#include <cstring>

namespace fqt::simd::detail {

template <class Registers>
struct conversions;

} // namespace fqt::simd::detail

#if defined(FQT_HAS_AVX2)

// g++ 12 warns of what its own AVX-512 intrinsics leave undefined on purpose (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace fqt::simd {

/// 16 bytes, one a lane, in a register.
struct u8_register {
    __m128i part;

    FQT_INLINE static u8_register load(const std::byte* from) {
        return {_mm_loadu_si128(reinterpret_cast<const __m128i*>(from))};
    }
    FQT_INLINE void store(std::byte* to) const { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), part); }
    std::uint8_t lane(int i) const {
        std::uint8_t bytes[lanes];
        std::memcpy(bytes, &part, sizeof bytes);
        return bytes[i];
    }
};
FQT_INLINE u8_register less(u8_register v, int n) {
    return {_mm_sub_epi8(v.part, _mm_set1_epi8(static_cast<char>(n)))};
}

namespace detail {

/// A block of codes of `Slot` bits as 16 bytes, without their sign.
template <int Slot>
FQT_INLINE __m128i unpack(const std::byte* from) {
    if constexpr (Slot == 8) {
        return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    } else if constexpr (Slot == 4) {
        const __m128i nibbles = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
        return _mm_and_si128(_mm_unpacklo_epi64(nibbles, _mm_srli_epi16(nibbles, 4)), _mm_set1_epi8(15));
    } else {
        std::int32_t pairs;
        std::memcpy(&pairs, from, sizeof pairs);
        return _mm_and_si128(_mm_srlv_epi32(_mm_set1_epi32(pairs), _mm_setr_epi32(0, 2, 4, 6)), _mm_set1_epi8(3));
    }
}

/// The reverse; bits above the slot are ignored.
template <int Slot>
FQT_INLINE void pack(std::byte* to, __m128i bytes) {
    if constexpr (Slot == 8) {
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to), bytes);
    } else if constexpr (Slot == 4) {
        const __m128i nibbles = _mm_and_si128(bytes, _mm_set1_epi8(15));
        const __m128i high = _mm_slli_epi16(_mm_unpackhi_epi64(nibbles, nibbles), 4);
        _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_or_si128(nibbles, high));
    } else {
        const __m128i four = _mm_sllv_epi32(_mm_and_si128(bytes, _mm_set1_epi8(3)), _mm_setr_epi32(0, 2, 4, 6));
        const __m128i two = _mm_or_si128(four, _mm_unpackhi_epi64(four, four));
        const std::int32_t pairs = _mm_cvtsi128_si32(_mm_or_si128(two, _mm_srli_epi64(two, 32)));
        std::memcpy(to, &pairs, sizeof pairs);
    }
}

template <int Bits>
inline constexpr int slot_of = Bits > 8 ? 16
    : Bits > 4                          ? 8
    : Bits > 2                          ? 4
                                        : 2;

/// Codes as bytes, signed ones with `offset` added. (n ^ s) - s extends the sign of a slot whose sign bit is s.
template <int Bits, bool Signed>
FQT_INLINE __m128i code_bytes_plus(const std::byte* from, int offset) {
    static_assert(Bits >= 2 && Bits <= 8, "fqt: codes have 2 to 8 bits");
    constexpr int slot = slot_of<Bits>, sign = 1 << (slot - 1);
    const __m128i n = unpack<slot>(from);
    if constexpr (!Signed) return n;
    const __m128i flipped = _mm_xor_si128(n, _mm_set1_epi8(static_cast<char>(sign)));
    const int add = (offset - sign) & 255;
    return add == 0 ? flipped : _mm_add_epi8(flipped, _mm_set1_epi8(static_cast<char>(add)));
}

/// What both instruction sets do alike, codes on 16 bytes; `Derived` widens bytes to lanes and narrows them, and has
/// codes of 16 bits for its own.
template <class Derived, class F32>
struct code_conversions {
    template <int Bits, bool Signed>
    FQT_INLINE static u8_register load_bytes(const std::byte* from) {
        return {code_bytes_plus<Bits, Signed>(from, 128)};
    }
    template <int Bits>
    FQT_INLINE static u8_register look_up(const std::byte* from, const std::byte* table) {
        return {_mm_shuffle_epi8(_mm_load_si128(reinterpret_cast<const __m128i*>(table)), unpack<slot_of<Bits>>(from))};
    }
    template <int Bits, bool Signed>
    FQT_INLINE static F32 load_codes(const std::byte* from) {
        // A slot of 8 bits is its own sign.
        if constexpr (slot_of<Bits> == 16) return Derived::template widen_words<Signed>(from);
        else if constexpr (slot_of<Bits> == 8) return Derived::template widen<Signed>(unpack<8>(from));
        else return Derived::template widen<Signed>(code_bytes_plus<Bits, Signed>(from, 0));
    }
    template <int Bits, bool Signed>
    FQT_INLINE static void store_codes(std::byte* to, F32 codes) {
        static_assert(Bits >= 2 && Bits <= 16, "fqt: codes have 2 to 16 bits");
        if constexpr (slot_of<Bits> == 16) Derived::store_words(to, codes);
        else pack<slot_of<Bits>>(to, Derived::narrow(codes));
    }
    template <int Bits, bool Signed>
    FQT_INLINE static void store_four_blocks(std::byte* to, const F32 (&codes)[4]) {
        for (int i = 0; i < 4; ++i) store_codes<Bits, Signed>(to + i * 2 * slot_of<Bits>, codes[i]);
    }
    FQT_INLINE static u8_register to_bytes(F32 codes) { return {Derived::narrow(codes)}; }
};

template <>
struct conversions<arch::avx2> : code_conversions<conversions<arch::avx2>, f32_lanes<arch::avx2>> {
    using f32 = f32_lanes<arch::avx2>;

    FQT_INLINE static f32 two(__m256 low, __m256 high) {
        f32 r;
        r.part[0] = low;
        r.part[1] = high;
        return r;
    }
    FQT_INLINE static __m128i eight(const void* from) { return _mm_loadu_si128(static_cast<const __m128i*>(from)); }
    FQT_INLINE static void put(void* to, __m128i v) { _mm_storeu_si128(static_cast<__m128i*>(to), v); }

    FQT_INLINE static f32 load(const binary16* from) {
        return two(_mm256_cvtph_ps(eight(from)), _mm256_cvtph_ps(eight(from + 8)));
    }
    FQT_INLINE static f32 load(const bfloat16* from) { return two(widened(eight(from)), widened(eight(from + 8))); }
    FQT_INLINE static void store(binary16* to, f32 v) {
        put(to, _mm256_cvtps_ph(v.part[0], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
        put(to + 8, _mm256_cvtps_ph(v.part[1], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    FQT_INLINE static void store(bfloat16* to, f32 v) {
        // The pack works within halves of the register, so its quarters come out as 0, 2, 1, 3.
        const __m256i both = _mm256_packus_epi32(rounded(v.part[0]), rounded(v.part[1]));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm256_permute4x64_epi64(both, 0xd8));
    }
    template <bool Signed>
    FQT_INLINE static f32 widen(__m128i bytes) {
        const __m128i high = _mm_unpackhi_epi64(bytes, bytes);
        if constexpr (Signed)
            return two(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(bytes)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(high)));
        else
            return two(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(high)));
    }
    template <bool Signed>
    FQT_INLINE static f32 widen_words(const std::byte* from) {
        const __m128i low = eight(from), high = eight(from + 16);
        if constexpr (Signed)
            return two(_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(low)), _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(high)));
        else
            return two(_mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(low)), _mm256_cvtepi32_ps(_mm256_cvtepu16_epi32(high)));
    }
    FQT_INLINE static void store_words(std::byte* to, f32 codes) {
        const __m256i word = _mm256_set1_epi32(0xffff);
        const __m256i low = _mm256_and_si256(_mm256_cvtps_epi32(codes.part[0]), word);
        const __m256i high = _mm256_and_si256(_mm256_cvtps_epi32(codes.part[1]), word);
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                            _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8));
    }
    // Packing saturates, so the low byte is kept alone: then signed and unsigned codes are one case.
    FQT_INLINE static __m128i narrow(f32 codes) {
        const __m256i byte = _mm256_set1_epi32(255);
        const __m256i low = _mm256_and_si256(_mm256_cvtps_epi32(codes.part[0]), byte);
        const __m256i high = _mm256_and_si256(_mm256_cvtps_epi32(codes.part[1]), byte);
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packus_epi32(low, high), 0xd8);
        return _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    }

private:
    FQT_INLINE static __m256 widened(__m128i halves) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16));
    }
    FQT_INLINE static __m256i rounded(__m256 v) {
        const __m256i bits = _mm256_castps_si256(v), top = _mm256_srli_epi32(bits, 16);
        const __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
        const __m256i sum = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7fff)), odd);
        const __m256i quiet = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
        const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
        return _mm256_blendv_epi8(_mm256_srli_epi32(sum, 16), quiet, is_nan);
    }
};

#if defined(FQT_HAS_AVX512)
template <>
struct conversions<arch::avx512> : code_conversions<conversions<arch::avx512>, f32_lanes<arch::avx512>> {
    using f32 = f32_lanes<arch::avx512>;

    FQT_INLINE static f32 one(__m512 v) {
        f32 r;
        r.part[0] = v;
        return r;
    }
    FQT_INLINE static __m256i halves(const void* from) { return _mm256_loadu_si256(static_cast<const __m256i*>(from)); }
    FQT_INLINE static void put(void* to, __m256i v) { _mm256_storeu_si256(static_cast<__m256i*>(to), v); }

    FQT_INLINE static f32 load(const binary16* from) { return one(_mm512_cvtph_ps(halves(from))); }
    FQT_INLINE static f32 load(const bfloat16* from) {
        return one(_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves(from)), 16)));
    }
    FQT_INLINE static void store(binary16* to, f32 v) {
        put(to, _mm512_cvtps_ph(v.part[0], _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    }
    FQT_INLINE static void store(bfloat16* to, f32 v) {
        const __m512 x = v.part[0];
        const __m512i bits = _mm512_castps_si512(x), top = _mm512_srli_epi32(bits, 16);
        const __m512i odd = _mm512_and_si512(top, _mm512_set1_epi32(1));
        const __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
        const __mmask16 is_nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
        const __m512i rounded = _mm512_srli_epi32(sum, 16);
        put(to, _mm512_cvtepi32_epi16(_mm512_mask_or_epi32(rounded, is_nan, top, _mm512_set1_epi32(0x40))));
    }
    template <bool Signed>
    FQT_INLINE static f32 widen(__m128i bytes) {
        return one(_mm512_cvtepi32_ps(Signed ? _mm512_cvtepi8_epi32(bytes) : _mm512_cvtepu8_epi32(bytes)));
    }
    FQT_INLINE static __m128i narrow(f32 codes) { return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(codes.part[0])); }
    template <int Bits, bool Signed>
    FQT_INLINE static void store_four_blocks(std::byte* to, const f32 (&codes)[4]) {
        if constexpr (slot_of<Bits> == 16)
            for (int i = 0; i < 4; ++i) store_words(to + i * 32, codes[i]);
        else if constexpr (slot_of<Bits> == 8) _mm512_storeu_si512(to, four_blocks<Signed>(codes));
        else if constexpr (slot_of<Bits> == 4) {
            // As in pack(), in each quarter, whose lower half is then a block.
            const __m512i nibbles = _mm512_and_si512(four_blocks<Signed>(codes), _mm512_set1_epi32(0x0f0f0f0f));
            const __m512i high = _mm512_slli_epi32(_mm512_unpackhi_epi64(nibbles, nibbles), 4);
            const __m512i halves = _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0);
            put(to, _mm512_castsi512_si256(_mm512_permutexvar_epi32(halves, _mm512_or_si512(nibbles, high))));
        } else {
            const __m512i two_bits = _mm512_and_si512(four_blocks<Signed>(codes), _mm512_set1_epi32(0x03030303));
            const __m512i places = _mm512_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6, 0, 2, 4, 6);
            const __m512i four = _mm512_sllv_epi32(two_bits, places);
            const __m512i two = _mm512_or_si512(four, _mm512_unpackhi_epi64(four, four));
            const __m512i one = _mm512_or_si512(two, _mm512_srli_epi64(two, 32));
            const __m512i fourths = _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
            _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                             _mm512_castsi512_si128(_mm512_permutexvar_epi32(fourths, one)));
        }
    }
    template <bool Signed>
    FQT_INLINE static f32 widen_words(const std::byte* from) {
        const __m256i words = halves(from);
        return one(_mm512_cvtepi32_ps(Signed ? _mm512_cvtepi16_epi32(words) : _mm512_cvtepu16_epi32(words)));
    }
    FQT_INLINE static void store_words(std::byte* to, f32 codes) {
        put(to, _mm512_cvtepi32_epi16(_mm512_cvtps_epi32(codes.part[0])));
    }

private:
    // The bytes of a block in each quarter. Packs take two registers each, saturate, which codes within their range do
    // not meet, and work within quarters: so bytes are put in order in the end.
    template <bool Signed>
    FQT_INLINE static __m512i four_blocks(const f32 (&codes)[4]) {
        const __m512i low = words(codes[0], codes[1]), high = words(codes[2], codes[3]);
        const __m512i bytes = Signed ? _mm512_packs_epi16(low, high) : _mm512_packus_epi16(low, high);
        const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
        return _mm512_permutexvar_epi32(order, bytes);
    }
    FQT_INLINE static __m512i words(f32 a, f32 b) {
        return _mm512_packs_epi32(_mm512_cvtps_epi32(a.part[0]), _mm512_cvtps_epi32(b.part[0]));
    }
};
#endif

} // namespace detail

} // namespace fqt::simd

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#endif
