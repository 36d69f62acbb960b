#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Floats that find mistakes: every special value, the neighbours of every power of two, halves, and random bits.

#include <fqt/core/random.hpp>
#include <fqt/core/shape.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace fqt::test {

/// Zeros, subnormals, powers of two and their neighbours, ties, limits, infinities and quiet NaNs, of both signs.
inline std::vector<float> edge_floats() {
    using limits = std::numeric_limits<float>;
    std::vector<float> v{0.0f,
                         limits::denorm_min(),
                         limits::max(),
                         limits::infinity(),
                         limits::quiet_NaN(),
                         0x1p31f,
                         0x1.fffffep30f,
                         65504.0f,
                         65519.0f,
                         65519.996f,
                         65520.0f,
                         65536.0f};
    for (int e = -149; e < 128; ++e) {
        const float p = std::ldexp(1.0f, e);
        v.insert(v.end(), {std::nextafter(p, 0.0f), p, std::nextafter(p, limits::infinity()), p * 1.5f});
    }
    for (int i = 1; i < 40; ++i) v.push_back(static_cast<float>(i) * 0.5f);
    const std::size_t positive = v.size();
    for (std::size_t i = 0; i < positive; ++i) v.push_back(-v[i]);
    return v;
}

/// The edge floats and `count` of random bits, where NaNs are quiet: whole blocks of 16.
inline std::vector<float> hard_floats(std::size_t count, std::uint64_t seed) {
    std::vector<float> v = edge_floats();
    const random_stream stream{seed, 0, 0};
    for (std::uint32_t i = 0; v.size() < count || v.size() % lanes != 0; ++i) {
        auto bits = stream.block(0, i)[0];
        if ((bits & 0x7fffffffu) > 0x7f800000u) bits |= 0x400000u;
        v.push_back(std::bit_cast<float>(bits));
    }
    return v;
}

/// Random floats of ordinary magnitude, in (-range, range).
inline std::vector<float> ordinary_floats(std::size_t count, float range, std::uint64_t seed) {
    std::vector<float> v(count);
    const random_stream stream{seed, 1, 0};
    for (std::uint32_t i = 0; i < count; ++i) v[i] = (uniform32(stream.block(0, i)[0]) * 2.0f - 1.0f) * range;
    return v;
}

/// The bits of 16 lanes, to compare with ==: a NaN equals itself and 0 differs from -0.
template <class Lanes>
std::array<std::uint32_t, lanes> bits_of(const Lanes& x) {
    std::array<float, lanes> f;
    x.store(f.data());
    return std::bit_cast<std::array<std::uint32_t, lanes>>(f);
}

} // namespace fqt::test
