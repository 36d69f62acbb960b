#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Learning rates over a run. A schedule is an aggregate and a rule: schedule(step) is the rate of that step, counted
// from 0, so a run can be continued anywhere. Anything callable with a step will do for the trainer; these are the
// usual ones. Warm-up rises linearly: step s of `warmup` steps has (s + 1) / (warmup + 1) of the full rate.

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/math.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>

namespace fqt::schedule {

namespace detail {

inline void check_rate(const char* schedule, const char* field, float rate) {
    if (!(rate >= 0.0f) || !std::isfinite(rate))
        fail("%s.%s is %g; a learning rate must be finite and not negative", schedule, field,
             static_cast<double>(rate));
}
inline void check_warmup(const char* schedule, std::int64_t warmup) {
    if (warmup < 0) fail("%s.warmup is %lld steps; it must not be negative", schedule, static_cast<long long>(warmup));
}
inline void check_steps(const char* schedule, std::int64_t steps, std::int64_t warmup) {
    if (steps < 1)
        fail("%s.steps is %lld; give the steps of the whole run, epochs x batches per epoch", schedule,
             static_cast<long long>(steps));
    if (warmup >= steps)
        fail("%s.warmup is %lld of %lld steps; a warm-up must end before the run does", schedule,
             static_cast<long long>(warmup), static_cast<long long>(steps));
}
inline void check_step(std::int64_t step) {
    if (step < 0)
        fail("step %lld of a learning-rate schedule is negative; steps count from 0", static_cast<long long>(step));
}

/// part / whole as a float, clamped to [0, 1].
inline float share(std::int64_t part, std::int64_t whole) {
    return static_cast<float>(static_cast<double>(std::clamp<std::int64_t>(part, 0, whole))
                              / static_cast<double>(whole));
}
/// From `from` at t = 0 to `to` at t = 1 along half a cosine; both ends exactly.
inline float anneal(float from, float to, float t) {
    const float rest = (1.0f + math::cos(static_cast<float>(math::pi) * t)) / 2.0f;
    return rest == 1.0f ? from : to + product(from - to, rest);
}
inline float warm_up(float rate, std::int64_t step, std::int64_t warmup) {
    return product(rate, share(step + 1, warmup + 1));
}

} // namespace detail

/// The same rate for every step, after `warmup` steps.
struct constant {
    float rate = 0.1f;
    std::int64_t warmup = 0;

    void check() const {
        detail::check_rate("constant", "rate", rate);
        detail::check_warmup("constant", warmup);
    }
    /// The learning rate of step >= 0.
    float operator()(std::int64_t step) const {
        check();
        detail::check_step(step);
        return step < warmup ? detail::warm_up(rate, step, warmup) : rate;
    }
};

/// `rate`, multiplied by `factor` after every `every` steps (warm-up included in the count).
struct step_decay {
    float rate = 0.1f;
    std::int64_t every = 0; ///< steps between two reductions, at least 1
    float factor = 0.1f;    ///< 0 < factor <= 1
    std::int64_t warmup = 0;

    void check() const {
        detail::check_rate("step_decay", "rate", rate);
        detail::check_warmup("step_decay", warmup);
        if (every < 1)
            fail("step_decay.every is %lld; give the steps between two reductions", static_cast<long long>(every));
        if (!(factor > 0.0f && factor <= 1.0f))
            fail("step_decay.factor is %g; it must be above 0 and at most 1", static_cast<double>(factor));
    }
    /// The learning rate of step >= 0.
    float operator()(std::int64_t step) const {
        check();
        detail::check_step(step);
        // factor^n by squaring: a loop over n would be long for a reduction at every step.
        double power = 1, square = static_cast<double>(factor);
        for (std::int64_t n = step / every; n > 0; n /= 2, square = product(square, square))
            if (n % 2 != 0) power = product(power, square);
        const auto reduced = static_cast<float>(product(static_cast<double>(rate), power));
        return step < warmup ? detail::warm_up(reduced, step, warmup) : reduced;
    }
};

/// Half a cosine from `rate`, at the end of the warm-up, to `last` after `steps` steps, and `last` from there on.
struct cosine {
    float rate = 0.1f;
    std::int64_t steps = 0; ///< of the whole run, warm-up included; at least 1
    float last = 0.0f;
    std::int64_t warmup = 0; ///< below steps

    void check() const {
        detail::check_rate("cosine", "rate", rate);
        detail::check_rate("cosine", "last", last);
        detail::check_warmup("cosine", warmup);
        detail::check_steps("cosine", steps, warmup);
    }
    /// The learning rate of step >= 0.
    float operator()(std::int64_t step) const {
        check();
        detail::check_step(step);
        if (step < warmup) return detail::warm_up(rate, step, warmup);
        return detail::anneal(rate, last, detail::share(step - warmup, steps - warmup));
    }
};

/// Leslie Smith's one cycle ("A disciplined approach to neural network hyper-parameters", 2018): from rate / start up
/// to `rate` over `rise` of the steps, linearly, which is its warm-up, then half a cosine down to rate / end.
struct one_cycle {
    float rate = 0.1f;
    std::int64_t steps = 0; ///< of the whole run, at least 1
    float rise = 0.3f;      ///< share of the steps, 0 <= rise < 1
    float start = 25.0f;    ///< divisor of the first rate, at least 1
    float end = 1e4f;       ///< divisor of the last rate, at least 1

    void check() const {
        detail::check_rate("one_cycle", "rate", rate);
        detail::check_steps("one_cycle", steps, 0);
        if (!(rise >= 0.0f && rise < 1.0f))
            fail("one_cycle.rise is %g; it is a share of the run, at least 0 and below 1", static_cast<double>(rise));
        if (!(start >= 1.0f && end >= 1.0f) || !std::isfinite(start) || !std::isfinite(end))
            fail("one_cycle divides by start = %g and end = %g; both must be finite and at least 1",
                 static_cast<double>(start), static_cast<double>(end));
    }
    /// The learning rate of step >= 0.
    float operator()(std::int64_t step) const {
        check();
        detail::check_step(step);
        // rise < 1 as a float, so the peak lies before the last step.
        const auto peak = static_cast<std::int64_t>(static_cast<double>(rise) * static_cast<double>(steps));
        const float first = rate / start;
        if (step < peak) return first + product(rate - first, detail::share(step, peak));
        return detail::anneal(rate, rate / end, detail::share(step - peak, steps - peak));
    }
};

} // namespace fqt::schedule
