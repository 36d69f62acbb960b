#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What batches, and so the trainer, read from: labelled pictures that can be fetched by number, in memory (dataset) or
// elsewhere (io/record_files.hpp, or a source of your own), and the scale on which a network sees them.

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/parallel.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/train/labels.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace fqt {

/// How pixels become the network's input: (pixel / 255 - mean) / deviation, one mean and deviation for each channel.
/// Empty vectors stand for mean 0 and deviation 1.
struct pixel_scale {
    std::vector<float> mean, deviation;

    /// Refuses a scale for another number of channels, and numbers that are not usable.
    void check(int channels) const {
        const auto count = static_cast<std::size_t>(channels);
        const bool none = mean.empty() && deviation.empty();
        if (!none && (mean.size() != count || deviation.size() != count))
            fail("the data set's scale has %zu means and %zu deviations for %zu channels; "
                 "give one of each a channel, or none",
                 mean.size(), deviation.size(), count);
        for (std::size_t c = 0; c < mean.size(); ++c)
            if (!std::isfinite(mean[c]) || !std::isfinite(deviation[c]) || !(deviation[c] > 0.0f))
                fail("the scale of channel %zu is mean %g, deviation %g; both must be finite and the deviation above 0",
                     c, static_cast<double>(mean[c]), static_cast<double>(deviation[c]));
    }

    /// What a pixel value becomes: entry 256 * c + value for channel c. check(channels) must have passed.
    std::vector<float> table(int channels) const {
        std::vector<float> entries;
        entries.reserve(static_cast<std::size_t>(channels) * 256);
        for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
            const double m = mean.empty() ? 0.0 : static_cast<double>(mean[c]);
            const double d = mean.empty() ? 1.0 : static_cast<double>(deviation[c]);
            for (int value = 0; value < 256; ++value)
                entries.push_back(static_cast<float>((static_cast<double>(value) / 255.0 - m) / d));
        }
        return entries;
    }

    friend bool operator==(const pixel_scale&, const pixel_scale&) = default;
};

/// Refuses a shape with a side below 1 or with more values than an int counts.
inline void check_image(shape image) {
    const auto [c, h, w] = image;
    if (c < 1 || h < 1 || w < 1 || std::int64_t{c} * h > std::numeric_limits<int>::max() / w)
        fail("an image of %d x %d x %d (channels, height, width) is not possible; "
             "all three must be at least 1 and their product below 2^31",
             c, h, w);
}

/// One sample of a source.
struct labelled_pixels {
    std::span<const std::uint8_t> pixels; ///< (channel, y, x)
    class_label label{};                  ///< below the source's `classes`
};

/// Labelled pictures of one shape. `sample(n, memory)`, 0 <= n < size(), gives a sample whose pixels lie in the source,
/// or in `memory` of image.size() bytes; several threads call it at once, each with memory of its own. `check()`
/// refuses a source that cannot be used, an empty one among them.
template <class Source>
concept picture_source = requires(const Source& source, int n, std::span<std::uint8_t> memory) {
    { source.image } -> std::convertible_to<shape>;
    { source.classes } -> std::convertible_to<int>;
    { source.scale } -> std::convertible_to<const pixel_scale&>;
    { source.size() } -> std::same_as<int>;
    source.check();
    { source.sample(n, memory) } -> std::same_as<labelled_pixels>;
};

/// Any source, which must outlive it. One indirect call a sample, so that batches and trainers are no templates of it.
class source_view {
public:
    template <picture_source Source>
    source_view(const Source& source) // NOLINT(google-explicit-constructor): so that a data set is a source
        : source_(&source), scale_(&source.scale), image_(source.image), classes_(source.classes), size_(source.size()),
          check_([](const void* s) { static_cast<const Source*>(s)->check(); }),
          sample_([](const void* s, int n, std::span<std::uint8_t> memory) {
              return static_cast<const Source*>(s)->sample(n, memory);
          }) {}

    shape image() const { return image_; }
    int classes() const { return classes_; }
    int size() const { return size_; }
    const pixel_scale& scale() const { return *scale_; }
    void check() const { check_(source_); }
    labelled_pixels sample(int n, std::span<std::uint8_t> memory) const { return sample_(source_, n, memory); }

private:
    const void* source_;
    const pixel_scale* scale_;
    shape image_;
    int classes_, size_;
    void (*check_)(const void*);
    labelled_pixels (*sample_)(const void*, int, std::span<std::uint8_t>);
};

/// The deviation that measure_scale gives at least: one grey level. A channel that is constant becomes zeros with it,
/// and noise of less than a level is not blown up.
inline constexpr float least_deviation = 1.0f / 255.0f;

/// Mean and standard deviation of each channel over all samples, in units of the full range 255; the deviation is at
/// least `least_deviation`. From exact counts of each pixel value, so the order of samples changes nothing,
/// nor does the number of threads (0: all).
inline pixel_scale measure_scale(source_view data, int threads = 0) {
    data.check();
    threads = threads_of(threads);
    const auto channels = static_cast<std::size_t>(data.image().channels);
    const auto plane = static_cast<std::size_t>(data.image().pixels());
    struct per_thread {
        std::vector<std::array<std::int64_t, 256>> counts;
        std::vector<std::uint8_t> memory;
    };
    std::vector<per_thread> parts(static_cast<std::size_t>(threads),
                                  {std::vector<std::array<std::int64_t, 256>>(channels),
                                   std::vector<std::uint8_t>(static_cast<std::size_t>(data.image().size()))});
    parallel_for(data.size(), threads, [&](int n, int thread) {
        auto& [counts, memory] = parts[static_cast<std::size_t>(thread)];
        const auto pixels = data.sample(n, memory).pixels;
        for (std::size_t c = 0; c < channels; ++c)
            for (const std::uint8_t value : pixels.subspan(c * plane, plane)) ++counts[c][value];
    });
    pixel_scale scale;
    const double total = static_cast<double>(data.size()) * static_cast<double>(plane);
    for (std::size_t c = 0; c < channels; ++c) {
        std::array<std::int64_t, 256> count{};
        for (const per_thread& part : parts)
            for (std::size_t v = 0; v < 256; ++v) count[v] += part.counts[c][v];
        double sum = 0, squares = 0;
        for (std::size_t v = 0; v < 256; ++v) sum += product(static_cast<double>(v), static_cast<double>(count[v]));
        const double mean = sum / total;
        for (std::size_t v = 0; v < 256; ++v) {
            const double distance = static_cast<double>(v) - mean;
            squares += product(product(distance, distance), static_cast<double>(count[v]));
        }
        scale.mean.push_back(static_cast<float>(mean / 255.0));
        scale.deviation.push_back(std::max(static_cast<float>(std::sqrt(squares / total) / 255.0), least_deviation));
    }
    return scale;
}

} // namespace fqt
