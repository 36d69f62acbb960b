#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Mixup (Zhang, Cisse, Dauphin, Lopez-Paz 2018): a network is trained on pictures l x_n + (1 - l) x_m with the targets
// l t_n + (1 - l) t_m, l drawn once a batch from Beta(alpha, alpha). The partner of sample n is the one as far from the
// batch's end as n is from its beginning: batches are in random order, so this is as random as another permutation, and
// pairs are mixed in place.

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/math.hpp>
#include <fqt/core/parallel.hpp>
#include <fqt/core/random.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fqt {

/// Refuses an alpha that is not 0 or within [1e-3, 4]: less mixes no pair that a float could show.
inline void check_mixup(float alpha) {
    if (alpha != 0.0f && !(alpha >= 1e-3f && alpha <= 4.0f))
        fail("mixup is %g; alpha must be 0 (none) or 1e-3 to 4, such as 0.2 or 1", static_cast<double>(alpha));
}

/// The share l of batch `number` of an epoch: Beta(alpha, alpha), 1e-3 <= alpha <= 4, by Joehnk's rule: of uniform u
/// and v, the first pair with u^(1/alpha) + v^(1/alpha) <= 1 gives l = u^(1/alpha) / (u^(1/alpha) + v^(1/alpha)).
inline float mixup_share(float alpha, fqt::seed seed, std::uint32_t epoch, std::uint32_t number) {
    // See picture_stream in generated_images.hpp for the numbers of streams.
    const random_stream random{seed.value, epoch, 0xDA7A0003u};
    for (std::uint32_t i = 0;; ++i) {
        const random_block bits = random.block(number, i);
        for (std::size_t k = 0; k < bits.size(); k += 2) {
            // As logarithms, since the powers of a small alpha underflow.
            const float u = math::log(uniform32(bits[k])) / alpha, v = math::log(uniform32(bits[k + 1])) / alpha;
            if (math::exp(u) + math::exp(v) <= 1.0f) return 1.0f / (1.0f + math::exp(v - u));
        }
    }
}

/// Mixes each of `samples` pictures, which lie one after the other, with its partner.
inline void mix_with_reverse(std::span<float> pictures, int samples, float share, int threads) {
    const std::size_t size = pictures.size() / static_cast<std::size_t>(samples);
    const float rest = 1.0f - share;
    parallel_for(samples / 2, threads, [&](int n, int) {
        float* a = pictures.data() + static_cast<std::size_t>(n) * size;
        float* b = pictures.data() + static_cast<std::size_t>(samples - 1 - n) * size;
        for (std::size_t i = 0; i < size; ++i) {
            const float of_a = a[i], of_b = b[i];
            a[i] = std::fma(share, of_a, product(rest, of_b));
            b[i] = std::fma(share, of_b, product(rest, of_a));
        }
    });
}

} // namespace fqt
