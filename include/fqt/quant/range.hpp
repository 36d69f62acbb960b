#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A range rule decides which interval a grid covers; values outside are clamped to its end. It is only the rule:
//   clip(m, limits)           from what was measured of the values that share a grid, and the codes there are
//   clip(m, limits, memory)   the same for a rule that remembers: `memory` floats, zero at first, kept between steps
//                             and in checkpoints
//   needs                     what must be measured: extremes unless given; moments and histograms cost more
// The library measures, remembers and clamps, and lets no gradient through where it clamped an activation. More rules:
// clipping.hpp. A range that the optimizer learns is a rule of another kind (learned_range.hpp):
//   learned = true            the range is a parameter c, and the grid covers [-c, c], or [0, c]
//   initial(m, limits)        what it begins with, from moments
//   slope(x, xhat, c)         d xhat / d c, in lanes, for a value x that was quantized to xhat
//   gradient_scale(n, limits) a factor of the gradient of c, for n weights or values of one sample
// A rule that says `nonnegative = true` is for tensors that cannot be negative.

#include <fqt/simd/lanes.hpp>

#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <span>

namespace fqt {

/// The least and greatest of some real numbers; low <= high.
struct interval {
    float low{}, high{};

    constexpr float magnitude() const { return std::max(-low, high); }
    constexpr interval join(interval other) const { return {std::min(low, other.low), std::max(high, other.high)}; }
};

/// The least and greatest code.
struct code_limits {
    int low{}, high{};
    friend constexpr bool operator==(code_limits, code_limits) = default;
};

/// Counts of magnitudes by their first bits: every octave has 16 bins of equal width, zeros have a bin of their own.
/// So a histogram needs no range beforehand, and counts of parts add up to those of the whole.
struct magnitude_bins {
    static constexpr int per_octave = 16, count = 256 * per_octave;

    static int of(float x) { return static_cast<int>((std::bit_cast<std::uint32_t>(x) & 0x7fffffffu) >> 19); }
    /// Where bin i begins; it ends where the next one begins.
    static float begin(int i) { return std::bit_cast<float>(static_cast<std::uint32_t>(i) << 19); }
    static float middle(int i) { return begin(i) + (begin(i + 1) - begin(i)) * 0.5f; }
};

/// What is measured of a tensor, in rising order of cost: each includes what comes before it.
enum class measures { nothing, extremes, moments, histogram };

/// What was measured of the values that share a grid.
struct measurement {
    interval range{};                           ///< least and greatest value, and 0
    double count{};                             ///< of values
    double magnitude{}, square{};               ///< sums of |x| and of x^2
    std::span<const std::uint32_t> histogram{}; ///< magnitude_bins::count counts

    double mean_magnitude() const { return count > 0 ? magnitude / count : 0; }
    double mean_square() const { return count > 0 ? square / count : 0; }
};

template <class R>
concept learned_range_rule = requires(const measurement& m, code_limits l, simd::f32x16<arch::generic> x) {
    requires R::learned;
    { R::initial(m, l) } -> std::same_as<float>;
    { R::slope(x, x, x) } -> std::convertible_to<simd::f32x16<arch::generic>>;
    { R::gradient_scale(1.0, l) } -> std::convertible_to<double>;
};
template <class R>
concept remembering_range_rule = requires(const measurement& m, code_limits l, std::span<float> memory) {
    { R::clip(m, l, memory) } -> std::same_as<interval>;
    { R::memory } -> std::convertible_to<int>;
};
template <class R>
concept range_rule = learned_range_rule<R> || remembering_range_rule<R> || requires(const measurement& m,
                                                                                    code_limits l) {
    { R::clip(m, l) } -> std::same_as<interval>;
};

/// What the library knows of a range rule; members that it does not define have the defaults.
template <range_rule R>
struct range_traits {
private:
    static constexpr measures needs_of() {
        if constexpr (requires { R::needs; }) return R::needs;
        else return measures::extremes;
    }
    static constexpr int memory_of() {
        if constexpr (requires { R::memory; }) return R::memory;
        else return 0;
    }

    static constexpr bool searches_of() {
        if constexpr (requires { R::searches_uniform_grids; }) return R::searches_uniform_grids;
        else return false;
    }
    static constexpr bool clips_of() {
        if constexpr (requires { R::clips; }) return R::clips;
        else return true;
    }

public:
    static constexpr bool learned = learned_range_rule<R>;
    static constexpr measures needs = needs_of();
    static constexpr int memory = memory_of();
    /// Whether values may lie outside: true unless the rule says `clips = false`.
    static constexpr bool clips = clips_of();
    /// Whether it tries clips on a grid of equally distant values with zero among them, so that no other grid may have
    /// it.
    static constexpr bool searches_uniform_grids = searches_of();

    static interval clip(const measurement& m, code_limits limits, std::span<float> kept) {
        if constexpr (memory > 0) return R::clip(m, limits, kept);
        else return R::clip(m, limits);
    }
};

/// For grids that are not uniform, have no zero, or are scaled by blocks.
template <class R>
constexpr bool refuse_search() {
    static_assert(!range_traits<R>::searches_uniform_grids,
                  "fqt: least_square_error and greatest_cosine search for the best clip of equally distant values with "
                  "zero among them; give them to symmetric, asymmetric or power_of_two, or take another range rule");
    return true;
}

/// A range rule: the whole range, so that nothing is clamped. Symmetric grids take its largest magnitude, affine ones
/// both ends.
struct full_range {
    static constexpr const char* name = "full range";
    static constexpr bool clips = false;
    static interval clip(const measurement& m, code_limits) { return m.range; }
};

} // namespace fqt
