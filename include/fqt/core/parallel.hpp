#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Loops over independent items. Nothing may depend on which thread does which item, and where sums cross items each
// item writes its own partial sum, added in order afterwards.
//
// Every thread has a run of consecutive items, the same in every loop of a step, so that what it wrote is still in its
// cache; a thread that has done its own takes what is left of the others'.

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/function_ref.hpp>
#include <fqt/core/team.hpp>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#if defined(__linux__)
#include <sched.h>
#endif

namespace fqt {

/// Processors that this thread may run on, as `taskset` and the like leave it, >= 1.
inline int hardware_threads() {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
#endif
    return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

/// Loops use no more threads than this, however many they are given.
inline constexpr int most_threads = 256;

/// The threads that an option asks for, most_threads at most: 0 stands for all. Refuses a number below 0.
inline int threads_of(int option) {
    if (option < 0) fail("%d threads are asked for; options.threads must be 1 or more, or 0 for all", option);
    return std::min(option == 0 ? hardware_threads() : option, most_threads);
}

/// What a loop does with an item: body(item, thread).
using loop_body = function_ref<void(int, int)>;

namespace detail {

/// The items 0 to `items` - 1, shared out to the threads of a team.
class shared_items {
public:
    shared_items(int items, int team) : items_(items), team_(team) {
        for (int t = 0; t < team; ++t) std::construct_at(counters() + t, first_of(t));
    }
    /// Calls body(item, thread) for items that no thread has taken, until there are none.
    void work(int thread, loop_body body) {
        for (int i = 0; i < team_; ++i) {
            const int owner = (thread + i) % team_;
            std::atomic<std::int64_t>& next = counters()[owner].next;
            for (std::int64_t item; (item = next.fetch_add(1, std::memory_order_relaxed)) < first_of(owner + 1);)
                body(static_cast<int>(item), thread);
        }
    }

private:
    /// Alone on its cache line. It grows beyond the last item.
    struct alignas(64) counter {
        std::atomic<std::int64_t> next;
    };
    counter* counters() { return reinterpret_cast<counter*>(room_); }
    int first_of(int thread) const { return static_cast<int>(static_cast<long long>(items_) * thread / team_); }

    int items_, team_;
    alignas(counter) std::byte room_[most_threads * sizeof(counter)]; ///< of which only a team's counters are made
};

} // namespace detail

/// Calls large(item, thread) for 0 <= item < large_items and small(item, thread) for 0 <= item < small_items, in any
/// order, on up to `threads` threads, 0 <= thread < threads: this one, as number 0, and those that come in time.
/// Throws what an item threw, the first of them; others may still come. Refuses a thread whose rounding mode or
/// flush-to-zero would change results.
inline void parallel_for(int large_items, loop_body large, int small_items, loop_body small, int threads) {
    // Before threads start: they would inherit what this one has changed, and keep it for good.
    if (!floating_point_is_default()) refuse_floating_point();
    threads = std::min(threads, most_threads);
    if (threads > 1 && std::int64_t{large_items} + small_items > 1) {
        std::atomic<bool> sound = true;
        detail::shared_items first(large_items, threads), second(small_items, threads);
        const auto work = [&](int thread) {
            if (!floating_point_is_default()) {
                sound = false;
                return;
            }
            first.work(thread, large);
            second.work(thread, small);
        };
        team::run(threads, work);
        if (!sound) refuse_floating_point();
        return;
    }
    for (int item = 0; item < large_items; ++item) large(item, 0);
    for (int item = 0; item < small_items; ++item) small(item, 0);
}

/// Calls body(item, thread) for 0 <= item < items, likewise.
inline void parallel_for(int items, int threads, loop_body body) { parallel_for(0, {}, items, body, threads); }

} // namespace fqt
