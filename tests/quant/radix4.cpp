// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/quant/radix4.hpp>
#include <fqt/train/check.hpp>

#include <doctest/doctest.h>

#include "support/grids.hpp"
#include <algorithm>
#include <cmath>

namespace {

using even = fqt::radix4<fqt::even_powers>;
using odd = fqt::radix4<fqt::odd_powers>;
using grids::fitted;

/// first * 4^floor(log4(1.6 y / first)), 0 below first, at most first * 4^6: the rule, in double.
double expected(double y, double first) {
    if (!(1.6 * y >= first)) return 0;
    const double n = std::floor(std::log2(1.6 * y / first) / 2);
    return first * std::pow(4.0, std::min(n, 6.0));
}

} // namespace

static_assert(fqt::quantizer<even> && fqt::quantizer<odd> && fqt::is_linear<even> && fqt::bits_of<even> == 4);
static_assert(fqt::quantizer_traits<odd>::integer_bytes(true) == 2);

TEST_CASE("values of the even phase are powers of 4 times the scale, those of the odd phase twice such powers") {
    const fitted<even> e({-4096, 4096});
    const fitted<odd> o({-4096, 4096});
    for (int n = 0; n < 7; ++n) {
        const auto code = static_cast<float>(n + 1);
        CHECK(double{e.value(code)} == std::pow(4.0, n));
        CHECK(double{e.value(-code)} == -std::pow(4.0, n));
        CHECK(double{o.value(code)} == 2 * std::pow(4.0, n - 1));
    }
    CHECK(e.value(0) == 0);
    CHECK(o.value(0) == 0);
}

TEST_CASE("every value goes to 4^floor(log4(1.6 |x|)), the nearest one") {
    const fitted<even> e({-4096, 4096});
    const fitted<odd> o({-4096, 4096});
    for (float y : grids::telling_values(4096.0f)) {
        if (y == 0.625f || y == 2.5f || y == 0.3125f) continue; // ties, for which 1.6 as a float decides
        CHECK(double{e.value(e.code(y))} == expected(double{y}, 1));
        CHECK(double{e.value(e.code(-y))} == -expected(double{y}, 1));
        CHECK(double{o.value(o.code(y))} == expected(double{y}, 0.5));
    }
    for (float y = 1; y < 4096; y *= 1.01f) {
        double best = 1;
        for (double v = 1; v <= 4096; v *= 4)
            if (std::abs(v - double{y}) < std::abs(best - double{y})) best = v;
        CHECK(double{e.value(e.code(y))} == best);
    }
}

TEST_CASE("the two phases err in different directions from 1.25 to 2 and from 2.5 to 4 times powers of 4") {
    const fitted<even> e({-4096, 4096});
    const fitted<odd> o({-4096, 4096});
    for (float power = 1; power < 1000; power *= 4)
        for (const float f : {1.26f, 1.6f, 1.99f, 2.51f, 3.0f, 3.99f}) {
            const float y = power * f;
            CHECK((e.value(e.code(y)) > y) != (o.value(o.code(y)) > y));
        }
}

TEST_CASE("codes are sound, points stay, and integers are as they say, at any scale") {
    for (const float m : {0.0f, 0x1p-149f, 0x1p-110f, 1.0f, 3.7f, 1e30f, std::numeric_limits<float>::max()})
        for (const fqt::interval range : {fqt::interval{-m, m}, {0, m}}) {
            CHECK(grids::codes_are_sound<even>(range));
            CHECK(grids::codes_are_sound<odd>(range));
            if (m > 1e-30f) {
                CHECK(grids::points_stay<even>(range));
                CHECK(grids::points_stay<odd>(range));
                CHECK(grids::is_linear_as_it_says<even>(range));
                CHECK(grids::is_linear_as_it_says<odd>(range));
            }
        }
}

TEST_CASE("the library's own check accepts both phases") {
    const fqt::check_result e = fqt::check_quantizer<even>(), o = fqt::check_quantizer<odd>();
    if (!e.ok || !o.ok) MESSAGE(e.log << o.log);
    CHECK((e.ok && o.ok));
}
