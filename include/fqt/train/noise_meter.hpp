#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What is measured of tensors that an observer is shown: sums over all values in doubles, each sample's on its own and
// added in order, so that threads change nothing.

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/parallel.hpp>
#include <fqt/layers/observer.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

namespace fqt {

/// How far values x are from values y that they stand for. Comparisons of several draws add up.
struct comparison {
    double error{};     ///< sum of (x - y)^2
    double reference{}; ///< sum of y^2
    double value{};     ///< sum of x^2
    double product{};   ///< sum of x y

    void add(double x, double y) {
        error = std::fma(x - y, x - y, error);
        reference = std::fma(y, y, reference);
        value = std::fma(x, x, value);
        product = std::fma(x, y, product);
    }
    comparison& operator+=(const comparison& other) {
        error += other.error;
        reference += other.reference;
        value += other.value;
        product += other.product;
        return *this;
    }

    /// |x - y|^2 / |y|^2: relative noise. NaN, like what follows, where y is 0 throughout.
    double noise_to_signal() const { return error / reference; }
    /// <x, y> / (|x| |y|).
    double cosine() const { return product / std::sqrt(fqt::product(value, reference)); }
    /// <x, y> / |y|^2 - 1: by how much x is too long, or short, along y.
    double bias() const { return product / reference - 1; }
};

/// Codes at the ends of their range, and codes that are 0, among all.
struct code_counts {
    std::int64_t codes{}, clipped{}, zeros{};

    code_counts& operator+=(const code_counts& other) {
        codes += other.codes;
        clipped += other.clipped;
        zeros += other.zeros;
        return *this;
    }
    double clipped_share() const { return static_cast<double>(clipped) / static_cast<double>(codes); }
    double zero_share() const { return static_cast<double>(zeros) / static_cast<double>(codes); }
};

namespace detail {

/// Calls visit(result of sample n, n, p, c, value) for all values, or codes, of t, on threads; adds up the results.
template <class Result, class Visit>
Result over_values(const observed_tensor& t, bool codes, int threads, Visit&& visit) {
    std::vector<Result> of_sample(static_cast<std::size_t>(t.samples));
    parallel_for(t.samples, threads, [&](int n, int) {
        Result& result = of_sample[static_cast<std::size_t>(n)];
        for (int p = 0; p < t.dims.pixels(); ++p)
            for (int first = 0; first < t.dims.channels; first += lanes) {
                float v[lanes];
                if (codes) t.codes(n, p, first / lanes, v);
                else t.values(n, p, first / lanes, v);
                for (int i = 0; i < lanes && first + i < t.dims.channels; ++i) visit(result, n, p, first + i, v[i]);
            }
    });
    Result sum{};
    for (const Result& result : of_sample) sum += result;
    return sum;
}

} // namespace detail

/// The place of a value in what values_of() returns: (sample, pixel, channel).
constexpr std::size_t place_of(const observed_tensor& t, int n, int p, int c) {
    return (static_cast<std::size_t>(n) * static_cast<std::size_t>(t.dims.pixels()) + static_cast<std::size_t>(p))
        * static_cast<std::size_t>(t.dims.channels)
        + static_cast<std::size_t>(c);
}

/// All values of an observed tensor, which is gone when the observer returns.
inline std::vector<float> values_of(const observed_tensor& t, int threads = 1) {
    std::vector<float> values(static_cast<std::size_t>(t.samples) * static_cast<std::size_t>(t.dims.size()));
    detail::over_values<int>(t, false, threads,
                             [&](int&, int n, int p, int c, float v) { values[place_of(t, n, p, c)] = v; });
    return values;
}

/// Compares t with `reference`, in the order of values_of(), times scale[channel] where there are scales.
inline comparison compare(const observed_tensor& t, std::span<const float> reference, std::span<const float> scale = {},
                          int threads = 1) {
    const auto size = static_cast<std::size_t>(t.samples) * static_cast<std::size_t>(t.dims.size());
    const auto channels = static_cast<std::size_t>(t.dims.channels);
    if (reference.size() != size || (!scale.empty() && scale.size() < channels))
        fail("'%.*s' of layer '%.*s' has %zu values in %zu channels and is compared with %zu values and %zu scales; "
             "give as many",
             static_cast<int>(t.what.size()), t.what.data(), static_cast<int>(t.layer.size()), t.layer.data(), size,
             channels, reference.size(), scale.size());
    return detail::over_values<comparison>(t, false, threads, [&](comparison& sum, int n, int p, int c, float v) {
        const double factor = scale.empty() ? 1 : double{scale[static_cast<std::size_t>(c)]};
        sum.add(double{v}, factor * double{reference[place_of(t, n, p, c)]});
    });
}
/// The same of two spans of equal length.
inline comparison compare(std::span<const float> values, std::span<const float> reference) {
    comparison sum;
    for (std::size_t i = 0; i < values.size(); ++i) sum.add(double{values[i]}, double{reference[i]});
    return sum;
}

/// Counts the codes of t, which must have some.
inline code_counts count_codes(const observed_tensor& t, int threads = 1) {
    const auto low = static_cast<float>(t.limits.low), high = static_cast<float>(t.limits.high);
    return detail::over_values<code_counts>(t, true, threads, [&](code_counts& sum, int, int, int, float q) {
        ++sum.codes;
        sum.clipped += q <= low || q >= high;
        sum.zeros += q == 0;
    });
}

namespace detail {
struct greatest {
    double value{};
    greatest& operator+=(greatest other) {
        value = std::max(value, other.value);
        return *this;
    }
};
} // namespace detail

/// The largest magnitude among the integer sums of a product ("sums"), to within the rounding of their storage.
inline double largest_sum(const observed_tensor& t, int threads = 1) {
    const auto most = detail::over_values<detail::greatest>(
        t, true, threads, [](detail::greatest& g, int, int, int, float u) { g += {std::abs(double{u})}; });
    return most.value / double{t.unit};
}

} // namespace fqt
