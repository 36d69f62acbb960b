#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What every layer is handed besides its input: run-time facts of the step, and memory that lives as long as one call.

#include <fqt/core/fail.hpp>
#include <fqt/core/parallel.hpp>
#include <fqt/core/random.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/layers/observer.hpp>

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace fqt {

/// The facts of one forward or backward pass.
struct context {
    int samples{};                  ///< in this batch, at most the number planned for
    int threads{};                  ///< how many run the loops over samples
    std::uint64_t seed{};           ///< of all random numbers
    std::uint32_t step{};           ///< training steps done so far
    std::uint32_t first_sample{};   ///< number of this batch's first sample within the whole batch
    float momentum{0.1f};           ///< weight of this batch in running statistics and ranges
    float rectification{};          ///< weight of the rectifiers' loss at this step
    bool weights_changed{true};     ///< codes of the weights must be made anew
    observer watcher{};             ///< is shown the tensors as they come
    std::byte* shared{};            ///< memory for one layer's call, shared by the threads
    std::byte* scratch{};           ///< memory of each thread
    std::size_t scratch_bytes{};    ///< bytes a thread
    std::byte* slots{};             ///< gradients between layers
    int slot_count{};
    std::size_t slot_bytes{};       ///< bytes a slot

    std::byte* scratch_of(int thread) const { return scratch + static_cast<std::size_t>(thread) * scratch_bytes; }
    std::byte* slot(int index) const {
        if (index >= slot_count) fail("a layer asks for gradient slot %d of %d; its plan() must call planner.depth()", index, slot_count);
        return slots + static_cast<std::size_t>(index) * slot_bytes;
    }
};

/// What the random numbers of a layer are for.
enum class purpose : std::uint32_t { weights, activations, input_gradient, weight_gradient, initialisation };

inline random_stream stream_of(const context& c, int layer, purpose p) {
    return {c.seed, c.step, static_cast<std::uint32_t>(layer) * 8u + static_cast<std::uint32_t>(p)};
}

/// A name built on the way down: "stage1.0.body.3".
class path {
public:
    constexpr path() = default;
    constexpr std::string_view view() const { return {chars_, size_}; }
    constexpr const char* c_str() const { return chars_; }

    /// This name with one more part.
    constexpr path operator/(std::string_view part) const {
        path result = *this;
        if (size_ > 0 && !part.empty()) result.append(".");
        result.append(part);
        return result;
    }
    constexpr path operator/(int index) const {
        char digits[12]{};
        int n = 12;
        do digits[--n] = static_cast<char>('0' + index % 10);
        while (index /= 10);
        return *this / std::string_view{digits + n, static_cast<std::size_t>(12 - n)};
    }

private:
    constexpr void append(std::string_view text) {
        for (const char c : text)
            if (size_ < sizeof(chars_) - 1) chars_[size_++] = c;
    }
    char chars_[96]{};
    std::size_t size_{};
};

// ---- the memory plan ----

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
        return persistent + saved + slot * static_cast<std::size_t>(slots()) + shared + scratch * static_cast<std::size_t>(threads);
    }
};

/// Walks the layers twice: once to add bytes up (at compile time, if asked), once to hand out the places.
class planner {
public:
    constexpr explicit planner(int batch) : batch_(batch) {}
    planner(int batch, std::byte* persistent, std::byte* saved) : batch_(batch), persistent_(persistent), saved_(saved) {}

    constexpr int batch() const { return batch_; }
    constexpr const memory_plan& plan() const { return plan_; }

    template <class T>
    constexpr void persistent(T*& place, int count) { take(place, persistent_, plan_.persistent, sizeof(T) * static_cast<std::size_t>(count)); }
    /// `count` elements a sample.
    template <class T>
    constexpr void saved(T*& place, int count) {
        take(place, saved_, plan_.saved, sizeof(T) * static_cast<std::size_t>(count) * static_cast<std::size_t>(batch_));
    }
    constexpr void slot(std::size_t bytes_a_sample) { greatest(plan_.slot, bytes_a_sample * static_cast<std::size_t>(batch_)); }
    constexpr void shared(std::size_t bytes) { greatest(plan_.shared, bytes); }
    constexpr void scratch(std::size_t bytes) { greatest(plan_.scratch, bytes); }
    constexpr void depth(int depth) { plan_.depth = depth > plan_.depth ? depth : plan_.depth; }

private:
    static constexpr std::size_t aligned(std::size_t bytes) { return (bytes + 63) / 64 * 64; }
    static constexpr void greatest(std::size_t& most, std::size_t bytes) { most = aligned(bytes) > most ? aligned(bytes) : most; }
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
