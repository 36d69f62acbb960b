#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A source of pictures, such as a data set, cut into batches, epoch by epoch. The order of an epoch is a function of
// (seed, epoch) alone, so a run can be continued at any epoch. Memory is taken once, when the batches are made, and
// every batch is written over the last or, where they are prepared ahead, over the last but one.

#include <fqt/core/background.hpp>
#include <fqt/core/fail.hpp>
#include <fqt/core/parallel.hpp>
#include <fqt/core/random.hpp>
#include <fqt/train/augment.hpp>
#include <fqt/train/mixup.hpp>
#include <fqt/train/source.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <mutex>
#include <numeric>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace fqt {

struct batch_options {
    int size = 128;         ///< samples of a batch, at least 1
    bool shuffle = true;    ///< a new order every epoch, or that of the data set
    bool drop_last = false; ///< leave out the last batch where it is smaller; otherwise it is given as it is
    augmentation augment{};
    float mixup = 0; ///< alpha > 0: each batch is mixed with itself in reverse (mixup.hpp)
    fqt::seed seed{};
    int threads = 0; ///< 0: as many as hardware_threads()
    /// Prepare each batch of an epoch but the first while the caller uses the one before: on a thread of its own, or,
    /// if the source has to fetch or unpack its pictures, on `threads` of them. The batches are the same; they take
    /// twice the memory.
    bool ahead = false;
};

/// One batch. The spans are valid until the next call of next() or start().
struct batch {
    std::span<const float> images;         ///< samples x (channel, y, x), scaled
    std::span<const class_label> labels;   ///< one a sample
    std::span<const std::uint32_t> origin; ///< number in the data set, one a sample
    int samples{};
    float share = 1; ///< of sample n in picture n; the rest is of sample samples - 1 - n. 1: no mixup
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
inline int batches_per_epoch(source_view data, int size, bool drop_last) {
    if (data.size() == 0) fail("the data set is empty; give at least one sample");
    if (size < 1) fail("the batch size is %d; it must be at least 1", size);
    if (drop_last && size > data.size())
        fail("the batch of %d samples exceeds the data set of %d, and smaller batches are dropped; "
             "lower the batch size, or set drop_last = false",
             size, data.size());
    return data.size() / size + (!drop_last && data.size() % size != 0);
}

/// Iterates over a data set or another source, which must outlive it:
///     batches over(data, {.size = 128, .seed = {1}});
///     over.start(epoch);
///     while (const auto batch = over.next()) use(batch->images, batch->labels, batch->samples);
class batches {
public:
    /// Errors: a source that fails its check, those of batches_per_epoch, threads below 0, an augmentation that does
    /// not fit the pictures.
    batches(source_view data, batch_options options) : data_(data), options_(options) {
        data.check();
        per_epoch_ = batches_per_epoch(data, options.size, options.drop_last);
        options_.threads = threads_of(options.threads);
        options.augment.check(data.image());
        check_mixup(options.mixup);
        table_ = data.scale().table(data.image().channels);
        order_.resize(static_cast<std::size_t>(data.size()));
        const auto size = static_cast<std::size_t>(data.image().size());
        memory_.resize(size * static_cast<std::size_t>(options_.threads));
        const auto largest = static_cast<std::size_t>(std::min(options.size, data.size()));
        for (std::size_t k = 0; k < (options.ahead ? 2u : 1u); ++k) {
            slots_[k].images.resize(largest * size);
            slots_[k].labels.resize(largest);
        }
        start(0);
        if (options.ahead) begin_thread();
    }
    template <picture_source Source>
    batches(const Source&&, batch_options) = delete;
    batches(const batches&) = delete;
    batches& operator=(const batches&) = delete;

    /// Batches of an epoch.
    int per_epoch() const { return per_epoch_; }

    /// Begins an epoch; the first one is 0, and begun by the constructor.
    void start(std::uint32_t epoch) {
        drop_prepared();
        epoch_ = epoch;
        given_ = 0;
        if (options_.shuffle) shuffled_order(options_.seed, epoch, order_);
        else std::iota(order_.begin(), order_.end(), 0u);
    }

    /// The next batch of the epoch, or nothing at its end. Allocates nothing. Errors: what the preparation of this
    /// batch threw, on whichever thread.
    std::optional<batch> next() {
        if (given_ == per_epoch_) return std::nullopt;
        if (prepared_ == given_) {
            prepared_ = none;
            ahead_->wait();
        } else {
            prepare(given_, options_.threads);
        }
        const batch now = view(given_++);
        if (ahead_ && given_ < per_epoch_) ahead_->begin(prepared_ = given_);
        return now;
    }

private:
    static constexpr int none = -1;
    struct slot {
        std::vector<float> images;
        std::vector<class_label> labels;
        float share = 1;
    };

    void begin_thread() {
        try {
            ahead_ = std::make_unique<background>(
                [this](int number) { prepare(number, source_fetches_ ? options_.threads : 1); });
        } catch (const std::system_error&) {
            // No thread to be had: batches are prepared when they are asked for.
        }
    }

    /// Waits for the thread, and forgets what it has prepared, or could not.
    void drop_prepared() {
        if (std::exchange(prepared_, none) == none) return;
        try {
            ahead_->wait();
        } catch (...) {}
    }

    slot& slot_of(int number) { return slots_[ahead_ ? static_cast<std::size_t>(number % 2) : 0]; }

    /// Numbers in the data set of the samples of a batch.
    std::span<const std::uint32_t> origin_of(int number) const {
        const auto size = static_cast<std::size_t>(options_.size), first = static_cast<std::size_t>(number) * size;
        return std::span(order_).subspan(first, std::min(size, order_.size() - first));
    }

    batch view(int number) {
        const slot& from = slot_of(number);
        const auto origin = origin_of(number);
        return {std::span(from.images).first(origin.size() * static_cast<std::size_t>(data_.image().size())),
                std::span(from.labels).first(origin.size()), origin, static_cast<int>(origin.size()), from.share};
    }

    /// Fills the slot of a batch of this epoch. Throws what the first of its samples threw that could not be had,
    /// whichever a thread met first.
    void prepare(int number, int threads) {
        slot& to = slot_of(number);
        const auto origin = origin_of(number);
        std::mutex mutex;
        std::exception_ptr thrown;
        int first = static_cast<int>(origin.size());
        parallel_for(first, threads, [&](int n, int thread) {
            try {
                copy(origin[static_cast<std::size_t>(n)], static_cast<std::size_t>(n), thread, to);
            } catch (...) {
                const std::lock_guard lock(mutex);
                if (n < first) {
                    first = n;
                    thrown = std::current_exception();
                }
            }
        });
        if (thrown) std::rethrow_exception(thrown);
        if (options_.mixup > 0) {
            to.share = mixup_share(options_.mixup, options_.seed, epoch_, static_cast<std::uint32_t>(number));
            mix_with_reverse(std::span(to.images).first(origin.size() * static_cast<std::size_t>(data_.image().size())),
                             static_cast<int>(origin.size()), to.share, threads);
        }
    }

    void copy(std::uint32_t sample, std::size_t place_in_batch, int thread, slot& to) {
        const auto size = static_cast<std::size_t>(data_.image().size());
        const auto memory = std::span(memory_).subspan(static_cast<std::size_t>(thread) * size, size);
        const auto [pixels, label] = data_.sample(static_cast<int>(sample), memory);
        if (pixels.data() == memory.data()) source_fetches_.store(true, std::memory_order_relaxed);
        const auto result = std::span(to.images).subspan(place_in_batch * size, size);
        const augmentation& augment = options_.augment;
        place(pixels, data_.image(), table_, augment.draw(options_.seed, epoch_, sample), result);
        if (augment.cutout > 0)
            cut(augment.draw_hole(options_.seed, epoch_, sample, data_.image()), data_.image(), result);
        to.labels[place_in_batch] = label;
    }

    source_view data_;
    batch_options options_;
    std::uint32_t epoch_{};
    int per_epoch_{}, given_{}, prepared_ = none; ///< prepared_: number of the batch that the thread was given
    std::vector<float> table_;
    std::vector<std::uint32_t> order_;
    std::vector<std::uint8_t> memory_; ///< of one picture for each thread
    std::array<slot, 2> slots_;
    std::atomic<bool> source_fetches_ = false; ///< pictures do not lie in its memory: to have them is work
    std::unique_ptr<background> ahead_;        ///< last, so that it ends before what it uses
};

} // namespace fqt
