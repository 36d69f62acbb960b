// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/simd/random_lanes.hpp>

#include <doctest/doctest.h>

#include "../support/archs.hpp"
#include <algorithm>

using namespace fqt;

TEST_CASE_TEMPLATE("every lane draws the number of its channel and position", A, FQT_ARCHS) {
    const random_stream streams[] = {
        {0, 0, 0}, {0xfedcba9876543210u, 123456, 789}, {~0ull, ~0u, ~0u}, {42, 1, 0x80000001u}};
    int wrong = 0;
    for (const random_stream& stream : streams) {
        for (const std::uint32_t sample : {0u, 1u, 77u, 0xffffffffu}) {
            for (const int positions : {1, 8, 9, 49, 1024}) {
                for (const int first_channel : {0, 16, 4080}) {
                    for (const int octet : {0, (positions + 7) / 16, (positions - 1) / 8}) {
                        const simd::octet_bits<A> block(stream, sample, first_channel, octet, positions);
                        for (int j = 0; j < 8; ++j) {
                            const auto u = block.uniform(j);
                            const auto k = block.bits(j);
                            for (int lane = 0; lane < lanes; ++lane) {
                                const auto bits = stream.bits16(sample, first_channel + lane, 8 * octet + j, positions);
                                wrong += (u.lane(lane) != uniform16(bits)) + (k.lane(lane) != bits);
                            }
                        }
                    }
                }
            }
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("every lane's stratified draw is that of its channel and position", A, FQT_ARCHS) {
    constexpr random_stream stream{42, 7, 3};
    constexpr std::uint32_t sample = 5;
    constexpr int positions = 200, octets = positions / 8, channel = 16;
    int wrong = 0;
    for (int position = 0; position < positions; ++position) {
        const int octet = position / 8;
        const simd::octet_bits<A> block(stream, sample, channel, octet / 8, octets);
        const auto u = simd::octet_bits<A>::stratified(block.bits(octet % 8), position % 8);
        for (int lane = 0; lane < lanes; ++lane)
            wrong += u.lane(lane) != uniform16(stream.stratified16(sample, channel + lane, position, positions));
    }
    CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("a draw lies strictly inside (0, 1) and has a mean of one half", A, FQT_ARCHS) {
    double sum = 0;
    float least = 1, greatest = 0;
    const int octets = 512;
    for (int octet = 0; octet < octets; ++octet) {
        const simd::octet_bits<A> block(random_stream{7, 3, 5}, 2, 0, octet, octets * 8);
        for (int j = 0; j < 8; ++j) {
            const auto u = block.uniform(j);
            least = std::min(least, reduce_min(u));
            greatest = std::max(greatest, reduce_max(u));
            for (int lane = 0; lane < lanes; ++lane) sum += static_cast<double>(u.lane(lane));
        }
    }
    CHECK(least > 0.0f);
    CHECK(greatest < 1.0f);
    // The mean of 65536 draws has a deviation of 0.0011; five of them are never reached by chance.
    CHECK(sum / (octets * 8 * lanes) == doctest::Approx(0.5).epsilon(0.011));
}
