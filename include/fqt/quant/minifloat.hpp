#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Floating-point codes of 2 to 8 bits: sign, exponent, mantissa, with subnormals and without infinities or NaNs.
//
// The stored code is the signed index of the magnitude, ..., -2, -1, 0, 1, 2, ...; read as a number it is the format's
// own bit pattern without the sign. Values are counted in steps, grid.step being the least magnitude above zero. With
// M mantissa bits and y = |x| / step the code is
//   e = max(floor(log2 y), M),   index = (e - M) 2^M + Rounding(y / 2^(e - M)),
// which holds for subnormals (e = M), for normal numbers, and where the rounding carries into the next octave.
// Rounding acts on magnitudes and the sign is put back: `downward` drops towards zero, and `stochastic` stays unbiased,
// E[|x^|] = |x| between any two neighbouring values, so E[x^] = x.

#include <fqt/quant/quantizer.hpp>
#include <fqt/quant/scale.hpp>

#include <cstdint>

namespace fqt {

/// The index of the greatest finite magnitude. Eight bits follow OCP 8-bit Floating Point v1.0: e4m3 gives S.1111.111
/// to NaN, e5m2 the whole octave 11111 to infinities and NaNs. Fewer bits, as in OCP Microscaling Formats v1.0, have
/// neither, and so have other formats here.
constexpr int greatest_index(int exponent, int mantissa) {
    if (exponent == 4 && mantissa == 3) return 126;
    if (exponent == 5 && mantissa == 2) return 123;
    return (1 << (exponent + mantissa)) - 1;
}

/// A floating-point format with 1 sign bit. Range: values of magnitude up to the range's, which becomes the greatest
/// magnitude (Scale = fitted_scale), or with powers of two for steps: shared_exponent as in the MX formats,
/// covering_power, or fixed_scale<log2_least> for the format's own values without any scale, as in FP8 training with a
/// loss scale (Wang et al., NeurIPS 2018, from memory). Tensors whose step falls below 2^-126 count as zeros.
/// Where the greatest magnitude is at most 32639 steps products are sums of integers, of one byte to 127 (e2m1, e2m3,
/// e3m0) and of two above (e3m2, LUQ of 5 bits); beyond, of floats.
template <int Exponent, int Mantissa, rounding Rounding = nearest, granularity Granularity = per_tensor,
          range_rule Range = full_range, scale_rule Scale = fitted_scale>
struct minifloat {
    static_assert(Exponent >= 1 && Exponent <= 5 && Mantissa >= 0 && Exponent + Mantissa <= 7,
                  "fqt: minifloat<Exponent, Mantissa> takes 1 to 5 bits of exponent and 8 bits in all");
    static_assert(refuse_search<Range>());
    static constexpr int bits = 1 + Exponent + Mantissa, top = greatest_index(Exponent, Mantissa);
    static constexpr int bias = (1 << (Exponent - 1)) - 1;
    /// The standard's least magnitude, 2^(1 - bias - Mantissa), which is 1 step here.
    static constexpr int log2_least = 1 - bias - Mantissa;
    /// The greatest magnitude in steps.
    static constexpr float greatest = [] {
        const int shift = std::max(top >> Mantissa, 1) - 1;
        return static_cast<float>(top - (shift << Mantissa)) * power_of_two_of(shift);
    }();
    static constexpr bool linear = greatest <= greatest_of_two_bytes, unbiased = is_unbiased<Rounding>,
                          clips = Scale::clips;
    using rounding = Rounding;
    using granularity = Granularity;
    using range = Range;

    static constexpr code_limits limits(bool is_signed) { return {is_signed ? -top : 0, top}; }
    static constexpr int greatest_integer(bool) { return linear ? static_cast<int>(greatest) : 0; }

    static grid fit(interval range, code_limits) { return grid_of(Scale::step(range.magnitude(), greatest)); }

    static auto encode(auto x, const auto& g, auto u) {
        const auto y = min(abs(x) * g.inverse, greatest);
        const auto octave = as_bits(max(y, normal)) & 0x7f800000u;                  // of 2^e
        const auto inverse = as_float((octave ^ 0x7f800000u) + 0xff800000u);        // 2^-e
        const auto e = as_float((octave >> 23) | 0x4b000000u) - (0x1p23f + 127.0f); // 2^23 + n has n in its bits
        const auto index = (e - Mantissa) * normal + Rounding::round(y * (inverse * normal), u);
        return where(x < 0.0f, -index, index);
    }

    /// The code's value in steps.
    static auto integer(auto q, const auto&) {
        const auto index = abs(q);
        const auto shift = max(floor(index * (1 / normal)), 1.0f) - 1.0f; // octaves above the subnormals and the first
        const auto y = (index - shift * normal) * as_float(as_bits(shift + (0x1p23f + 127.0f)) << 23);
        return where(q < 0.0f, -y, y);
    }
    static auto decode(auto q, const auto& g) { return integer(q, g) * g.step; }

    /// The standard's bit pattern of a code, S.E...E.M...M; and the code of one, minus zero being 0.
    static constexpr std::uint8_t to_bits(int code) {
        return static_cast<std::uint8_t>(code < 0 ? 1 << (bits - 1) | -code : code);
    }
    static constexpr int from_bits(std::uint8_t pattern) {
        const int index = pattern & ((1 << (bits - 1)) - 1);
        return pattern >> (bits - 1) & 1 ? -index : index;
    }

private:
    static constexpr float normal = 1 << Mantissa; // steps of the least normal number
};

/// OCP e4m3: values to 448, in steps of 2^-9. HFP8's forward format 1-4-3 (Sun et al., NeurIPS 2019, from memory) has
/// the same values at another scale.
template <rounding Rounding = nearest, granularity Granularity = per_tensor, range_rule Range = full_range,
          scale_rule Scale = fitted_scale>
using e4m3 = minifloat<4, 3, Rounding, Granularity, Range, Scale>;

/// OCP e5m2: values to 57344, in steps of 2^-16; the 1-5-2 of FP8 and HFP8 gradients.
template <rounding Rounding = nearest, granularity Granularity = per_tensor, range_rule Range = full_range,
          scale_rule Scale = fitted_scale>
using e5m2 = minifloat<5, 2, Rounding, Granularity, Range, Scale>;

/// OCP e2m1: 0, 0.5, 1, 1.5, 2, 3, 4, 6, that is 0, 1, 2, 3, 4, 6, 8, 12 steps.
template <rounding Rounding = nearest, granularity Granularity = per_tensor, range_rule Range = full_range,
          scale_rule Scale = fitted_scale>
using fp4 = minifloat<2, 1, Rounding, Granularity, Range, Scale>;

/// The logarithmic grid of LUQ (Chmiel et al., ICLR 2023, arXiv 2112.10769): Bits - 1 bits of exponent, no mantissa; 0
/// and alpha 2^n up to n = 2^(Bits-1) - 2, so {0, 1} at 2 bits, {0, 1, 2, 4} at 3 and {0, 1, 2, ..., 64} at 4. With M =
/// 0 the rule above is LUQ's, all of it unbiased:
///   y < 1               e = 0, Rounding(y): alpha with probability y, else 0, its stochastic underflow
///   2^(n-1) <= y < 2^n  y / 2^(n-1) = 1 + f rounds to 2 with probability f = (y - 2^(n-1)) / 2^(n-1), which is 2^n,
///                       else stays 2^(n-1): its logarithmic stochastic rounding
/// alpha is such that the largest magnitude is the greatest code; the paper's max / 2^(2^(b-1)) leaves codes unused.
template <int Bits, rounding Rounding = stochastic, granularity Granularity = per_tensor, range_rule Range = full_range,
          scale_rule Scale = fitted_scale>
using luq = minifloat<Bits - 1, 0, Rounding, Granularity, Range, Scale>;

} // namespace fqt
