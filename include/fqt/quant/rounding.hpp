#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A rounding maps lanes of real numbers to lanes of integers. It is only the rule: it is given the value in units of
// the grid's step and, if it draws, a uniform number strictly inside (0, 1); loops, random numbers and clamping are the
// library's. Rules work on lanes (simd::f32x16), whose floor, rint, abs and where are found by argument-dependent
// lookup.

#include <fqt/simd/lanes.hpp>

#include <concepts>

namespace fqt {

/// A rounding: `draws` says whether it needs random numbers, round(x, u) gives integers as floats.
template <class R>
concept rounding = requires(simd::f32x16<arch::generic> x) {
    { R::draws } -> std::convertible_to<bool>;
    { R::round(x, x) } -> std::convertible_to<simd::f32x16<arch::generic>>;
};

/// A rounding to the nearest integer, ties to even: the least squared error, biased between grid points.
struct nearest {
    static constexpr const char* name = "nearest";
    static constexpr bool draws = false;
    static auto round(auto x, auto) { return rint(x); }
};

/// A rounding to one of the two neighbours, up with a probability equal to the fraction: unbiased, E[round(x)] = x, to
/// within 2^-17. The fraction x - floor(x) is exact but just below 0, where it is rounded by 2^-25 at most.
struct stochastic {
    static constexpr const char* name = "stochastic";
    static constexpr bool draws = true;
    static auto round(auto x, auto u) {
        const auto low = floor(x);
        return low + where(x - low > u, 1.0f, 0.0f);
    }
};

/// `stochastic`, with random numbers that 8 neighbouring pixels of a channel share in part: u, u + 1/8, ..., u + 7/8,
/// modulo 1 (systematic sampling: Madow, Madow 1944). Each by itself is uniform, so every value is rounded as by
/// `stochastic`, with the same variance; but where one is rounded up, its neighbours tend to be rounded down, so less
/// noise is left in sums over pixels, of which the weight gradient is one: 9/16 where fractions are uniform and
/// independent, 1/8 where they are equal; more than of independent draws where they follow the strata (docs/theory.md).
/// Fewer random numbers, too: an eighth. For tensors with pixels, not for weights and block formats.
struct stratified : stochastic {
    static constexpr const char* name = "stratified";
    static constexpr bool unbiased = true, stratifies = true;
};

/// Whether the mean of a rounding over the uniform numbers is the value: `stochastic`, and what says `unbiased = true`.
template <class R>
inline constexpr bool is_unbiased = [] {
    if constexpr (requires { R::unbiased; }) return R::unbiased;
    else return std::same_as<R, stochastic>;
}();

namespace detail {

/// x, or the integer that it is within 2^-21 of itself of: a grid point divided by the step may land a float or two
/// beside its integer, and a rounding to one side would then lose a whole step.
auto at_grid_point(auto x) {
    const auto integer = rint(x);
    return where(abs(x - integer) <= abs(integer) * 0x1p-21f, integer, x);
}

} // namespace detail

/// A rounding that drops the fraction.
struct toward_zero {
    static constexpr const char* name = "toward_zero";
    static constexpr bool draws = false;
    static auto round(auto x, auto) {
        const auto magnitude = floor(abs(detail::at_grid_point(x)));
        return where(x < 0.0f, -magnitude, magnitude);
    }
};

/// A rounding to the integer below, what an arithmetic shift does.
struct downward {
    static constexpr const char* name = "downward";
    static constexpr bool draws = false;
    static auto round(auto x, auto) { return floor(detail::at_grid_point(x)); }
};

} // namespace fqt
