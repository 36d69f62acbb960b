#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// An affine grid: between the least and the greatest value, not symmetric about zero, on which zero itself lies
// exactly.

#include <fqt/quant/quantizer.hpp>

#include <algorithm>
#include <cmath>

namespace fqt {

/// The grid of `asymmetric`: value = (code - zero) * step; zero is the code of 0.
struct affine_grid {
    float step{}, inverse{}, zero{};
};

/// An affine grid of Bits bits, 2 to 8, for all tensors: codes 0 to n = 2^Bits - 1, unsigned in memory.
///   The range is extended to include 0; magnitudes above 2^126 are clipped, so that all values are finite. The zero
/// point is floor or ceil of -low n / (high - low), at least 1 where there are negative values and at most n - 1 where
/// there are positive ones. step = max(-low / zero, high / (n - zero)) then covers both ends; the zero point with the
/// smaller step is taken, the lower one of two as good. StatQuant's PTQ (Chen et al., NeurIPS 2020, and its code) takes
/// the floor and refits the upper end, so its step is never smaller, unless the floor is 0, which clips what is below.
///   Rounding acts on x / step before the zero point is added, so that ties and directed roundings keep their meaning.
///   Integer = code - zero. At 8 bits it takes 9 bits, [-255, 255], and products two bytes, except for tensors that
/// cannot be negative, whose zero point is 0.
template <int Bits, rounding Rounding = nearest, granularity Granularity = per_tensor, range_rule Range = full_range>
struct asymmetric {
    static_assert(Bits >= 2 && Bits <= 8, "fqt: asymmetric<Bits> takes 2 to 8 bits");
    static constexpr int bits = Bits, intervals = (1 << Bits) - 1;
    static constexpr bool linear = true, unbiased = is_unbiased<Rounding>;
    using rounding = Rounding;
    using granularity = Granularity;
    using range = Range;

    static constexpr code_limits limits(bool) { return {0, intervals}; }
    static constexpr int greatest_integer(bool) { return intervals; }

    static affine_grid fit(interval range, code_limits) {
        const double below = std::clamp(-static_cast<double>(range.low), 0.0, 0x1p126);
        const double above = std::clamp(static_cast<double>(range.high), 0.0, 0x1p126);
        if (!(below + above > 0)) return {};
        const double first = below > 0 ? 1 : 0, last = above > 0 ? intervals - 1 : intervals;
        const auto clamped = [&](double zero) { return std::clamp(zero, first, last); };
        const auto step_of = [&](double zero) {
            const double down = below > 0 ? below / zero : 0, up = above > 0 ? above / (intervals - zero) : 0;
            return std::max(down, up);
        };
        const double exact = below / (below + above) * intervals;
        const double floored = clamped(std::floor(exact)), raised = clamped(std::ceil(exact));
        const double zero = step_of(floored) <= step_of(raised) ? floored : raised;
        const grid g = grid_of(static_cast<float>(step_of(zero)));
        return {g.step, g.inverse, g.step > 0 ? static_cast<float>(zero) : 0.0f};
    }
    static auto encode(auto x, const auto& g, auto u) { return Rounding::round(x * g.inverse, u) + g.zero; }
    static auto integer(auto q, const auto& g) { return q - g.zero; }
    static auto decode(auto q, const auto& g) { return integer(q, g) * g.step; }
};

} // namespace fqt
