#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What every layer is handed besides its input: run-time facts of the step, and memory that lives as long as one call.

#include <fqt/core/fail.hpp>
#include <fqt/core/parallel.hpp>
#include <fqt/core/random.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/layers/observer.hpp>
#include <fqt/layers/planner.hpp>
#include <fqt/quant/rectifier.hpp>

#include <cstddef>
#include <cstdint>

namespace fqt {

/// The facts of one forward or backward pass.
struct context {
    int samples{};                ///< in this batch, at most the number planned for
    int threads{};                ///< how many run the loops over samples
    std::uint64_t seed{};         ///< of all random numbers
    std::uint32_t step{};         ///< training steps done so far
    std::uint32_t first_sample{}; ///< number of this batch's first sample within the whole batch
    float momentum{0.1f};         ///< weight of this batch in running statistics and ranges
    float rectification{};        ///< weight of the rectifiers' loss at this step
    rectifier_rule rectifier{};   ///< of batch_norm<any_rectifier>; null: none
    observer watcher{};           ///< is shown the tensors as they come
    std::byte* shared{};          ///< memory for one layer's call, shared by the threads
    std::byte* scratch{};         ///< memory of each thread
    std::size_t scratch_bytes{};  ///< bytes a thread

    /// Takes a pass's memory from what was planned.
    void use(const memory_places& places, const memory_plan& plan) {
        shared = places.shared;
        scratch = places.scratch;
        scratch_bytes = plan.scratch;
    }

    std::byte* scratch_of(int thread) const { return scratch + static_cast<std::size_t>(thread) * scratch_bytes; }
};

/// What the random numbers of a layer are for.
enum class purpose : std::uint32_t { weights, activations, input_gradient, weight_gradient, initialisation };

inline random_stream stream_of(const context& c, int layer, purpose p) {
    return {c.seed, c.step, static_cast<std::uint32_t>(layer) * 8u + static_cast<std::uint32_t>(p)};
}

} // namespace fqt
