// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/quant/asymmetric.hpp>
#include <fqt/train/check.hpp>

#include <doctest/doctest.h>

#include "support/check_result.hpp"
#include "support/grids.hpp"
#include <algorithm>
#include <cmath>
#include <utility>

namespace {

using grids::fitted, grids::least, grids::greatest;

template <class R, class F>
void for_every_width(F&& f) {
    [&]<int... Bits>(std::integer_sequence<int, Bits...>) { (f(fqt::asymmetric<Bits + 2, R>{}), ...); }
    (std::make_integer_sequence<int, 7>{});
}

constexpr fqt::interval ranges[] = {{-1, 1},         {0, 1},         {-1, 0},   {-1, 0.3f}, {-1e-6f, 1},
                                    {-1, 1e-6f},     {-3.7f, 2},     {0.5f, 2}, {-3, -1},   {-0x1p-60f, 0x1p-62f},
                                    {-1e30f, 3e30f}, {-0.49f, 15.3f}};

} // namespace

static_assert(fqt::quantizer<fqt::asymmetric<4>>);
static_assert(fqt::quantizer_traits<fqt::asymmetric<7>>::integer_bytes(true) == 1
              && fqt::quantizer_traits<fqt::asymmetric<8>>::integer_bytes(true) == 2
              && fqt::quantizer_traits<fqt::asymmetric<8>>::integer_bytes(false) == 1);
static_assert(fqt::quantizer_traits<fqt::asymmetric<4>>::limits(true) == fqt::code_limits{0, 15});

TEST_CASE("zero has a code of its own, both ends are covered, and no zero point has a smaller step") {
    for_every_width<fqt::nearest>([]<class Q>(Q) {
        const double n = std::exp2(Q::bits) - 1;
        for (const fqt::interval range : ranges) {
            const fitted<Q> q(range);
            const double low = std::min(double{range.low}, 0.0), high = std::max(double{range.high}, 0.0);
            const double zero = double{q.grid.zero}, step = double{q.grid.step};
            CHECK((zero == std::nearbyint(zero) && zero >= 0 && zero <= n));
            CHECK(q.value(q.code(0.0f)) == 0);
            CHECK(double{q.code(0.0f)} == zero);
            CHECK(-zero * step <= low * (1 - 1e-7));
            CHECK((n - zero) * step >= high * (1 - 1e-7));
            for (double z = low < 0 ? 1 : 0; z <= (high > 0 ? n - 1 : n); ++z) {
                const double other = std::max(low < 0 ? -low / z : 0.0, high > 0 ? high / (n - z) : 0.0);
                CHECK(step <= other * (1 + 1e-7));
            }
        }
    });
}

TEST_CASE("codes are x / step to the nearest plus the zero point, clamped to unsigned codes") {
    for_every_width<fqt::nearest>([]<class Q>(Q) {
        const double n = std::exp2(Q::bits) - 1;
        for (const fqt::interval range : ranges) {
            const fitted<Q> q(range);
            for (int i = -300; i <= 300; ++i) {
                const float x = range.magnitude() * static_cast<float>(i) / 199;
                const double place = double{x} / double{q.grid.step};
                if (std::abs(place - std::floor(place) - 0.5) < 1e-4) continue; // a tie but for rounding
                const double expected = std::min(std::max(std::round(place) + double{q.grid.zero}, 0.0), n);
                CHECK(double{q.code(x)} == expected);
            }
        }
    });
}

TEST_CASE("codes are sound, points stay, and grids are linear as they say") {
    const auto all = []<class Q>(Q) {
        for (const fqt::interval range : ranges) {
            CHECK(grids::codes_are_sound<Q>(range));
            CHECK(grids::points_stay<Q>(range, {0x1p-12f, 0.5f, 1 - 0x1p-12f}));
            CHECK(grids::is_linear_as_it_says<Q>(range));
        }
        for (const float m : {0x1p-149f, 0x1p-126f, 0x1p-118f, 3.4e38f}) CHECK(grids::codes_are_sound<Q>({-m, m}));
    };
    for_every_width<fqt::nearest>(all);
    for_every_width<fqt::stochastic>(all);
    for_every_width<fqt::toward_zero>(all);
    for_every_width<fqt::downward>(all);
}

TEST_CASE("stochastic rounding is unbiased within the range, with the variance of a coin") {
    for_every_width<fqt::stochastic>([]<class Q>(Q) {
        const fitted<Q> q({-0.7f, 1.3f});
        const double step = double{q.grid.step};
        for (const float x : {-0.69f, -0.3f, -0.001f, 0.0f, 0.1f, 1.0f, 1.29f}) {
            const double place = double{x} / step, f = place - std::floor(place);
            const auto m = q.over_uniforms(x);
            CHECK(std::abs(m.mean - double{x}) <= step * (0x1p-17 + 0x1p-15));
            CHECK(std::abs(m.variance - step * step * f * (1 - f)) <= step * step * 0x1p-13);
        }
    });
}

TEST_CASE("a tensor of zeros, or one too small for a step, comes back as zeros") {
    for (const float m : {0.0f, 0x1p-149f, 0x1p-126f}) {
        const fitted<fqt::asymmetric<4, fqt::stochastic>> q({-m, m});
        CHECK((q.grid.step == 0 && q.grid.inverse == 0 && q.grid.zero == 0));
        for (const float u : {least, greatest}) CHECK(q.value(q.code(m, u)) == 0);
    }
}

TEST_CASE("a grid for each channel has zero points in lanes") {
    struct lane_grid {
        grids::f32<fqt::arch::generic> step, inverse, zero;
    };
    lane_grid g{2.0f, 0.5f, 0.0f};
    for (int i = 0; i < fqt::lanes; ++i) g.zero.part[i] = static_cast<float>(i);
    using q = fqt::asymmetric<4>;
    const auto codes = q::encode(grids::f32<fqt::arch::generic>(4.0f), g, grids::f32<fqt::arch::generic>(0.5f));
    for (int i = 0; i < fqt::lanes; ++i) {
        CHECK(codes.part[i] == static_cast<float>(2 + i));
        CHECK(q::decode(codes, g).part[i] == 4);
    }
}

TEST_CASE("the library's own check accepts them") {
    using namespace fqt;
    CHECK(support::found_nothing(check_quantizer<asymmetric<2>>()));
    CHECK(support::found_nothing(check_quantizer<asymmetric<4, stochastic>>()));
    CHECK(support::found_nothing(check_quantizer<asymmetric<7, toward_zero>>()));
    CHECK(support::found_nothing(check_quantizer<asymmetric<8, stochastic>>()));
}
