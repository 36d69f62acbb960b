#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The only place that knows threads: a loop over independent items, split into runs of consecutive items. Nothing may
// depend on the split, and where sums cross items each item writes its own partial sum, added in order afterwards.

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace fqt {

/// Threads that this program may use: OpenMP's, or 1 without it.
inline int hardware_threads() {
#if defined(_OPENMP)
    return omp_get_max_threads();
#else
    return 1;
#endif
}

/// Calls body(item, thread) for 0 <= item < items, on `threads` threads, 0 <= thread < threads.
/// Refuses a thread whose rounding mode or flush-to-zero would change results.
template <class Body>
void parallel_for(int items, int threads, Body&& body) {
    // Before threads start: those that start now would inherit what the caller has changed, and keep it for good.
    if (!floating_point_is_default()) refuse_floating_point();
#if defined(_OPENMP)
    if (threads > 1 && items > 1) {
        bool sound = true;
#pragma omp parallel num_threads(threads) reduction(&& : sound)
        {
            sound = floating_point_is_default();
            const int thread = omp_get_thread_num(), team = omp_get_num_threads();
            const int first = static_cast<int>(static_cast<long long>(items) * thread / team);
            const int last = static_cast<int>(static_cast<long long>(items) * (thread + 1) / team);
            if (sound)
                for (int item = first; item < last; ++item) body(item, thread);
        }
        if (!sound) refuse_floating_point();
        return;
    }
#endif
    static_cast<void>(threads);
    for (int item = 0; item < items; ++item) body(item, 0);
}

} // namespace fqt
