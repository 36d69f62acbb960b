// SPDX-License-Identifier: BSD-3-Clause
// The generator against known answers, and the statistics of what the library draws from it. Nothing here is random: a
// test that passes once passes always.
#include <fqt/core/random.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <vector>

using fqt::random_block, fqt::random_stream;

namespace {

/// Counter, key and result, as philox4x32_R<7> of Random123 1.14 (the authors' own code) gives them; the first three
/// are of its file of known answers too.
struct known_answer {
    random_block counter;
    std::uint64_t key;
    random_block result;
};
constexpr known_answer known_answers[] = {
    {{0, 0, 0, 0}, 0, {0x5f6fb709, 0x0d893f64, 0x4f121f81, 0x4f730a48}},
    {{~0u, ~0u, ~0u, ~0u}, ~0ull, {0x5207ddc2, 0x45165e59, 0x4d8ee751, 0x8c52f662}},
    {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
     0x299f31d0a4093822,
     {0x4dfccaba, 0x190a87f0, 0xc47362ba, 0xb6b5242a}},
    {{1, 0, 0, 0}, 0, {0x983a586e, 0xb0cc9511, 0x5850fbb9, 0x9cf9acd8}},
    {{0, 1, 0, 0}, 0, {0xba3c1d27, 0xac3cb973, 0x0cd8d31d, 0x9355a8b3}},
    {{0, 0, 1, 0}, 0, {0x1a381a9a, 0xbc9649d4, 0xd69c9b71, 0xff2fc9b1}},
    {{0, 0, 0, 1}, 0, {0x2fafe778, 0xfeafe6ed, 0xa9cfa4a0, 0xc91c304b}},
    {{0, 0, 0, 0}, 1, {0xf422b57b, 0x780e92b0, 0x574dd0f2, 0x5e9558ea}},
    {{0, 0, 0, 0}, 1ull << 32, {0x94473c5f, 0x4b3a5229, 0xa20b9918, 0x84792ddd}},
    {{12, 26, 5, 1000}, 0x7deadbeef, {0xab68071e, 0x471f5da0, 0x8ec6dac7, 0xcb01252d}},
};

static_assert(fqt::philox::block({0, 0, 0, 0}, 0) == known_answers[0].result); // in constant expressions, too

// ---- statistics, all as a number of standard deviations ----

/// Of Pearson's statistic for `counts` from its mean, where every count is expected to be the same.
double uniformity(const std::vector<int>& counts) {
    const double n = std::accumulate(counts.begin(), counts.end(), 0.0), bins = static_cast<double>(counts.size());
    double chi_square = 0;
    for (const int count : counts) chi_square += (count - n / bins) * (count - n / bins) / (n / bins);
    return (chi_square - (bins - 1)) / std::sqrt(2 * (bins - 1));
}

/// 16 bits as a number of mean 0 and variance 1.
double centred(std::uint32_t bits16) { return (bits16 - 32767.5) / 18918.61; }

/// Of the correlation between the numbers a(i) and b(i), i < 2^18: of each with its partner, and of their squares.
template <class A, class B>
double correlation(A&& a, B&& b) {
    constexpr int n = 1 << 18;
    double first = 0, second = 0;
    for (int i = 0; i < n; ++i) {
        const double x = centred(a(i)), y = centred(b(i));
        first += x * y;
        second += (x * x - 1) * (y * y - 1) / 0.8; // the variance of x squared is 4/5
    }
    return std::max(std::abs(first), std::abs(second)) / std::sqrt(double{n});
}

/// Number i of a tensor of `channels` channels and 8 x 8 positions, sample by sample.
struct tensor {
    random_stream stream;
    int channels = 16, positions = 64;
    std::uint32_t first_sample = 0;

    std::uint32_t operator()(int i) const {
        const int size = channels * positions;
        const std::uint32_t sample = first_sample + static_cast<std::uint32_t>(i / size);
        return stream.bits16(sample, i % size / positions, i % positions, positions);
    }
};

} // namespace

TEST_CASE("Philox of seven rounds gives the answers of its authors' code") {
    for (const known_answer& known : known_answers) CHECK(fqt::philox::block(known.counter, known.key) == known.result);
}

TEST_CASE("a stream's block has the counter (step, stream, sample, index) and the seed as its key") {
    CHECK(random_stream{0x7deadbeef, 12, 26}.block(5, 1000) == known_answers[9].result);
}

TEST_CASE("16 bits are those of their channel's octet of positions, low half first") {
    const random_stream stream{3, 4, 5};
    for (const int positions : {1, 7, 8, 9, 64})
        for (int c = 0; c < 3; ++c)
            for (int p = 0; p < positions; ++p) {
                const auto octet = static_cast<std::uint32_t>(c * ((positions + 7) / 8) + p / 8);
                const random_block block = stream.block(6, octet);
                const auto expected = block[static_cast<std::size_t>(p % 8 / 2)] >> (p % 2 == 0 ? 0 : 16) & 0xffffu;
                CHECK(stream.bits16(6, c, p, positions) == expected);
            }
}

TEST_CASE("16 bits do not depend on what was drawn before them") {
    const tensor numbers{{1, 2, 3}};
    std::vector<int> order(4096);
    std::iota(order.begin(), order.end(), 0);
    std::vector<std::uint32_t> in_order, shuffled(order.size());
    for (const int i : order) in_order.push_back(numbers(i));
    std::ranges::sort(order, {}, [](int i) { return static_cast<std::uint32_t>(i) * 2654435761u; });
    for (const int i : order) shuffled[static_cast<std::size_t>(i)] = numbers(i);
    CHECK(shuffled == in_order);
}

TEST_CASE("uniform numbers lie strictly inside (0, 1), symmetrically and on an exact grid") {
    CHECK(fqt::uniform16(0) == 0x1p-17f);
    CHECK(fqt::uniform16(0xffff) == 1 - 0x1p-17f);
    CHECK(fqt::uniform32(0) == 0x1p-24f);
    CHECK(fqt::uniform32(~0u) == 1 - 0x1p-24f);
    int wrong = 0;
    for (std::uint32_t k = 0; k < 65536; ++k) {
        wrong += static_cast<double>(fqt::uniform16(k)) != (k + 0.5) / 65536;
        wrong += fqt::uniform16(k) + fqt::uniform16(65535 - k) != 1;
        wrong += static_cast<double>(fqt::uniform32(k << 16)) != ((k << 7) + 0.5) / 8388608;
    }
    CHECK(wrong == 0);
}

TEST_CASE("16-bit numbers are uniform over all 65536 values, within a tensor and over seeds, steps and streams") {
    std::vector<int> tensor_counts(65536), key_counts(65536), low_counts(256);
    const tensor numbers{{0, 0, 0}};
    for (int i = 0; i < 1 << 21; ++i) {
        const std::uint32_t k = numbers(i);
        ++tensor_counts[k];
        ++low_counts[k % 256];
    }
    for (std::uint32_t i = 0; i < 1 << 19; ++i) { // one block for each of 2^19 neighbouring streams
        const random_stream stream{i % 64, i / 64 % 64, i / 4096};
        for (const std::uint32_t word : stream.block(0, 0)) {
            ++key_counts[word & 0xffff];
            ++key_counts[word >> 16];
        }
    }
    CHECK(std::abs(uniformity(tensor_counts)) < 4);
    CHECK(std::abs(uniformity(low_counts)) < 4);
    CHECK(std::abs(uniformity(key_counts)) < 4);
}

TEST_CASE("neighbours within a tensor are uncorrelated, along rows, columns, channels and samples") {
    const tensor numbers{{7, 1, 2}};
    for (const int distance : {1, 2, 7, 8, 9, 16, 64, 128, 16 * 64}) {
        CAPTURE(distance);
        CHECK(correlation(numbers, [&](int i) { return numbers(i + distance); }) < 4);
    }
}

TEST_CASE("the same place of two tensors, steps, samples or seeds is uncorrelated") {
    const tensor numbers{{0, 0, 0}};
    const random_stream others[] = {
        {0, 0, 1}, {0, 0, 8}, {0, 0, 0x80000000u}, // tensors and purposes
        {0, 1, 0}, {0, 2, 0}, {0, 1000, 0},        // steps
        {1, 0, 0}, {2, 0, 0}, {1ull << 32, 0, 0},  // seeds
        {1, 1, 0}, {0, 1, 1}, {~0ull, 0, 0},
    };
    for (const random_stream& other : others) {
        CAPTURE(other.seed);
        CAPTURE(other.step);
        CAPTURE(other.stream);
        CHECK(correlation(numbers, tensor{other}) < 4);
    }
    CHECK(correlation(tensor{{1, 0, 0}}, tensor{{1ull << 32, 0, 0}}) < 4);
    CHECK(correlation(tensor{{1, 0, 0}}, tensor{{0, 1, 0}}) < 4); // a seed's step is not another seed
    for (const std::uint32_t later : {1u, 2u, 0x80000000u}) {
        CAPTURE(later);
        CHECK(correlation(numbers, tensor{.stream = {0, 0, 0}, .first_sample = later}) < 4);
    }
}

TEST_CASE("a correlation that exists is seen") {
    const tensor numbers{{0, 0, 0}};
    const auto one_in_fifty = [&](int i) { return i % 50 == 0 ? numbers(i) : tensor{{0, 0, 1}}(i); };
    CHECK(correlation(numbers, one_in_fifty) > 4);
}
