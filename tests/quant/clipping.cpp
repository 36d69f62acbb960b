// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/quant/clipping.hpp>
#include <fqt/quant/quantizer.hpp>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include <algorithm>
#include <cmath>
#include <vector>

namespace {

using namespace fqt;
using samples::measured;

constexpr code_limits four_bits = limits_of(4, true);

template <class Rule>
interval clip(const measured& m, code_limits limits = four_bits) {
    static_assert(range_rule<Rule> && range_traits<Rule>::memory == 0);
    return range_traits<Rule>::clip(m.up_to(range_traits<Rule>::needs), limits, {});
}

} // namespace

static_assert(range_traits<fixed_range<-1.0f, 1.0f>>::needs == measures::nothing);
static_assert(range_traits<rms_multiple<3.0f>>::needs == measures::moments);
static_assert(range_traits<percentile<99.0f>>::needs == measures::histogram);

TEST_CASE("a fixed range needs nothing and is what it says") {
    const interval r = clip<fixed_range<-0.5f, 2.0f>>(measured({}));
    CHECK((r.low == -0.5f && r.high == 2));
    CHECK(clip<fixed_range<0.0f, 1.0f>>(measured({-3, 5})).low == 0);
}

TEST_CASE("multiples of the rms and the mean magnitude are those of the samples, within what the values reach") {
    const measured m(samples::gaussian(5000, 0.3));
    double square = 0, magnitude = 0;
    for (const float x : m.values) square += double{x} * double{x}, magnitude += std::abs(double{x});
    const double rms = std::sqrt(square / 5000), mean = magnitude / 5000;
    CHECK(double{clip<rms_multiple<2.0f>>(m).high} == doctest::Approx(2 * rms).epsilon(1e-6));
    CHECK(double{clip<rms_multiple<2.0f>>(m).low} == doctest::Approx(-2 * rms).epsilon(1e-6));
    CHECK(double{clip<mean_magnitude>(m).high} == doctest::Approx(mean).epsilon(1e-6));
    CHECK(clip<rms_multiple<100.0f>>(m).high == m.all.range.high);
    CHECK(clip<rms_multiple<100.0f>>(m).low == m.all.range.low);
    // Tensors that cannot be negative keep 0, and so do those of zeros.
    const measured positive(samples::magnitudes(m.values));
    CHECK(clip<rms_multiple<2.0f>>(positive).low == 0);
    CHECK(double{clip<rms_multiple<2.0f>>(positive).high} == doctest::Approx(2 * rms).epsilon(1e-6));
    CHECK(clip<rms_multiple<2.0f>>(measured({0, 0, 0})).magnitude() == 0);
}

TEST_CASE("a percentile is the magnitude that sorting finds, to the width of a bin") {
    for (const auto& values :
         {samples::gaussian(20000, 1), samples::laplace(20000, 1e-4), samples::uniform(20000, 7)}) {
        const measured m(values);
        std::vector<float> sorted = samples::magnitudes(values);
        std::ranges::sort(sorted);
        const auto at = [&](double percent) {
            return double{sorted[static_cast<std::size_t>(percent / 100 * 20000 - 1)]};
        };
        CHECK(double{clip<percentile<50.0f>>(m).high} == doctest::Approx(at(50)).epsilon(0.01));
        CHECK(double{clip<percentile<90.0f>>(m).high} == doctest::Approx(at(90)).epsilon(0.01));
        CHECK(double{clip<percentile<99.5f>>(m).high} == doctest::Approx(at(99.5)).epsilon(0.03));
        CHECK(clip<percentile<100.0f>>(m).magnitude() == m.all.range.magnitude());
    }
}

TEST_CASE("a percentile of mostly zeros is the whole range") {
    std::vector<float> values(1000, 0.0f);
    values[7] = 3, values[8] = -5;
    CHECK(clip<percentile<99.0f>>(measured(values)).low == -5);
    CHECK(clip<percentile<99.0f>>(measured(values)).high == 3);
    CHECK(clip<percentile<99.0f>>(measured({0, 0})).magnitude() == 0);
}

TEST_CASE("the share of magnitudes above a value is that of the samples") {
    const measured m(samples::gaussian(20000, 2));
    for (const float x : {0.1f, 1.0f, 2.0f, 3.3f, 6.0f}) {
        double above = 0;
        for (const float v : m.values) above += std::abs(v) > x;
        CHECK(detail::share_above(m.all, x) == doctest::Approx(above / 20000).epsilon(0.01));
    }
    CHECK(detail::share_above(m.all, 1e9f) == 0);
    CHECK(detail::share_above(measured({}).all, 1) == 0);
}

TEST_CASE("sawb is near the clip with the least squared error, for many shapes and widths of codes") {
    for (const auto& values : {samples::gaussian(4000, 1), samples::laplace(4000, 0.01), samples::logistic(4000, 1),
                               samples::triangular(4000, 3), samples::uniform(4000, 20)}) {
        const measured m(values);
        const bool is_uniform = m.all.range.magnitude() > 19 && m.all.range.magnitude() < 20;
        for (int bits = 2; bits <= 8; ++bits) {
            const code_limits limits = limits_of(bits, true);
            const double most = double{m.all.range.magnitude()}, c = double{clip<sawb>(m, limits).magnitude()};
            if (is_uniform && bits > 4) { // as its comment says
                CHECK(c >= 0.8 * most);
                continue;
            }
            double least = 1e300;
            for (double share = 0.02; share <= 1; share += 0.02)
                least = std::min(least, samples::square_error(values, share * most, limits.high));
            CHECK(samples::square_error(values, c, limits.high) <= (bits <= 4 ? 1.25 : 2) * least);
        }
    }
}

TEST_CASE("sawb stays between the mean and the largest magnitude") {
    std::vector<float> constant(100, 2.0f);
    for (std::size_t i = 0; i < 50; ++i) constant[i] = -2;
    std::vector<float> spikes(1000, 1e-3f);
    spikes[0] = 1;
    for (const auto& values : {constant, spikes}) {
        const measured m(values);
        for (int bits = 2; bits <= 8; ++bits)
            for (const bool is_signed : {true, false}) {
                const double c = double{clip<sawb>(m, limits_of(bits, is_signed)).magnitude()};
                CHECK(c >= m.all.mean_magnitude() * (1 - 1e-6));
                CHECK(c <= double{m.all.range.magnitude()});
            }
    }
}

TEST_CASE("sawb takes the coefficients of as many levels as the codes have") {
    const measured m(samples::gaussian(4000, 1));
    const double rms = std::sqrt(m.all.mean_square()), mean = m.all.mean_magnitude();
    const auto expected = [&](double c1, double c2) { return doctest::Approx(c1 * rms - c2 * mean).epsilon(1e-6); };
    CHECK(double{clip<sawb>(m, {-1, 1}).magnitude()} == expected(2.6, 1.71));
    CHECK(double{clip<sawb>(m, {-2, 1}).magnitude()} == expected(3.12, 2.064));
    CHECK(double{clip<sawb>(m, {-7, 7}).magnitude()} == expected(12.035, 12.03));
    CHECK(double{clip<sawb>(m, {-8, 7}).magnitude()} == expected(12.68, 12.80));
}
