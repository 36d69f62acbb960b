// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/train/generated_images.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

using doctest::Contains;

TEST_CASE("generated images are balanced, and the same for the same seed") {
    const auto data = fqt::generated_images(10, {1, 28, 28}, 200, {7});
    data.check();
    CHECK(data.size() == 200);
    for (int k = 0; k < 10; ++k) CHECK(std::count(data.labels.begin(), data.labels.end(), k) == 20);
    CHECK(fqt::generated_images(10, {1, 28, 28}, 200, {7}).pixels == data.pixels);
    CHECK(fqt::generated_images(10, {1, 28, 28}, 200, {8}).pixels != data.pixels);
}

TEST_CASE("a generated image does not depend on how many are asked for") {
    const auto few = fqt::generated_images(5, {3, 16, 20}, 10, {1});
    const auto many = fqt::generated_images(5, {3, 16, 20}, 50, {1});
    CHECK(std::equal(few.pixels.begin(), few.pixels.end(), many.pixels.begin()));
}

TEST_CASE("generated images have the same bits under every compiler") {
    std::uint64_t hash = 14695981039346656037u;
    for (const std::uint8_t pixel : fqt::generated_images(10, {3, 28, 28}, 50, {2026}).pixels)
        hash = (hash ^ pixel) * 1099511628211u;
    CHECK(hash == 1789371936611502526u);
}

TEST_CASE("generated images of a class resemble one another, and their mirror images") {
    // The nearest class mean of one half of the pictures names the class of most of the other half.
    constexpr int classes = 10, count = 1000;
    constexpr std::size_t size = 28 * 28;
    const auto data = fqt::generated_images(classes, {1, 28, 28}, count, {3});
    std::vector<double> means(classes * size);
    for (int n = 0; n < count / 2; ++n)
        for (std::size_t i = 0; i < size; ++i)
            means[static_cast<std::size_t>(n % classes) * size + i] += data.pixels_of(n)[i] / (count / 2.0 / classes);
    int right = 0, mirrored_right = 0;
    for (int n = count / 2; n < count; ++n) {
        int answers[2] = {};
        for (const bool mirrored : {false, true}) {
            double least = std::numeric_limits<double>::infinity();
            for (int k = 0; k < classes; ++k) {
                double distance = 0;
                for (std::size_t i = 0; i < size; ++i) {
                    const std::size_t from = mirrored ? i / 28 * 28 + (27 - i % 28) : i;
                    const double d = data.pixels_of(n)[from] - means[static_cast<std::size_t>(k) * size + i];
                    distance += d * d;
                }
                if (distance < least) least = distance, answers[mirrored] = k;
            }
        }
        right += answers[0] == data.labels[static_cast<std::size_t>(n)];
        mirrored_right += answers[1] == data.labels[static_cast<std::size_t>(n)];
    }
    CHECK(right > 400);
    CHECK(mirrored_right > 400);
}

TEST_CASE("images that cannot be generated are refused") {
    const auto refuses = [](int classes, fqt::shape image, int count, const char* what) {
        CHECK_THROWS_WITH_AS(fqt::generated_images(classes, image, count, {1}), Contains(what), fqt::error);
    };
    refuses(1, {1, 28, 28}, 10, "1 classes");
    refuses(65537, {1, 600, 600}, 10, "65537 classes");
    refuses(10, {1, 28, 28}, 0, "0 generated images");
    refuses(10, {1, 7, 28}, 10, "height and width must be at least 8");
    refuses(10, {0, 28, 28}, 10, "0 x 28 x 28");
}
