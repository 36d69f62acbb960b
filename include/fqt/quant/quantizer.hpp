#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A quantizer maps real numbers to integer codes and back. Like a rounding it is only the rule:
//   fit(range, limits)  the grid for values in `range` with codes in `limits`
//   encode(x, grid, u)  codes, as floats; the library clamps them to the limits afterwards, whatever the rule gives
//   decode(q, grid)     the values that the codes stand for
// A rule with these three runs at once: codes in bytes, products in floats of the decoded values. Where it also says
// `linear = true` (decode is an integer times grid.step) its products are sums of integers. What else it may say:
//   bits                of a code in memory, 8 unless given
//   limits(is_signed)   the least and greatest code; for `bits` bits, symmetric, unless given
//   rounding, granularity, range   its policies
// and, where a linear grid's codes are not the integers themselves,
//   integer(q, grid)    the integer that a code stands for
//   greatest_integer(is_signed)   its largest magnitude, 32639 at most; unless given, 127, or 255 for tensors that
//                       cannot be negative

#include <fqt/quant/range.hpp>
#include <fqt/quant/rounding.hpp>

#include <algorithm>
#include <limits>
#include <type_traits>

namespace fqt {

/// Products multiply integers of one byte or two. The most of two bytes, 127 * 256 + 127: both are signed.
inline constexpr int greatest_of_two_bytes = 32639;

/// Codes of `bits` bits: symmetric where signed, [-127, 127] at 8 bits; from zero where not, [0, 255]. At 15 and 16
/// bits they end at greatest_of_two_bytes. None for floats.
constexpr code_limits limits_of(int bits, bool is_signed) {
    if (bits > 16) return {};
    const int high = std::min((1 << (is_signed ? bits - 1 : bits)) - 1, greatest_of_two_bytes);
    return {is_signed ? -high : 0, high};
}

/// A linear grid: value = code * step. inverse is 1 / step; both are 0 for a tensor of zeros.
struct grid {
    float step{}, inverse{};
};

/// The grid whose step is `step`; steps too small to invert (below 2^-126) count as zero, so every value gets code 0.
inline grid grid_of(float step) {
    if (!(step >= std::numeric_limits<float>::min())) return {};
    return {step, 1.0f / step};
}

/// The step of a grid; 1 where it has none.
constexpr float step_of(const auto& g) {
    if constexpr (requires { g.step; }) return g.step;
    else return 1.0f;
}

// ---- granularity: which values share a grid ----

struct per_tensor {
    static constexpr const char* name = "per tensor";
};
/// One grid for each output channel.
struct per_channel {
    static constexpr const char* name = "per channel";
};
/// One grid for each sample of the batch.
struct per_sample {
    static constexpr const char* name = "per sample";
};
/// One grid for each sample, after samples with small gradients have been mixed with those with large ones, so that
/// they share the variance of rounding: StatQuant's BHQ (layers/householder.hpp). For scheme.input_gradient alone.
struct per_householder {
    static constexpr const char* name = "per sample, reflected in groups";
};

/// Those with one grid for each sample.
template <class G>
concept granularity_of_samples = std::same_as<G, per_sample> || std::same_as<G, per_householder>;
template <class G>
concept granularity = std::same_as<G, per_tensor> || std::same_as<G, per_channel> || granularity_of_samples<G>;

// ---- quantizers ----

/// A symmetric linear grid of Bits bits, 2 to 16: step = max|x| / greatest code. Codes are signed, in [-q, q] with
/// q = 2^(Bits-1) - 1, or, for tensors that cannot be negative, unsigned in [0, 2^Bits - 1] (limits_of). Above 8 bits
/// every product costs twice the time: one for each byte.
template <int Bits, rounding Rounding = nearest, granularity Granularity = per_tensor, range_rule Range = full_range>
struct symmetric {
    static_assert(Bits >= 2 && Bits <= 16, "fqt: symmetric<Bits> takes 2 to 16 bits");
    static constexpr int bits = Bits;
    static constexpr bool linear = true;
    using rounding = Rounding;
    using granularity = Granularity;
    using range = Range;

    static grid fit(interval range, code_limits limits) {
        return grid_of(range.magnitude() / static_cast<float>(limits.high));
    }
    // The grid's members may be lanes, one grid a channel.
    static auto in_steps(auto x, const auto& g) { return x * g.inverse; }
    static auto encode(auto x, const auto& g, auto u) { return Rounding::round(in_steps(x, g), u); }
    static auto decode(auto q, const auto& g) { return q * g.step; }
};

/// Whether encode() rounds in_steps() to the nearest, which storing codes does by itself. Of this rule alone: one that
/// inherits from it may have another encode().
template <class Q>
inline constexpr bool rounds_when_stored = false;
template <int Bits, class Granularity, class Range>
inline constexpr bool rounds_when_stored<symmetric<Bits, nearest, Granularity, Range>> = true;

/// No quantization: 32-bit floats, the baseline.
struct real {
    static constexpr int bits = 32;
    static constexpr bool linear = false;
    using rounding = nearest;
    using granularity = per_tensor;

    static grid fit(interval, code_limits) { return {1.0f, 1.0f}; }
    static auto encode(auto x, grid, auto) { return x; }
    static auto decode(auto q, grid) { return q; }
};

/// A quantizer: see the head of this file.
template <class Q>
concept quantizer = requires(interval r, code_limits l, simd::f32x16<arch::generic> x) {
    Q::fit(r, l);
    Q::encode(x, Q::fit(r, l), x);
    { Q::decode(x, Q::fit(r, l)) } -> std::convertible_to<simd::f32x16<arch::generic>>;
};

// ---- what a rule leaves unsaid ----

/// What the library knows of a quantizer; members that it does not define have the defaults: 8 bits, per tensor, the
/// whole range, not linear, and a rounding that is given random numbers.
template <class Q>
struct quantizer_traits {
private:
    static constexpr int bits_of() {
        if constexpr (requires { Q::bits; }) return Q::bits;
        else return 8;
    }
    static constexpr bool linear_of() {
        if constexpr (requires { Q::linear; }) return Q::linear;
        else return false;
    }
    static constexpr bool draws_of() {
        if constexpr (requires { Q::rounding::draws; }) return Q::rounding::draws;
        else return true;
    }
    static constexpr bool stratifies_of() {
        if constexpr (requires { Q::rounding::stratifies; }) return Q::rounding::stratifies;
        else return false;
    }
    static constexpr const char* rounding_name_of() {
        if constexpr (requires { Q::rounding::name; }) return Q::rounding::name;
        else return "own rounding";
    }
    static constexpr bool scales_blocks_of() {
        if constexpr (requires { Q::scales_blocks; }) return Q::scales_blocks;
        else return false;
    }
    static constexpr int copies_of() {
        if constexpr (requires { Q::copies; }) return Q::copies;
        else return 1;
    }
    static auto range_of() {
        if constexpr (requires { typename Q::range; }) return std::type_identity<typename Q::range>{};
        else return std::type_identity<full_range>{};
    }
    static auto granularity_of() {
        if constexpr (requires { typename Q::granularity; }) return typename Q::granularity{};
        else return per_tensor{};
    }

public:
    static constexpr int bits = bits_of();
    static constexpr bool linear = linear_of(), draws = draws_of(), is_real = std::same_as<Q, real>;
    static constexpr const char* rounding_name = rounding_name_of();
    /// Whether neighbouring pixels share random numbers (rounding.hpp).
    static constexpr bool stratifies = stratifies_of();
    using granularity = decltype(granularity_of());
    using grid_type = decltype(Q::fit(interval{}, code_limits{}));
    using range = typename decltype(range_of())::type;
    /// Whether each 16 channels have a scale of their own that multiplies their integers (block_scaled.hpp).
    static constexpr bool scales_blocks = scales_blocks_of();
    /// Whether codes are not the integers that products multiply.
    static constexpr bool has_integers =
        scales_blocks || (linear && requires(simd::f32x16<arch::generic> q, grid_type g) { Q::integer(q, g); });

    /// The least and greatest code of a tensor that can, or cannot, be negative.
    static constexpr code_limits limits(bool is_signed) {
        if constexpr (requires { Q::limits(is_signed); }) return Q::limits(is_signed);
        else return limits_of(bits, is_signed);
    }
    /// That of a block of scale 1, where blocks have scales.
    static auto integer(auto q, const auto& g) {
        if constexpr (linear && requires { Q::integer(q, g); }) return Q::integer(q, g);
        else return q;
    }
    /// The largest magnitude of an integer, and the bytes that products take it in: above a byte, two signed ones.
    static constexpr int greatest_integer(bool is_signed) {
        if constexpr (has_integers && requires { Q::greatest_integer(is_signed); })
            return Q::greatest_integer(is_signed);
        else if constexpr (has_integers) return is_signed ? 127 : 255;
        else return limits(is_signed).high;
    }
    /// The same with negative integers and scales of blocks included: nothing that products multiply is larger.
    static constexpr int greatest_magnitude(bool is_signed) {
        if constexpr (scales_blocks) return 127;
        else if constexpr (has_integers) return greatest_integer(is_signed);
        else return std::max(greatest_integer(is_signed), -static_cast<int>(limits(is_signed).low));
    }
    static constexpr int integer_bytes(bool is_signed) {
        return linear && greatest_integer(is_signed) > (is_signed ? 127 : 255) ? 2 : 1;
    }
    /// Bits that a code takes in memory, and whether it is stored with a sign.
    static constexpr int stored_bits = bits < 2 ? 2 : bits;
    static constexpr bool stored_signed(bool is_signed) { return limits(is_signed).low < 0; }

private:
    static constexpr bool fits(code_limits l) {
        const int negative = l.low < 0; // one bit less
        return l.low >= -negative * (1 << (stored_bits - 1)) && l.high < 1 << (stored_bits - negative);
    }

public:
    /// How many independent roundings of a gradient a weight gradient is averaged over (mean_of.hpp).
    static constexpr int copies = copies_of();

    static_assert(is_real || (bits >= 1 && bits <= 16), "fqt: a quantizer's bits are 1 to 16");
    static_assert(
        is_real || (fits(limits(true)) && fits(limits(false))),
        "fqt: a quantizer's limits are codes that its bits cannot hold; give it more bits, or let limits(true) "
        "lie within [-2^(bits - 1), 2^(bits - 1) - 1] and limits(false) within [0, 2^bits - 1]");
    static_assert(!linear
                      || (greatest_integer(true) <= greatest_of_two_bytes
                          && greatest_integer(false) <= greatest_of_two_bytes),
                  "fqt: a linear quantizer's integers are beyond 32639, the most of two signed bytes");
    static_assert(
        !linear || requires(grid_type g) { g.step; },
        "fqt: a quantizer says linear = true, and its grid has no step; let fit return fqt::grid");
    static_assert(range_rule<range>, "fqt: a quantizer's range is not a range rule");
};

template <class Q>
inline constexpr bool is_linear = quantizer_traits<Q>::linear;
template <class Q>
inline constexpr bool is_real = quantizer_traits<Q>::is_real;
template <class Q>
inline constexpr int bits_of = quantizer_traits<Q>::bits;
template <class Q, class Granularity>
inline constexpr bool has_granularity = std::same_as<typename quantizer_traits<Q>::granularity, Granularity>;

/// Whether Q's range rule is for tensors that cannot be negative.
template <class Q>
inline constexpr bool takes_no_negatives = [] {
    using range = typename quantizer_traits<Q>::range;
    if constexpr (requires { range::nonnegative; }) return bool{range::nonnegative};
    else return false;
}();
/// Whether Q transforms weights before it quantizes them (tanh_weights.hpp).
template <class Q>
inline constexpr bool transforms_weights = requires(float w) {
    Q::transform(w, w);
};

} // namespace fqt
