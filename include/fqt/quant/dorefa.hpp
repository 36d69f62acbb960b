#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Grids of 2^k equally distant values without zero, as DoReFa-Net has for gradients and weights (Zhou et al. 2016, and
// its authors' code, tensorpack examples/DoReFa-Net/dorefa.py), and weights of one bit.

#include <fqt/quant/clipping.hpp>
#include <fqt/quant/quantizer.hpp>

namespace fqt {

/// The grid of `dorefa_levels`: value = (2 q + offset) * step, offset 1 without a zero and 0 with one.
struct dorefa_grid {
    float step{}, inverse{}, offset{};
};

/// DoReFa's levels of Bits bits, 1 to 8. With m = max|x| (DoReFa: of each sample, per_sample) and n = 2^Bits - 1,
///   signed    codes -2^(Bits-1) ... 2^(Bits-1) - 1 stand for m (2 q + 1) / n: both ends, no zero
///   unsigned  codes 0 ... n stand for m q / n: DoReFa's activations, [0, 1] with fixed_range<0.0f, 1.0f>, and zero
/// `stochastic` is DoReFa's gradient rule: g^ = 2 m (q_n(g / (2 m) + 1/2 + U(-1/2, 1/2) / n) - 1/2), where adding the
/// uniform number before rounding to the nearest is rounding up with a probability equal to the fraction; unbiased.
/// Rounding acts on codes: `toward_zero` goes towards code 0, which stands for m / n, not towards the value 0.
/// Integer = 2 q + offset. At 8 bits integers reach 255, or 510, for which products take two bytes.
template <int Bits, rounding Rounding = stochastic, granularity Granularity = per_tensor, range_rule Range = full_range>
struct dorefa_levels {
    static_assert(Bits >= 1 && Bits <= 8, "fqt: dorefa_levels<Bits> takes 1 to 8 bits");
    static_assert(refuse_search<Range>());
    static constexpr int bits = Bits < 2 ? 2 : Bits; // memory has no narrower codes
    static constexpr int intervals = (1 << Bits) - 1;
    static constexpr bool linear = true, unbiased = is_unbiased<Rounding>;
    using rounding = Rounding;
    using granularity = Granularity;
    using range = Range;

    static constexpr code_limits limits(bool is_signed) {
        if (is_signed) return {-(1 << (Bits - 1)), (1 << (Bits - 1)) - 1};
        return {0, intervals};
    }
    static constexpr int greatest_integer(bool is_signed) { return is_signed ? intervals : 2 * intervals; }
    static dorefa_grid fit(interval range, code_limits limits) {
        const bool has_zero = limits.low >= 0; // then 2 q reaches 2 n
        const grid g = grid_of(range.magnitude() / static_cast<float>(has_zero ? 2 * intervals : intervals));
        return {g.step, g.inverse, has_zero ? 0.0f : 1.0f};
    }
    static auto encode(auto x, const auto& g, auto u) {
        // A grid point must be whole before the offset goes, or an error in its last place would outweigh a code of 0.
        return Rounding::round((detail::at_grid_point(x * g.inverse) - g.offset) * 0.5f, u);
    }
    static auto integer(auto q, const auto& g) { return q + q + g.offset; }
    static auto decode(auto q, const auto& g) { return integer(q, g) * g.step; }
};

/// Signs: weights of one bit, sign(x) * scale with sign(0) = 1. Code -1 stands for -scale and code 0 for +scale, the
/// integers 2 q + 1 = -1 and 1, so that every code is a value. Tensors that cannot be negative have the code 0 alone.
/// A stochastic sign is dorefa_levels<1, stochastic>.
template <granularity Granularity = per_tensor, range_rule Range = mean_magnitude>
struct sign_of {
    static_assert(refuse_search<Range>());
    static constexpr int bits = 2; // memory has no narrower codes
    static constexpr bool linear = true, clips = true;
    using rounding = nearest;
    using granularity = Granularity;
    using range = Range;

    static constexpr code_limits limits(bool is_signed) { return {is_signed ? -1 : 0, 0}; }
    static constexpr int greatest_integer(bool) { return 1; }
    static grid fit(interval range, code_limits) { return grid_of(range.magnitude()); }
    static auto encode(auto x, const auto&, auto) { return where(x < 0.0f, -1.0f, 0.0f); }
    static auto integer(auto q, const auto&) { return q + q + 1.0f; }
    static auto decode(auto q, const auto& g) { return integer(q, g) * g.step; }
};

} // namespace fqt
