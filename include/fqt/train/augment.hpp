#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Random crops, mirror images and holes. What happens to a sample is a function of (seed, epoch, its number in the data
// set), so neither its batch nor the thread that copies it matters. Moving, scaling and copying are one pass.

#include <fqt/core/fail.hpp>
#include <fqt/core/random.hpp>
#include <fqt/core/shape.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fqt {

/// How one picture is placed: pixel (y, x) of the result shows pixel (y + down, x + right) of the original, or of its
/// mirror image where `flipped`; beyond the edge lies pixel value 0.
struct placement {
    int down{}, right{};
    bool flipped{};

    friend constexpr bool operator==(placement, placement) = default;
};

/// A square of the result without anything to see: side pixels each way from (top, left), which may lie outside.
struct hole {
    int top{}, left{}, side{};

    friend constexpr bool operator==(hole, hole) = default;
};

/// The policy: pad every side by `pad` pixels of value 0 and crop back to size at random, and mirror half of the
/// samples left to right. {.pad = 4, .flip = true} is usual for CIFAR; the default changes nothing. `cutout` n hides a
/// square of n x n pixels around a random pixel of each sample, as far as it lies within (DeVries, Taylor:
/// "Improved regularization of convolutional neural networks with cutout", 2017; 16 for CIFAR-10, 8 for CIFAR-100).
struct augmentation {
    int pad = 0;
    bool flip = false;
    int cutout = 0;

    /// Refuses a pad or a cutout that is negative or exceeds the picture's height or width.
    void check(shape image) const {
        if (pad < 0 || pad > std::min(image.height, image.width))
            fail("augmentation.pad is %d for pictures of %d x %d; it must be 0 to the shorter side", pad, image.height,
                 image.width);
        if (cutout < 0 || cutout > std::min(image.height, image.width))
            fail("augmentation.cutout is %d for pictures of %d x %d; it must be 0 (none) to the shorter side", cutout,
                 image.height, image.width);
    }

    /// The placement of one sample in one epoch; `sample` is its number in the data set.
    constexpr placement draw(fqt::seed seed, std::uint32_t epoch, std::uint32_t sample) const {
        if (pad == 0 && !flip) return {};
        // See picture_stream in generated_images.hpp for the numbers of streams.
        const random_block random = random_stream{seed.value, epoch, 0xDA7A0001u}.block(sample, 0);
        const auto offset = [this](std::uint32_t bits) {
            return static_cast<int>((std::uint64_t{bits} * static_cast<std::uint64_t>(2 * pad + 1)) >> 32) - pad;
        };
        return {offset(random[0]), offset(random[1]), flip && random[2] >> 31 != 0};
    }

    /// The hole in one sample in one epoch, its middle evenly on all pixels; for an even side, on the lower right of
    /// the four around it. `cutout` > 0.
    constexpr hole draw_hole(fqt::seed seed, std::uint32_t epoch, std::uint32_t sample, shape image) const {
        const random_block random = random_stream{seed.value, epoch, 0xDA7A0001u}.block(sample, 1);
        const auto middle = [](std::uint32_t bits, int side) {
            return static_cast<int>((std::uint64_t{bits} * static_cast<std::uint64_t>(side)) >> 32);
        };
        return {middle(random[0], image.height) - cutout / 2, middle(random[1], image.width) - cutout / 2, cutout};
    }
};

/// Copies one picture (channel, y, x), placed, to floats. `table` has 256 values a channel: what each pixel value
/// becomes. Sizes: pixels and result image.size(), table 256 * image.channels; unchecked.
inline void place(std::span<const std::uint8_t> pixels, shape image, std::span<const float> table, placement how,
                  std::span<float> result) {
    const int width = image.width, height = image.height;
    // Columns [first, last) of the result show the original; the others show the padding.
    const int first = std::clamp(-how.right, 0, width), last = std::clamp(width - how.right, first, width);
    const std::uint8_t* plane = pixels.data();
    const float* values = table.data();
    float* to = result.data();
    for (int c = 0; c < image.channels; ++c, plane += image.pixels(), values += 256) {
        for (int y = 0; y < height; ++y, to += width) {
            const int from_y = y + how.down;
            if (from_y < 0 || from_y >= height) {
                std::fill_n(to, width, values[0]);
                continue;
            }
            const std::uint8_t* row = plane + std::ptrdiff_t{from_y} * width;
            std::fill(to, to + first, values[0]);
            if (how.flipped)
                for (int x = first; x < last; ++x) to[x] = values[row[width - 1 - (x + how.right)]];
            else
                for (int x = first; x < last; ++x) to[x] = values[row[x + how.right]];
            std::fill(to + last, to + width, values[0]);
        }
    }
}

/// Sets a hole of a picture (channel, y, x) to 0, which is each channel's mean where the picture is scaled by it.
inline void cut(hole where, shape image, std::span<float> picture) {
    const int top = std::clamp(where.top, 0, image.height), left = std::clamp(where.left, 0, image.width);
    const int bottom = std::clamp(where.top + where.side, top, image.height);
    const int right = std::clamp(where.left + where.side, left, image.width);
    for (int c = 0; c < image.channels; ++c)
        for (int y = top; y < bottom; ++y) {
            float* row = picture.data() + (std::ptrdiff_t{c} * image.height + y) * image.width;
            std::fill(row + left, row + right, 0.0f);
        }
}

} // namespace fqt
