// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/quant/minifloat.hpp>
#include <fqt/train/check.hpp>

#include <doctest/doctest.h>

#include "support/check_result.hpp"
#include "support/grids.hpp"
#include <cmath>
#include <cstdint>
#include <vector>

namespace {

using grids::fitted, grids::least, grids::greatest;

// ---- the formats, from their standards, in double ----

/// The value of a bit pattern with 1 sign bit, E exponent and M mantissa bits and bias 2^(E-1) - 1, E > 1.
double standard_value(int E, int M, int pattern) {
    const int exponent = pattern >> M & ((1 << E) - 1), mantissa = pattern & ((1 << M) - 1);
    const int bias = (1 << (E - 1)) - 1;
    const double fraction = std::ldexp(mantissa, -M);
    const double y = exponent == 0 ? std::ldexp(fraction, 1 - bias) : std::ldexp(1 + fraction, exponent - bias);
    return pattern >> (E + M) & 1 ? -y : y;
}
/// Whether it stands for a number.
bool is_number(int E, int M, int pattern) {
    if (E == 4 && M == 3) return (pattern & 0x7f) != 0x7f;
    if (E == 5 && M == 2) return (pattern & 0x7c) != 0x7c;
    return true;
}

/// The magnitude of the format nearest to y: by search, of two as near the one with an even pattern.
double nearest_standard(const std::vector<double>& magnitudes, double y) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < magnitudes.size(); ++i) {
        const double a = std::abs(magnitudes[i] - y), b = std::abs(magnitudes[best] - y);
        if (a < b || (a == b && i % 2 == 0)) best = i;
    }
    return magnitudes[best];
}
std::vector<double> standard_magnitudes(int E, int M) {
    std::vector<double> magnitudes;
    for (int p = 0; p < 1 << (E + M); ++p)
        if (is_number(E, M, p)) magnitudes.push_back(standard_value(E, M, p));
    return magnitudes;
}

/// A format without any scale: value 1 is 1.
template <int E, int M, class R = fqt::nearest>
using plain =
    fqt::minifloat<E, M, R, fqt::per_tensor, fqt::unmeasured, fqt::fixed_scale<fqt::minifloat<E, M>::log2_least>>;

template <class F>
void for_every_format(F&& f) {
    f.template operator()<4, 3>();
    f.template operator()<5, 2>();
    f.template operator()<2, 1>();
    f.template operator()<2, 3>();
    f.template operator()<3, 2>();
    f.template operator()<3, 0>();
    f.template operator()<2, 0>();
    f.template operator()<2, 5>();
}

constexpr float scales[] = {1.0f, 3.7f, 0x1p-60f, 6.1e4f, 1e30f};
constexpr fqt::interval both_ways(float m) { return {-m, m}; }

} // namespace

static_assert(fqt::quantizer<fqt::e4m3<>> && fqt::quantizer<fqt::e5m2<fqt::stochastic>> && fqt::quantizer<fqt::luq<2>>);
static_assert(fqt::bits_of<fqt::e4m3<>> == 8 && fqt::bits_of<fqt::fp4<>> == 4 && fqt::bits_of<fqt::luq<3>> == 3);
static_assert(fqt::is_linear<fqt::fp4<>> && fqt::is_linear<fqt::luq<4>> && fqt::is_linear<fqt::minifloat<2, 3>>);
static_assert(!fqt::is_linear<fqt::e4m3<>> && !fqt::is_linear<fqt::luq<6>>);
static_assert(fqt::quantizer_traits<fqt::minifloat<3, 2>>::integer_bytes(true) == 2
              && fqt::quantizer_traits<fqt::luq<5>>::integer_bytes(true) == 2
              && fqt::quantizer_traits<fqt::luq<4>>::integer_bytes(true) == 1);
static_assert(fqt::quantizer_traits<fqt::e4m3<>>::limits(true) == fqt::code_limits{-126, 126});
static_assert(fqt::quantizer_traits<fqt::e5m2<>>::limits(false) == fqt::code_limits{0, 123});
static_assert(fqt::quantizer_traits<fqt::luq<2>>::limits(true) == fqt::code_limits{-1, 1});

TEST_CASE("every bit pattern of every format has the value of the standard") {
    for_every_format([]<int E, int M>() {
        using format = plain<E, M>;
        const fitted<format> q({-1, 1});
        int numbers = 0;
        for (int p = 0; p < 1 << (1 + E + M); ++p) {
            if (!is_number(E, M, p)) continue;
            ++numbers;
            const int code = format::from_bits(static_cast<std::uint8_t>(p));
            CHECK((code >= q.limits.low && code <= q.limits.high));
            CHECK(double{q.value(static_cast<float>(code))} == standard_value(E, M, p));
            if (code != 0) CHECK(format::to_bits(code) == p);
        }
        CHECK(numbers == q.limits.high - q.limits.low + 2); // zero has two patterns
    });
    CHECK(standard_magnitudes(4, 3).back() == 448);
    CHECK(standard_magnitudes(5, 2).back() == 57344);
    CHECK(standard_magnitudes(2, 1) == std::vector<double>{0, 0.5, 1, 1.5, 2, 3, 4, 6});
    CHECK(standard_magnitudes(2, 3).back() == 7.5);
    CHECK(standard_magnitudes(3, 2).back() == 28);
}

TEST_CASE("rounding to the nearest is that of the standard, ties to even, saturating") {
    for_every_format([]<int E, int M>() {
        const fitted<plain<E, M>> q({-1, 1});
        const std::vector<double> magnitudes = standard_magnitudes(E, M);
        std::vector<float> values = grids::telling_values(static_cast<float>(magnitudes.back()));
        for (std::size_t i = 0; i + 1 < magnitudes.size(); ++i) { // exact ties and their neighbours
            const auto tie = static_cast<float>((magnitudes[i] + magnitudes[i + 1]) / 2);
            // Without a mantissa a tie has the even significand 2 above it, whatever the pattern.
            if (M > 0 || i == 0) values.push_back(tie);
            else CHECK(double{q.value(q.code(tie))} == magnitudes[i + 1]);
            values.insert(values.end(), {std::nextafter(tie, 0.0f), std::nextafter(tie, 1e9f)});
        }
        for (const float y : values) {
            if (M == 0 && double{y} >= magnitudes[1] && std::ldexp(y, 1 - std::ilogb(y)) == 3)
                continue; // a tie, seen above
            const double expected = nearest_standard(magnitudes, std::min(double{y}, magnitudes.back()));
            CHECK(double{q.value(q.code(y))} == expected);
            CHECK(double{q.value(q.code(-y))} == -expected);
        }
    });
}

TEST_CASE("codes are within the limits, whole and the same on every instruction set, for any value and rounding") {
    for_every_format([]<int E, int M>() {
        for (const float m : {0.0f, 0x1p-149f, 0x1p-120f, 1.0f, 3.7f, 1e30f, std::numeric_limits<float>::max()}) {
            for (const fqt::interval range : {fqt::interval{-m, m}, {0, m}, {-m, m / 7}}) {
                CHECK(grids::codes_are_sound<fqt::minifloat<E, M>>(range));
                CHECK(grids::codes_are_sound<fqt::minifloat<E, M, fqt::stochastic>>(range));
                CHECK(grids::codes_are_sound<fqt::minifloat<E, M, fqt::toward_zero>>(range));
                CHECK(grids::codes_are_sound<fqt::minifloat<E, M, fqt::downward>>(range));
                CHECK(grids::codes_are_sound<
                      fqt::minifloat<E, M, fqt::nearest, fqt::per_tensor, fqt::full_range, fqt::covering_power>>(
                    range));
            }
        }
    });
}

TEST_CASE("what a code stands for keeps its code, with every rounding and uniform number") {
    for_every_format([]<int E, int M>() {
        for (const float m : scales)
            for (const fqt::interval range : {fqt::interval{-m, m}, {0, m}}) {
                // Two last places of the greatest significands show with more than four bits of mantissa.
                if (M <= 3) CHECK(grids::points_stay<fqt::minifloat<E, M, fqt::stochastic>>(range));
                else CHECK(grids::points_stay<fqt::minifloat<E, M, fqt::stochastic>>(range, {0x1p-12f, 1 - 0x1p-12f}));
                CHECK(grids::points_stay<fqt::minifloat<E, M>>(range));
                CHECK(grids::points_stay<fqt::minifloat<E, M, fqt::toward_zero>>(range));
                CHECK(grids::points_stay<fqt::minifloat<E, M, fqt::downward>>(range));
            }
    });
}

TEST_CASE("the greatest code stands for the largest magnitude to the last place, or less than twice it with powers") {
    for_every_format([]<int E, int M>() {
        for (const float m : scales) {
            const fitted<fqt::minifloat<E, M>> q(both_ways(m));
            CHECK(q.value(static_cast<float>(q.limits.high)) == doctest::Approx(m).epsilon(1e-7));
            const fitted<fqt::minifloat<E, M, fqt::nearest, fqt::per_tensor, fqt::full_range, fqt::covering_power>> p(
                both_ways(m));
            const float top = p.value(static_cast<float>(p.limits.high));
            CHECK((top >= m && top < 2 * m));
            CHECK(std::exp2(std::nearbyint(std::log2(p.grid.step))) == p.grid.step);
        }
    });
}

TEST_CASE("the shared exponent of the MX formats is the exponent of the block less that of the format") {
    const auto step_of = []<class Format>(Format, float m) { return fitted<Format>(both_ways(m)).grid.step; };
    using namespace fqt;
    for (const float m : {1.0f, 1.99f, 2.0f, 3.7f, 6.0f, 7.9f, 1e-20f}) {
        const double exponent = std::floor(std::log2(double{m}));
        CHECK(double{step_of(fp4<nearest, per_tensor, full_range, shared_exponent>{}, m)}
              == std::exp2(exponent - 2) * 0.5);
        CHECK(double{step_of(e4m3<nearest, per_tensor, full_range, shared_exponent>{}, m)}
              == std::exp2(exponent - 8 - 9));
    }
    CHECK(double{step_of(e5m2<nearest, per_tensor, full_range, shared_exponent>{}, 5.0f)} == std::exp2(2.0 - 15 - 16));
    // 7.9 saturates at 6 (shared exponent 0), as the standard says.
    const fitted<fp4<nearest, per_tensor, full_range, shared_exponent>> q(both_ways(7.9f));
    CHECK(q.value(q.code(7.9f)) == 6);
}

TEST_CASE("grids with at most 32639 steps are integers times the step") {
    for (const float m : scales) {
        CHECK(grids::is_linear_as_it_says<fqt::fp4<>>(both_ways(m)));
        CHECK(grids::is_linear_as_it_says<fqt::minifloat<2, 3>>(both_ways(m)));
        CHECK(grids::is_linear_as_it_says<fqt::luq<4>>(both_ways(m)));
        CHECK(grids::is_linear_as_it_says<fqt::luq<2>>({0, m}));
        CHECK(grids::is_linear_as_it_says<fqt::luq<5>>(both_ways(m)));
        CHECK(grids::is_linear_as_it_says<fqt::minifloat<3, 2>>(both_ways(m)));
    }
    const auto integers = []<class Q>(Q) {
        std::vector<double> all;
        const fitted<Q> q({0, 1});
        for (int c = 0; c <= q.limits.high; ++c) all.push_back(double{q.integer(static_cast<float>(c))});
        return all;
    };
    CHECK(integers(fqt::fp4<>{}) == std::vector<double>{0, 1, 2, 3, 4, 6, 8, 12});
    CHECK(integers(fqt::luq<2>{}) == std::vector<double>{0, 1});
    CHECK(integers(fqt::luq<3>{}) == std::vector<double>{0, 1, 2, 4});
    CHECK(integers(fqt::luq<4>{}) == std::vector<double>{0, 1, 2, 4, 8, 16, 32, 64});
}

TEST_CASE("stochastic rounding is unbiased between any two neighbours, with the variance of a coin") {
    for_every_format([]<int E, int M>() {
        const fitted<plain<E, M, fqt::stochastic>> q({-1, 1});
        const std::vector<double> magnitudes = standard_magnitudes(E, M);
        for (std::size_t i = 0; i + 1 < magnitudes.size(); i += 1 + magnitudes.size() / 9) {
            const double low = magnitudes[i], gap = magnitudes[i + 1] - low;
            for (const double fraction : {0x1p-16, 1.0 / 3, 0.5, 1 - 0x1p-16}) {
                const auto x = static_cast<float>(low + gap * fraction);
                const double f = (double{x} - low) / gap;
                for (const float sign : {1.0f, -1.0f}) {
                    const auto m = q.over_uniforms(sign * x);
                    CHECK(std::abs(m.mean - double{sign * x}) <= gap * 0x1p-17);
                    CHECK(std::abs(m.variance - gap * gap * f * (1 - f)) <= gap * gap * 0x1p-16);
                }
            }
        }
    });
}

TEST_CASE("LUQ rounds as its paper says: below alpha to alpha or 0, above to one of two powers") {
    const fitted<fqt::luq<4>> q({-64, 64}); // alpha = 1
    for (const float x : {0.001f, 0.3f, 0.75f, 1.2f, 1.9f, 3.0f, 5.0f, 20.0f, 63.0f}) {
        double low = 0, high = 1;
        while (high < double{x}) low = high, high *= 2;
        const double up = (double{x} - low) / (high - low);
        for (const double u : {0.01, 0.2, 0.45, 0.55, 0.9, 0.99}) {
            const double expected = u < up ? high : low;
            CHECK(double{q.value(q.code(x, static_cast<float>(u)))} == expected);
            CHECK(double{q.value(q.code(-x, static_cast<float>(u)))} == -expected);
        }
    }
}

TEST_CASE("a tensor of zeros, or one too small for a step, has codes and values of zero") {
    for (const float m : {0.0f, 0x1p-149f, 0x1p-126f})
        for (const float u : {least, greatest}) {
            const fitted<fqt::e5m2<fqt::stochastic>> q(both_ways(m));
            CHECK(q.code(m, u) == 0);
            CHECK(q.code(-m, u) == 0);
            CHECK(q.value(0) == 0);
        }
}

TEST_CASE("logarithms of two are exact, and WAGE's shift is the nearest power") {
    using namespace fqt;
    for (int e = -149; e <= 127; ++e) {
        const float p = power_of_two_of(e);
        CHECK(double{p} == std::ldexp(1.0, e));
        CHECK((floor_log2(double{p}) == e && ceil_log2(double{p}) == e && round_log2(double{p}) == e));
        if (e < -125) continue;
        const float above = std::nextafter(p, std::numeric_limits<float>::infinity()), below = std::nextafter(p, 0.0f);
        CHECK((floor_log2(double{above}) == e && ceil_log2(double{above}) == e + 1));
        CHECK((floor_log2(double{below}) == e - 1 && ceil_log2(double{below}) == e));
    }
    CHECK(round_log2(double{0x1.6a09e6p0f}) == 0); // the last float below the square root of two
    CHECK(round_log2(double{0x1.6a09e8p0f}) == 1);
    CHECK(nearest_power::step(1.4f, 127.0f) == 0x1p-7f);
    CHECK(nearest_power::step(1.5f, 127.0f) == 0x1p-6f);
    CHECK(covering_power::step(127.0f, 127.0f) == 1);
    CHECK(covering_power::step(std::nextafter(127.0f, 128.0f), 127.0f) == 2);
}

TEST_CASE("the library's own check accepts floating-point grids") {
    using namespace fqt;
    CHECK(support::found_nothing(check_quantizer<e4m3<>>()));
    CHECK(support::found_nothing(check_quantizer<e4m3<stochastic>>()));
    CHECK(support::found_nothing(check_quantizer<e5m2<stochastic>>()));
    CHECK(support::found_nothing(check_quantizer<fp4<>>()));
    CHECK(support::found_nothing(check_quantizer<fp4<stochastic>>()));
    CHECK(support::found_nothing(check_quantizer<minifloat<2, 3, toward_zero>>()));
    CHECK(support::found_nothing(check_quantizer<luq<2>>()));
    CHECK(support::found_nothing(check_quantizer<luq<4>>()));
    CHECK(support::found_nothing(check_quantizer<fp4<nearest, per_tensor, full_range, shared_exponent>>()));
    CHECK(support::found_nothing(check_quantizer<e4m3<nearest, per_tensor, full_range, covering_power>>()));
}
