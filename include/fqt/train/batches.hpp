#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A data set cut into batches, epoch by epoch. The order of an epoch is a function of (seed, epoch) alone, so a run can
// be continued at any epoch. Memory is taken once, when the batches are made, and every batch is written over the last.

#include <fqt/core/fail.hpp>
#include <fqt/core/parallel.hpp>
#include <fqt/core/random.hpp>
#include <fqt/train/augment.hpp>
#include <fqt/train/dataset.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace fqt {

struct batch_options {
    int size = 128;         ///< samples of a batch, at least 1
    bool shuffle = true;    ///< a new order every epoch, or that of the data set
    bool drop_last = false; ///< leave out the last batch where it is smaller; otherwise it is given as it is
    augmentation augment{};
    fqt::seed seed{};
    int threads = 0; ///< 0: as many as OpenMP offers
};

/// One batch. The spans are valid until the next call of next() or start().
struct batch {
    std::span<const float> images;         ///< samples x (channel, y, x), scaled
    std::span<const std::uint8_t> labels;  ///< one a sample
    std::span<const std::uint32_t> origin; ///< number in the data set, one a sample
    int samples{};
};

/// Writes `order`, of up to 2^32 - 1 entries, as a random permutation of 0, 1, 2, ...: the one of (seed, epoch).
inline void shuffled_order(fqt::seed seed, std::uint32_t epoch, std::span<std::uint32_t> order) {
    std::iota(order.begin(), order.end(), 0u);
    // See picture_stream in generated_images.hpp for the numbers of streams.
    const random_stream random{seed.value, epoch, 0xDA7A0002u};
    // Fisher and Yates: entry i changes places with one of the i + 1 first, drawn as the high half of a product with 64
    // random bits, so that the bias is below 2^-32.
    for (std::size_t i = order.size(); i-- > 1;) {
        const random_block bits = random.block(static_cast<std::uint32_t>(i), 0);
        const std::uint64_t choices = i + 1;
        const std::uint64_t chosen = (bits[0] * choices + ((bits[1] * choices) >> 32)) >> 32;
        std::swap(order[i], order[static_cast<std::size_t>(chosen)]);
    }
}

/// Batches of `size` samples in one epoch, a smaller last one counted unless it is dropped.
/// Errors: an empty data set, a size below 1, no batch at all because the only one is dropped.
inline int batches_per_epoch(const dataset& data, int size, bool drop_last) {
    if (data.labels.empty()) fail("the data set is empty; give at least one sample");
    if (size < 1) fail("the batch size is %d; it must be at least 1", size);
    if (drop_last && size > data.size())
        fail("the batch of %d samples exceeds the data set of %d, and smaller batches are dropped; "
             "lower the batch size, or set drop_last = false",
             size, data.size());
    return data.size() / size + (!drop_last && data.size() % size != 0);
}

/// Iterates over a data set, which must outlive it:
///     batches over(data, {.size = 128, .seed = {1}});
///     over.start(epoch);
///     while (const auto batch = over.next()) use(batch->images, batch->labels, batch->samples);
class batches {
public:
    /// Errors: a data set that fails its check, those of batches_per_epoch, threads below 0, an augmentation that does
    /// not fit the pictures.
    batches(const dataset& data, batch_options options) : data_(&data), options_(options) {
        data.check();
        per_epoch_ = batches_per_epoch(data, options.size, options.drop_last);
        if (options.threads < 0) fail("%d threads are asked for; ask for 1 or more, or 0 for all", options.threads);
        if (options.threads == 0) options_.threads = hardware_threads();
        options.augment.check(data.image);
        table_ = data.pixel_table();
        order_.resize(data.labels.size());
        const auto largest = static_cast<std::size_t>(std::min(options.size, data.size()));
        images_.resize(largest * static_cast<std::size_t>(data.image.size()));
        labels_.resize(largest);
        start(0);
    }
    batches(dataset&&, batch_options) = delete;

    /// Batches of an epoch.
    int per_epoch() const { return per_epoch_; }

    /// Begins an epoch; the first one is 0, and begun by the constructor.
    void start(std::uint32_t epoch) {
        epoch_ = epoch;
        given_ = 0;
        if (options_.shuffle) shuffled_order(options_.seed, epoch, order_);
        else std::iota(order_.begin(), order_.end(), 0u);
    }

    /// The next batch of the epoch, or nothing at its end. Allocates nothing.
    std::optional<batch> next() {
        if (given_ == per_epoch_) return std::nullopt;
        const auto first = static_cast<std::size_t>(given_) * static_cast<std::size_t>(options_.size);
        const std::size_t samples = std::min(static_cast<std::size_t>(options_.size), order_.size() - first);
        const auto size = static_cast<std::size_t>(data_->image.size());
        const auto origin = std::span<const std::uint32_t>(order_).subspan(first, samples);
        parallel_for(static_cast<int>(samples), options_.threads, [&](int n, int) {
            const auto i = static_cast<std::size_t>(n);
            place(data_->pixels_of(static_cast<int>(origin[i])), data_->image, table_,
                  options_.augment.draw(options_.seed, epoch_, origin[i]), std::span(images_).subspan(i * size, size));
            labels_[i] = data_->labels[origin[i]];
        });
        ++given_;
        return batch{std::span<const float>(images_).first(samples * size),
                     std::span<const std::uint8_t>(labels_).first(samples), origin, static_cast<int>(samples)};
    }

private:
    const dataset* data_;
    batch_options options_;
    std::uint32_t epoch_{};
    int per_epoch_{}, given_{};
    std::vector<float> table_, images_;
    std::vector<std::uint32_t> order_;
    std::vector<std::uint8_t> labels_;
};

} // namespace fqt
