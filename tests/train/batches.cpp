// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/train/batches.hpp>
#include <fqt/train/generated_images.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <map>
#include <numeric>
#include <span>
#include <thread>
#include <vector>

using doctest::Contains;

namespace {

std::vector<std::uint32_t> order_of(std::uint64_t seed, std::uint32_t epoch, std::size_t size) {
    std::vector<std::uint32_t> order(size);
    fqt::shuffled_order({seed}, epoch, order);
    return order;
}

/// Every sample of an epoch by its number in the data set.
std::map<std::uint32_t, std::vector<float>> samples_of(fqt::batches& over, std::uint32_t epoch, std::size_t size) {
    std::map<std::uint32_t, std::vector<float>> samples;
    over.start(epoch);
    while (const auto batch = over.next())
        for (std::size_t n = 0; n < batch->origin.size(); ++n) {
            const auto image = batch->images.subspan(n * size, size);
            samples[batch->origin[n]].assign(image.begin(), image.end());
        }
    return samples;
}

} // namespace

TEST_CASE("the order of an epoch is a permutation, which seed and epoch decide") {
    auto order = order_of(1, 0, 1000);
    CHECK(order == order_of(1, 0, 1000));
    CHECK(order != order_of(2, 0, 1000));
    CHECK(order != order_of(1, 1, 1000));
    std::sort(order.begin(), order.end());
    std::vector<std::uint32_t> all(1000);
    std::iota(all.begin(), all.end(), 0u);
    CHECK(order == all);
    CHECK(order_of(1, 0, 1) == std::vector<std::uint32_t>{0});
}

TEST_CASE("every permutation of four is equally likely") {
    std::map<std::vector<std::uint32_t>, int> counts;
    for (std::uint32_t epoch = 0; epoch < 24000; ++epoch) ++counts[order_of(5, epoch, 4)];
    CHECK(counts.size() == 24);
    for (const auto& [order, count] : counts) {
        CHECK(count > 850);
        CHECK(count < 1150);
    }
}

TEST_CASE("the order has the same bits under every compiler") {
    std::uint64_t hash = 14695981039346656037u;
    for (const std::uint32_t i : order_of(2026, 3, 5000)) hash = (hash ^ i) * 1099511628211u;
    CHECK(hash == 223624094714927547u);
}

TEST_CASE("an epoch shows every sample once, and its last batch may be smaller") {
    const auto data = fqt::generated_images(4, {2, 8, 8}, 10, {1});
    fqt::batches over(data, {.size = 4});
    CHECK(over.per_epoch() == 3);
    const auto table = data.pixel_table();
    std::vector<int> seen(10), sizes;
    while (const auto batch = over.next()) {
        sizes.push_back(batch->samples);
        CHECK(batch->images.size() == static_cast<std::size_t>(batch->samples) * 128);
        CHECK(batch->labels.size() == static_cast<std::size_t>(batch->samples));
        for (std::size_t n = 0; n < batch->labels.size(); ++n) {
            const std::uint32_t origin = batch->origin[n];
            ++seen[origin];
            CHECK(batch->labels[n] == data.labels[origin]);
            const auto pixels = data.pixels_of(static_cast<int>(origin));
            for (std::size_t i : {0u, 63u, 64u, 127u})
                CHECK(batch->images[n * 128 + i] == table[i / 64 * 256 + pixels[i]]);
        }
    }
    CHECK(sizes == std::vector<int>{4, 4, 2});
    CHECK(seen == std::vector<int>(10, 1));
    CHECK_FALSE(over.next());
    over.start(0);
    CHECK(over.next());
}

TEST_CASE("the smaller last batch can be dropped, and the order kept") {
    const auto data = fqt::generated_images(4, {1, 8, 8}, 10, {1});
    fqt::batches over(data, {.size = 4, .shuffle = false, .drop_last = true});
    CHECK(over.per_epoch() == 2);
    std::vector<std::uint32_t> origins;
    while (const auto batch = over.next()) origins.insert(origins.end(), batch->origin.begin(), batch->origin.end());
    CHECK(origins == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5, 6, 7});
    CHECK(fqt::batches(data, {.size = 5, .drop_last = true}).per_epoch() == 2);
    CHECK(fqt::batches(data, {.size = 100}).per_epoch() == 1);
}

TEST_CASE("a sample is augmented alike in every batch size and number of threads, and anew in every epoch") {
    const auto data = fqt::generated_images(4, {2, 8, 8}, 30, {1});
    const fqt::augmentation augment{.pad = 2, .flip = true};
    fqt::batches alone(data, {.size = 1, .augment = augment, .seed = {9}, .threads = 1});
    fqt::batches together(data, {.size = 7, .augment = augment, .seed = {9}, .threads = 2});
    const auto first = samples_of(alone, 3, 128);
    CHECK(first.size() == 30);
    CHECK(first == samples_of(together, 3, 128));
    CHECK(first != samples_of(together, 4, 128));
    CHECK(first == samples_of(together, 3, 128));
}

namespace {

/// All that the batches of the epochs 0 and 1 give, after `before` batches of epoch 7.
std::vector<float> two_epochs(const fqt::dataset& data, fqt::batch_options options, int before) {
    fqt::batches over(data, options);
    over.start(7);
    for (int i = 0; i < before; ++i) CHECK(over.next());
    std::vector<float> all;
    for (std::uint32_t epoch = 0; epoch < 2; ++epoch) {
        over.start(epoch);
        int count = 0;
        while (const auto batch = over.next()) {
            all.insert(all.end(), batch->images.begin(), batch->images.end());
            all.insert(all.end(), batch->labels.begin(), batch->labels.end());
            for (const std::uint32_t origin : batch->origin) all.push_back(static_cast<float>(origin));
            CHECK(batch->images.size() == batch->labels.size() * 128);
            ++count;
        }
        CHECK(count == over.per_epoch());
        CHECK_FALSE(over.next());
    }
    return all;
}

} // namespace

TEST_CASE("batches prepared ahead are the same, also after a restart within an epoch") {
    const auto data = fqt::generated_images(4, {2, 8, 8}, 50, {1});
    for (const int size : {1, 7, 25, 50, 80}) {
        fqt::batch_options options{.size = size, .augment = {.pad = 2, .flip = true}, .seed = {9}, .threads = 2};
        const auto in_turn = two_epochs(data, options, 0);
        CHECK(in_turn.size() == 2 * 50 * (128 + 2));
        options.ahead = true;
        for (const int before : {0, 1, 2}) {
            CAPTURE(size);
            if (before * size <= 50) CHECK(two_epochs(data, options, before) == in_turn);
        }
    }
}

TEST_CASE("a batch prepared ahead stays as it is while the next one is prepared") {
    const auto data = fqt::generated_images(4, {2, 8, 8}, 60, {1});
    fqt::batches over(data, {.size = 6, .ahead = true});
    while (const auto batch = over.next()) {
        const std::vector<float> before(batch->images.begin(), batch->images.end());
        std::this_thread::sleep_for(std::chrono::milliseconds(2));
        CHECK(before == std::vector<float>(batch->images.begin(), batch->images.end()));
    }
}

namespace {

/// A source of four pictures that wait for each other two by two. They lie in it, or are written when they are asked
/// for.
struct meeting {
    bool fetches{};
    fqt::shape image{1, 1, 1};
    int classes = 1;
    fqt::pixel_scale scale{};
    mutable std::atomic<int> here = 0, met = 0; ///< of the last two
    std::array<std::uint8_t, 1> own{};

    int size() const { return 4; }
    void check() const {}
    fqt::labelled_pixels sample(int, std::span<std::uint8_t> memory) const {
        const auto patience = fetches ? std::chrono::seconds(20) : std::chrono::milliseconds(20);
        const auto start = std::chrono::steady_clock::now();
        const int pair = (++here + 1) / 2;
        while (here < 2 * pair && std::chrono::steady_clock::now() - start < patience) std::this_thread::yield();
        met += pair == 2 && here == 4 && std::chrono::steady_clock::now() - start < patience;
        memory[0] = 0;
        return {fetches ? std::span<const std::uint8_t>(memory) : std::span<const std::uint8_t>(own), 0};
    }
};

/// A source that counts for how many pictures it was asked.
struct counting {
    fqt::shape image{1, 1, 1};
    int classes = 1;
    fqt::pixel_scale scale{};
    mutable std::atomic<int> asked = 0;
    std::array<std::uint8_t, 1> own{};

    int size() const { return 9; }
    void check() const {}
    fqt::labelled_pixels sample(int, std::span<std::uint8_t>) const {
        ++asked;
        return {own, 0};
    }
};

} // namespace

TEST_CASE("pictures that have to be fetched are fetched ahead by several threads, others copied by one") {
    for (const bool fetches : {true, false}) {
        CAPTURE(fetches);
        meeting source{.fetches = fetches};
        fqt::batches over(source, {.size = 2, .threads = 2, .ahead = true});
        CHECK(over.next());
        CHECK(over.next());
        CHECK(!over.next());
        CHECK(source.met == (fetches ? 2 : 1)); // the first of two waits in vain for one that comes after it
    }
}

TEST_CASE("while one batch is used the next one is prepared, and without `ahead` it is not") {
    for (const bool ahead : {true, false}) {
        CAPTURE(ahead);
        const counting source;
        fqt::batches over(source, {.size = 3, .shuffle = false, .threads = 1, .ahead = ahead});
        CHECK(over.next());
        for (int waited = 0; waited < (ahead ? 10'000 : 50) && source.asked < 6; ++waited)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
        CHECK(source.asked == (ahead ? 6 : 3));
    }
}

TEST_CASE("batches that are prepared ahead may vanish at any time") {
    const auto data = fqt::generated_images(4, {2, 8, 8}, 50, {1});
    for (int i = 0; i < 200; ++i) {
        fqt::batches over(data, {.size = 5, .ahead = true});
        for (int k = 0; k < i % 12; ++k) over.next();
    }
}

TEST_CASE("cutout hides one square of each sample, another in each epoch, and leaves the rest as it is") {
    auto data = fqt::generated_images(4, {2, 8, 8}, 30, {1});
    data.scale.mean = {-1, -1}; // so that no pixel is 0
    fqt::batches whole(data, {.size = 7, .augment = {.pad = 2, .flip = true}, .seed = {9}});
    fqt::batches holed(data, {.size = 7, .augment = {.pad = 2, .flip = true, .cutout = 4}, .seed = {9}, .ahead = true});
    const auto before = samples_of(whole, 3, 128), after = samples_of(holed, 3, 128);
    int largest = 0;
    for (const auto& [n, picture] : after) {
        int hidden = 0;
        for (std::size_t i = 0; i < 128; ++i) {
            CHECK((picture[i] == 0.0f || picture[i] == before.at(n)[i]));
            hidden += picture[i] == 0.0f;
            CHECK((picture[i] == 0.0f) == (picture[(i + 64) % 128] == 0.0f));
        }
        CHECK(hidden >= 2 * 2 * 2); // in a corner
        CHECK(hidden <= 2 * 4 * 4);
        largest = std::max(largest, hidden);
    }
    CHECK(largest == 32);
    CHECK(after != samples_of(holed, 4, 128));
    CHECK(after == samples_of(holed, 3, 128));
}

TEST_CASE("mixup mixes each picture with its partner, by a share that the batch tells") {
    const auto data = fqt::generated_images(4, {2, 8, 8}, 31, {1});
    const fqt::augmentation augment{.pad = 2, .flip = true};
    fqt::batches whole(data, {.size = 7, .augment = augment, .seed = {9}});
    fqt::batches mixed(data, {.size = 7, .augment = augment, .mixup = 1, .seed = {9}, .threads = 2, .ahead = true});
    std::vector<float> shares;
    for (std::uint32_t epoch = 0; epoch < 2; ++epoch) {
        whole.start(epoch);
        mixed.start(epoch);
        while (const auto before = whole.next()) {
            const auto after = mixed.next();
            REQUIRE(after);
            CHECK(before->share == 1);
            CHECK(std::equal(before->labels.begin(), before->labels.end(), after->labels.begin()));
            shares.push_back(after->share);
            const std::size_t last = before->labels.size() - 1;
            for (std::size_t n = 0; n <= last; ++n)
                for (std::size_t i = 0; i < 128; ++i) {
                    const float own = before->images[n * 128 + i], other = before->images[(last - n) * 128 + i];
                    const float expected = after->share * own + (1 - after->share) * other;
                    CHECK(after->images[n * 128 + i] == doctest::Approx(expected).epsilon(1e-5));
                }
        }
    }
    CHECK(shares.size() == 10);
    std::sort(shares.begin(), shares.end());
    CHECK(std::adjacent_find(shares.begin(), shares.end()) == shares.end());
}

TEST_CASE("mixup's shares have the mean and the variance of the beta distribution") {
    constexpr int count = 20000;
    for (const float alpha : {0.05f, 0.4f, 1.0f, 3.0f}) {
        double sum = 0, squares = 0;
        for (std::uint32_t i = 0; i < count; ++i) {
            const float share = fqt::mixup_share(alpha, {3}, 1, i);
            CHECK((share >= 0 && share <= 1));
            sum += double{share};
            squares += (double{share} - 0.5) * (double{share} - 0.5);
        }
        const double variance = 1 / (4 * (2 * double{alpha} + 1)); // of Beta(alpha, alpha)
        CAPTURE(alpha);
        CHECK(sum / count == doctest::Approx(0.5).epsilon(0.02));
        CHECK(squares / count == doctest::Approx(variance).epsilon(0.04));
    }
    CHECK(fqt::mixup_share(1, {3}, 1, 5) != fqt::mixup_share(1, {3}, 2, 5));
    CHECK(fqt::mixup_share(1, {3}, 1, 5) != fqt::mixup_share(1, {4}, 1, 5));
}

TEST_CASE("batches that cannot be made are refused") {
    const auto data = fqt::generated_images(4, {1, 8, 8}, 10, {1});
    const auto refuses = [&](fqt::batch_options options, const char* what) {
        CHECK_THROWS_WITH_AS(fqt::batches(data, options), Contains(what), fqt::error);
    };
    refuses({.size = 0}, "batch size is 0");
    refuses({.size = 11, .drop_last = true}, "the batch of 11 samples exceeds the data set of 10");
    refuses({.augment = {.pad = 9}}, "augmentation.pad is 9");
    refuses({.augment = {.cutout = 9}}, "augmentation.cutout is 9");
    refuses({.mixup = -0.1f}, "mixup is -0.1");
    refuses({.mixup = 5}, "mixup is 5");
    refuses({.mixup = 1e-20f}, "mixup is 1e-20"); // by which logarithms would become infinite
    refuses({.threads = -1}, "-1 threads");
    const fqt::dataset empty{{1, 8, 8}, 4, {}, {}, {}, {}};
    CHECK_THROWS_WITH_AS(fqt::batches(empty, {}), Contains("data set is empty"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::batches_per_epoch(empty, 4, false), Contains("data set is empty"), fqt::error);
}
