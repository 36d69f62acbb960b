// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/train/dataset.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using doctest::Approx;
using doctest::Contains;

namespace {

/// Three samples of 2 x 1 x 2.
fqt::dataset small_set() {
    return {{2, 1, 2}, 3, {0, 10, 255, 5, 20, 30, 6, 7, 40, 50, 8, 9}, {0, 2, 1}, {"a", "b", "c"}, {}};
}

} // namespace

TEST_CASE("a data set whose parts fit together passes its check") {
    const fqt::dataset data = small_set();
    data.check();
    CHECK(data.size() == 3);
    const auto second = data.pixels_of(1);
    CHECK(std::vector<std::uint8_t>(second.begin(), second.end()) == std::vector<std::uint8_t>{20, 30, 6, 7});
}

TEST_CASE("data sets whose parts do not fit together are refused") {
    const auto refuses = [](auto&& spoil, const char* what) {
        fqt::dataset data = small_set();
        spoil(data);
        CHECK_THROWS_WITH_AS(data.check(), Contains(what), fqt::error);
        CHECK_THROWS_WITH_AS(fqt::measure_scale(data), Contains(what), fqt::error);
        CHECK_THROWS_WITH_AS(data.take(1), Contains(what), fqt::error);
        CHECK_THROWS_WITH_AS(fqt::split(data, 1), Contains(what), fqt::error);
    };
    refuses([](auto& d) { d.labels.clear(), d.pixels.clear(); }, "data set is empty");
    refuses([](auto& d) { d.labels.pop_back(); }, "2 labels and 12 pixels");
    refuses([](auto& d) { d.pixels.pop_back(); }, "3 labels and 11 pixels");
    refuses([](auto& d) { d.labels[2] = 3; }, "label 3 of sample 2");
    refuses([](auto& d) { d.image.height = 0; }, "2 x 0 x 2");
    refuses([](auto& d) { d.image = {1 << 16, 1 << 16, 1}; }, "65536 x 65536 x 1");
    refuses([](auto& d) { d.classes = 0; }, "0 classes");
    refuses([](auto& d) { d.classes = 65537; }, "65537 classes");
    refuses([](auto& d) { d.class_names.pop_back(); }, "2 class names");
    refuses([](auto& d) { d.scale = {{0.5f}, {0.5f}}; }, "1 means and 1 deviations for 2 channels");
    refuses([](auto& d) { d.scale = {{0.5f, 0.5f}, {}}; }, "2 means and 0 deviations");
    refuses([](auto& d) { d.scale = {{0.5f, 0.5f}, {1.0f, 0.0f}}; }, "scale of channel 1");
    refuses([](auto& d) { d.scale = {{std::nanf(""), 0.5f}, {1.0f, 1.0f}}; }, "scale of channel 0");
}

TEST_CASE("the measured scale gives every channel mean 0 and deviation 1") {
    fqt::dataset data = small_set();
    data.scale = fqt::measure_scale(data);
    const auto table = data.pixel_table();
    for (std::size_t c = 0; c < 2; ++c) {
        double sum = 0, squares = 0;
        for (int n = 0; n < 3; ++n)
            for (std::size_t x = 0; x < 2; ++x) {
                const double v = static_cast<double>(table[256 * c + data.pixels_of(n)[2 * c + x]]);
                sum += v;
                squares += v * v;
            }
        CHECK(sum / 6 == Approx(0).epsilon(1e-6));
        CHECK(squares / 6 == Approx(1).epsilon(1e-6));
    }
}

TEST_CASE("without a scale pixels run from 0 to 1") {
    const auto table = small_set().pixel_table();
    CHECK(table.size() == 512);
    CHECK(table[0] == 0.0f);
    CHECK(table[51] == 0.2f);
    CHECK(table[511] == 1.0f);
}

TEST_CASE("a set of constant images becomes zeros") {
    fqt::dataset data{{1, 2, 2}, 2, std::vector<std::uint8_t>(12, 77), {0, 1, 0}, {}, {}};
    data.scale = fqt::measure_scale(data);
    CHECK(data.scale.deviation[0] == fqt::least_deviation);
    CHECK(data.pixel_table()[77] == Approx(0).epsilon(1e-5));
    CHECK(data.pixel_table()[78] == Approx(1).epsilon(1e-5));
}

TEST_CASE("the scale does not depend on the order of samples") {
    const fqt::dataset data = small_set();
    fqt::dataset turned = data;
    for (std::size_t n = 0; n < 3; ++n)
        for (std::size_t i = 0; i < 4; ++i) turned.pixels[4 * n + i] = data.pixels[4 * (2 - n) + i];
    CHECK(fqt::measure_scale(turned) == fqt::measure_scale(data));
}

TEST_CASE("taking and splitting keep classes, names and scale") {
    fqt::dataset data = small_set();
    data.scale = fqt::measure_scale(data);
    const fqt::dataset two = data.take(2);
    two.check();
    CHECK(two.labels == std::vector<fqt::class_label>{0, 2});
    CHECK(two.pixels.size() == 8);
    CHECK(two.class_names == data.class_names);
    CHECK(two.scale == data.scale);
    const auto [train, test] = fqt::split(data, 2);
    CHECK(train.labels == two.labels);
    CHECK(test.labels == std::vector<fqt::class_label>{1});
    CHECK(test.pixels == std::vector<std::uint8_t>{40, 50, 8, 9});
    CHECK(test.scale == data.scale);
    CHECK_THROWS_WITH_AS(data.take(0), Contains("0 samples cannot be taken"), fqt::error);
    CHECK_THROWS_WITH_AS(data.take(4), Contains("4 samples cannot be taken from a data set of 3"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::split(data, 0), Contains("cannot be split after 0"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::split(data, 3), Contains("cannot be split after 3"), fqt::error);
}

TEST_CASE("float images become 256 levels of their range") {
    const std::vector<float> images = {-1.0f, 1.0f, 0.0f, -0.5f};
    const auto data = fqt::dataset_from_floats({1, 1, 2}, 2, images, {0, 1}, {-1.0f, 1.0f});
    CHECK(data.pixels == std::vector<std::uint8_t>{0, 255, 128, 64});
    CHECK(data.scale.mean.size() == 1);
}

TEST_CASE("float images with NaN, infinity or values outside their range are refused by place") {
    const std::vector<fqt::class_label> labels = {0, 1};
    const auto refuses = [&](float value, const char* what) {
        std::vector<float> images(2 * 2 * 2 * 3, 0.5f);
        images[12 + 6 + 3 + 2] = value; // sample 1, channel 1, y 1, x 2
        CHECK_THROWS_WITH_AS(fqt::dataset_from_floats({2, 2, 3}, 2, images, labels), Contains(what), fqt::error);
        CHECK_THROWS_WITH_AS(fqt::dataset_from_floats({2, 2, 3}, 2, images, labels), Contains("at channel 1, y 1, x 2"),
                             fqt::error);
    };
    refuses(std::numeric_limits<float>::quiet_NaN(), "sample 1 is");
    refuses(std::numeric_limits<float>::quiet_NaN(), "not a finite number");
    refuses(std::numeric_limits<float>::infinity(), "sample 1 is inf");
    refuses(-std::numeric_limits<float>::infinity(), "sample 1 is -inf");
    refuses(1.5f, "outside [0, 1]");
    const std::vector<float> images(24, 0.5f);
    CHECK_THROWS_WITH_AS(fqt::dataset_from_floats({2, 2, 3}, 2, images, {0}), Contains("1 labels and 24 pixels"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(fqt::dataset_from_floats({2, 2, 3}, 2, images, labels, {1.0f, 1.0f}), Contains("[1, 1]"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(fqt::dataset_from_floats({0, 2, 3}, 2, images, labels), Contains("0 x 2 x 3"), fqt::error);
}
