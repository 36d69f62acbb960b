#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// How a grid's step follows from the greatest magnitude it must hold, where not every float will do: powers of two, and
// the two formats in which block formats keep their scales. A scale rule is
//   step(magnitude, top)   the step of a grid whose greatest value is `top` steps; 0 for a magnitude of 0
//   clips                  whether values up to the magnitude may lie beyond the grid
// All of it is exact arithmetic on exponents, so no logarithm is ever taken.

#include <fqt/quant/range.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <limits>

namespace fqt {

// ---- powers of two ----

/// floor(log2 x), ceil(log2 x) and log2 x to the nearest integer, of any positive float or quotient of floats.
constexpr int floor_log2(double x) { return static_cast<int>(std::bit_cast<std::uint64_t>(x) >> 52) - 1023; }
constexpr int ceil_log2(double x) {
    return floor_log2(x) + ((std::bit_cast<std::uint64_t>(x) & 0xfffffffffffffu) != 0 ? 1 : 0);
}
constexpr int round_log2(double x) {
    return floor_log2(x) + ((std::bit_cast<std::uint64_t>(x) & 0xfffffffffffffu) > 0x6a09e667f3bccu ? 1 : 0); // sqrt 2
}
/// 2^e as a float; 0 below 2^-149, infinity above 2^127.
constexpr float power_of_two_of(int e) {
    return static_cast<float>(
        std::bit_cast<double>(static_cast<std::uint64_t>(std::clamp(e, -1000, 128) + 1023) << 52));
}

// ---- scale rules ----

template <class S>
concept scale_rule = requires(float magnitude, float top) {
    { S::step(magnitude, top) } -> std::same_as<float>;
    { S::clips } -> std::convertible_to<bool>;
};

/// The greatest value of the grid is the magnitude.
struct fitted_scale {
    static constexpr bool clips = false;
    // The last floats are left out so that the greatest value, rounded once more, is finite.
    static float step(float magnitude, float top) { return std::min(magnitude, 0x1.fffffcp127f) / top; }
};

/// The least power of two with which no value is clipped: 2^ceil(log2(magnitude / top)), the resolution of FPBP (Zhang
/// et al., CVPR 2020, from memory). Magnitudes above 2^126 are clipped, so that all values are finite.
struct covering_power {
    static constexpr bool clips = false;
    static float step(float magnitude, float top) {
        if (!(magnitude > 0)) return 0;
        return power_of_two_of(
            ceil_log2(static_cast<double>(std::min(magnitude, 0x1p126f)) / static_cast<double>(top)));
    }
};

/// WAGE's Shift(x) = 2^round(log2 max|x|) spread over the bits of `top`: with top = 2^(k-1) - 1 the step is
/// Shift / 2^(k-1) (Wu et al., ICLR 2018, and its code, source/Quantize.py). Clips by up to a factor of sqrt 2.
struct nearest_power {
    static constexpr bool clips = true;
    static float step(float magnitude, float top) {
        if (!(magnitude > 0)) return 0;
        return power_of_two_of(std::min(round_log2(static_cast<double>(magnitude)), 127)
                               - floor_log2(static_cast<double>(top)) - 1);
    }
};

/// The shared exponent of the OCP microscaling formats: floor(log2 magnitude) - floor(log2 top), which aligns the first
/// bits (Microscaling Formats v1.0, section 6.3; microxcaling, mx_ops.py). Clips where the format's greatest value is
/// no 1.11...1: 6 instead of 7.99 with e2m1.
struct shared_exponent {
    static constexpr bool clips = true;
    static float step(float magnitude, float top) {
        if (!(magnitude > 0)) return 0;
        return power_of_two_of(floor_log2(static_cast<double>(magnitude)) - floor_log2(static_cast<double>(top)));
    }
};

/// The step is 2^Log2Step whatever the values are.
template <int Log2Step>
struct fixed_scale {
    static_assert(Log2Step >= -126 && Log2Step <= 64, "fqt: fixed_scale<Log2Step> takes -126 to 64");
    static constexpr bool clips = true;
    static float step(float, float) { return power_of_two_of(Log2Step); }
};

/// A range rule for grids that do not depend on their values: nothing is measured.
struct unmeasured {
    static constexpr const char* name = "unmeasured";
    static constexpr measures needs = measures::nothing;
    static interval clip(const measurement& m, code_limits) { return m.range; }
};

// ---- scales in a byte ----

/// A power of two in eight bits, 2^(bits - 127); 255 is NaN (OCP Microscaling Formats v1.0, section 5.4.1).
struct e8m0 {
    std::uint8_t bits{};
    friend constexpr bool operator==(e8m0, e8m0) = default;
};
/// 2^exponent, or the nearest of 2^-127 and 2^127.
constexpr e8m0 to_e8m0(int exponent) { return {static_cast<std::uint8_t>(std::clamp(exponent, -127, 127) + 127)}; }
/// 2^-127 is subnormal: grid_of counts it as zero.
constexpr float to_float(e8m0 s) {
    return s.bits == 255 ? std::numeric_limits<float>::quiet_NaN() : power_of_two_of(s.bits - 127);
}
/// A block's scale, whose greatest magnitude is given, for elements with greatest exponent `emax` (8 for e4m3, 15 for
/// e5m2, 2 for e2m1 and e2m3, 4 for e3m2); 2^-127 for a block of zeros.
constexpr e8m0 block_scale(float greatest, int emax) {
    return greatest > 0 ? to_e8m0(floor_log2(static_cast<double>(greatest)) - emax) : e8m0{};
}

/// The bits S.EEEE.MMM of OCP's e4m3 nearest to x, ties to even; what lies beyond 448 becomes 448, a NaN S.1111.111.
inline std::uint8_t to_e4m3(float x) {
    const auto sign = static_cast<std::uint8_t>(std::bit_cast<std::uint32_t>(x) >> 31 << 7);
    if (x != x) return sign | 0x7f;
    const float y = std::min(std::fabs(x), 448.0f);
    const int exponent = floor_log2(static_cast<double>(std::max(y, 0x1p-6f)));
    // Exact but for the rounding; a carry into the next octave gives the right code as well.
    return static_cast<std::uint8_t>(
        sign | ((exponent + 6) * 8 + static_cast<int>(std::nearbyint(y * power_of_two_of(3 - exponent)))));
}
constexpr float from_e4m3(std::uint8_t bits) {
    const int exponent = bits >> 3 & 15, mantissa = bits & 7;
    const float y = exponent > 0 ? static_cast<float>(8 + mantissa) * power_of_two_of(exponent - 10)
                                 : static_cast<float>(mantissa) * 0x1p-9f;
    if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
    return bits & 0x80 ? -y : y;
}

} // namespace fqt
