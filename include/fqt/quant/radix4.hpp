#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The radix-4 format [1,3,0] of Ultra-Low Precision 4-bit Training (Sun et al., NeurIPS 2020): sign, three bits of
// exponent to base 4, no mantissa. Details are second hand and from memory.

#include <fqt/quant/quantizer.hpp>

namespace fqt {

/// The two phases of two-phase rounding: one tensor on both grids, whose errors have different signs for
/// values between 1.25 and 2, or 2.5 and 4, times a power of 4. With s = max|x| / 4^6
///   even_powers  s 4^n,    n = 0 ... 6: for the input gradient
///   odd_powers   2 s 4^n,  n = -1 ... 5: for the weight gradient; its greatest value is half the largest magnitude
struct even_powers {
    static constexpr float first = 1;
    static constexpr bool clips = false;
};
struct odd_powers {
    static constexpr float first = 0.5f;
    static constexpr bool clips = true;
};

/// Codes -7 to 7, 4 bits: the signed index of the magnitude, 0 or grid.step * 4^(index - 1). Each value goes to
///   4^floor(log4(1.6 |x|)),
/// the nearest one, since the middle of 4^n and 4^(n+1) is 4^(n+1) / 1.6; values for which n < 0 become 0, that is
/// below 0.625 step. It is biased between grid points and has no random numbers. Integers reach 4096: products take two
/// bytes.
template <class Phase, granularity Granularity = per_tensor, range_rule Range = full_range>
struct radix4 {
    static_assert(std::same_as<Phase, even_powers> || std::same_as<Phase, odd_powers>,
                  "fqt: radix4<Phase> takes even_powers or odd_powers");
    static constexpr int bits = 4, magnitudes = 7;
    static constexpr bool linear = true, clips = Phase::clips;
    using rounding = nearest;
    using granularity = Granularity;
    using range = Range;

    static constexpr code_limits limits(bool is_signed) { return {is_signed ? -magnitudes : 0, magnitudes}; }
    static constexpr int greatest_integer(bool) { return 4096; }
    static grid fit(interval range, code_limits) { return grid_of(range.magnitude() * (Phase::first / 4096)); }

    static auto encode(auto x, const auto& g, auto) {
        const auto y = max(abs(x) * g.inverse * 1.6f, 0.25f); // below 1: n = -1, code 0
        const auto log2 = as_float((as_bits(y) >> 23) | 0x4b000000u) - (0x1p23f + 127.0f);
        const auto index = min(floor(log2 * 0.5f) + 1.0f, static_cast<float>(magnitudes));
        return where(x < 0.0f, -index, index);
    }
    static auto integer(auto q, const auto&) {
        const auto index = abs(q);
        const auto power = as_float(as_bits(index + index + (0x1p23f + 125.0f)) << 23); // 4^(index - 1)
        const auto y = where(index > 0.0f, power, 0.0f);
        return where(q < 0.0f, -y, y);
    }
    static auto decode(auto q, const auto& g) { return integer(q, g) * g.step; }
};

} // namespace fqt
