#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Samples of distributions, and what the library measures of them, computed here in the plainest way.

#include <fqt/quant/range.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace samples {

/// n samples: quantiles of a distribution at equal distances, with alternating signs.
template <class Quantile>
std::vector<float> quantiles(int n, double scale, Quantile&& magnitude_at) {
    std::vector<float> values;
    for (int i = 0; i < n; ++i)
        values.push_back(static_cast<float>((i % 2 ? -1 : 1) * scale * magnitude_at((i + 0.5) / n)));
    return values;
}
inline std::vector<float> uniform(int n, double scale) {
    return quantiles(n, scale, [](double p) { return p; });
}
inline std::vector<float> laplace(int n, double scale) {
    return quantiles(n, scale, [](double p) { return -std::log(1 - p); });
}
inline std::vector<float> logistic(int n, double scale) {
    return quantiles(n, scale, [](double p) { return std::log((1 + p) / (1 - p)); });
}
inline std::vector<float> triangular(int n, double scale) {
    return quantiles(n, scale, [](double p) { return 1 - std::sqrt(1 - p); });
}
/// By bisection of erf.
inline std::vector<float> gaussian(int n, double scale) {
    return quantiles(n, scale, [](double p) {
        double low = 0, high = 10;
        for (int i = 0; i < 50; ++i) (std::erf((low + high) / 2 / std::sqrt(2.0)) < p ? low : high) = (low + high) / 2;
        return low;
    });
}
inline std::vector<float> magnitudes(std::vector<float> values) {
    for (float& x : values) x = std::abs(x);
    return values;
}

/// The squared error of rounding to the nearest of n steps to c on either side, in double.
inline double square_error(const std::vector<float>& values, double c, int n) {
    double sum = 0;
    for (const float x : values) {
        const double y = std::min(std::max(double{x}, -c), c);
        sum += std::pow(std::nearbyint(y / (c / n)) * (c / n) - double{x}, 2);
    }
    return sum;
}

/// Values with their measurement.
struct measured {
    std::vector<float> values;
    std::vector<std::uint32_t> counts;
    fqt::measurement all{};

    explicit measured(std::vector<float> of)
        : values(std::move(of)), counts(static_cast<std::size_t>(fqt::magnitude_bins::count)) {
        for (const float x : values) {
            all.range.low = std::min(all.range.low, x);
            all.range.high = std::max(all.range.high, x);
            all.count += 1;
            all.magnitude += std::abs(double{x});
            all.square += double{x} * double{x};
            ++counts[static_cast<std::size_t>(fqt::magnitude_bins::of(x))];
        }
        all.histogram = counts;
    }
    measured(const measured&) = delete;
    measured& operator=(const measured&) = delete;

    /// Only what a rule says that it needs.
    fqt::measurement up_to(fqt::measures needs) const {
        fqt::measurement m = all;
        if (needs < fqt::measures::histogram) m.histogram = {};
        if (needs < fqt::measures::moments) m.count = m.magnitude = m.square = 0;
        if (needs < fqt::measures::extremes) m.range = {};
        return m;
    }
};

} // namespace samples
