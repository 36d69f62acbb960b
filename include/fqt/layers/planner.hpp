#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Where a network's memory goes. The layers are walked twice by the same code: at compile time to add bytes up, at
// construction to hand out the places.

#include <cstddef>

namespace fqt {

/// Bytes of a network's memory by how long they live. Sizes are known at compile time.
struct memory_plan {
    std::size_t persistent{};      ///< parameters, gradients of parameters, codes of weights, statistics
    std::size_t saved{};           ///< kept from the forward to the backward pass, all samples
    std::size_t sums{};            ///< likewise, but of no use in evaluation
    std::size_t slot{};            ///< one stored gradient between layers, all samples; there are depth + 2
    std::size_t evaluation_slot{}; ///< the same in evaluation, where it holds exact sums: at least slot
    std::size_t shared{};          ///< the largest that one layer's call needs
    std::size_t scratch{};         ///< the largest that one thread needs
    int depth{};                   ///< of nested residuals

    constexpr int slots() const { return depth + 2; }
    /// Sums and slots. Those of evaluation lie where those of training do.
    constexpr std::size_t between_layers() const {
        const auto count = static_cast<std::size_t>(slots());
        const std::size_t training = sums + slot * count, evaluation = evaluation_slot * count;
        return training > evaluation ? training : evaluation;
    }
    constexpr std::size_t bytes(int threads) const {
        return persistent + saved + between_layers() + shared + scratch * static_cast<std::size_t>(threads);
    }
};

/// Where the parts of a plan begin. In evaluation slots begin where sums do.
struct memory_places {
    std::byte *persistent{}, *saved{}, *sums{}, *slots{}, *shared{}, *scratch{};

    memory_places() = default;
    memory_places(std::byte* base, const memory_plan& plan)
        : persistent(base), saved(persistent + plan.persistent), sums(saved + plan.saved), slots(sums + plan.sums),
          shared(sums + plan.between_layers()), scratch(shared + plan.shared) {}
};

/// Walks the layers twice: once to add bytes up (at compile time, if asked), once to hand out the places.
class planner {
public:
    constexpr explicit planner(int batch) : batch_(batch) {}
    planner(int batch, const memory_places& places)
        : batch_(batch), persistent_(places.persistent), saved_(places.saved), sums_(places.sums) {}

    constexpr int batch() const { return batch_; }
    constexpr const memory_plan& plan() const { return plan_; }

    template <class T>
    constexpr void persistent(T*& place, int count) {
        take(place, persistent_, plan_.persistent, sizeof(T) * static_cast<std::size_t>(count));
    }
    /// `count` elements a sample.
    template <class T>
    constexpr void saved(T*& place, int count) {
        take(place, saved_, plan_.saved, sizeof(T) * of_batch(count));
    }
    /// The same, for what evaluation writes elsewhere.
    template <class T>
    constexpr void sums(T*& place, int count) {
        take(place, sums_, plan_.sums, sizeof(T) * of_batch(count));
    }
    /// What a slot must hold, in training and in evaluation.
    constexpr void slot(std::size_t bytes_a_sample) {
        greatest(plan_.slot, bytes_a_sample * of_batch(1));
        evaluation_slot(bytes_a_sample);
    }
    /// What it must hold in evaluation.
    constexpr void evaluation_slot(std::size_t bytes_a_sample) {
        greatest(plan_.evaluation_slot, bytes_a_sample * of_batch(1));
    }
    constexpr void shared(std::size_t bytes) { greatest(plan_.shared, bytes); }
    constexpr void scratch(std::size_t bytes) { greatest(plan_.scratch, bytes); }
    constexpr void depth(int depth) { plan_.depth = depth > plan_.depth ? depth : plan_.depth; }

private:
    constexpr std::size_t of_batch(int count) const {
        return static_cast<std::size_t>(count) * static_cast<std::size_t>(batch_);
    }
    static constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }
    static constexpr void greatest(std::size_t& most, std::size_t bytes) {
        most = aligned(bytes) > most ? aligned(bytes) : most;
    }
    template <class T>
    static constexpr void take(T*& place, std::byte* base, std::size_t& used, std::size_t bytes) {
        if (base) place = reinterpret_cast<T*>(base + used);
        used += aligned(bytes);
    }

    int batch_;
    std::byte *persistent_{}, *saved_{}, *sums_{};
    memory_plan plan_{};
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
