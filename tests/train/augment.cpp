// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/train/augment.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

using doctest::Contains;

namespace {

/// Two channels of 2 x 3; channel 1 shows its pixels plus 1000.
const fqt::shape image{2, 2, 3};
const std::vector<std::uint8_t> pixels = {1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16};

std::vector<float> placed(fqt::placement how) {
    std::vector<float> table(512), result(12, -1.0f);
    for (std::size_t v = 0; v < 256; ++v) {
        table[v] = static_cast<float>(v);
        table[256 + v] = static_cast<float>(1000 + v);
    }
    fqt::place(pixels, image, table, how, result);
    return result;
}

} // namespace

TEST_CASE("an image that is not moved is only scaled") {
    CHECK(placed({}) == std::vector<float>{1, 2, 3, 4, 5, 6, 1011, 1012, 1013, 1014, 1015, 1016});
}

TEST_CASE("a moved image is filled up with pixel value 0 of each channel") {
    CHECK(placed({.down = 1}) == std::vector<float>{4, 5, 6, 0, 0, 0, 1014, 1015, 1016, 1000, 1000, 1000});
    CHECK(placed({.down = -1, .right = -2})
          == std::vector<float>{0, 0, 0, 0, 0, 1, 1000, 1000, 1000, 1000, 1000, 1011});
    CHECK(placed({.right = 1}) == std::vector<float>{2, 3, 0, 5, 6, 0, 1012, 1013, 1000, 1015, 1016, 1000});
    CHECK(placed({.right = 3}) == placed({.down = 2}));
    CHECK(placed({.right = -3}) == placed({.down = -2}));
}

TEST_CASE("a mirrored image is mirrored before it is moved") {
    CHECK(placed({.flipped = true}) == std::vector<float>{3, 2, 1, 6, 5, 4, 1013, 1012, 1011, 1016, 1015, 1014});
    CHECK(placed({.right = 1, .flipped = true})
          == std::vector<float>{2, 1, 0, 5, 4, 0, 1012, 1011, 1000, 1015, 1014, 1000});
}

TEST_CASE("the default changes nothing") {
    for (std::uint32_t n = 0; n < 100; ++n) CHECK(fqt::augmentation{}.draw({1}, 0, n) == fqt::placement{});
}

TEST_CASE("placements depend on seed, epoch and sample, and reach all offsets evenly") {
    const fqt::augmentation policy{.pad = 2, .flip = true};
    CHECK(policy.draw({1}, 2, 3) == policy.draw({1}, 2, 3));
    int differ[3] = {}, flips = 0;
    std::array<int, 5> down{}, right{};
    for (std::uint32_t n = 0; n < 5000; ++n) {
        const auto p = policy.draw({1}, 0, n);
        REQUIRE(p.down >= -2);
        REQUIRE(p.down <= 2);
        REQUIRE(p.right >= -2);
        REQUIRE(p.right <= 2);
        ++down[static_cast<std::size_t>(p.down + 2)];
        ++right[static_cast<std::size_t>(p.right + 2)];
        flips += p.flipped;
        differ[0] += p != policy.draw({2}, 0, n);
        differ[1] += p != policy.draw({1}, 1, n);
        differ[2] += p != policy.draw({1}, 0, n + 1);
    }
    for (const int count : differ) CHECK(count > 4700); // of 50 placements, 98 % differ
    for (const auto& offsets : {down, right})
        for (const int count : offsets) {
            CHECK(count > 880);
            CHECK(count < 1120);
        }
    CHECK(flips > 2350);
    CHECK(flips < 2650);
}

TEST_CASE("a hole is zeros in every channel, as far as it lies within the image") {
    const auto cut = [](fqt::hole where) {
        std::vector<float> picture(12, 1.0f);
        fqt::cut(where, image, picture);
        return picture;
    };
    CHECK(cut({0, 1, 1}) == std::vector<float>{1, 0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1});
    CHECK(cut({0, 1, 2}) == std::vector<float>{1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0});
    CHECK(cut({-1, -1, 2}) == std::vector<float>{0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1});
    CHECK(cut({1, 2, 2}) == std::vector<float>{1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 0});
    CHECK(cut({-2, 0, 2}) == std::vector<float>(12, 1.0f));
    CHECK(cut({0, 3, 2}) == std::vector<float>(12, 1.0f));
}

TEST_CASE("the middle of a hole lies evenly on all pixels, whatever the placement") {
    const fqt::augmentation policy{.cutout = 2}, also_moved{.pad = 1, .flip = true, .cutout = 2};
    std::array<int, 6> counts{};
    int differ[3] = {};
    for (std::uint32_t n = 0; n < 6000; ++n) {
        const fqt::hole hole = policy.draw_hole({1}, 0, n, image);
        CHECK(hole == also_moved.draw_hole({1}, 0, n, image));
        CHECK(hole.side == 2);
        REQUIRE(hole.top >= -1);
        REQUIRE(hole.top < 1);
        REQUIRE(hole.left >= -1);
        REQUIRE(hole.left < 2);
        ++counts[static_cast<std::size_t>((hole.top + 1) * 3 + hole.left + 1)];
        differ[0] += hole != policy.draw_hole({2}, 0, n, image);
        differ[1] += hole != policy.draw_hole({1}, 1, n, image);
        differ[2] += hole != policy.draw_hole({1}, 0, n + 1, image);
    }
    for (const int count : counts) { // 1000 each, with deviation 29
        CHECK(count > 850);
        CHECK(count < 1150);
    }
    for (const int count : differ) CHECK(count > 4800); // of 6 places, 5000 differ
}

TEST_CASE("an augmentation that does not fit the image is refused") {
    fqt::augmentation{.pad = 2}.check(image);
    CHECK_THROWS_WITH_AS(fqt::augmentation{.pad = -1}.check(image), Contains("augmentation.pad is -1"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::augmentation{.pad = 3}.check(image), Contains("augmentation.pad is 3"), fqt::error);
    fqt::augmentation{.cutout = 2}.check(image);
    CHECK_THROWS_WITH_AS(fqt::augmentation{.cutout = -1}.check(image), Contains("augmentation.cutout is -1"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(fqt::augmentation{.cutout = 3}.check(image), Contains("augmentation.cutout is 3"), fqt::error);
}
