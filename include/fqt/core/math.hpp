#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// exp, log, cos and tanh with the same bits everywhere, for losses, schedules and pictures. libm's differ between
// versions, so these use + - * /, fma and rint alone, in one order. They work in double and round once, at the end, to
// float.

#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace fqt::math {

inline constexpr double pi = 0x1.921fb54442d18p+1;

namespace detail {

/// c[0] + c[1] x + c[2] x^2 + ..., by Horner's rule with fma.
template <std::size_t N>
double horner(double x, const double (&c)[N]) {
    double sum = c[N - 1];
    for (std::size_t i = N - 1; i-- > 0;) sum = std::fma(sum, x, c[i]);
    return sum;
}

/// 2^k for -1022 <= k <= 1023.
inline double power_of_two(std::int64_t k) { return std::bit_cast<double>(static_cast<std::uint64_t>(k + 1023) << 52); }

/// e^x for -104 <= x <= 89, before it is rounded. x = k ln 2 + r with |r| <= 0.35; the Taylor series to r^9 leaves a
/// relative error of 1e-11.
inline double wide_exp(float x) {
    const double wide = static_cast<double>(x), k = std::rint(wide * 0x1.71547652b82fep+0);
    const double r = std::fma(-k, 0x1.62e42fefa39efp-1, wide);
    static constexpr double series[] = {1.0,       1.0,       1.0 / 2,    1.0 / 6,     1.0 / 24,
                                        1.0 / 120, 1.0 / 720, 1.0 / 5040, 1.0 / 40320, 1.0 / 362880};
    return horner(r, series) * power_of_two(static_cast<std::int64_t>(k));
}

} // namespace detail

/// e^x. Error below 0.501 ulp (units in the last place), subnormal results included; exp(0) is exactly 1.
/// Below -104: 0. Above 88.72283: infinity. NaN stays NaN.
inline float exp(float x) {
    if (x != x) return x;
    if (x < -104.0f) return 0.0f;
    if (x > 88.72283172607422f) return std::numeric_limits<float>::infinity();
    return static_cast<float>(detail::wide_exp(x));
}

/// Natural logarithm. Error below 0.501 ulp, subnormal arguments included; log(1) is exactly 0.
/// log(0) is -infinity, log(infinity) is infinity, a negative argument or NaN gives NaN.
inline float log(float x) {
    if (!(x >= 0.0f)) return std::numeric_limits<float>::quiet_NaN();
    if (x == 0.0f) return -std::numeric_limits<float>::infinity();
    if (x > std::numeric_limits<float>::max()) return x;
    // x = 2^e m with 0.7 <= m < 1.42, so that e = 0 around 1 and nothing cancels there. A subnormal float is a normal
    // double, so its exponent can be read like any other.
    const auto bits = std::bit_cast<std::uint64_t>(static_cast<double>(x));
    const std::uint64_t shifted = bits - 0x3fe6a09e667f3bcdu; // the bits of sqrt(1/2)
    const auto e = static_cast<double>(static_cast<std::int64_t>(shifted) >> 52);
    const double m = std::bit_cast<double>((shifted & 0xfffffffffffffu) + 0x3fe6a09e667f3bcdu);
    // log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| <= 0.172; the series to s^13 leaves a relative error of 2e-12.
    const double s = (m - 1.0) / (m + 1.0), square = s * s;
    static constexpr double series[] = {2.0, 2.0 / 3, 2.0 / 5, 2.0 / 7, 2.0 / 9, 2.0 / 11, 2.0 / 13};
    const double logarithm = s * detail::horner(square, series);
    return static_cast<float>(std::fma(e, 0x1.62e42fefa39efp-1, logarithm));
}

/// Cosine of x radians, |x| <= 2^30. Error below 0.501 ulp; cos(0) is exactly 1.
/// Beyond 2^30, where neighbouring floats are several turns apart, and for NaN: NaN.
inline float cos(float x) {
    if (!(x >= -0x1p30f && x <= 0x1p30f)) return std::numeric_limits<float>::quiet_NaN();
    // x = k pi/2 + r with |r| < 0.79. The first fma is exact: x and k times a 53-bit constant are multiples of 2^-52,
    // and so is their small difference. The second adds the next 53 bits of pi/2.
    const double wide = static_cast<double>(x), k = std::rint(wide * 0x1.45f306dc9c883p-1);
    double r = std::fma(-k, 0x1.921fb54442d18p+0, wide);
    r = std::fma(-k, 0x1.1a62633145c07p-54, r);
    const double square = r * r;
    static constexpr double cosine[] = {1.0,         -1.0 / 2,       1.0 / 24,       -1.0 / 720,
                                        1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600};
    static constexpr double sine[] = {1.0, -1.0 / 6, 1.0 / 120, -1.0 / 5040, 1.0 / 362880, -1.0 / 39916800};
    const auto quarter = static_cast<std::uint64_t>(static_cast<std::int64_t>(k)) & 3u;
    const double value = quarter & 1u ? r * detail::horner(square, sine) : detail::horner(square, cosine);
    return static_cast<float>(quarter == 1 || quarter == 2 ? -value : value);
}

/// Hyperbolic tangent. Error below 0.501 ulp; tanh(0) is 0, of infinity 1. NaN stays NaN.
inline float tanh(float x) {
    if (x != x) return x;
    const double wide = static_cast<double>(x), square = wide * wide;
    if (square < 0.0625) { // the series to x^13 leaves a relative error of 1e-12
        static constexpr double series[] = {1.0,         -1.0 / 3,         2.0 / 15,         -17.0 / 315,
                                            62.0 / 2835, -1382.0 / 155925, 21844.0 / 6081075};
        return static_cast<float>(wide * detail::horner(square, series));
    }
    const double e = std::abs(x) > 20 ? 0.0 : detail::wide_exp(-2 * std::abs(x));
    return static_cast<float>(std::copysign((1 - e) / (1 + e), wide));
}

} // namespace fqt::math
