#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Sixteen lanes to and from memory: float, binary16 and bfloat16 (bit for bit as core/half.hpp), and integer codes of
// 2 to 16 bits. A block of 16 codes lies in 32 bytes (9 to 16 bits), 16 bytes (5 to 8), 8 bytes of nibbles (3, 4) or 4
// bytes of pairs (2):
//   words    bytes 2 j and 2 j + 1 hold lane j, the low byte first
//   nibbles  byte j holds lane j in its low and lane j + 8 in its high half
//   pairs    byte j holds lanes j, j + 4, j + 8, j + 12 from low to high bits
// Signed codes are two's complement within their slot. convert_x86.hpp has the same on registers.

#include <fqt/core/half.hpp>
#include <fqt/simd/convert_x86.hpp>
#include <fqt/simd/lanes.hpp>

#include <cstddef>
#include <type_traits>

namespace fqt::simd {

/// Bytes that a block of 16 codes takes in memory.
constexpr int code_bytes(int bits) { return bits > 8 ? 32 : bits > 4 ? 16 : bits > 2 ? 8 : 4; }
/// Bits that one code takes in memory.
constexpr int slot_bits(int bits) { return code_bytes(bits) * 8 / lanes; }

// ---- one code ----

/// The code in one lane of a block.
template <int Bits, bool Signed>
constexpr int read_code(const std::byte* block, int lane) {
    static_assert(Bits >= 2 && Bits <= 16, "fqt: codes have 2 to 16 bits");
    constexpr int slot = slot_bits(Bits), bytes = code_bytes(Bits);
    int v;
    if constexpr (slot == 16)
        v = std::to_integer<int>(block[2 * lane]) | std::to_integer<int>(block[2 * lane + 1]) << 8;
    else v = std::to_integer<int>(block[lane % bytes]) >> (lane / bytes * slot) & ((1 << slot) - 1);
    return Signed && v >> (slot - 1) != 0 ? v - (1 << slot) : v;
}

/// Replaces the code in one lane of a block and leaves the others.
template <int Bits, bool Signed>
constexpr void write_code(std::byte* block, int lane, int code) {
    static_assert(Bits >= 2 && Bits <= 16, "fqt: codes have 2 to 16 bits");
    constexpr int slot = slot_bits(Bits), bytes = code_bytes(Bits), mask = (1 << slot) - 1;
    if constexpr (slot == 16) {
        block[2 * lane] = static_cast<std::byte>(code & 255);
        block[2 * lane + 1] = static_cast<std::byte>(code >> 8 & 255);
    } else {
        const int shift = lane / bytes * slot;
        const int old = std::to_integer<int>(block[lane % bytes]) & ~(mask << shift);
        block[lane % bytes] = static_cast<std::byte>(old | (code & mask) << shift);
    }
}

// ---- sixteen bytes ----

/// 16 bytes, one a lane: what the multiply primitive eats.
struct u8_generic {
    std::uint8_t part[lanes];

    static u8_generic load(const std::byte* from) {
        u8_generic r;
        for (int i = 0; i < lanes; ++i) r.part[i] = std::to_integer<std::uint8_t>(from[i]);
        return r;
    }
    void store(std::byte* to) const {
        for (int i = 0; i < lanes; ++i) to[i] = std::byte{part[i]};
    }
    std::uint8_t lane(int i) const { return part[i]; }
};
/// Each of them less n, modulo 256.
inline u8_generic less(u8_generic v, int n) {
    for (auto& p : v.part) p = static_cast<std::uint8_t>(p - n);
    return v;
}

#if defined(FQT_HAS_AVX2)
template <class Arch>
using u8x16 = std::conditional_t<std::is_same_v<typename Arch::registers, arch::generic>, u8_generic, u8_register>;
#else
template <class Arch>
using u8x16 = u8_generic;
#endif

// ---- plain C++ ----

namespace detail {

template <>
struct conversions<arch::generic> {
    using f32 = f32_lanes<arch::generic>;

    // A signalling NaN becomes quiet, as in the instruction.
    static f32 load(const binary16* from) {
        f32 r;
        for (int i = 0; i < lanes; ++i) r.part[i] = to_float(from[i]);
        return r;
    }
    static f32 load(const bfloat16* from) {
        f32 r;
        for (int i = 0; i < lanes; ++i) r.part[i] = to_float(from[i]);
        return r;
    }
    static void store(binary16* to, f32 v) {
        for (int i = 0; i < lanes; ++i) to[i] = to_binary16(v.part[i]);
    }
    static void store(bfloat16* to, f32 v) {
        for (int i = 0; i < lanes; ++i) to[i] = to_bfloat16(v.part[i]);
    }

    template <int Bits, bool Signed>
    static u8_generic load_bytes(const std::byte* from) {
        u8_generic r;
        for (int i = 0; i < lanes; ++i)
            r.part[i] = static_cast<std::uint8_t>(read_code<Bits, Signed>(from, i) + (Signed ? 128 : 0));
        return r;
    }
    template <int Bits>
    static u8_generic look_up(const std::byte* from, const std::byte* table) {
        u8_generic r;
        for (int i = 0; i < lanes; ++i)
            r.part[i] = std::to_integer<std::uint8_t>(table[read_code<Bits, false>(from, i)]);
        return r;
    }
    template <int Bits, bool Signed>
    static f32 load_codes(const std::byte* from) {
        f32 r;
        for (int i = 0; i < lanes; ++i) r.part[i] = static_cast<float>(read_code<Bits, Signed>(from, i));
        return r;
    }
    template <int Bits, bool Signed>
    static void store_codes(std::byte* to, f32 codes) {
        for (int i = 0; i < lanes; ++i) write_code<Bits, Signed>(to, i, static_cast<int>(rint(codes.part[i])));
    }
    template <int Bits, bool Signed>
    static void store_four_blocks(std::byte* to, const f32 (&codes)[4]) {
        for (int i = 0; i < 4; ++i) store_codes<Bits, Signed>(to + i * code_bytes(Bits), codes[i]);
    }
    static u8_generic to_bytes(f32 codes) {
        u8_generic r;
        for (int i = 0; i < lanes; ++i) r.part[i] = static_cast<std::uint8_t>(codes.part[i]);
        return r;
    }
};

} // namespace detail

// ---- for every instruction set ----

template <class Arch>
FQT_INLINE f32x16<Arch> load_binary16(const binary16* from) {
    return detail::conversions<typename Arch::registers>::load(from);
}
template <class Arch>
FQT_INLINE f32x16<Arch> load_bfloat16(const bfloat16* from) {
    return detail::conversions<typename Arch::registers>::load(from);
}
/// To the nearest, ties to even; 65520 and more become infinite.
template <class Registers>
FQT_INLINE void store_binary16(binary16* to, f32_lanes<Registers> v) {
    detail::conversions<Registers>::store(to, v);
}
/// To the nearest, ties to even.
template <class Registers>
FQT_INLINE void store_bfloat16(bfloat16* to, f32_lanes<Registers> v) {
    detail::conversions<Registers>::store(to, v);
}

/// 16 numbers as they are stored, for loops that are templates on the stored type.
template <class Arch>
FQT_INLINE f32x16<Arch> load(const float* from) {
    return f32x16<Arch>::load(from);
}
template <class Arch>
FQT_INLINE f32x16<Arch> load(const binary16* from) {
    return load_binary16<Arch>(from);
}
template <class Arch>
FQT_INLINE f32x16<Arch> load(const bfloat16* from) {
    return load_bfloat16<Arch>(from);
}
template <class Registers>
FQT_INLINE void store(float* to, f32_lanes<Registers> v) {
    v.store(to);
}
template <class Registers>
FQT_INLINE void store(binary16* to, f32_lanes<Registers> v) {
    store_binary16(to, v);
}
template <class Registers>
FQT_INLINE void store(bfloat16* to, f32_lanes<Registers> v) {
    store_bfloat16(to, v);
}

/// A block of codes as numbers.
template <class Arch, int Bits, bool Signed>
FQT_INLINE f32x16<Arch> load_codes(const std::byte* from) {
    return detail::conversions<typename Arch::registers>::template load_codes<Bits, Signed>(from);
}
/// A block of codes of up to 8 bits as one unsigned byte a lane: the code, plus 128 where codes are signed.
template <class Arch, int Bits, bool Signed>
FQT_INLINE u8x16<Arch> load_code_bytes(const std::byte* from) {
    static_assert(Bits <= 8, "fqt: codes above 8 bits take two bytes");
    return detail::conversions<typename Arch::registers>::template load_bytes<Bits, Signed>(from);
}
/// A block of codes of up to 4 bits as bytes of a table of 16 at a multiple of 16, in which a code's bits, without
/// sign, are the place.
template <class Arch, int Bits>
FQT_INLINE u8x16<Arch> look_up_codes(const std::byte* from, const std::byte* table) {
    static_assert(Bits <= 4, "fqt: the table of a code has 16 bytes");
    return detail::conversions<typename Arch::registers>::template look_up<Bits>(from, table);
}
/// One unsigned byte a lane from integral numbers in [0, 255].
template <class Registers>
FQT_INLINE auto to_bytes(f32_lanes<Registers> codes) {
    return detail::conversions<Registers>::to_bytes(codes);
}
/// A block of codes from numbers within their range, rounded to the nearest, ties to even.
template <int Bits, bool Signed, class Registers>
FQT_INLINE void store_codes(std::byte* to, f32_lanes<Registers> codes) {
    detail::conversions<Registers>::template store_codes<Bits, Signed>(to, codes);
}
/// Four blocks, one after the other, likewise.
template <int Bits, bool Signed, class Registers>
FQT_INLINE void store_four_blocks(std::byte* to, const f32_lanes<Registers> (&codes)[4]) {
    detail::conversions<Registers>::template store_four_blocks<Bits, Signed>(to, codes);
}

} // namespace fqt::simd
