#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Grids whose steps are powers of two, so that scaling is a shift: those of WAGE, WAGEUBN, FPBP and integer-only
// training. Which power is a scale rule's choice (scale.hpp).

#include <fqt/quant/quantizer.hpp>
#include <fqt/quant/scale.hpp>

namespace fqt {

/// `symmetric` with a power of two for a step. Scale:
///   covering_power   no value is clipped: FPBP's resolution 2^ceil(log2(max / (2^(Bits-1) - 1)))
///   nearest_power    WAGE: step = Shift(max|x|) / 2^(Bits-1), codes to 2^(Bits-1) - 1, clipping values beyond
///   shared_exponent  MXINT8: step = 2^floor(log2 max|x|) / 2^(Bits-2)
template <int Bits, rounding Rounding = nearest, granularity Granularity = per_tensor, range_rule Range = full_range,
          scale_rule Scale = covering_power>
struct power_of_two : symmetric<Bits, Rounding, Granularity, Range> {
    static constexpr bool clips = Scale::clips;

    static grid fit(interval range, code_limits limits) {
        return grid_of(Scale::step(range.magnitude(), static_cast<float>(limits.high)));
    }
};

/// WAGE's Q(x, Bits) with the clipping C(x, Bits), for Log2Step = 1 - Bits: values to the nearest multiple of
/// 2^Log2Step, whatever the tensor holds (Wu et al., ICLR 2018, equations 3 and 4, from memory; source/Quantize.py).
/// Codes in +-(2^(Bits-1) - 1); tensors that cannot be negative have codes to 2^Bits - 1 at the same step.
template <int Bits, rounding Rounding = nearest, int Log2Step = 1 - Bits, granularity Granularity = per_tensor>
using fixed_step = power_of_two<Bits, Rounding, Granularity, unmeasured, fixed_scale<Log2Step>>;

/// WAGEUBN's two-range "flag" quantizer for the gradient of sums, E2 (Yang et al., Neural Networks 2020, and its code,
/// Quantize.py). There K = 2^7, s = Shift(max|x|) / K, and
///   |x| >= s  x / s rounds to an integer, at most K - 1 in magnitude
///   |x| < s   x / (s / K) rounds to an integer: the fine grid, which saves small gradients
/// which takes 9 bits, one of them the flag. Here Bits bits hold flag and value, K = 2^(Bits-2): with 8 bits both
/// ranges have 6-bit magnitudes. The code is the signed index of the magnitude, in units of the fine step s / K
///   index < K   index: fine codes                     index >= K   (index - K + 1) K: coarse codes, up to (K - 1) K
/// so fine values that round to K become the first coarse code. Integers fit a byte to 5 bits; from 6 bits on, with
/// ratios of 240 to 4032, they take two. Values beyond the greatest code are clipped, as Shift implies.
template <int Bits, rounding Rounding = nearest, granularity Granularity = per_tensor, range_rule Range = full_range,
          scale_rule Scale = nearest_power>
struct flag_grid {
    static_assert(Bits >= 4 && Bits <= 8, "fqt: flag_grid<Bits> takes 4 to 8 bits");
    static constexpr int bits = Bits, fine = 1 << (Bits - 2), top = 2 * fine - 2;
    static constexpr bool linear = true, unbiased = is_unbiased<Rounding>, clips = true;
    using rounding = Rounding;
    using granularity = Granularity;
    using range = Range;

    static constexpr code_limits limits(bool is_signed) { return {is_signed ? -top : 0, top}; }
    static constexpr int greatest_integer(bool) { return (fine - 1) * fine; }

    static grid fit(interval range, code_limits) {
        return grid_of(Scale::step(range.magnitude(), static_cast<float>((fine - 1) * fine)));
    }
    static auto encode(auto x, const auto& g, auto u) {
        constexpr float K = fine;
        const auto y = min(abs(x) * g.inverse, (K - 1) * K);
        const auto q = Rounding::round(where(y < K, y, y * (1 / K)), u);
        const auto index = where(y < K, q, q + (K - 1));
        return where(x < 0.0f, -index, index);
    }
    static auto integer(auto q, const auto&) {
        constexpr float K = fine;
        const auto index = abs(q);
        const auto y = where(index < K, index, (index - (K - 1)) * K);
        return where(q < 0.0f, -y, y);
    }
    static auto decode(auto q, const auto& g) { return integer(q, g) * g.step; }
};

} // namespace fqt
