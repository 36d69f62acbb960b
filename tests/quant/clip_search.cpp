// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/quant/clip_search.hpp>
#include <fqt/quant/quantizer.hpp>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include <algorithm>
#include <cmath>
#include <vector>

namespace {

using namespace fqt;
using samples::measured;

template <class Rule>
interval clip(const measured& m, code_limits limits) {
    static_assert(range_rule<Rule> && range_traits<Rule>::needs == measures::histogram);
    return range_traits<Rule>::clip(m.all, limits, {});
}

/// 1 - cos of values and what rounding to the nearest of n steps to c makes of them, in double.
double direction_error(const std::vector<float>& values, double c, int n) {
    double dot = 0, square = 0, of_values = 0;
    for (const float x : values) {
        const double y = std::nearbyint(std::min(std::max(double{x}, -c), c) / (c / n)) * (c / n);
        dot += y * double{x}, square += y * y, of_values += double{x} * double{x};
    }
    return square > 0 ? 1 - dot / std::sqrt(square * of_values) : 1;
}

/// The least of f over 500 clips up to the largest magnitude.
template <class F>
double least_over_clips(const measured& m, F&& f) {
    double least = 1e300;
    for (int i = 1; i <= 500; ++i) least = std::min(least, f(double{m.all.range.magnitude()} * i / 500));
    return least;
}

const std::vector<std::vector<float>>& shapes() {
    static const std::vector<std::vector<float>> all = [] {
        std::vector<float> spiky = samples::laplace(3000, 1e-3);
        spiky[0] = 0.5f, spiky[1] = -0.4f; // sixty times beyond the rest
        return std::vector<std::vector<float>>{samples::gaussian(3000, 1), samples::laplace(3000, 1e-6),
                                               samples::uniform(3000, 5), spiky};
    }();
    return all;
}

} // namespace

TEST_CASE("the clip of least squared error is within 5 % of the best that trying all finds") {
    for (const auto& values : shapes()) {
        const measured m(values);
        for (const int bits : {2, 3, 4, 6, 8}) {
            const code_limits limits = limits_of(bits, true);
            const auto error = [&](double c) { return samples::square_error(values, c, limits.high); };
            const double c = double{clip<least_square_error>(m, limits).magnitude()};
            CHECK(error(c) <= 1.05 * least_over_clips(m, error));
        }
    }
}

TEST_CASE("the clip of the greatest cosine is within 5 % of the best that trying all finds") {
    for (const auto& values : shapes()) {
        const measured m(values);
        for (const int bits : {2, 3, 4, 6, 8}) {
            const code_limits limits = limits_of(bits, true);
            const auto error = [&](double c) { return direction_error(values, c, limits.high); };
            const interval found = clip<greatest_cosine>(m, limits);
            const double best = least_over_clips(m, error);
            CHECK(error(double{found.magnitude()}) <= 1.05 * best);
            CHECK(greatest_cosine::deviation(found, m.all, limits)
                  == doctest::Approx(error(double{found.magnitude()})).epsilon(0.05));
        }
    }
}

TEST_CASE("tensors that cannot be negative keep 0 and are measured with all their codes") {
    const std::vector<float> values = samples::magnitudes(samples::gaussian(3000, 2));
    const measured m(values);
    const code_limits limits = limits_of(4, false);
    const interval found = clip<least_square_error>(m, limits);
    CHECK(found.low == 0);
    const auto error = [&](double c) { return samples::square_error(values, c, 15); };
    CHECK(error(double{found.high}) <= 1.05 * least_over_clips(m, error));
}

TEST_CASE("unsigned codes between two ends have a step of the whole width") {
    const measured m({-1, 3});
    const clip_effect e = effect_of_clip(3, m.all, {0, 4}); // a step of 1, both values on the grid but for their bins
    CHECK(e.values == doctest::Approx(10).epsilon(0.1));
    CHECK(e.error < 0.02);
    CHECK(e.deviation() < 0.001);
}

TEST_CASE("tensors of zeros, or of one magnitude, keep their range") {
    CHECK(clip<least_square_error>(measured({0, 0}), {-7, 7}).magnitude() == 0);
    CHECK(clip<greatest_cosine>(measured({}), {-7, 7}).magnitude() == 0);
    const interval constant = clip<least_square_error>(measured({2, -2, 2}), {-1, 1});
    CHECK(constant.high == doctest::Approx(2).epsilon(0.04));
    CHECK(greatest_cosine::deviation({0, 0}, measured({0, 0}).all, {-7, 7}) == 1);
}
