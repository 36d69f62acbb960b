// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/core/floating_point.hpp>
#include <fqt/core/math.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace {

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

/// Distance from the exact value in units of the last place of a float of that size.
double ulps(float found, long double exact) {
    int exponent = 0;
    std::frexp(static_cast<double>(std::fabs(exact)), &exponent);
    const long double ulp = std::ldexp(1.0L, std::max(exponent - 24, -149));
    return static_cast<double>(std::fabs(static_cast<long double>(found) - exact) / ulp);
}

/// Calls f with about `count` floats spread evenly over the bit patterns from `from` to `to`, both of one sign.
template <class F>
double worst_of(float from, float to, int count, F&& f) {
    const auto a = std::bit_cast<std::uint32_t>(from), b = std::bit_cast<std::uint32_t>(to);
    const std::uint32_t low = std::min(a, b), high = std::max(a, b);
    const std::uint32_t stride = std::max((high - low) / static_cast<std::uint32_t>(count), 1u) | 1u;
    double worst = 0;
    for (std::uint64_t bits = low; bits <= high; bits += stride)
        worst = std::max(worst, f(std::bit_cast<float>(static_cast<std::uint32_t>(bits))));
    return worst;
}

} // namespace

TEST_CASE("tanh is within 0.501 ulp of the exact value, odd, and 1 at infinity") {
    const auto error = [](float x) { return ulps(fqt::math::tanh(x), std::tanh(static_cast<long double>(x))); };
    CHECK(worst_of(1e-30f, 30.0f, 200000, error) < 0.501);
    CHECK(worst_of(0.2f, 0.3f, 100000, error) < 0.501); // around the seam
    for (const float x : {0.0f, 1e-40f, 0.1f, 0.7f, 19.9f, 50.0f}) CHECK(fqt::math::tanh(-x) == -fqt::math::tanh(x));
    CHECK(fqt::math::tanh(infinity) == 1);
    CHECK(std::isnan(fqt::math::tanh(not_a_number)));
}

TEST_CASE("exp is within 0.501 ulp of the exact value wherever it is neither 0 nor infinite") {
    const auto error = [](float x) { return ulps(fqt::math::exp(x), std::exp(static_cast<long double>(x))); };
    CHECK(worst_of(-0x1p-40f, -103.9f, 400000, error) < 0.501);
    CHECK(worst_of(0x1p-40f, 88.72283f, 400000, error) < 0.501);
}

TEST_CASE("exp has the right value at its edges") {
    CHECK(fqt::math::exp(0.0f) == 1.0f);
    CHECK(fqt::math::exp(-0.0f) == 1.0f);
    CHECK(fqt::math::exp(1.0f) == 2.71828182845904523536f);
    CHECK(fqt::math::exp(-103.97f) == 0x1p-149f);
    CHECK(fqt::math::exp(-103.98f) == 0.0f);
    CHECK(fqt::math::exp(-1e30f) == 0.0f);
    CHECK(fqt::math::exp(-infinity) == 0.0f);
    CHECK(std::isfinite(fqt::math::exp(88.72283172607422f)));
    CHECK(fqt::math::exp(std::nextafter(88.72283172607422f, 100.0f)) == infinity);
    CHECK(fqt::math::exp(infinity) == infinity);
    CHECK(std::isnan(fqt::math::exp(not_a_number)));
}

TEST_CASE("log is within 0.501 ulp of the exact value for every positive float") {
    const auto error = [](float x) { return ulps(fqt::math::log(x), std::log(static_cast<long double>(x))); };
    CHECK(worst_of(0x1p-149f, std::numeric_limits<float>::max(), 400000, error) < 0.501);
    CHECK(worst_of(0.5f, std::nextafter(1.0f, 0.0f), 400000, error) < 0.501);
    CHECK(worst_of(std::nextafter(1.0f, 2.0f), 2.0f, 400000, error) < 0.501);
}

TEST_CASE("log has the right value at its edges") {
    CHECK(fqt::math::log(1.0f) == 0.0f);
    CHECK(fqt::math::log(0.0f) == -infinity);
    CHECK(fqt::math::log(-0.0f) == -infinity);
    CHECK(fqt::math::log(infinity) == infinity);
    CHECK(std::isnan(fqt::math::log(-1.0f)));
    CHECK(std::isnan(fqt::math::log(not_a_number)));
}

TEST_CASE("cos is within 0.501 ulp of the exact value up to 2^30 radians") {
    // long double itself must be reduced well: glibc's cosl is, up to its own last place.
    const auto error = [](float x) { return ulps(fqt::math::cos(x), std::cos(static_cast<long double>(x))); };
    CHECK(worst_of(0x1p-40f, 0x1p30f, 400000, error) < 0.501);
    CHECK(worst_of(0.5f, 8.0f, 400000, error) < 0.501);
    CHECK(worst_of(-0x1p-40f, -0x1p30f, 100000, error) < 0.501);
    CHECK(error(1.57079637050628662109375f) < 0.501); // the float closest to pi/2
}

TEST_CASE("cos has the right value at its edges") {
    CHECK(fqt::math::cos(0.0f) == 1.0f);
    CHECK(fqt::math::cos(-0.0f) == 1.0f);
    CHECK(fqt::math::cos(static_cast<float>(fqt::math::pi)) == -1.0f);
    CHECK(std::isnan(fqt::math::cos(0x1.1p30f)));
    CHECK(std::isnan(fqt::math::cos(infinity)));
    CHECK(std::isnan(fqt::math::cos(not_a_number)));
}

TEST_CASE("a product is rounded before a sum") {
    // (1 + 2^-12)^2 - 1 is 2^-11 + 2^-24; the product alone rounds its last bit away. The compiler must not know it.
    float x = 1.0f + 0x1p-12f;
    double y = 1.0 + 0x1p-27;
    asm volatile("" : "+m"(x), "+m"(y));
    CHECK(fqt::product(x, x) - 1.0f == 0x1p-11f);
    CHECK(1.0 - fqt::product(y, y) == -0x1p-26);
}

TEST_CASE("exp, log and cos have the same bits under every compiler") {
    // A running hash of results; the constants were computed once, and every build has to give them.
    const auto hash = [](auto&& f, float from, float step) {
        std::uint64_t sum = 14695981039346656037u;
        for (int i = 0; i < 20000; ++i) {
            const float x = from + static_cast<float>(i) * step; // exact: both are multiples of a power of two
            sum = (sum ^ std::bit_cast<std::uint32_t>(f(x))) * 1099511628211u;
        }
        return sum;
    };
    CHECK(hash(fqt::math::exp, -105.0f, 0x1p-7f) == 16157536593000192938u);
    CHECK(hash(fqt::math::log, 0x1p-7f, 0x1p-7f) == 5703218977229506480u);
    CHECK(hash(fqt::math::cos, -80.0f, 0x1p-7f) == 805188421889063149u);
}
