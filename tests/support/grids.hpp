#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A quantizer's codes and values as the library stores and reads them, one at a time, on every instruction set.

#include <fqt/core/random.hpp>
#include <fqt/quant/quantizer.hpp>
#include <fqt/simd/lanes.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace grids {

template <class Arch>
using f32 = fqt::simd::f32x16<Arch>;

/// The least and the greatest uniform number.
inline const float least = fqt::uniform16(0), greatest = fqt::uniform16(65535);

/// A quantizer fitted to a range.
template <class Q>
struct fitted {
    fqt::code_limits limits;
    typename fqt::quantizer_traits<Q>::grid_type grid;

    explicit fitted(fqt::interval range)
        : limits(fqt::quantizer_traits<Q>::limits(range.low < 0)), grid(Q::fit(range, limits)) {}

    template <class Arch>
    f32<Arch> codes(f32<Arch> x, f32<Arch> u) const {
        const f32<Arch> q = Q::encode(x, grid, u);
        return min(max(q, f32<Arch>(static_cast<float>(limits.low))), f32<Arch>(static_cast<float>(limits.high)));
    }
    template <class Arch = fqt::arch::generic>
    float code(float x, float u = 0.5f) const {
        return codes<Arch>(f32<Arch>(x), f32<Arch>(u)).lane(0);
    }
    template <class Arch = fqt::arch::generic>
    float value(float q) const {
        return f32<Arch>(Q::decode(f32<Arch>(q), grid)).lane(0);
    }
    float integer(float q) const {
        return f32<fqt::arch::generic>(fqt::quantizer_traits<Q>::integer(f32<fqt::arch::generic>(q), grid)).lane(0);
    }

    struct moments {
        double mean, variance;
    };
    /// Mean and variance of the value of x over all 65536 uniform numbers, in double from exact values of codes.
    moments over_uniforms(float x) const {
        using best = fqt::arch::best;
        double sum = 0, square = 0;
        for (std::uint32_t k = 0; k < 65536; k += fqt::lanes) {
            float u[fqt::lanes], v[fqt::lanes];
            for (std::uint32_t i = 0; i < fqt::lanes; ++i) u[i] = fqt::uniform16(k + i);
            f32<best>(Q::decode(codes<best>(f32<best>(x), f32<best>::load(u)), grid)).store(v);
            for (const float y : v) sum += double{y} - double{x}, square += std::pow(double{y} - double{x}, 2);
        }
        const double mean = sum / 65536;
        return {double{x} + mean, square / 65536 - mean * mean};
    }
};

/// Values from 2^-149 to the greatest float, around and far outside of [-m, m].
inline std::vector<float> telling_values(float m) {
    std::vector<float> values{0.0f, 0x1p-149f, 0x1p-126f, std::numeric_limits<float>::max()};
    for (int i = 0; i <= 400; ++i) values.push_back(m * static_cast<float>(i) / 256);
    for (int e = -40; e <= 4; ++e)
        for (const float f :
             {1.0f, 1.25f, 1.5f, std::nextafter(1.5f, 2.0f), 1.625f, 1.875f, std::nextafter(2.0f, 1.0f)})
            values.push_back(std::ldexp(m * f, e));
    return values;
}

inline bool same_bits(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

/// Whether the limits are those of codes with as many bits as memory keeps, 2 to 16.
template <class Q>
constexpr bool fits_memory() {
    using traits = fqt::quantizer_traits<Q>;
    const fqt::code_limits with_sign = traits::limits(true), without = traits::limits(false);
    const int half = 1 << (traits::bits - 1);
    // A quantizer may keep all tensors unsigned.
    const bool of_signed =
        with_sign.low < 0 ? with_sign.low >= -half && with_sign.high < half : with_sign.high < 2 * half;
    return traits::bits >= 2 && traits::bits <= 16 && of_signed && without.low >= 0 && without.high < 2 * half;
}

/// Whether all codes of many values of both signs are integers within the limits, the same on every instruction set,
/// and decode to finite values there.
template <class Q>
bool codes_are_sound(fqt::interval range) {
    const fitted<Q> q(range);
    bool all = fits_memory<Q>();
    for (const float magnitude : telling_values(range.magnitude()))
        for (const float x : {magnitude, -magnitude})
            for (const float u : {least, 0.3f, 0.5f, greatest}) {
                const float raw =
                    f32<fqt::arch::generic>(Q::encode(f32<fqt::arch::generic>(x), q.grid, f32<fqt::arch::generic>(u)))
                        .lane(0);
                const float c = q.code(x, u), v = q.value(c);
                all = all && raw == raw && c == std::nearbyint(c);
                all = all && c >= static_cast<float>(q.limits.low) && c <= static_cast<float>(q.limits.high);
                all = all && same_bits(c, q.template code<fqt::arch::best>(x, u));
                all = all && same_bits(v, q.template value<fqt::arch::best>(c)) && std::isfinite(v);
            }
    return all;
}

/// Whether what every code stands for is encoded as that code, with all of these uniform numbers.
template <class Q>
bool points_stay(fqt::interval range, std::initializer_list<float> uniforms = {least, 0.5f, greatest}) {
    const fitted<Q> q(range);
    bool all = true;
    for (int c = q.limits.low; c <= q.limits.high; ++c)
        for (const float u : uniforms) all = all && q.code(q.value(static_cast<float>(c)), u) == static_cast<float>(c);
    return all;
}

/// Whether decode is the integer times the step, and integers are within what the quantizer says.
template <class Q>
bool is_linear_as_it_says(fqt::interval range) {
    const fitted<Q> q(range);
    const int most = fqt::quantizer_traits<Q>::greatest_integer(range.low < 0);
    bool all = fqt::is_linear<Q> && most <= fqt::greatest_of_two_bytes;
    for (int c = q.limits.low; c <= q.limits.high; ++c) {
        const float n = q.integer(static_cast<float>(c));
        all = all && n == std::nearbyint(n) && std::abs(n) <= static_cast<float>(most) && (n >= 0 || range.low < 0);
        all = all && same_bits(q.value(static_cast<float>(c)), f32<fqt::arch::generic>(n * q.grid.step).lane(0));
    }
    return all;
}

} // namespace grids
