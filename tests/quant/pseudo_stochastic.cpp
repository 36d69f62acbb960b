// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/quant/pseudo_stochastic.hpp>
#include <fqt/train/check.hpp>

#include <doctest/doctest.h>

#include "support/grids.hpp"
#include <cmath>

namespace {

template <class Arch = fqt::arch::generic>
float rounded(float x, float u = 0.5f) {
    return grids::f32<Arch>(fqt::pseudo_stochastic::round(grids::f32<Arch>(x), grids::f32<Arch>(u))).lane(0);
}

} // namespace

static_assert(fqt::rounding<fqt::pseudo_stochastic> && !fqt::pseudo_stochastic::draws);

TEST_CASE("all 65536 fractions go up where their upper half is greater than their lower one, with either sign") {
    int wrong = 0;
    double sum = 0;
    for (int n = 0; n < 65536; ++n) {
        const float x = 5 + static_cast<float>(n) * 0x1p-16f;
        const float expected = n / 256 > n % 256 ? 6.0f : 5.0f;
        wrong += rounded(x) != expected || rounded(-x) != -expected || rounded<fqt::arch::best>(x) != expected;
        sum += double{rounded(x)};
    }
    CHECK(wrong == 0);
    // The bias its comment states, and the half of 2^-16 that the mean of the fractions lies below one half.
    CHECK(sum / 65536 == 5 + 0.5 * 255 / 256);
    CHECK(std::abs(sum / 65536 - (5 + 65535.0 / 131072) + 255.0 / 512 / 256) < 1e-12);
}

TEST_CASE("of the 256 fractions with the same upper half a, exactly a go up") {
    for (const int a : {0, 1, 77, 128, 255}) {
        int up = 0;
        for (int b = 0; b < 256; ++b) up += rounded(static_cast<float>(256 * a + b) * 0x1p-16f) == 1.0f;
        CHECK(up == a);
    }
}

TEST_CASE("integers, and values a last place beside them, stay, and random numbers do not matter") {
    for (int n = -300; n <= 300; ++n) {
        const auto x = static_cast<float>(n);
        CHECK(rounded(x) == x);
        if (n == 0) continue;
        CHECK(rounded(std::nextafter(x, 1000.0f)) == x);
        CHECK(rounded(std::nextafter(x, -1000.0f)) == x);
    }
    for (const float x : {0.3f, 0.7f, -1.6f}) CHECK(rounded(x, grids::least) == rounded(x, grids::greatest));
    CHECK(rounded(0x1p-30f) == 0);
    CHECK(rounded(1e30f) == 1e30f);
}

TEST_CASE("the library's own check accepts it, alone and in a grid") {
    const fqt::check_result r = fqt::check_rounding<fqt::pseudo_stochastic>();
    if (!r.ok) MESSAGE(r.log);
    CHECK(r.ok);
    const fqt::check_result q = fqt::check_quantizer<fqt::symmetric<8, fqt::pseudo_stochastic>>();
    if (!q.ok) MESSAGE(q.log);
    CHECK(q.ok);
}
