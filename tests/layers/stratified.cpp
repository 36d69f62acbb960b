// SPDX-License-Identifier: BSD-3-Clause
// Rounding by strata: the random numbers of a sample against their scalar definition, and what they do to sums.
#include <fqt/layers/passes.hpp>
#include <fqt/quant/quantizer.hpp>

#include <doctest/doctest.h>

#include "support/archs.hpp"
#include <algorithm>
#include <cmath>
#include <vector>

namespace {

using quantizer = fqt::symmetric<2, fqt::stratified, fqt::per_sample>;
using traits = fqt::quantizer_traits<quantizer>;
constexpr fqt::random_stream stream{99, 3, 17};

/// Pixels whose uniform numbers, of any channel, are not those of random_stream::stratified16; -1 if one is missing.
template <class A, fqt::shape Shape>
int wrong_numbers() {
    int wrong = 0;
    std::vector<int> seen(static_cast<std::size_t>(Shape.pixels() * fqt::blocks(Shape.channels)));
    fqt::passes::each_block_with_draws<A, Shape, traits>(stream, 5, [&](int p, int b, auto u) {
        ++seen[static_cast<std::size_t>(p * fqt::blocks(Shape.channels) + b)];
        for (int i = 0; i < fqt::lanes; ++i) {
            const auto bits = stream.stratified16(5, b * fqt::lanes + i, p, Shape.pixels());
            wrong += u.lane(i) != fqt::uniform16(bits);
        }
    });
    return std::all_of(seen.begin(), seen.end(), [](int times) { return times == 1; }) ? wrong : -1;
}

/// Mean square of the error of a sum over 64 pixels of the roundings of x(p), over many channels.
template <class Rounding>
double error_of_sums(float (*x)(int channel, int p)) {
    constexpr int channels = 4000, pixels = 64;
    constexpr bool stratifies = std::same_as<Rounding, fqt::stratified>;
    double total = 0;
    for (int c = 0; c < channels; ++c) {
        double error = 0;
        for (int p = 0; p < pixels; ++p) {
            const auto bits = stratifies ? stream.stratified16(0, c, p, pixels) : stream.bits16(0, c, p, pixels);
            using one = fqt::floats<fqt::arch::generic>;
            error += double{Rounding::round(one(x(c, p)), one(fqt::uniform16(bits))).lane(0)} - double{x(c, p)};
        }
        total += error * error;
    }
    return total / channels;
}
float even(int, int) { return 0.3f; }
float smooth(int c, int p) { return 3 * std::sin(static_cast<float>(c) + static_cast<float>(p) / 32); }
float unlike(int c, int p) { return 3 * fqt::uniform32(fqt::random_stream{1, 0, 0}.block(7, 64u * c + p)[0]); }

} // namespace

TEST_CASE_TEMPLATE("lanes have the numbers of the definition, once a pixel", A, FQT_ARCHS) {
    CHECK(wrong_numbers<A, fqt::shape{16, 1, 1}>() == 0);
    CHECK(wrong_numbers<A, fqt::shape{3, 5, 7}>() == 0);
    CHECK(wrong_numbers<A, fqt::shape{40, 8, 8}>() == 0);
    CHECK(wrong_numbers<A, fqt::shape{17, 9, 13}>() == 0);
    CHECK(wrong_numbers<A, fqt::shape{32, 16, 16}>() == 0);
}

TEST_CASE("eight neighbouring pixels lie in eight strata, and so do two and four of them in halves and quarters") {
    for (const int together : {2, 4, 8})
        for (int c = 0; c < 50; ++c)
            for (int first = 0; first < 64; first += together) {
                std::vector<bool> has(static_cast<std::size_t>(together));
                for (int p = first; p < first + together; ++p)
                    has[stream.stratified16(2, c, p, 64) * static_cast<unsigned>(together) >> 16] = true;
                CHECK(std::count(has.begin(), has.end(), false) == 0);
            }
}

TEST_CASE("each pixel's number is uniform") {
    for (const int p : {0, 5, 31, 63}) {
        std::vector<int> count(256);
        for (int c = 0; c < 25600; ++c) ++count[stream.stratified16(1, c, p, 64) >> 8];
        double chi = 0;
        for (const int n : count) chi += (n - 100.0) * (n - 100.0) / 100.0;
        CHECK(chi < 255 + 4 * std::sqrt(2.0 * 255));
    }
}

TEST_CASE("sums over pixels have less noise than with independent draws") {
    using fqt::stochastic, fqt::stratified;
    // Independent: 64 f (1 - f). Of a constant, each octet has 2 or 3 of 8 rounded up where 2.4 are due.
    CHECK(error_of_sums<stochastic>(even) == doctest::Approx(64 * 0.21).epsilon(0.1));
    CHECK(error_of_sums<stratified>(even) == doctest::Approx(8 * 0.4 * 0.6).epsilon(0.1));
    CHECK(error_of_sums<stratified>(smooth) < 0.4 * error_of_sums<stochastic>(smooth));
    // Nothing in common: the variance is 1/6 a value, of which 1/12 goes with u; an octet leaves an eighth of that.
    CHECK(error_of_sums<stochastic>(unlike) == doctest::Approx(64.0 / 6).epsilon(0.1));
    CHECK(error_of_sums<stratified>(unlike) == doctest::Approx(64.0 / 12 * (1 + 1.0 / 8)).epsilon(0.1));
}
