// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/quant/clip_memory.hpp>
#include <fqt/quant/quantizer.hpp>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace {

using namespace fqt;
using samples::measured;

/// A rule with its memory, as the library keeps it.
template <class Rule>
struct remembering {
    std::vector<float> memory = std::vector<float>(static_cast<std::size_t>(range_traits<Rule>::memory));
    interval clip(const measured& m, code_limits limits = limits_of(8, true)) {
        return range_traits<Rule>::clip(m.up_to(range_traits<Rule>::needs), limits, memory);
    }
    interval clip_of(float low, float high) { return clip(measured({low, high})); }
};

} // namespace

static_assert(range_rule<delayed<>> && range_rule<magnitude_aware<>> && range_rule<moving_average<full_range, 0.1f>>);
static_assert(range_traits<moving_average<rms_multiple<3.0f>, 0.1f>>::needs == measures::moments);
static_assert(range_traits<moving_average<full_range, 0.1f>>::memory == 2);
static_assert(range_traits<moving_average<moving_average<full_range, 0.1f>, 0.1f>>::memory == 4);
static_assert(range_traits<delayed<4>>::memory == 6);

TEST_CASE("a moving average starts with the first step and goes a share of the way to each other") {
    remembering<moving_average<full_range, 0.25f>> r;
    CHECK(r.clip_of(-2, 4).low == -2);
    double low = -2, high = 4;
    for (const float m : {1.0f, 8.0f, 0.0f, 3.0f}) {
        const interval got = r.clip_of(-m, 2 * m);
        low += 0.25 * (double{-m} - low), high += 0.25 * (2 * double{m} - high);
        CHECK(double{got.low} == doctest::Approx(low).epsilon(1e-6));
        CHECK(double{got.high} == doctest::Approx(high).epsilon(1e-6));
    }
    remembering<moving_average<full_range, 0.25f>> positive;
    for (const float m : {1.0f, 8.0f, 3.0f}) CHECK(positive.clip_of(0, m).low == 0);
}

TEST_CASE("an average of a rule that remembers hands it its own memory") {
    // The inner average of 1, 3, 3 with weight 1/2: 1, 2, 2.5; the outer one of these: 1, 1.5, 2.
    remembering<moving_average<moving_average<full_range, 0.5f>, 0.5f>> r;
    CHECK(r.clip_of(0, 1).high == 1);
    CHECK(r.clip_of(0, 3).high == 1.5f);
    CHECK(r.clip_of(0, 3).high == 2);
}

TEST_CASE("GradScale doubles after an overflow, halves when half is unused, and counts overflows") {
    remembering<grad_scale> r;
    CHECK(r.clip_of(-3, 2).high == 4); // the least power of two that clips nothing
    CHECK(r.clip_of(-3, 3).low == -4);
    CHECK(r.clip_of(-9, 1).low == -4); // clipped: what came before decides
    CHECK(r.clip_of(-9, 1).low == -8);
    CHECK(r.clip_of(-9, 1).low == -16);
    CHECK(r.clip_of(0, 8).high == 16);
    CHECK(r.clip_of(0, 8).high == 8);
    CHECK(r.clip_of(0, 0.5f).high == 8);
    CHECK(r.clip_of(0, 0).high == 0); // zeros say nothing
    CHECK(r.clip_of(0, 4.5f).high == 4);
    CHECK(grad_scale::saturations(r.memory) == 3);
    remembering<grad_scale> zeros, ends;
    CHECK(zeros.clip_of(0, 0).high == 0);
    CHECK(zeros.clip_of(0, 5).high == 8);
    for (const float m : {3e38f, 0x1p-149f, 3e38f}) CHECK(std::isfinite(ends.clip_of(-m, m).high));
}

TEST_CASE("delayed scaling takes the largest magnitude of the steps before, and counts those that exceed it") {
    remembering<delayed<3>> r;
    std::vector<float> history;
    int beyond = 0;
    for (const float m : {2.0f, 1.0f, 5.0f, 4.0f, 4.0f, 1.0f, 1.0f, 0.5f, 0.0f, 0.0f, 0.0f, 7.0f, 6.0f, 9.0f}) {
        float expected = 0;
        for (std::size_t i = history.size() > 3 ? history.size() - 3 : 0; i < history.size(); ++i)
            expected = std::max(expected, history[i]);
        if (expected == 0) expected = m; // the first step, and the one after three of zeros
        beyond += m > expected;
        const interval got = r.clip_of(-m, m / 2);
        if (m > 0) CHECK((got.low == -expected && got.high == expected));
        history.push_back(m);
        CHECK(delayed<3>::saturations(r.memory) == beyond);
    }
    CHECK(beyond == 2); // 5 after 2 and 1, 9 after 7
}

TEST_CASE("delayed scaling begins anew where its memory is another rule's") {
    for (const float place : {1e6f, -5.0f, -0.5f, std::numeric_limits<float>::quiet_NaN()}) {
        remembering<delayed<3>> r;
        r.memory[3] = place;
        CHECK(r.clip_of(0, 3).high == 3);
        CHECK(r.memory[0] == 3);
        CHECK((r.memory[3] >= 0 && r.memory[3] < 3));
    }
}

TEST_CASE("the margin of delayed scaling is a power of two, and tensors that cannot be negative keep 0") {
    remembering<delayed<2, 1>> wide;
    wide.clip_of(0, 3);
    CHECK(wide.clip_of(0, 5).high == 6);
    CHECK(wide.clip_of(0, 5).low == 0);
    CHECK(delayed<2, 1>::saturations(wide.memory) == 0);
}

TEST_CASE("magnitude-aware clipping takes the maximum of a Gaussian and averages an inverted T") {
    remembering<magnitude_aware<>> r;
    const measured wide(samples::gaussian(4000, 1)), narrow(samples::gaussian(4000, 0.1));
    CHECK(r.clip(wide).magnitude() == doctest::Approx(double{wide.all.range.magnitude()}).epsilon(1e-6));
    CHECK(r.clip(narrow).magnitude() == doctest::Approx(double{narrow.all.range.magnitude()}).epsilon(1e-6));
    // A Laplace distribution has P(|g| > sigma) = exp(-sqrt 2) = 0.243.
    double c = double{narrow.all.range.magnitude()};
    for (const double scale : {1.0, 0.3, 2.0}) {
        const measured inverted(samples::laplace(4000, scale));
        c = (1 - 0.8) * c + 0.8 * double{inverted.all.range.magnitude()};
        CHECK(double{r.clip(inverted).magnitude()} == doctest::Approx(c).epsilon(1e-5));
    }
    remembering<magnitude_aware<>> first;
    const measured inverted(samples::laplace(4000, 1));
    CHECK(double{first.clip(inverted).magnitude()} == double{inverted.all.range.magnitude()});
    CHECK(first.clip(measured({0, 0})).magnitude() == 0);
}
