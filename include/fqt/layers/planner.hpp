#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Where a network's memory goes. The layers are walked twice by the same code: at compile time to add bytes up, at
// construction to hand out the places.

#include <cstddef>

namespace fqt {

/// Bytes of a network's memory by how long they live. Sizes are known at compile time.
struct memory_plan {
    std::size_t persistent{}; ///< parameters, gradients of parameters, codes of weights, statistics
    std::size_t saved{};      ///< kept from the forward to the backward pass, all samples
    std::size_t slot{};       ///< one stored gradient between layers, all samples; there are depth + 2
    std::size_t shared{};     ///< the largest that one layer's call needs
    std::size_t scratch{};    ///< the largest that one thread needs
    int depth{};              ///< of nested residuals

    constexpr int slots() const { return depth + 2; }
    constexpr std::size_t bytes(int threads) const {
        return persistent + saved + slot * static_cast<std::size_t>(slots()) + shared
            + scratch * static_cast<std::size_t>(threads);
    }
};

/// Walks the layers twice: once to add bytes up (at compile time, if asked), once to hand out the places.
class planner {
public:
    constexpr explicit planner(int batch) : batch_(batch) {}
    planner(int batch, std::byte* persistent, std::byte* saved)
        : batch_(batch), persistent_(persistent), saved_(saved) {}

    constexpr int batch() const { return batch_; }
    constexpr const memory_plan& plan() const { return plan_; }

    template <class T>
    constexpr void persistent(T*& place, int count) {
        take(place, persistent_, plan_.persistent, sizeof(T) * static_cast<std::size_t>(count));
    }
    /// `count` elements a sample.
    template <class T>
    constexpr void saved(T*& place, int count) {
        take(place, saved_, plan_.saved,
             sizeof(T) * static_cast<std::size_t>(count) * static_cast<std::size_t>(batch_));
    }
    constexpr void slot(std::size_t bytes_a_sample) {
        greatest(plan_.slot, bytes_a_sample * static_cast<std::size_t>(batch_));
    }
    constexpr void shared(std::size_t bytes) { greatest(plan_.shared, bytes); }
    constexpr void scratch(std::size_t bytes) { greatest(plan_.scratch, bytes); }
    constexpr void depth(int depth) { plan_.depth = depth > plan_.depth ? depth : plan_.depth; }

private:
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
    std::byte *persistent_{}, *saved_{};
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
