#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What range rules ask for, measured of a lazy tensor: one pass, samples on threads. Sums are those of a sample's lanes
// in double, then of lanes, then of samples, each in order; counts are integers. So threads change nothing.

#include <fqt/core/path.hpp>
#include <fqt/layers/passes.hpp>
#include <fqt/layers/planner.hpp>

#include <algorithm>
#include <limits>

namespace fqt {

/// The lanes of a sum in order.
template <class Arch>
double sum_of_lanes(const simd::f64x16<Arch>& v) {
    double sum = 0;
    for (int i = 0; i < lanes; ++i) sum += v.lane(i);
    return sum;
}

/// What is measured of 16 lanes of values, as they come. NaN and infinity are found by 0 * x, which is then not 0.
template <measures Needs, class Arch>
struct measured_lanes {
    static constexpr bool moments = Needs >= measures::moments;
    floats<Arch> low{0.0f}, high{0.0f}, poison{0.0f};
    simd::f64x16<Arch> magnitude = simd::f64x16<Arch>::zero(), square = simd::f64x16<Arch>::zero();

    FQT_INLINE void add(floats<Arch> v) {
        low = min(v, low);
        high = max(v, high);
        poison = fma(v, floats<Arch>(0.0f), poison);
        if constexpr (moments) {
            magnitude.add(abs(v));
            square.add_product(v, v);
        }
    }
    auto finite() const { return poison == floats<Arch>(0.0f); }
};

/// Counts 16 values, those of lane i in the histogram at `counts + i * stride`.
template <class Arch>
void count_magnitudes(floats<Arch> v, std::uint32_t* counts, int stride) {
    float lane[lanes];
    v.store(lane);
    for (int i = 0; i < lanes; ++i) ++counts[i * stride + magnitude_bins::of(lane[i])];
}

/// Measurements of a batch, sample by sample, in shared memory.
template <measures Needs, shape Shape, class Arch>
class measured_samples {
    static constexpr bool moments = Needs >= measures::moments, counts = Needs >= measures::histogram;
    struct sums {
        double magnitude, square;
    };
    interval* range_{};
    sums* sums_{};
    std::uint32_t* histogram_{};

    constexpr explicit measured_samples(carver memory, int samples) {
        const auto n = static_cast<std::size_t>(samples);
        range_ = memory.take<interval>(n);
        if (moments) sums_ = memory.take<sums>(n);
        if (counts) histogram_ = memory.take<std::uint32_t>(n * magnitude_bins::count);
        bytes_ = memory.used();
    }
    std::size_t bytes_{};

public:
    constexpr measured_samples(std::byte* shared, int samples) : measured_samples(carver(shared), samples) {}
    static constexpr std::size_t bytes(int samples) { return measured_samples(carver(), samples).bytes_; }

    /// Measures sample n of x; false if it holds NaN or infinity.
    template <class X>
    [[gnu::flatten]] bool measure(const X& x, int n) {
        const X values = x;
        measured_lanes<Needs, Arch> found;
        std::uint32_t* const histogram = counts ? histogram_of(n) : nullptr;
        if (counts) std::fill_n(histogram, magnitude_bins::count, 0u);
        passes::each_block<Shape>([&](int p, int b) FQT_INLINE_LAMBDA {
            const auto v = values.template load<Arch>(n, p, b);
            found.add(v);
            if constexpr (counts) count_magnitudes<Arch>(v, histogram, 0);
        });
        if (counts) histogram[0] -= static_cast<std::uint32_t>(padded_size(Shape) - Shape.size());
        range_[n] = {reduce_min(found.low), reduce_max(found.high)};
        if constexpr (moments) sums_[n] = {sum_of_lanes<Arch>(found.magnitude), sum_of_lanes<Arch>(found.square)};
        const bool finite = all(found.finite());
        if (!finite) range_[n].high = std::numeric_limits<float>::infinity();
        return finite;
    }
    /// Measures all samples. Errors: x, called `what`, is not finite.
    template <class X>
    void measure_all(const context& c, const X& x, const char* what, const char* layer) {
        parallel_for(c.samples, c.threads, [&](int n, int) { measure(x, n); });
        if (!all_finite(c.samples)) passes::refuse_non_finite(what, layer);
    }

    /// Whether all of the samples measured were finite.
    bool all_finite(int samples) const {
        bool finite = true;
        for (int n = 0; n < samples; ++n) finite = finite && range_[n].high < std::numeric_limits<float>::infinity();
        return finite;
    }

    measurement of_sample(int n) const {
        measurement m{range_[n], static_cast<double>(Shape.size())};
        if constexpr (moments) {
            m.magnitude = sums_[n].magnitude;
            m.square = sums_[n].square;
        }
        if constexpr (counts) m.histogram = {histogram_of(n), magnitude_bins::count};
        return m;
    }
    /// All samples together; adds the histograms into the first one's.
    measurement of_batch(int samples) {
        measurement m = of_sample(0);
        for (int n = 1; n < samples; ++n) {
            const measurement other = of_sample(n);
            m.range = m.range.join(other.range);
            m.count += other.count;
            m.magnitude += other.magnitude;
            m.square += other.square;
            if constexpr (counts)
                for (int i = 0; i < magnitude_bins::count; ++i)
                    histogram_[i] += other.histogram[static_cast<std::size_t>(i)];
        }
        return m;
    }

private:
    std::uint32_t* histogram_of(int n) const { return histogram_ + std::ptrdiff_t{n} * magnitude_bins::count; }
};

/// What is measured of each channel of a batch, for grids of channels. Threads take blocks of 16 channels, so that a
/// channel's values are seen in order.
template <measures Needs, shape Shape, class Arch>
class measured_channels {
    static constexpr bool moments = Needs >= measures::moments, counts = Needs >= measures::histogram;
    static constexpr std::size_t channels = static_cast<std::size_t>(padded(Shape.channels));
    float *low_{}, *high_{};
    double *magnitude_{}, *square_{};
    std::uint32_t* histogram_{};

    std::size_t bytes_{};

    constexpr explicit measured_channels(carver memory) {
        low_ = memory.take<float>(channels);
        high_ = memory.take<float>(channels);
        if (moments) magnitude_ = memory.take<double>(channels);
        if (moments) square_ = memory.take<double>(channels);
        if (counts) histogram_ = memory.take<std::uint32_t>(channels * magnitude_bins::count);
        bytes_ = memory.used();
    }

public:
    constexpr explicit measured_channels(std::byte* shared) : measured_channels(carver(shared)) {}
    static constexpr std::size_t bytes() { return measured_channels(carver()).bytes_; }

    /// A channel that is not finite has a greatest value of infinity.
    template <class X>
    void measure(const context& c, const X& x) {
        parallel_for(
            blocks(Shape.channels), c.threads, [&](int b, int) __attribute__((flatten)) {
                measured_lanes<Needs, Arch> found;
                std::uint32_t* const histogram = counts ? histogram_of(b * lanes) : nullptr;
                if (counts) std::fill_n(histogram, lanes * magnitude_bins::count, 0u);
                for (int n = 0; n < c.samples; ++n)
                    for (int p = 0; p < Shape.pixels(); ++p) {
                        const auto v = x.template load<Arch>(n, p, b);
                        found.add(v);
                        if constexpr (counts) count_magnitudes<Arch>(v, histogram, magnitude_bins::count);
                    }
                found.low.store(low_ + b * lanes);
                where(found.finite(), found.high, std::numeric_limits<float>::infinity()).store(high_ + b * lanes);
                if constexpr (moments) found.magnitude.store(magnitude_ + b * lanes);
                if constexpr (moments) found.square.store(square_ + b * lanes);
            });
    }

    measurement of_channel(int k, int samples) const {
        measurement m{{low_[k], high_[k]}, static_cast<double>(samples) * Shape.pixels()};
        if constexpr (moments) {
            m.magnitude = magnitude_[k];
            m.square = square_[k];
        }
        if constexpr (counts) m.histogram = {histogram_of(k), magnitude_bins::count};
        return m;
    }

private:
    std::uint32_t* histogram_of(int k) const { return histogram_ + std::ptrdiff_t{k} * magnitude_bins::count; }
};

/// What rules ask of a layer's input x: from ranges that pass through it, where those do, or in a pass of its own.
/// Errors: x is not finite.
template <measures Needs, class Arch, class X>
measurement measure_input(const context& c, const X& x, const path& name) {
    constexpr measures least = std::max(Needs, measures::extremes);
    if constexpr (has_range<X> && least == measures::extremes) {
        measurement m;
        for (int channel = 0; channel < X::dims.channels; ++channel) m.range = m.range.join(x.range(channel));
        if (!(m.range.magnitude() < std::numeric_limits<float>::infinity()))
            passes::refuse_non_finite("the input", name.c_str());
        return m;
    } else {
        measured_samples<least, X::dims, Arch> found(c.shared, c.samples);
        found.measure_all(c, x, "the input", name.c_str());
        return found.of_batch(c.samples);
    }
}
/// Bytes of shared memory that it may use.
template <measures Needs, shape Shape>
constexpr std::size_t input_measuring_bytes(int samples) {
    return measured_samples<std::max(Needs, measures::extremes), Shape, arch::generic>::bytes(samples);
}

} // namespace fqt
