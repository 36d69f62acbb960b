#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Range rules that search the clip with which a uniform grid errs least, from the histogram of magnitudes: a bin counts
// as its middle, which is within 1/32 of it. Candidates are the ends of the bins of eight octaves below the largest
// magnitude, and that itself. Where a bin is at most half a step wide, rounding to the nearest is applied to its
// middle; where wider, the noise of a step is step^2 / 12. Bins more than 16 octaves below the largest magnitude count
// as 0.

#include <fqt/core/floating_point.hpp>
#include <fqt/quant/clipping.hpp>
#include <fqt/quant/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace fqt {

/// Sums over the values x and what a clipped grid makes of them, x^.
struct clip_effect {
    double error{};  ///< sum (x - x^)^2
    double dot{};    ///< sum x x^
    double square{}; ///< sum x^ ^2
    double values{}; ///< sum x^2

    /// UI8's deviation of direction d_c = 1 - cos(x, x^); 1 where x^ is 0.
    double deviation() const {
        if (!(square > 0 && values > 0)) return 1;
        const double d = 1 - dot / std::sqrt(product(square, values));
        return d > 1e-12 ? d : 0; // below, it is rounding: values of one magnitude have their direction at any clip
    }
};

/// The effect of clipping to [-c, c] with codes in `limits`.
inline clip_effect effect_of_clip(float c, const measurement& m, code_limits limits) {
    const interval r = clipped_to(c, m);
    // A symmetric grid, or all codes between both ends.
    const double width = static_cast<double>(limits.low < 0 ? r.magnitude() : r.high - r.low);
    const double step = width / limits.high, clip = static_cast<double>(r.magnitude());
    clip_effect sum;
    if (!(step > 0)) return sum;
    const int last = std::min(magnitude_bins::of(m.range.magnitude()), static_cast<int>(m.histogram.size()) - 1);
    for (int i = std::max(last - 16 * magnitude_bins::per_octave, 1); i <= last; ++i) {
        const double n = m.histogram[static_cast<std::size_t>(i)];
        if (n == 0) continue;
        const double x =
            std::min(static_cast<double>(magnitude_bins::middle(i)), static_cast<double>(m.range.magnitude()));
        const double inside = std::min(x, clip);
        const bool fine = x < 8 * step || x >= clip;
        const double rounded = fine ? std::min(product(std::nearbyint(inside / step), step), clip) : inside;
        const double noise = fine ? 0 : product(step, step) / 12, off = x - rounded;
        sum.error = std::fma(n, std::fma(off, off, noise), sum.error);
        sum.dot = std::fma(n, product(x, rounded), sum.dot);
        sum.square = std::fma(n, std::fma(rounded, rounded, noise), sum.square);
        sum.values = std::fma(n, product(x, x), sum.values);
    }
    return sum;
}

namespace detail {

/// The candidate with the least cost(effect); of equals the greatest.
template <class Cost>
interval search_clip(const measurement& m, code_limits limits, Cost&& cost) {
    const float most = m.range.magnitude();
    if (!(most > 0) || m.histogram.empty()) return m.range;
    const int last = magnitude_bins::of(most);
    float best = most;
    double least = cost(effect_of_clip(most, m, limits));
    for (int i = last; i > std::max(last - 8 * magnitude_bins::per_octave, 0); --i) {
        const double here = cost(effect_of_clip(magnitude_bins::begin(i), m, limits));
        if (here < product(least, 1 - 1e-9)) least = here, best = magnitude_bins::begin(i);
    }
    return clipped_to(best, m);
}

} // namespace detail

/// The clip with the least squared error of rounding to the nearest: what ACIQ derives for Gaussian and Laplace
/// distributions (Banner et al., NeurIPS 2019, from memory), here for the values at hand. For symmetric, asymmetric and
/// power_of_two.
struct least_square_error {
    static constexpr const char* name = "least square error";
    static constexpr bool searches_uniform_grids = true;
    static constexpr measures needs = measures::histogram;
    static interval clip(const measurement& m, code_limits limits) {
        return detail::search_clip(m, limits, [](const clip_effect& e) { return e.error; });
    }
};

/// Direction-sensitive gradient clipping of UI8 (Zhu et al., CVPR 2020, second hand): the clip with the
/// least d_c = 1 - cos(g, g^). The paper descends along d_c every hundred steps or so; this searches. For
/// symmetric, asymmetric and power_of_two.
struct greatest_cosine {
    static constexpr const char* name = "greatest cosine";
    static constexpr bool searches_uniform_grids = true;
    static constexpr measures needs = measures::histogram;
    static interval clip(const measurement& m, code_limits limits) {
        return detail::search_clip(m, limits, [](const clip_effect& e) { return e.deviation(); });
    }
    /// d_c of a clip, for learning rates that heed it: UI8's factor is max(exp(-20 d_c), 0.1).
    static double deviation(interval clip, const measurement& m, code_limits limits) {
        return effect_of_clip(clip.magnitude(), m, limits).deviation();
    }
};

} // namespace fqt
