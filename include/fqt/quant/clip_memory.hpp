#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Range rules that remember earlier steps. Their clips may lie inside or outside of what this step holds: a range that
// moves little is the point. Memory is zero at first, and a rule that finds it so begins with this step.

#include <fqt/quant/clipping.hpp>
#include <fqt/quant/range.hpp>
#include <fqt/quant/scale.hpp>

#include <algorithm>
#include <cmath>
#include <span>

namespace fqt {

namespace detail {

/// [-c, c], without the side on which this step has no values.
inline interval sided(float c, const measurement& m) {
    return {m.range.low < 0 ? -c : 0.0f, m.range.high > 0 ? c : 0.0f};
}

} // namespace detail

/// The exponential moving average of another rule's interval: end += Weight * (end of this step - end), beginning with
/// the first step's. Memory: both ends, then the other rule's own.
template <range_rule Rule, float Weight>
struct moving_average {
    static_assert(Weight > 0 && Weight <= 1, "fqt: moving_average<Rule, Weight> takes the weight of this step, 0 to 1");
    static constexpr const char* name = "moving average";
    static constexpr measures needs = range_traits<Rule>::needs;
    static constexpr int memory = 2 + range_traits<Rule>::memory;
    static constexpr bool searches_uniform_grids = range_traits<Rule>::searches_uniform_grids;

    static interval clip(const measurement& m, code_limits limits, std::span<float> kept) {
        const interval now = range_traits<Rule>::clip(m, limits, kept.subspan(2));
        const bool first = kept[0] == 0 && kept[1] == 0;
        kept[0] = first ? now.low : std::fma(Weight, now.low - kept[0], kept[0]);
        kept[1] = first ? now.high : std::fma(Weight, now.high - kept[1], kept[1]);
        return {kept[0], kept[1]};
    }
};

/// Delayed scaling of Transformer Engine (common/recipe/__init__.py: a history of amax, scale = (greatest code / amax)
/// / 2^margin): c = 2^MarginLog2 times the largest magnitude of the last History steps, this one not among them, so
/// that hardware need not wait for it. The first step, and one after zeros alone, takes its own. Values beyond are
/// clipped. Memory: History magnitudes, the place of the next, and the number of steps whose magnitude was beyond c.
template <int History = 16, int MarginLog2 = 0>
struct delayed {
    static_assert(History >= 1 && History <= 4096 && MarginLog2 >= -8 && MarginLog2 <= 8,
                  "fqt: delayed<History, MarginLog2> takes 1 to 4096 steps and a margin of 2^-8 to 2^8");
    static constexpr const char* name = "delayed";
    static constexpr int memory = History + 2;

    static interval clip(const measurement& m, code_limits, std::span<float> kept) {
        const float now = m.range.magnitude(), margin = power_of_two_of(MarginLog2);
        const float before = *std::max_element(kept.begin(), kept.begin() + History);
        const float c = (before > 0 ? before : now) * margin;
        float &place = kept[History], &beyond = kept[History + 1];
        if (now > c) beyond += 1; // exact to 2^24 steps
        // A checkpoint's number may be any, such as another rule's.
        kept[place > 0 && place < History ? static_cast<std::size_t>(place) : 0] = now;
        place = place >= 0 && place + 1 < History ? place + 1 : 0;
        return detail::sided(c, m);
    }
    /// How many steps had values beyond their clip.
    static int saturations(std::span<const float> kept) { return static_cast<int>(kept[History + 1]); }
};

/// A clip that follows the gradient by powers of two, one octave a step: c doubles after a step with values beyond it,
/// and halves after one whose largest magnitude is at most half of it. The first step takes the least power of two that
/// clips nothing. It is GradScale of Ultra-Low Precision 4-bit Training as far as that is known here (Sun et al.,
/// NeurIPS 2020, second hand): a scale for each layer, adapted so that little overflows, which spares hardware the pass
/// that measures. Memory: c of the next step, and how many steps had values beyond theirs.
struct grad_scale {
    static constexpr const char* name = "GradScale";
    static constexpr int memory = 2;

    static interval clip(const measurement& m, code_limits, std::span<float> kept) {
        const float now = m.range.magnitude();
        const float c = kept[0] > 0 ? kept[0] : covering_power::step(now, 1.0f);
        if (now > c) kept[1] += 1; // exact to 2^24 steps
        kept[0] = now > c ? std::min(2 * c, 0x1p126f) : now > 0 && now <= c / 2 ? c / 2 : c;
        return detail::sided(c, m);
    }
    /// How many steps had values beyond their clip.
    static int saturations(std::span<const float> kept) { return static_cast<int>(kept[1]); }
};

/// Magnitude-aware clipping of DAINT8 (Zhao et al., AAAI 2021, second hand), meant for channels:
///   Gaussian, where P(|g| > sigma) > 0.3  c = max|g|
///   else, an inverted T                   c_t = (1 - A) c_{t-1} + A max|g|_t   (the paper's k A with k = 1)
/// sigma is the rms. A Gaussian has 0.317, a Laplace distribution 0.243. The first step takes its largest magnitude.
/// Memory: c.
template <float A = 0.8f>
struct magnitude_aware {
    static_assert(A > 0 && A <= 1, "fqt: magnitude_aware<A> takes the weight of this step, 0 to 1");
    static constexpr const char* name = "magnitude aware";
    static constexpr measures needs = measures::histogram;
    static constexpr int memory = 1;

    static interval clip(const measurement& m, code_limits, std::span<float> kept) {
        const float most = m.range.magnitude();
        const bool gaussian = detail::share_above(m, static_cast<float>(std::sqrt(m.mean_square()))) > 0.3;
        const bool first = kept[0] == 0;
        kept[0] = gaussian || first ? most : std::fma(A, most - kept[0], kept[0]);
        return detail::sided(kept[0], m);
    }
};

} // namespace fqt
