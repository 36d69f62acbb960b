// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/quant/power_of_two.hpp>
#include <fqt/train/check.hpp>

#include <doctest/doctest.h>

#include "support/check_result.hpp"
#include "support/grids.hpp"
#include <algorithm>
#include <cmath>
#include <vector>

namespace {

using namespace fqt;
using grids::fitted;

constexpr float scales[] = {1.0f, 1.4f, 1.5f, 3.7f, 127.0f, 128.0f, 0x1p-60f, 1.1e30f};

template <int Bits, class R = nearest>
using covering = power_of_two<Bits, R>;
template <int Bits, class R = nearest>
using wage = power_of_two<Bits, R, per_tensor, full_range, nearest_power>;

double to_nearest(double x) { return std::nearbyint(x); }

} // namespace

static_assert(quantizer<covering<8>> && is_linear<covering<8>> && quantizer<fixed_step<8>> && quantizer<flag_grid<8>>);
static_assert(quantizer_traits<flag_grid<5>>::integer_bytes(true) == 1
              && quantizer_traits<flag_grid<6>>::integer_bytes(true) == 2);
static_assert(range_traits<fixed_step<8>::range>::needs == measures::nothing);
static_assert(quantizer_traits<flag_grid<8>>::limits(true) == code_limits{-126, 126});

TEST_CASE("the covering power is the least that clips nothing") {
    const auto check = []<class Q>(Q) {
        for (const float m : scales)
            for (const interval range : {interval{-m, m}, {0, m}}) {
                const fitted<Q> q(range);
                const double step = double{q.grid.step}, top = q.limits.high;
                CHECK(std::exp2(to_nearest(std::log2(step))) == step);
                CHECK(step * top >= double{m});
                CHECK(step / 2 * top < double{m});
            }
    };
    check(covering<8>{});
    check(covering<4>{});
    check(covering<2>{});
}

TEST_CASE("WAGE's grid is Q(C(x / Shift(max), k), k) times the shift") {
    for (const float m : scales) {
        const fitted<wage<8>> q({-m, m});
        const double shift = std::exp2(std::round(std::log2(double{m})));
        CHECK(double{q.grid.step} == shift / 128);
        for (const float x : grids::telling_values(m)) {
            const double clipped = std::min(double{x} / shift, 1 - 1.0 / 128);
            const double expected = to_nearest(clipped * 128) / 128 * shift;
            CHECK(double{q.value(q.code(x))} == expected);
            CHECK(double{q.value(q.code(-x))} == -expected);
        }
    }
}

TEST_CASE("a fixed step is the same for every tensor") {
    for (const float m : {1e-30f, 1.0f, 1e30f}) {
        const fitted<fixed_step<8>> q({-m, m});
        CHECK(q.grid.step == 0x1p-7f);
        CHECK(q.value(q.code(0.3f)) == std::nearbyint(0.3f * 128) / 128);
        CHECK(q.value(q.code(5)) == 127.0f / 128);
    }
    CHECK(fitted<fixed_step<2>>({-1, 1}).value(1) == 0.5f); // WAGE's ternary weights
    CHECK(fitted<fixed_step<4, nearest, 3>>({-1, 1}).value(-7) == -56);
}

TEST_CASE("the flag grid has WAGEUBN's two ranges: multiples of s above it, of s / K below") {
    const auto check = []<class Q>(Q) {
        constexpr double K = Q::fine;
        for (const float m : scales) {
            const fitted<Q> q({-m, m});
            const double s = std::exp2(std::round(std::log2(double{m}))) / K;
            for (const float x : grids::telling_values(m)) {
                const double y = double{x} / s;
                const double expected = y >= 1 ? s * std::min(to_nearest(y), K - 1) : to_nearest(y * K) / K * s;
                CHECK(double{q.value(q.code(x))} == expected);
                CHECK(double{q.value(q.code(-x))} == -expected);
            }
        }
    };
    check(flag_grid<8>{});
    check(flag_grid<5>{});
    check(flag_grid<4>{});
    const fitted<flag_grid<4>> q({0, 1});
    std::vector<double> integers;
    for (int c = 0; c <= q.limits.high; ++c) integers.push_back(double{q.integer(static_cast<float>(c))});
    CHECK(integers == std::vector<double>{0, 1, 2, 3, 4, 8, 12});
}

TEST_CASE("codes are sound, points stay whatever the rounding, and linear grids are as they say") {
    const auto all = []<class Q>(Q) {
        for (const float m : {0.0f, 0x1p-149f, 0x1p-126f, 0x1p-100f, 1.0f, 3.7f, 1e30f, 3.4e38f})
            for (const interval range : {interval{-m, m}, {0, m}, {-m, m / 3}}) {
                CHECK(grids::codes_are_sound<Q>(range));
                if (m < 1e-35f) continue;
                CHECK(grids::points_stay<Q>(range));
                CHECK(grids::is_linear_as_it_says<Q>(range));
            }
    };
    const auto with = [&]<class R>(R) {
        all(covering<8, R>{});
        all(covering<4, R>{});
        all(wage<8, R>{});
        all(power_of_two<8, R, per_tensor, full_range, shared_exponent>{});
        all(fixed_step<8, R>{});
        all(flag_grid<8, R>{});
        all(flag_grid<4, R>{});
    };
    with(nearest{});
    with(stochastic{});
    with(toward_zero{});
    with(downward{});
}

TEST_CASE("stochastic rounding is unbiased on both parts of a flag grid, with the variance of a coin") {
    const fitted<flag_grid<6, stochastic>> q({-256, 256}); // K = 16: fine steps of 1, coarse ones of 16 to 240
    CHECK(q.grid.step == 1);
    for (const float x : {0.25f, 7.5f, 15.75f, 16.0f, 17.0f, 100.0f, 239.0f, -3.3f, -77.0f}) {
        const double gap = std::abs(x) < 16 ? 1 : 16,
                     f = std::abs(double{x}) / gap - std::floor(std::abs(double{x}) / gap);
        const auto m = q.over_uniforms(x);
        CHECK(std::abs(m.mean - double{x}) <= gap * 0x1p-17);
        CHECK(std::abs(m.variance - gap * gap * f * (1 - f)) <= gap * gap * 0x1p-16);
    }
}

TEST_CASE("MXINT8 has the shared exponent and 6 bits after it") {
    const fitted<power_of_two<8, nearest, per_tensor, full_range, shared_exponent>> q({-5, 5});
    CHECK(q.grid.step == 4.0f / 64);
}

TEST_CASE("the library's own check accepts them") {
    CHECK(support::found_nothing(check_quantizer<covering<8>>()));
    CHECK(support::found_nothing(check_quantizer<covering<4, stochastic>>()));
    CHECK(support::found_nothing(check_quantizer<wage<8>>()));
    CHECK(support::found_nothing(check_quantizer<fixed_step<8>>()));
    CHECK(support::found_nothing(check_quantizer<fixed_step<4, stochastic>>()));
    CHECK(support::found_nothing(check_quantizer<flag_grid<8>>()));
    CHECK(support::found_nothing(check_quantizer<flag_grid<5, stochastic>>()));
}
