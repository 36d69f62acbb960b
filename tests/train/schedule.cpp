// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/train/schedule.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>

using doctest::Approx;
using doctest::Contains;
namespace schedule = fqt::schedule;

TEST_CASE("a constant schedule is constant after its warm-up") {
    const schedule::constant rate{.rate = 0.5f, .warmup = 4};
    CHECK(rate(0) == Approx(0.1));
    CHECK(rate(3) == Approx(0.4));
    CHECK(rate(4) == 0.5f);
    CHECK(rate(1000000) == 0.5f);
    CHECK(schedule::constant{.rate = 0.5f}(0) == 0.5f);
}

TEST_CASE("step decay multiplies by its factor at every interval") {
    const schedule::step_decay rate{.rate = 0.8f, .every = 10, .factor = 0.5f, .warmup = 3};
    CHECK(rate(0) == Approx(0.2));
    CHECK(rate(9) == 0.8f);
    CHECK(rate(10) == 0.4f);
    CHECK(rate(39) == 0.1f);
    CHECK(rate(std::int64_t{1} << 62) == 0.0f);
    CHECK(schedule::step_decay{.rate = 0.8f, .every = 1, .factor = 1.0f}(1000) == 0.8f);
}

TEST_CASE("a cosine schedule goes from the rate to the last rate along half a cosine") {
    const schedule::cosine rate{.rate = 0.1f, .steps = 100};
    CHECK(rate(0) == 0.1f);
    CHECK(rate(50) == Approx(0.05));
    CHECK(rate(25) == Approx(0.05 * (1 + std::sqrt(0.5))));
    CHECK(rate(99) > 0.0f);
    CHECK(rate(100) == 0.0f);
    CHECK(rate(5000) == 0.0f);
    for (int step = 1; step <= 100; ++step) CHECK(rate(step) < rate(step - 1));
    const schedule::cosine warmed{.rate = 0.1f, .steps = 110, .last = 0.01f, .warmup = 10};
    CHECK(warmed(0) == Approx(0.1 / 11));
    CHECK(warmed(10) == 0.1f);
    CHECK(warmed(60) == Approx(0.055));
    CHECK(warmed(110) == 0.01f);
}

TEST_CASE("one cycle rises to its rate and falls far below its start") {
    const schedule::one_cycle rate{.rate = 1.0f, .steps = 100, .rise = 0.25f, .start = 10.0f, .end = 1000.0f};
    CHECK(rate(0) == 0.1f);
    CHECK(rate(25) == 1.0f);
    CHECK(rate(100) == Approx(0.001));
    for (int step = 1; step <= 25; ++step) CHECK(rate(step) > rate(step - 1));
    for (int step = 26; step <= 100; ++step) CHECK(rate(step) < rate(step - 1));
    CHECK(schedule::one_cycle{.rate = 1.0f, .steps = 1}(0) == 1.0f);
}

TEST_CASE("schedules that cannot work are refused by name") {
    const float nan = std::numeric_limits<float>::quiet_NaN();
    const auto refuses = [](auto rate, const char* what) {
        CHECK_THROWS_WITH_AS(rate(0), Contains(what), fqt::error);
        CHECK_THROWS_WITH_AS(rate.check(), Contains(what), fqt::error);
    };
    refuses(schedule::constant{.rate = -0.1f}, "constant.rate");
    refuses(schedule::constant{.rate = nan}, "constant.rate");
    refuses(schedule::constant{.warmup = -1}, "constant.warmup");
    refuses(schedule::step_decay{}, "step_decay.every is 0");
    refuses(schedule::step_decay{.every = 5, .factor = 0.0f}, "step_decay.factor");
    refuses(schedule::step_decay{.every = 5, .factor = 1.5f}, "step_decay.factor");
    refuses(schedule::cosine{}, "cosine.steps is 0");
    refuses(schedule::cosine{.steps = -5}, "cosine.steps");
    refuses(schedule::cosine{.steps = 5, .last = -1.0f}, "cosine.last");
    refuses(schedule::cosine{.steps = 5, .warmup = 5}, "cosine.warmup is 5 of 5 steps");
    refuses(schedule::one_cycle{}, "one_cycle.steps is 0");
    refuses(schedule::one_cycle{.steps = 5, .rise = 1.0f}, "one_cycle.rise");
    refuses(schedule::one_cycle{.steps = 5, .start = 0.5f}, "start = 0.5");
    CHECK_THROWS_WITH_AS(schedule::constant{}(-1), Contains("step -1"), fqt::error);
}
