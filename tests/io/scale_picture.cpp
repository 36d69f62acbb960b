// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/core/random.hpp>
#include <fqt/io/scale_picture.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace {

using bytes = std::vector<std::uint8_t>;

bytes noise(fqt::picture_size size, int channels) {
    const fqt::random_stream random{3, 0, 0};
    bytes pixels(static_cast<std::size_t>(size.height * size.width * channels));
    for (std::uint32_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<std::uint8_t>(random.block(0, i)[0]);
    return pixels;
}

bytes scaled(const bytes& pixels, fqt::picture_size from, fqt::shape to) {
    bytes result(static_cast<std::size_t>(to.size()));
    fqt::scale_picture(pixels, from, to, result);
    return result;
}

/// The mean of the picture over a rectangle, by the definition of an integral, in double.
double mean_of_area(const bytes& pixels, fqt::picture_size size, int channels, int c, double top, double bottom,
                    double left, double right) {
    double sum = 0;
    for (int y = 0; y < size.height; ++y)
        for (int x = 0; x < size.width; ++x) {
            const double height = std::fmin(bottom, y + 1) - std::fmax(top, y);
            const double width = std::fmin(right, x + 1) - std::fmax(left, x);
            if (height > 0 && width > 0)
                sum += height * width * pixels[static_cast<std::size_t>((y * size.width + x) * channels + c)];
        }
    return sum / ((bottom - top) * (right - left));
}

} // namespace

TEST_CASE("a picture of the size that is wanted changes its order alone") {
    const bytes pixels = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12}; // 2 x 2
    CHECK(scaled(pixels, {2, 2}, {3, 2, 2}) == bytes{1, 4, 7, 10, 2, 5, 8, 11, 3, 6, 9, 12});
    CHECK(scaled(noise({5, 9}, 1), {5, 9}, {1, 5, 9}) == noise({5, 9}, 1));
}

TEST_CASE("means are rounded to the nearest, halves up") {
    CHECK(scaled({1, 2, 3, 4}, {2, 2}, {1, 1, 1}) == bytes{3}); // 2.5
    CHECK(scaled({1, 1, 1, 2}, {2, 2}, {1, 1, 1}) == bytes{1});
    CHECK(scaled({255, 255, 255, 255, 255, 255}, {2, 3}, {1, 1, 1}) == bytes{255});
    // 3 pixels into 2: one and a half each.
    CHECK(scaled({0, 30, 90}, {1, 3}, {1, 1, 3}) == bytes{0, 30, 90});
    CHECK(scaled({0, 30, 90, 0, 30, 90}, {2, 3}, {1, 1, 2}) == bytes{10, 70}); // 1 x 3 of it
}

TEST_CASE("the largest part about the middle is taken") {
    CHECK(scaled({9, 1, 2, 9}, {1, 4}, {1, 1, 2}) == bytes{1, 2});
    CHECK(scaled({9, 1, 2, 3, 9}, {1, 5}, {1, 1, 1}) == bytes{2}); // a square
    CHECK(scaled({9, 1, 2, 3, 9}, {5, 1}, {1, 1, 1}) == bytes{2});
    CHECK(scaled({9, 1, 2, 9, 9}, {1, 5}, {1, 1, 4}) == bytes{9, 1, 2, 9}); // an odd rest is cut on the right
}

TEST_CASE("each pixel is the mean of its area, whatever the sizes") {
    for (const fqt::picture_size from : {fqt::picture_size{7, 11}, {13, 5}, {8, 8}, {40, 60}, {3, 2}})
        for (const fqt::picture_size to : {fqt::picture_size{4, 4}, {5, 3}, {2, 7}, {8, 8}, {1, 1}}) {
            CAPTURE(from.height);
            CAPTURE(from.width);
            CAPTURE(to.height);
            CAPTURE(to.width);
            const int channels = 3;
            const bytes pixels = noise(from, channels), result = scaled(pixels, from, {channels, to.height, to.width});
            // Sides of the part, in whole pixels, one of them as long as the picture.
            int height = from.height, width = from.width;
            if (width * to.height > height * to.width) width = std::max(1, height * to.width / to.height);
            else height = std::max(1, width * to.height / to.width);
            const int top = (from.height - height) / 2, left = (from.width - width) / 2;
            for (int c = 0; c < channels; ++c)
                for (int y = 0; y < to.height; ++y)
                    for (int x = 0; x < to.width; ++x) {
                        const auto edge = [](int start, int size, int i, int count) {
                            return start + static_cast<double>(size) * i / count;
                        };
                        const double exact =
                            mean_of_area(pixels, from, channels, c, edge(top, height, y, to.height),
                                         edge(top, height, y + 1, to.height), edge(left, width, x, to.width),
                                         edge(left, width, x + 1, to.width));
                        const int got = result[static_cast<std::size_t>((c * to.height + y) * to.width + x)];
                        CHECK(std::fabs(got - exact) <= 0.5 + 1e-9);
                    }
        }
}

TEST_CASE("large pictures do not overflow") {
    const bytes white(std::size_t{30'000} * 40, 255);
    CHECK(scaled(white, {30'000, 40}, {1, 3, 1}) == bytes{255, 255, 255});
    CHECK(scaled(white, {40, 30'000}, {1, 1, 7}) == bytes(7, 255));
}
