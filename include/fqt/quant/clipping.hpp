#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Range rules whose clip c follows from what was measured of this step alone: constants, moments, shares of the values.
// A symmetric clip gives [-c, c] without what the values do not reach, so that tensors that cannot be negative keep 0
// as their low end. Searches for the best clip: clip_search.hpp; rules with a memory: clip_memory.hpp.

#include <fqt/quant/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace fqt {

/// [-c, c] within the range of the values.
inline interval clipped_to(float c, const measurement& m) {
    return {std::max(m.range.low, -c), std::min(m.range.high, c)};
}

/// Low to High, whatever the values are. It needs no measurement; extremes are measured all the same where ranges do
/// not pass through, to find NaN and infinity. DoReFa's activations have fixed_range<0.0f, 1.0f>.
template <float Low, float High>
struct fixed_range {
    static_assert(Low <= 0 && High >= 0 && Low < High, "fqt: fixed_range<Low, High> includes 0");
    static constexpr const char* name = "fixed range";
    static constexpr measures needs = measures::nothing;
    static constexpr bool nonnegative = Low == 0;
    static interval clip(const measurement&, code_limits) { return {Low, High}; }
};

/// c = Multiple * sqrt(E x^2): 2 to 4 with few bits.
template <float Multiple>
struct rms_multiple {
    static_assert(Multiple > 0, "fqt: rms_multiple<Multiple> takes a positive multiple, such as 2.5f");
    static constexpr const char* name = "multiple of the rms";
    static constexpr measures needs = measures::moments;
    static interval clip(const measurement& m, code_limits) {
        return clipped_to(static_cast<float>(static_cast<double>(Multiple) * std::sqrt(m.mean_square())), m);
    }
};

/// c = E|x|, the scale with which signs err least: DoReFa with one bit, XNOR-Net (Rastegari et al., ECCV 2016, from
/// memory).
struct mean_magnitude {
    static constexpr const char* name = "mean magnitude";
    static constexpr measures needs = measures::moments;
    static interval clip(const measurement& m, code_limits) {
        return clipped_to(static_cast<float>(m.mean_magnitude()), m);
    }
};

namespace detail {

/// The magnitude below which `share` of the values lie, from 0 to 1: linear within a bin of the histogram. Zeros count.
inline float magnitude_quantile(const measurement& m, double share) {
    double total = 0, before = 0;
    for (const std::uint32_t n : m.histogram) total += n;
    const double wanted = share * total;
    for (std::size_t i = 0; i < m.histogram.size(); ++i) {
        const double n = m.histogram[i];
        if (n > 0 && before + n >= wanted) {
            const auto begin = static_cast<double>(magnitude_bins::begin(static_cast<int>(i)));
            const auto end = static_cast<double>(magnitude_bins::begin(static_cast<int>(i) + 1));
            return static_cast<float>(std::fma((wanted - before) / n, end - begin, begin));
        }
        before += n;
    }
    return 0;
}

/// The share of the values whose magnitude is above x, linear within a bin.
inline double share_above(const measurement& m, float x) {
    double total = 0, above = 0;
    const int bin = magnitude_bins::of(x);
    for (int i = 0; i < static_cast<int>(m.histogram.size()); ++i) {
        const double n = m.histogram[static_cast<std::size_t>(i)];
        total += n;
        if (i > bin) above += n;
        if (i != bin) continue;
        const auto begin = static_cast<double>(magnitude_bins::begin(i)),
                   end = static_cast<double>(magnitude_bins::begin(i + 1));
        above = std::fma(n, (end - static_cast<double>(x)) / (end - begin), above);
    }
    return total > 0 ? above / total : 0;
}

} // namespace detail

/// Percent of the magnitudes are kept and the others clipped, to a 16th of an octave and better. Zeros count; where
/// they are so many that nothing else would be kept, the whole range is.
template <float Percent>
struct percentile {
    static_assert(Percent > 0 && Percent <= 100, "fqt: percentile<Percent> takes what is kept, such as 99.9f");
    static constexpr const char* name = "percentile";
    static constexpr measures needs = measures::histogram;
    static interval clip(const measurement& m, code_limits) {
        const float c = detail::magnitude_quantile(m, static_cast<double>(Percent) / 100);
        return magnitude_bins::of(c) > 0 ? clipped_to(c, m) : m.range;
    }
};

/// Statistics-aware weight binning, c = c1 sqrt(E w^2) - c2 E|w| (Choi et al., SysML 2019; second hand): a regression,
/// over six shapes of distributions, of the clip with the least squared error of rounding to the nearest.
/// The coefficients belong to a number of levels and are taken for the greatest number that the codes have:
///   4, 8, 16 and 32 levels, none of them zero, and 3, 15, 127 and 255 levels: as in IBM's fms-model-optimizer,
///   fms_mo/quant_refactor/sawb_utils.py (dorefa_levels and symmetric grids)
///   7, 31 and 63 levels: fitted here in the same way to Gaussian, Laplace, logistic, uniform, triangular and von Mises
/// At 4 bits and less the error is within a quarter of the least for all of these shapes; beyond, a line fits uniform
/// values badly: it clips up to a fifth of their range. c stays between the mean and the largest magnitude, since
/// values of one magnitude, or heavier tails than Laplace's, were not fitted.
struct sawb {
    static constexpr const char* name = "sawb";
    static constexpr measures needs = measures::moments;

    struct coefficients {
        int levels;
        double of_rms, of_mean;
    };
    static constexpr coefficients table[] = {
        {3, 2.6, 1.71},       {4, 3.12, 2.064},    {7, 6.966, 6.331},    {8, 7.509, 6.892},
        {15, 12.035, 12.03},  {16, 12.68, 12.80},  {31, 16.885, 17.756}, {32, 17.74, 18.64},
        {63, 22.134, 23.940}, {127, 28.24, 30.81}, {255, 31.76, 35.04},
    };

    static interval clip(const measurement& m, code_limits limits) {
        // Codes of a tensor that cannot be negative are half of a symmetric grid.
        const int levels = limits.low < 0 ? limits.high - limits.low + 1 : 2 * limits.high + 1;
        coefficients c = table[0];
        for (const coefficients& row : table)
            if (row.levels <= levels) c = row;
        const double mean = m.mean_magnitude();
        const double best = std::fma(c.of_rms, std::sqrt(m.mean_square()), -(c.of_mean * mean));
        return clipped_to(static_cast<float>(std::max(best, mean)), m);
    }
};

} // namespace fqt
