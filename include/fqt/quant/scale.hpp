#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// How a grid's step follows from the greatest magnitude it must hold, where not every float will do: powers of two. A
// scale rule is
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

/// A range rule for grids that do not depend on their values. It needs no measurement; extremes are measured all the
/// same where ranges do not pass through, to find NaN and infinity.
struct unmeasured {
    static constexpr const char* name = "unmeasured";
    static constexpr measures needs = measures::nothing;
    static interval clip(const measurement& m, code_limits) { return m.range; }
};

} // namespace fqt
