// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/core/random.hpp>
#include <fqt/quant/rounding.hpp>
#include <fqt/simd/lanes.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace {

template <class Arch>
using f32 = fqt::simd::f32x16<Arch>;
constexpr int lanes = fqt::lanes;

template <class R, class Arch = fqt::arch::generic>
float rounded(float x, float u = 0.5f) {
    return f32<Arch>(R::round(f32<Arch>(x), f32<Arch>(u))).lane(0);
}

/// The mean over all 65536 uniform numbers, exact: a sum of small integers.
template <class R>
double mean(float x) {
    double sum = 0;
    for (std::uint32_t k = 0; k < 65536; k += lanes) {
        float u[lanes], r[lanes];
        for (std::uint32_t i = 0; i < lanes; ++i) u[i] = fqt::uniform16(k + i);
        f32<fqt::arch::best>(R::round(f32<fqt::arch::best>(x), f32<fqt::arch::best>::load(u))).store(r);
        for (const float v : r) sum += double{v};
    }
    return sum / 65536;
}

const float least = fqt::uniform16(0), greatest = fqt::uniform16(65535);

/// Halves, the floats next to them and to integers, and others in between, of both signs.
std::vector<float> awkward_values() {
    std::vector<float> values;
    for (const float whole : {0.0f, 1.0f, 2.0f, 6.0f, 127.0f, 254.0f, 32766.0f})
        for (const float fraction : {0.0f, 0x1p-16f, 0.25f, 1.0f / 3, 0.5f, 0.75f, 1 - 0x1p-16f})
            for (const float v :
                 {whole + fraction, std::nextafter(whole + fraction, 1e9f), std::nextafter(whole + fraction, -1e9f)})
                values.insert(values.end(), {v, -v});
    return values;
}

template <class R>
void check_that_results_are_neighbours() {
    for (const float x : awkward_values())
        for (const float u : {least, 0.25f, 0.5f, greatest}) {
            const float r = rounded<R>(x, u);
            CHECK((r == std::floor(x) || r == std::ceil(x)));
            CHECK(std::bit_cast<std::uint32_t>(r) == std::bit_cast<std::uint32_t>(rounded<R, fqt::arch::best>(x, u)));
        }
}

} // namespace

static_assert(fqt::rounding<fqt::nearest> && fqt::rounding<fqt::stochastic>);
static_assert(fqt::rounding<fqt::toward_zero> && fqt::rounding<fqt::downward>);
static_assert(fqt::stochastic::draws && !fqt::nearest::draws && !fqt::toward_zero::draws && !fqt::downward::draws);

TEST_CASE("nearest rounds to the nearest integer, ties to even") {
    for (const auto& [x, expected] : {std::pair{0.5f, 0.0f},
                                      {1.5f, 2.0f},
                                      {2.5f, 2.0f},
                                      {3.5f, 4.0f},
                                      {254.5f, 254.0f},
                                      {0.49999997f, 0.0f},
                                      {0.50000006f, 1.0f},
                                      {2.4999998f, 2.0f},
                                      {126.50001f, 127.0f}}) {
        CHECK(rounded<fqt::nearest>(x) == expected);
        CHECK(rounded<fqt::nearest>(-x) == -expected);
    }
}

TEST_CASE("toward_zero drops the fraction, and downward goes to the integer below") {
    for (const auto& [x, zero, down] : {std::tuple{2.9f, 2.0f, 2.0f},
                                        {-2.9f, -2.0f, -3.0f},
                                        {0.5f, 0.0f, 0.0f},
                                        {-0.5f, 0.0f, -1.0f},
                                        {7.0f, 7.0f, 7.0f},
                                        {-7.0f, -7.0f, -7.0f},
                                        {-0x1p-40f, 0.0f, -1.0f},
                                        {0x1p-40f, 0.0f, 0.0f}}) {
        CHECK(rounded<fqt::toward_zero>(x) == zero);
        CHECK(rounded<fqt::downward>(x) == down);
    }
}

TEST_CASE("every rounding gives one of the two neighbours, with the same bits on every instruction set") {
    check_that_results_are_neighbours<fqt::nearest>();
    check_that_results_are_neighbours<fqt::stochastic>();
    check_that_results_are_neighbours<fqt::toward_zero>();
    check_that_results_are_neighbours<fqt::downward>();
}

TEST_CASE("every rounding leaves integers alone, the stochastic one with every uniform number") {
    for (int n = -32767; n <= 32767; ++n) {
        const auto x = static_cast<float>(n);
        if (rounded<fqt::nearest>(x) != x || rounded<fqt::toward_zero>(x) != x || rounded<fqt::downward>(x) != x)
            FAIL("an integer moved: " << n);
        if (rounded<fqt::stochastic>(x, least) != x || rounded<fqt::stochastic>(x, greatest) != x)
            FAIL("an integer moved: " << n);
    }
    for (const float x : {-255.0f, -7.0f, -1.0f, 0.0f, 1.0f, 7.0f, 127.0f, 255.0f})
        CHECK(mean<fqt::stochastic>(x) == double{x});
}

TEST_CASE("the mean of stochastic rounding over all uniform numbers is the value to 2^-17") {
    for (const float fraction : {0x1p-16f, 1.0f / 3, 0.5f, 1 - 0x1p-16f})
        for (const float whole : {0.0f, 1.0f, 6.0f, 126.0f, 127.0f})
            for (const float x : {whole + fraction, -(whole + fraction), -whole + fraction, whole - fraction})
                CHECK(std::abs(mean<fqt::stochastic>(x) - double{x}) <= 0x1p-17);
}

TEST_CASE("of 65536 uniform numbers a fraction of 2^-16 takes exactly one up, and one of 1 - 2^-16 all but one") {
    CHECK(mean<fqt::stochastic>(0x1p-16f) == 0x1p-16);
    CHECK(mean<fqt::stochastic>(1 - 0x1p-16f) == 1 - 0x1p-16);
    CHECK(mean<fqt::stochastic>(0.5f) == 0.5);
    CHECK(mean<fqt::stochastic>(-0x1p-16f) == -0x1p-16);
    CHECK(mean<fqt::stochastic>(-0.5f) == -0.5);
}

TEST_CASE("stochastic rounding takes values too small for its random numbers to the integer beside them") {
    for (const float x : {0x1p-18f, 0x1p-30f, 0x1p-126f, 0x1p-149f}) {
        CHECK(mean<fqt::stochastic>(x) == 0);
        CHECK(mean<fqt::stochastic>(-x) == 0);
    }
}
