// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/quant/dorefa.hpp>
#include <fqt/train/check.hpp>

#include <doctest/doctest.h>

#include "support/check_result.hpp"
#include "support/grids.hpp"
#include <cmath>
#include <utility>

namespace {

using grids::fitted, grids::least, grids::greatest;

template <class R, class F>
void for_every_width(F&& f) {
    [&]<int... Bits>(std::integer_sequence<int, Bits...>) { (f(fqt::dorefa_levels<Bits + 1, R>{}), ...); }
    (std::make_integer_sequence<int, 8>{});
}

} // namespace

static_assert(fqt::quantizer<fqt::dorefa_levels<4>> && fqt::quantizer<fqt::sign_of<>>);
static_assert(fqt::quantizer_traits<fqt::dorefa_levels<7>>::integer_bytes(true) == 1
              && fqt::quantizer_traits<fqt::dorefa_levels<8>>::integer_bytes(true) == 2);
static_assert(fqt::quantizer_traits<fqt::dorefa_levels<4>>::limits(true) == fqt::code_limits{-8, 7});
static_assert(fqt::quantizer_traits<fqt::dorefa_levels<1>>::limits(true) == fqt::code_limits{-1, 0});
static_assert(fqt::range_traits<fqt::sign_of<>::range>::needs == fqt::measures::moments);

TEST_CASE("levels are m (2 q + 1) / (2^k - 1) where signed, and m q / (2^k - 1) where not") {
    for_every_width<fqt::nearest>([]<class Q>(Q) {
        const double n = Q::intervals, half = (n + 1) / 2;
        const fitted<Q> s({-3, 3}), u({0, 3});
        CHECK((s.limits.low == -half && s.limits.high == half - 1 && u.limits.low == 0 && u.limits.high == n));
        for (int q = s.limits.low; q <= s.limits.high; ++q)
            CHECK(double{s.value(static_cast<float>(q))} == doctest::Approx(3 * (2 * q + 1) / n).epsilon(1e-6));
        for (int q = 0; q <= u.limits.high; ++q)
            CHECK(double{u.value(static_cast<float>(q))} == doctest::Approx(3 * q / n).epsilon(1e-6));
    });
}

TEST_CASE("stochastic levels are DoReFa's noise before its rounding") {
    // g^ = 2 m (q_k(clip(g / (2 m) + 1/2 + N, 0, 1)) - 1/2), N = U(-1/2, 1/2) / (2^k - 1), in double. Up with u below
    // the fraction here is a noise of 1/2 - u there.
    for_every_width<fqt::stochastic>([]<class Q>(Q) {
        const double n = Q::intervals;
        const fitted<Q> q({-1, 1});
        int wrong = 0, all = 0;
        for (double g = -1; g <= 1; g += 0.0137)
            for (const double u : {0.013, 0.31, 0.52, 0.77, 0.993}) {
                double t = (g + 1) / 2 + (0.5 - u) / n;
                t = std::min(std::max(t, 0.0), 1.0);
                const double expected = 2 * (std::round(n * t) / n - 0.5);
                if (std::abs(n * t - std::floor(n * t) - 0.5) < 1e-4) continue; // on the edge
                ++all;
                const float got = q.value(q.code(static_cast<float>(g), static_cast<float>(u)));
                wrong += std::abs(double{got} - expected) > 1e-6;
            }
        CHECK(wrong == 0);
        CHECK(all > 600);
    });
}

TEST_CASE("stochastic levels are unbiased within the range, with the variance of a coin") {
    for_every_width<fqt::stochastic>([]<class Q>(Q) {
        for (const fqt::interval range : {fqt::interval{-1, 1}, {0, 1}}) {
            const fitted<Q> q(range);
            const double gap = double{q.value(0)} - double{q.value(-1)}, low = double{q.value(0)};
            for (const double x : {0.0, 0.1, 1.0 / 3, 0.77, 0.999}) {
                const auto v = static_cast<float>(x);
                const double place = (double{v} - low) / gap, f = place - std::floor(place);
                const auto m = q.over_uniforms(v);
                CHECK(std::abs(m.mean - double{v}) <= gap * (0x1p-17 + 0x1p-15));
                CHECK(std::abs(m.variance - gap * gap * f * (1 - f)) <= gap * gap * 0x1p-13);
            }
        }
    });
}

TEST_CASE("codes are sound, points stay, and grids are linear as they say") {
    const auto all = []<class Q>(Q) {
        for (const float m : {0.0f, 0x1p-149f, 0x1p-118f, 1.0f, 3.7f, 1e30f, 3e38f})
            for (const fqt::interval range : {fqt::interval{-m, m}, {0, m}}) {
                CHECK(grids::codes_are_sound<Q>(range));
                if (m < 1e-20f) continue;
                CHECK(grids::points_stay<Q>(range, {0x1p-12f, 0.5f, 1 - 0x1p-12f}));
                CHECK(grids::is_linear_as_it_says<Q>(range));
            }
    };
    for_every_width<fqt::nearest>(all);
    for_every_width<fqt::stochastic>(all);
    for_every_width<fqt::toward_zero>(all);
    for_every_width<fqt::downward>(all);
    all(fqt::sign_of<>{});
}

TEST_CASE("a tensor of zeros comes back as zeros although the grid has none") {
    const fitted<fqt::dorefa_levels<4>> q({0, 0});
    for (const float u : {least, greatest}) CHECK(q.value(q.code(0, u)) == 0);
    fqt::code_limits limits = fqt::dorefa_levels<4>::limits(true);
    const auto g = fqt::dorefa_levels<4>::fit({0, 0}, limits);
    CHECK((g.step == 0 && g.offset == 1));
}

TEST_CASE("signs keep the sign, zero being positive, and their scale is the mean magnitude") {
    fqt::measurement m{.range = {-3, 2}, .count = 4, .magnitude = 6, .square = 14, .histogram = {}};
    using signs = fqt::sign_of<>;
    const fqt::interval clip = fqt::range_traits<signs::range>::clip(m, signs::limits(true), {});
    CHECK((clip.low == -1.5f && clip.high == 1.5f));
    const fitted<signs> q(clip);
    for (const float x : {0x1p-149f, 1e-20f, 0.1f, 1.5f, 3e38f}) {
        CHECK(q.value(q.code(x)) == 1.5f);
        CHECK(q.value(q.code(-x)) == -1.5f);
    }
    CHECK(q.value(q.code(0.0f)) == 1.5f);
    CHECK(q.value(q.code(-0.0f)) == 1.5f);
    CHECK((q.integer(-1) == -1 && q.integer(0) == 1));
}

TEST_CASE("the library's own check accepts them") {
    using namespace fqt;
    CHECK(support::found_nothing(check_quantizer<dorefa_levels<1>>()));
    CHECK(support::found_nothing(check_quantizer<dorefa_levels<2>>()));
    CHECK(support::found_nothing(check_quantizer<dorefa_levels<4, nearest>>()));
    CHECK(support::found_nothing(check_quantizer<dorefa_levels<8>>()));
    CHECK(support::found_nothing(check_quantizer<sign_of<>>()));
}
