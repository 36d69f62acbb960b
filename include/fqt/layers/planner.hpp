#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Where a network's memory goes. The layers are walked twice by the same code: once to note what each needs and when,
// which compile time can do, once to hand out the places.
//
// A moment is a number that grows along the layers, from the input on. The forward pass meets the moments in that
// order, the backward pass in the reverse one; a layer takes as many as it has things that do not happen together. Sums
// of products live from their product's moment on, and a gradient between layers from where it is written down to where
// it was read last. What is never needed at the same time shares a place, so that gradients lie where the sums of the
// layers behind them were.

#include <fqt/core/fail.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace fqt {

/// Bytes of a network's memory by how long they live. Sizes are known at compile time.
struct memory_plan {
    std::size_t persistent{}; ///< parameters, gradients of parameters, codes of weights, statistics, and their copy
    std::size_t states{};     ///< of that, statistics, ranges and memories: what a pass changes for later ones
    std::size_t saved{};      ///< kept from the forward to the backward pass, all samples
    std::size_t training{};   ///< sums of products and gradients between layers, all samples, in each other's places
    std::size_t sums{};       ///< of that, the sums
    std::size_t evaluation{}; ///< exact sums of products in evaluation, likewise, and what it keeps; in the same memory
    std::size_t shared{};     ///< the largest that one layer's call needs
    std::size_t scratch{};    ///< the largest that one thread needs

    constexpr std::size_t between_layers() const { return std::max(training, evaluation); }
    constexpr std::size_t bytes(int threads) const {
        return persistent + saved + between_layers() + shared + scratch * static_cast<std::size_t>(threads);
    }
};

/// Where the parts of a plan begin.
struct memory_places {
    std::byte *persistent{}, *states{}, *copy_of_states{}, *saved{}, *between_layers{}, *shared{}, *scratch{};

    memory_places() = default;
    memory_places(std::byte* base, const memory_plan& plan)
        : persistent(base), states(persistent + plan.persistent - 2 * plan.states),
          copy_of_states(states + plan.states), saved(copy_of_states + plan.states), between_layers(saved + plan.saved),
          shared(between_layers + plan.between_layers()), scratch(shared + plan.shared) {}
};

/// Tensors that live from one moment to another, and the places that they share.
class timetable {
public:
    static constexpr int end = std::numeric_limits<int>::max();
    struct stay {
        std::size_t bytes;
        int first, last;     // moments
        bool is_read_lazily; // so that it may stay longer, until the next layer stores its input
        std::size_t place;
    };

    /// Notes go into `notes`; without room for all it only counts.
    constexpr explicit timetable(std::span<stay> notes) : stays_(notes) {}
    constexpr std::size_t count() const { return count_; }
    constexpr void add(const stay& s) {
        if (count_ < stays_.size()) stays_[count_] = s;
        ++count_;
    }
    /// Calls f(stay) for each that is still read lazily, of those noted since count() was `from`.
    template <class F>
    constexpr void each_read_lazily(std::size_t from, F&& f) {
        for (std::size_t i = from; i < std::min(count_, stays_.size()); ++i)
            if (stays_[i].is_read_lazily) f(stays_[i]);
    }
    /// Gives each the lowest place at which none before it is at any of its moments. Returns the bytes of all.
    constexpr std::size_t arrange() {
        if (count_ > stays_.size())
            fail("a planner has room for notes on %zu tensors, of %zu; count them by tensors() first", stays_.size(),
                 count_);
        std::size_t all = 0;
        stay* const first = stays_.data();
        for (stay* s = first; s != first + stays_.size(); ++s) {
            s->place = 0;
            for (bool moved = true; moved;) {
                moved = false;
                for (const stay* other = first; other != s; ++other)
                    if (other->first <= s->last && s->first <= other->last && s->place < other->place + other->bytes
                        && other->place < s->place + s->bytes) {
                        s->place = other->place + other->bytes;
                        moved = true;
                    }
            }
            all = std::max(all, s->place + s->bytes);
        }
        return all;
    }
    /// The places, one after the other.
    constexpr std::size_t next_place() { return stays_[handed_out_++].place; }

private:
    std::span<stay> stays_;
    std::size_t count_{}, handed_out_{};
};

/// Walks the layers: first to note what they need, then to hand out the places.
class planner {
public:
    /// Tensors between layers.
    struct counts {
        std::size_t training, evaluation;
    };

    /// Without room for notes it only counts.
    constexpr explicit planner(int batch, std::span<timetable::stay> training = {},
                               std::span<timetable::stay> evaluation = {})
        : batch_(batch), training_(training), evaluation_(evaluation) {}
    /// Hands out what a walk of the same layers has noted, and plan() has arranged.
    planner(const planner& noted, const memory_places& places)
        : batch_(noted.batch_), hands_out_(true), places_(places), training_(noted.training_),
          evaluation_(noted.evaluation_) {}

    constexpr counts tensors() const { return {training_.count(), evaluation_.count()}; }
    constexpr int batch() const { return batch_; }
    constexpr memory_plan plan() {
        noted_.training = training_.arrange();
        noted_.evaluation = evaluation_.arrange();
        memory_plan all = noted_;
        all.persistent += 2 * all.states;
        return all;
    }

    // ---- what is needed throughout, or by one call ----

    template <class T>
    constexpr void persistent(T*& place, std::int64_t count) {
        put(place, take(places_.persistent, noted_.persistent, sizeof(T) * static_cast<std::size_t>(count)));
    }
    /// What a pass changes for later ones, as running statistics are: a pass that is refused leaves it as it was.
    template <class T>
    constexpr void state(T*& place, std::int64_t count) {
        put(place, take(places_.states, noted_.states, sizeof(T) * static_cast<std::size_t>(count)));
    }
    /// `count` elements a sample.
    template <class T>
    constexpr void saved(T*& place, std::int64_t count) {
        put(place, take(places_.saved, noted_.saved, bytes_of_batch<T>(count)));
    }
    constexpr void shared(std::size_t bytes) { noted_.shared = std::max(noted_.shared, aligned(bytes)); }
    constexpr void scratch(std::size_t bytes) { noted_.scratch = std::max(noted_.scratch, aligned(bytes)); }

    // ---- what is needed for some time ----

    /// A new moment, behind all others.
    constexpr int moment() { return ++now_; }

    /// `count` sums a sample that the forward pass leaves, and that the backward pass reads at `read` for the last
    /// time. Lazy tensors read them, too: until the next layer stores its input, and in a part's last layer as long as
    /// the gradient of the part's output is read.
    template <class T>
    constexpr void sums(T*& place, std::int64_t count, int read) {
        noted_.sums += aligned(bytes_of_batch<T>(count));
        put(place, stay(training_, bytes_of_batch<T>(count), read, timetable::end, true));
    }
    /// The same in evaluation, which reads them until the next layer stores its input.
    template <class T>
    constexpr void evaluation_sums(T*& place, std::int64_t count) {
        put(place, stay(evaluation_, bytes_of_batch<T>(count), now_, timetable::end, true));
    }
    /// `count` elements that evaluation keeps from one call to the next, if no training comes between.
    template <class T>
    constexpr void evaluation(T*& place, std::int64_t count) {
        put(place, stay(evaluation_, sizeof(T) * static_cast<std::size_t>(count), 0, timetable::end));
    }
    /// A layer stores its input, from which on nothing reads the sums that lie before.
    constexpr void stores_input() {
        evaluation_.each_read_lazily(own_.evaluation, [&](timetable::stay& s) {
            s.last = now_;
            s.is_read_lazily = false;
        });
        training_.each_read_lazily(own_.training, [](timetable::stay& s) { s.is_read_lazily = false; });
    }

    /// A gradient of `count` elements a sample, written at `written`, which the layer before reads.
    template <class T>
    constexpr void gradient(T*& place, std::int64_t count, int written) {
        put(place, stay(training_, bytes_of_batch<T>(count), gradient_read_, written));
    }
    /// A layer reads the gradient of its output at `moment` for the last time.
    constexpr void reads_gradient(int moment) { gradient_read_ = moment; }

    /// A layer made of parts, which all read its input, and whose output's gradient is read until all are done; by the
    /// layer before, too, where what they return reads it.
    struct parts {
        int begin, gradient_read;
        counts before, own;
    };
    constexpr parts begin_parts() {
        const parts p{moment(), gradient_read_, tensors(), own_};
        next_part(p);
        return p;
    }
    constexpr void next_part(const parts& p) {
        gradient_read_ = p.gradient_read;
        own_ = tensors();
    }
    constexpr void end_parts(const parts& p, bool returned_reads_gradient) {
        gradient_read_ = returned_reads_gradient ? p.gradient_read : p.begin;
        training_.each_read_lazily(p.before.training,
                                   [&](timetable::stay& s) { s.first = std::min(s.first, gradient_read_); });
        own_ = p.own;
    }

private:
    template <class T>
    constexpr std::size_t bytes_of_batch(std::int64_t count) const {
        return sizeof(T) * static_cast<std::size_t>(count) * static_cast<std::size_t>(batch_);
    }
    static constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }
    // Where something lies, once places are handed out. Not inlined, since layers ask for many things once.
    [[gnu::noinline]] constexpr std::byte* take(std::byte* base, std::size_t& used, std::size_t bytes) {
        std::byte* const place = hands_out_ ? base + used : nullptr;
        used += aligned(bytes);
        return place;
    }
    [[gnu::noinline]] constexpr std::byte* stay(timetable& all, std::size_t bytes, int first, int last,
                                                bool is_read_lazily = false) {
        if (hands_out_) return places_.between_layers + all.next_place();
        all.add({aligned(bytes), first, last, is_read_lazily, 0});
        return nullptr;
    }
    template <class T>
    static constexpr void put(T*& place, std::byte* at) {
        if (at) place = reinterpret_cast<T*>(at);
    }

    int batch_;
    bool hands_out_ = false;
    memory_places places_{};
    memory_plan noted_{};
    timetable training_, evaluation_;
    int now_{}, gradient_read_{};
    counts own_{}; // of those before the part at hand
};

/// Hands out pieces of `context::shared`.
class carver {
public:
    constexpr carver() = default;
    constexpr explicit carver(std::byte* base) : base_(base) {}
    constexpr std::size_t used() const { return used_; }

    template <class T>
    constexpr T* take(std::size_t count) {
        T* place = base_ ? reinterpret_cast<T*>(base_ + used_) : nullptr;
        used_ += (count * sizeof(T) + 63) / 64 * 64;
        return place;
    }

private:
    std::byte* base_{};
    std::size_t used_{};
};

} // namespace fqt
