#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Counter-based random numbers: Philox4x32 with 7 rounds (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy
// as 1, 2, 3", SC 2011; 7 rounds is the fastest variant that passes BigCrush there). A number is a function of what it
// is for - seed, step, stream, sample, channel, position - so no layout, vector width or thread split can change it.

#include <array>
#include <cstdint>

namespace fqt {

/// The user's seed. Any value, 0 included, is as good as any other.
struct seed {
    std::uint64_t value{};
};

using random_block = std::array<std::uint32_t, 4>;

namespace philox {

inline constexpr int rounds = 7;
inline constexpr std::uint32_t multiplier_a = 0xD2511F53u, multiplier_b = 0xCD9E8D57u;
inline constexpr std::uint32_t weyl_a = 0x9E3779B9u, weyl_b = 0xBB67AE85u;

/// One block of 128 random bits for a 128-bit counter and a 64-bit key.
constexpr random_block block(random_block counter, std::uint64_t key) {
    auto ka = static_cast<std::uint32_t>(key), kb = static_cast<std::uint32_t>(key >> 32);
    for (int i = 0; i < rounds; ++i) {
        const std::uint64_t a = std::uint64_t{multiplier_a} * counter[0], b = std::uint64_t{multiplier_b} * counter[2];
        counter = {static_cast<std::uint32_t>(b >> 32) ^ counter[1] ^ ka, static_cast<std::uint32_t>(b),
                   static_cast<std::uint32_t>(a >> 32) ^ counter[3] ^ kb, static_cast<std::uint32_t>(a)};
        ka += weyl_a;
        kb += weyl_b;
    }
    return counter;
}

} // namespace philox

/// Names a stream of random numbers: one tensor, at one step, for one purpose.
/// The counter of a block is (step, stream, sample, index).
struct random_stream {
    std::uint64_t seed{};
    std::uint32_t step{}, stream{};

    constexpr random_block block(std::uint32_t sample, std::uint32_t index) const {
        return philox::block({step, stream, sample, index}, seed);
    }

    /// 16 random bits for element (c, y, x) of a sample, position = y * width + x, positions = height * width.
    /// One block serves one channel at 8 consecutive positions: index = c * ceil(positions / 8) + position / 8, and
    /// bits 16 * (position % 8) and up of the block, little-endian.
    constexpr std::uint32_t bits16(std::uint32_t sample, int c, int position, int positions) const {
        const auto octets = static_cast<std::uint32_t>((positions + 7) / 8);
        const auto word =
            block(sample,
                  static_cast<std::uint32_t>(c) * octets
                      + static_cast<std::uint32_t>(position / 8))[static_cast<std::size_t>(position % 8 / 2)];
        return (word >> (position % 2 * 16)) & 0xffffu;
    }

    /// 16 bits whose top three are all different at 8 consecutive positions: these share the random bits of
    /// bits16(sample, c, position / 8, ceil(positions / 8)), to which each adds its number of eighths of the range.
    constexpr std::uint32_t stratified16(std::uint32_t sample, int c, int position, int positions) const {
        return (bits16(sample, c, position / 8, (positions + 7) / 8) + stratum(position % 8)) & 0xffffu;
    }
    /// What position 8 n + j adds to its octet's bits: eighths in the order of reversed bits, so that two, and four,
    /// consecutive positions are spread evenly as well.
    static constexpr std::uint32_t stratum(int j) {
        constexpr std::uint32_t eighths[8]{0, 4, 2, 6, 1, 5, 3, 7};
        return eighths[j] << 13;
    }
};

/// A uniform number strictly inside (0, 1) from 16 random bits: (k + 1/2) / 2^16, exact in float.
constexpr float uniform16(std::uint32_t bits) { return (static_cast<float>(bits) + 0.5f) * 0x1p-16f; }

/// A uniform number strictly inside (0, 1) from 32 random bits, on a grid of 2^-23: exact in float.
constexpr float uniform32(std::uint32_t bits) { return (static_cast<float>(bits >> 9) + 0.5f) * 0x1p-23f; }

} // namespace fqt
