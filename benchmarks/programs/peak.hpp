#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The machine's limits, measured with the library's own atom: how many multiply-adds of 8-bit codes it does when
// nothing else is asked of it, and how fast it copies.

#include <fqt/kernels/kind.hpp>
#include <fqt/kernels/unroll.hpp>
#include <fqt/layers/lazy.hpp>

#include "report.hpp"
#include <algorithm>
#include <cstring>
#include <omp.h>
#include <vector>

namespace benchmark {

/// Runs work(thread) on every thread at once and gives the milliseconds it took.
template <class Work>
double timed_on(int threads, Work&& work) {
    double start = 0;
#pragma omp parallel num_threads(threads)
    {
#pragma omp barrier
#pragma omp master
        start = milliseconds();
#pragma omp barrier
        work(omp_get_thread_num());
    }
    return milliseconds() - start;
}

/// Operations (a multiply or an add) a second, in 10^9, of the atom of integer products on `Arch`, in registers.
template <class Arch>
double peak_of_products(int threads) {
    using fqt::kernels::integer;
    // As many sums as the kernels' tiles have registers for, and no more than hide the latency.
    constexpr int sums = std::min(fqt::simd::tile_registers<typename Arch::registers>::sums, 12);
    // Where the atom is not one instruction, products must differ, or a compiler computes one for all sums.
    constexpr int operands = std::is_same_v<Arch, fqt::arch::avx512> ? 1 : sums;
    const int rounds = std::is_same_v<Arch, fqt::arch::generic> ? 20'000 : 2'000'000;
    std::vector<std::int32_t> sink(static_cast<std::size_t>(threads) * fqt::lanes);
    const double time = timed_on(threads, [&](int thread) {
        alignas(64) std::byte codes[128];
        std::memset(codes, 3, sizeof codes);
        const std::byte* from = codes;
        integer::sums<Arch> sum[sums];
        fqt::kernels::unroll<sums>([&](auto k) __attribute__((always_inline)) {
            sum[k] = integer::sums<Arch>::repeat(thread);
        });
        int round = 0;
        // Tested below, as in the kernels.
        do {
            asm volatile("" : "+r"(from)); // somewhere else, as far as the compiler knows
            const auto w = integer::vector<Arch, std::int8_t>(from);
            fqt::kernels::unroll<sums>([&](auto k) __attribute__((always_inline)) {
                multiply_add(Arch{}, sum[k], integer::repeat<Arch, std::uint8_t>(from + 64 + k % operands * 4), w);
            });
        } while (++round < rounds);
        std::int32_t* out = sink.data() + thread * fqt::lanes;
        // By constant indices, or g++ would keep the sums in memory.
        fqt::kernels::unroll<sums>([&](auto k) __attribute__((always_inline)) {
            std::int32_t part[fqt::lanes];
            fqt::simd::i32x16<Arch>(sum[k]).store(part);
            for (int i = 0; i < fqt::lanes; ++i) out[i] ^= part[i];
        });
    });
    volatile std::int32_t keep = sink[0];
    static_cast<void>(keep);
    return 2.0 * 64 * sums * rounds * threads / time * 1e-6;
}

/// Bytes copied (read and written) a second, in 10^9, from and to memory far larger than caches.
inline double peak_of_copies(int threads) {
    constexpr std::size_t bytes = std::size_t{128} << 20;
    std::vector<char> from(bytes, 1), to(bytes, 2);
    double best = 0;
    for (int i = 0; i < 3; ++i) {
        const double time = timed_on(threads, [&](int thread) {
            const std::size_t first = bytes * static_cast<std::size_t>(thread) / static_cast<std::size_t>(threads);
            const std::size_t last = bytes * static_cast<std::size_t>(thread + 1) / static_cast<std::size_t>(threads);
            std::memcpy(to.data() + first, from.data() + first, last - first);
        });
        best = std::max(best, 2.0 * bytes / time * 1e-6);
    }
    return best;
}

} // namespace benchmark
