#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The two 16-bit formats in which tensors cross a pass, converted by integer arithmetic, so that every processor
// gives the same bits. Both round to nearest, ties to even. simd/convert.hpp has the same rules for 16 lanes.
//   binary16  1 + 5 + 10 bits: convolution sums, scaled by an exact power of two so that none can overflow
//   bfloat16  1 + 8 + 7 bits:  gradients, whose magnitude nothing bounds

#include <bit>
#include <cstdint>

namespace fqt {

struct binary16 {
    std::uint16_t bits{};
    friend constexpr bool operator==(binary16, binary16) = default;
};
struct bfloat16 {
    std::uint16_t bits{};
    friend constexpr bool operator==(bfloat16, bfloat16) = default;
};

constexpr float to_float(bfloat16 v) { return std::bit_cast<float>(std::uint32_t{v.bits} << 16); }

constexpr float to_float(binary16 v) {
    const std::uint32_t sign = std::uint32_t{v.bits & 0x8000u} << 16, exponent = (v.bits >> 10) & 31u,
                        mantissa = v.bits & 1023u;
    if (exponent == 31)
        return std::bit_cast<float>(sign | 0x7f800000u | (mantissa ? 0x400000u : 0u) | mantissa << 13); // NaN: quiet
    if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
    // A subnormal is mantissa * 2^-24, which float holds exactly.
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign ? -magnitude : magnitude;
}

constexpr bfloat16 to_bfloat16(float v) {
    const auto bits = std::bit_cast<std::uint32_t>(v);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<std::uint16_t>((bits >> 16) | 0x40u)}; // a quiet NaN
    return {static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}

constexpr binary16 to_binary16(float v) {
    const auto bits = std::bit_cast<std::uint32_t>(v);
    const std::uint32_t sign = (bits >> 16) & 0x8000u, magnitude = bits & 0x7fffffffu;
    if (magnitude > 0x7f800000u)
        return {static_cast<std::uint16_t>(sign | 0x7e00u | ((magnitude >> 13) & 0x3ffu))}; // a quiet NaN
    if (magnitude >= 0x477ff000u) return {static_cast<std::uint16_t>(sign | 0x7c00u)};      // 65520 and more
    if (magnitude >= 0x38800000u) {                                                         // normal: >= 2^-14
        const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
        return {static_cast<std::uint16_t>(sign | ((rounded - 0x38000000u) >> 13))};
    }
    // Subnormal: adding 0.5 leaves |v| rounded to a multiple of 2^-24 in the low mantissa bits.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return {static_cast<std::uint16_t>(sign | (std::bit_cast<std::uint32_t>(shifted) - 0x3f000000u))};
}

} // namespace fqt
