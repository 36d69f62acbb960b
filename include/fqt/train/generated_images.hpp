#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Pictures to learn from where no data set is installed: waves whose numbers of half periods, down and across, are the
// class, under random shift, contrast, colour and noise, with a weaker wave of another class laid over. They are even
// in x and y up to the shift, so cropping and flipping keep their class. Every pixel is a function of (seed, sample).

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/math.hpp>
#include <fqt/core/random.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/train/dataset.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace fqt {

namespace detail {

/// Stream of the pictures' random numbers. Streams from 0xDA7A0000 belong to train/, those from 0 to a network's
/// tensors.
inline constexpr std::uint32_t picture_stream = 0xDA7A0000u;

/// cos(pi f (u - shift)) at the centres of `side` pixels, u in (-1/2, 1/2).
inline void wave(int half_periods, float shift, std::vector<float>& side) {
    const float size = static_cast<float>(side.size());
    const float frequency = product(static_cast<float>(math::pi), static_cast<float>(half_periods));
    for (std::size_t i = 0; i < side.size(); ++i) {
        const float u = (static_cast<float>(i) + 0.5f) / size - 0.5f;
        side[i] = math::cos(product(frequency, u - shift));
    }
}

} // namespace detail

/// `count` pictures of `classes` classes, in turn: sample i is of class i % classes. Carries the scale measured from
/// it. Errors: fewer than 2 or more than most_classes classes; a side shorter than 2 ceil(sqrt(classes)) pixels, which
/// cannot show that many waves; a count below 1.
inline dataset generated_images(int classes, shape image, int count, fqt::seed seed) {
    if (classes < 2 || classes > most_classes)
        fail("generated images of %d classes are not possible; ask for 2 to %d", classes, most_classes);
    if (count < 1) fail("%d generated images are asked for; ask for at least 1", count);
    check_image(image);
    int waves = 1;
    while (waves * waves < classes) ++waves;
    if (image.height < 2 * waves || image.width < 2 * waves)
        fail("generated images of %d x %d x %d (channels, height, width) cannot show %d classes; "
             "height and width must be at least %d",
             image.channels, image.height, image.width, classes, 2 * waves);

    dataset data{image, classes, {}, {}, {}, {}};
    for (int k = 0; k < classes; ++k)
        data.class_names.push_back(std::to_string(1 + k / waves) + " by " + std::to_string(1 + k % waves));
    const auto plane = static_cast<std::size_t>(image.pixels()), width = static_cast<std::size_t>(image.width);
    const std::size_t size = plane * static_cast<std::size_t>(image.channels);
    data.pixels.resize(static_cast<std::size_t>(count) * size);
    data.labels.resize(static_cast<std::size_t>(count));

    const random_stream random{seed.value, 0, detail::picture_stream};
    std::vector<float> down(static_cast<std::size_t>(image.height)), across(width), down_other(down),
        across_other(across);
    for (int n = 0; n < count; ++n) {
        const auto sample = static_cast<std::uint32_t>(n);
        const random_block places = random.block(sample, 0), looks = random.block(sample, 1);
        const int label = n % classes;
        const int other = (label + 1 + static_cast<int>(looks[0] % static_cast<std::uint32_t>(classes - 1))) % classes;
        const auto centred = [](std::uint32_t bits) { return product(uniform32(bits) - 0.5f, 1.0f / 5.0f); };
        detail::wave(1 + label / waves, centred(places[0]), down);
        detail::wave(1 + label % waves, centred(places[1]), across);
        detail::wave(1 + other / waves, centred(places[2]), down_other);
        detail::wave(1 + other % waves, centred(places[3]), across_other);
        const float contrast = 40.0f + product(70.0f, uniform32(looks[1])), weaker = product(0.8f, uniform32(looks[2]));

        for (std::size_t c = 0; c < static_cast<std::size_t>(image.channels); ++c) {
            // Channels differ in strength: blocks 2 to channels + 1 are their colours, and the noise follows them.
            const random_block colour = random.block(sample, static_cast<std::uint32_t>(2 + c));
            const float strength = product(contrast, 1.0f - product(0.5f, uniform32(colour[0])));
            const std::size_t noise_blocks = (plane + 15) / 16;
            random_block noise{};
            for (std::size_t i = 0; i < plane; ++i) {
                if (i % 16 == 0) {
                    const std::size_t index = 2 + static_cast<std::size_t>(image.channels) + c * noise_blocks + i / 16;
                    noise = random.block(sample, static_cast<std::uint32_t>(index));
                }
                const auto byte = static_cast<float>((noise[i % 16 / 4] >> (i % 4 * 8)) & 255u);
                const float pattern = product(down[i / width], across[i % width])
                    + product(weaker, product(down_other[i / width], across_other[i % width]));
                const float value = 128.0f + product(strength, pattern) + product(0.6f, byte - 127.5f);
                data.pixels[static_cast<std::size_t>(n) * size + c * plane + i] =
                    static_cast<std::uint8_t>(std::rint(std::clamp(value, 0.0f, 255.0f)));
            }
        }
        data.labels[static_cast<std::size_t>(n)] = static_cast<class_label>(label);
    }
    data.scale = measure_scale(data);
    return data;
}

} // namespace fqt
