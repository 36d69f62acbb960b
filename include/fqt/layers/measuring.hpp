#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What range rules ask for, measured of a lazy tensor: one pass, samples on threads. Sums are those of a sample's lanes
// in double, then of lanes, then of samples, each in order; counts are integers. So threads change nothing.

#include <fqt/layers/passes.hpp>
#include <fqt/layers/planner.hpp>

#include <cstring>

namespace fqt {

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

public:
    constexpr measured_samples(std::byte* shared, int samples) {
        carver memory(shared);
        const auto n = static_cast<std::size_t>(samples);
        range_ = memory.take<interval>(n);
        if (moments) sums_ = memory.take<sums>(n);
        if (counts) histogram_ = memory.take<std::uint32_t>(n * magnitude_bins::count);
    }
    static constexpr std::size_t bytes(int samples) {
        constexpr std::size_t a_sample = sizeof(interval) + (moments ? sizeof(sums) : 0)
            + (counts ? sizeof(std::uint32_t) * std::size_t{magnitude_bins::count} : 0);
        return static_cast<std::size_t>(samples) * a_sample + 3 * 64;
    }

    /// Measures sample n of x; false if it holds NaN or infinity.
    template <class X>
    bool measure(const X& x, int n) {
        const X values = x;
        floats<Arch> low(0.0f), high(0.0f), poison(0.0f);
        auto magnitude = simd::f64x16<Arch>::zero(), square = simd::f64x16<Arch>::zero();
        std::uint32_t* const histogram = counts ? histogram_of(n) : nullptr;
        if (counts) std::fill_n(histogram, magnitude_bins::count, 0u);
        passes::each_block<Shape>([&](int p, int b) __attribute__((always_inline)) {
            const auto v = values.template load<Arch>(n, p, b);
            low = min(v, low);
            high = max(v, high);
            poison = fma(v, floats<Arch>(0.0f), poison);
            if constexpr (moments) {
                magnitude.add(abs(v));
                square.add_product(v, v);
            }
            if constexpr (counts) {
                float lane[lanes];
                v.store(lane);
                for (const float f : lane) ++histogram[magnitude_bins::of(f)];
            }
        });
        if (counts) histogram[0] -= static_cast<std::uint32_t>(padded_size(Shape) - Shape.size());
        range_[n] = {reduce_min(low), reduce_max(high)};
        if constexpr (moments) sums_[n] = {sum_of_lanes(magnitude), sum_of_lanes(square)};
        const bool finite = all(poison == floats<Arch>(0.0f));
        if (!finite) range_[n].high = std::numeric_limits<float>::infinity();
        return finite;
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
    static double sum_of_lanes(const simd::f64x16<Arch>& v) {
        double sum = 0;
        for (int i = 0; i < lanes; ++i) sum += v.lane(i);
        return sum;
    }
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

public:
    constexpr explicit measured_channels(std::byte* shared) {
        carver memory(shared);
        low_ = memory.take<float>(channels);
        high_ = memory.take<float>(channels);
        if (moments) magnitude_ = memory.take<double>(channels);
        if (moments) square_ = memory.take<double>(channels);
        if (counts) histogram_ = memory.take<std::uint32_t>(channels * magnitude_bins::count);
    }
    static constexpr std::size_t bytes() {
        return channels
            * (2 * sizeof(float) + (moments ? 2 * sizeof(double) : 0)
               + (counts ? sizeof(std::uint32_t) * std::size_t{magnitude_bins::count} : 0))
            + 5 * 64;
    }

    template <class X>
    void measure(const context& c, const X& x) {
        parallel_for(blocks(Shape.channels), c.threads, [&](int b, int) {
            floats<Arch> low(0.0f), high(0.0f), poison(0.0f);
            auto magnitude = simd::f64x16<Arch>::zero(), square = simd::f64x16<Arch>::zero();
            std::uint32_t* const histogram = counts ? histogram_of(b * lanes) : nullptr;
            if (counts) std::fill_n(histogram, lanes * magnitude_bins::count, 0u);
            for (int n = 0; n < c.samples; ++n)
                for (int p = 0; p < Shape.pixels(); ++p) {
                    const auto v = x.template load<Arch>(n, p, b);
                    low = min(v, low);
                    high = max(v, high);
                    poison = fma(v, floats<Arch>(0.0f), poison);
                    if constexpr (moments) {
                        magnitude.add(abs(v));
                        square.add_product(v, v);
                    }
                    if constexpr (counts) {
                        float lane[lanes];
                        v.store(lane);
                        for (int i = 0; i < lanes; ++i)
                            ++histogram[i * magnitude_bins::count + magnitude_bins::of(lane[i])];
                    }
                }
            low.store(low_ + b * lanes);
            where(poison == floats<Arch>(0.0f), high, std::numeric_limits<float>::infinity()).store(high_ + b * lanes);
            if constexpr (moments) magnitude.store(magnitude_ + b * lanes);
            if constexpr (moments) square.store(square_ + b * lanes);
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

} // namespace fqt
