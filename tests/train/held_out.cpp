// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/train/held_out.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

using doctest::Contains;

namespace {

/// Sample n is the one pixel n, of class n % 3.
fqt::dataset numbered(int samples) {
    fqt::dataset data{{1, 1, 1}, 3, {}, {}, {"a", "b", "c"}, {{0.25f}, {0.5f}}};
    for (int n = 0; n < samples; ++n) {
        data.pixels.push_back(static_cast<std::uint8_t>(n));
        data.labels.push_back(static_cast<fqt::class_label>(n % 3));
    }
    return data;
}

} // namespace

TEST_CASE("samples held out are the seed's choice, and every sample is in one part, with its label") {
    const fqt::dataset data = numbered(200);
    const fqt::train_and_test parts = fqt::held_out(data, 60, {7});
    CHECK(parts.train.size() == 140);
    CHECK(parts.test.size() == 60);
    std::vector<int> seen(200);
    for (const fqt::dataset* part : {&parts.train, &parts.test}) {
        part->check();
        CHECK(part->scale == data.scale);
        CHECK(part->class_names == data.class_names);
        CHECK(std::is_sorted(part->pixels.begin(), part->pixels.end()));
        for (std::size_t n = 0; n < part->labels.size(); ++n) {
            ++seen[part->pixels[n]];
            CHECK(part->labels[n] == part->pixels[n] % 3);
        }
    }
    CHECK(seen == std::vector<int>(200, 1));
    CHECK(parts.test.pixels == fqt::held_out(data, 60, {7}).test.pixels);
    CHECK(parts.test.pixels != fqt::held_out(data, 60, {8}).test.pixels);
}

TEST_CASE("every sample is held out equally often") {
    const fqt::dataset data = numbered(10);
    std::vector<int> counts(10);
    for (std::uint64_t seed = 0; seed < 10000; ++seed)
        for (const std::uint8_t pixel : fqt::held_out(data, 3, {seed}).test.pixels) ++counts[pixel];
    for (const int count : counts) { // binomial with mean 3000 and deviation 46
        CHECK(count > 2770);
        CHECK(count < 3230);
    }
}

TEST_CASE("parts without a sample are refused") {
    const fqt::dataset data = numbered(10);
    CHECK_THROWS_WITH_AS(fqt::held_out(data, 0, {}), Contains("0 samples cannot be held out of a data set of 10"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(fqt::held_out(data, 10, {}), Contains("hold out 1 to 9"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::held_out(fqt::dataset{}, 1, {}), Contains("0 x 0 x 0"), fqt::error);
}
