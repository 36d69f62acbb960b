#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The machine's limits, measured with the library's own atom: how many multiply-adds of 8-bit codes it does when
// nothing else is asked of it, and how fast it copies.

#include <fqt/kernels/kind.hpp>
#include <fqt/kernels/unroll.hpp>
#include <fqt/layers/lazy.hpp>
#include <fqt/simd/matrix.hpp>

#include "report.hpp"
#include <algorithm>
#include <barrier>
#include <cstring>
#include <thread>
#include <vector>

namespace benchmark {

/// Runs work(thread) on every thread at once and gives the milliseconds it took.
template <class Work>
double timed_on(int threads, Work&& work) {
    double start = 0;
    std::barrier all_are_here(threads, [&]() noexcept { start = milliseconds(); });
    {
        std::vector<std::jthread> others;
        for (int thread = 1; thread < threads; ++thread)
            others.emplace_back([&, thread] {
                all_are_here.arrive_and_wait();
                work(thread);
            });
        all_are_here.arrive_and_wait();
        work(0);
    } // waits for the others
    return milliseconds() - start;
}

/// Integer products with 8-bit weights or activations of gradients of 4 bits: of a kind of their own on some machines.
using dx_of_4_bits = fqt::kernels::integer_kind<fqt::arch::best, 7, 0, 127>;
using dw_of_4_bits = fqt::kernels::integer_kind<fqt::arch::best, 128, 255, 7>;
inline constexpr bool few_bits_are_faster = fqt::kernels::is_short<dx_of_4_bits>;

/// What a kind's multiply-adds are added to.
template <class Kind, class Arch>
struct accumulator {
    using type = typename Kind::template sums<Arch>;
};
template <class Kind, class Arch>
    requires fqt::kernels::is_short<Kind>
struct accumulator<Kind, Arch> {
    using type = typename Kind::template partial_sums<Arch>;
};

/// Operations (a multiply or an add) a second, in 10^9, of the products of matrix registers on `Arch`.
template <class Arch>
double peak_of_matrices(int threads) {
    constexpr int rounds = 2'000'000, rows = fqt::simd::most_matrix_rows, codes = fqt::simd::matrix_row_bytes;
    const double time = timed_on(threads, [](int) {
        alignas(64) std::byte part[rows * codes];
        std::memset(part, 3, sizeof part);
        fqt::simd::matrix_registers<typename Arch::matrices, rows, codes> m;
        fqt::kernels::unroll<4>([&](auto i) FQT_INLINE_LAMBDA { m.template zero<i>(); });
        fqt::kernels::unroll<4>([&](auto i) FQT_INLINE_LAMBDA { m.template load<4 + i>(part, codes); });
        for (int round = 0; round < rounds; ++round)
            fqt::kernels::unroll<4>(
                [&](auto i) FQT_INLINE_LAMBDA { m.template multiply_add<i, 4 + i / 2, 6 + i % 2, std::uint8_t>(); });
    });
    return 2.0 * rows * fqt::lanes * codes * 4 * rounds * threads / time * 1e-6;
}

/// The same of the atom of vectors, in registers.
template <class Arch, class Kind = fqt::kernels::integer>
double peak_of_vectors(int threads) {
    using fqt::kernels::integer;
    // As many sums as the kernels' tiles have registers for, and no more than hide the latency.
    constexpr int sums = std::min(fqt::simd::tile_registers<typename Arch::registers>::sums, 12);
    // Where the atom is not one instruction, products must differ, or a compiler computes one for all sums; and a
    // vector that has to be widened serves several, as it does in a row of taps.
    constexpr bool one_instruction = std::is_same_v<typename Arch::registers, fqt::arch::avx512>;
    constexpr int uses = one_instruction ? 1 : 3, operands = one_instruction ? 1 : uses * sums;
    const int rounds = std::is_same_v<Arch, fqt::arch::generic> ? 20'000 : 2'000'000;
    std::vector<std::int32_t> sink(static_cast<std::size_t>(threads) * fqt::lanes);
    const double time = timed_on(threads, [&](int thread) {
        alignas(64) std::byte codes[128];
        std::memset(codes, 3, sizeof codes);
        const std::byte* from = codes;
        typename accumulator<Kind, Arch>::type sum[sums];
        fqt::kernels::unroll<sums>([&](auto k) FQT_INLINE_LAMBDA {
            if constexpr (fqt::kernels::is_short<Kind>) sum[k] = sum[k].zero();
            else sum[k] = sum[k].repeat(thread);
        });
        int round = 0;
        // Tested below, as in the kernels.
        do {
            asm volatile("" : "+r"(from)); // somewhere else, as far as the compiler knows
            const auto w = Kind::template vector<Arch, std::int8_t>(from);
            fqt::kernels::unroll<uses * sums>([&](auto k) FQT_INLINE_LAMBDA {
                multiply_add(Arch{}, sum[k % sums],
                             Kind::template repeat<Arch, std::uint8_t>(from + 64 + k % operands * 4), w);
            });
        } while (++round < rounds);
        std::int32_t* out = sink.data() + thread * fqt::lanes;
        // By constant indices, or g++ would keep the sums in memory.
        fqt::kernels::unroll<sums>([&](auto k) FQT_INLINE_LAMBDA {
            integer::sums<Arch> total = integer::sums<Arch>::repeat(0);
            if constexpr (fqt::kernels::is_short<Kind>) sum[k].add_to(total);
            else total = sum[k];
            std::int32_t part[fqt::lanes];
            fqt::simd::i32x16<Arch>(total).store(part);
            for (int i = 0; i < fqt::lanes; ++i) out[i] ^= part[i];
        });
    });
    volatile std::int32_t keep = sink[0];
    static_cast<void>(keep);
    return 2.0 * 64 * uses * sums * rounds * threads / time * 1e-6;
}

/// Of whichever does most products of a kind.
template <class Arch, class Kind = fqt::kernels::integer>
double peak_of_products(int threads) {
    if constexpr (fqt::simd::has_matrices<Arch> && std::is_same_v<Kind, fqt::kernels::integer>)
        return peak_of_matrices<Arch>(threads);
    else return peak_of_vectors<Arch, Kind>(threads);
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
