#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A set of labelled pictures in memory, one byte a pixel and channel. Bytes rather than floats: a quarter of the
// memory, nothing that is not finite, and the scale can be chosen later.

#include <fqt/core/fail.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/train/labels.hpp>
#include <fqt/train/source.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace fqt {

/// Labelled pictures. The members may be filled in any order; check() says whether they fit together.
struct dataset {
    shape image{};                        ///< of one picture
    int classes{};                        ///< 1 to most_classes
    std::vector<std::uint8_t> pixels;     ///< (sample, channel, y, x)
    std::vector<class_label> labels;      ///< one a sample, each below `classes`
    std::vector<std::string> class_names; ///< one a class, or none
    pixel_scale scale;

    /// Number of samples.
    int size() const { return static_cast<int>(labels.size()); }

    /// The pixels of one sample, (channel, y, x). No check of 0 <= sample < size().
    std::span<const std::uint8_t> pixels_of(int sample) const {
        const auto one = static_cast<std::size_t>(image.size());
        return std::span(pixels).subspan(static_cast<std::size_t>(sample) * one, one);
    }

    /// The pixels and the label of one sample, likewise; no memory is needed for them.
    labelled_pixels sample(int n, std::span<std::uint8_t>) const {
        return {pixels_of(n), labels[static_cast<std::size_t>(n)]};
    }

    /// Refuses an empty set, counts that disagree, labels that are no class, and a scale that is not usable.
    void check() const {
        check_image(image);
        check_classes(classes, "the data set");
        if (labels.empty()) fail("the data set is empty; give at least one sample");
        if (labels.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
            fail("the data set has %zu samples; it takes at most 2^31 - 1", labels.size());
        if (pixels.size() != labels.size() * static_cast<std::size_t>(image.size()))
            fail("the data set has %zu labels and %zu pixels, which is not %d pixels for each label; images and labels "
                 "must be equally many",
                 labels.size(), pixels.size(), image.size());
        for (std::size_t n = 0; n < labels.size(); ++n)
            if (labels[n] >= classes)
                fail("label %d of sample %zu is out of range; "
                     "the data set has %d classes, so labels must be below that",
                     int{labels[n]}, n, classes);
        if (!class_names.empty() && class_names.size() != static_cast<std::size_t>(classes))
            fail("the data set has %d classes and %zu class names; give one name a class, or none", classes,
                 class_names.size());
        scale.check(image.channels);
    }

    /// What a pixel value becomes: entry 256 * c + value for channel c. check() must have passed.
    std::vector<float> pixel_table() const { return scale.table(image.channels); }

    /// The first n samples, 1 <= n <= size(), with the same classes and scale. Errors: those of check(), another n.
    dataset take(int n) const {
        check();
        if (n < 1 || n > size())
            fail("%d samples cannot be taken from a data set of %d; take 1 to %d", n, size(), size());
        return slice(0, n);
    }

    /// Samples first to last - 1, 0 <= first <= last <= size(), unchecked.
    dataset slice(int first, int last) const {
        const std::ptrdiff_t one = image.size();
        dataset part{image, classes, {}, {}, class_names, scale};
        part.pixels.assign(pixels.begin() + first * one, pixels.begin() + last * one);
        part.labels.assign(labels.begin() + first, labels.begin() + last);
        return part;
    }
};

/// Two sets with the same classes and scale.
struct train_and_test {
    dataset train, test;
};

/// The first `first` samples for training and the others for testing, 1 <= first < size(). Errors: those of
/// data.check(), another `first`.
inline train_and_test split(const dataset& data, int first) {
    data.check();
    if (first < 1 || first >= data.size())
        fail("a data set of %d samples cannot be split after %d; both parts need a sample", data.size(), first);
    return {data.slice(0, first), data.slice(first, data.size())};
}

/// The float values that become pixels 0 and 255.
struct float_range {
    float low = 0.0f, high = 1.0f;
};

/// A data set from float images (sample, channel, y, x), rounded to 256 levels between range.low and range.high, with
/// the measured scale. Errors: NaN, infinity or a value outside the range, named by sample, channel, y and x; an empty
/// range; counts that disagree; labels that are no class.
inline dataset dataset_from_floats(shape image, int classes, std::span<const float> images,
                                   std::vector<class_label> labels, float_range range = {}) {
    check_image(image);
    if (!std::isfinite(range.low) || !std::isfinite(range.high) || !(range.low < range.high))
        fail("the range of float pixels is [%g, %g]; both ends must be finite and the first below the second",
             static_cast<double>(range.low), static_cast<double>(range.high));
    dataset data{image, classes, {}, std::move(labels), {}, {}};
    data.pixels.resize(images.size());
    const double low = static_cast<double>(range.low), extent = static_cast<double>(range.high) - low;
    for (std::size_t i = 0; i < images.size(); ++i) {
        const float value = images[i];
        if (!(value >= range.low && value <= range.high)) {
            const auto size = static_cast<std::size_t>(image.size()), plane = static_cast<std::size_t>(image.pixels());
            const auto width = static_cast<std::size_t>(image.width), place = i % size;
            fail("sample %zu is %g at channel %zu, y %zu, x %zu, which is %s [%g, %g]; "
                 "repair the data, or give its range",
                 i / size, static_cast<double>(value), place / plane, place % plane / width, place % width,
                 std::isfinite(value) ? "outside" : "not a finite number of", static_cast<double>(range.low),
                 static_cast<double>(range.high));
        }
        data.pixels[i] = static_cast<std::uint8_t>(std::rint((static_cast<double>(value) - low) / extent * 255.0));
    }
    data.scale = measure_scale(data);
    return data;
}

} // namespace fqt
