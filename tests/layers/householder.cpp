// SPDX-License-Identifier: BSD-3-Clause
// Groups of samples: the reflection and its inverse by themselves, what quantization between them does to h, and the
// input gradients of a network.
#include <fqt/layers/householder.hpp>

#include <doctest/doctest.h>

#include "support/training.hpp"
#include <cmath>
#include <vector>

namespace {

using fqt::real, fqt::shape, fqt::stochastic, fqt::symmetric;
using numbers = std::vector<float>;

constexpr shape dims{20, 3, 3};
constexpr int sample_size = fqt::padded_size(dims);
std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// Values in the library's order, uniform in +-magnitude of each sample; padded lanes are 0.
numbers gradient_of(const numbers& magnitude) {
    const fqt::random_stream random{7, 0, 1};
    numbers h(magnitude.size() * at(sample_size));
    for (int i = 0; i < static_cast<int>(h.size()); ++i)
        if (i % 32 < dims.channels)
            h[at(i)] = magnitude[at(i / sample_size)]
                * (2 * fqt::uniform32(random.block(0, static_cast<std::uint32_t>(i))[0]) - 1);
    return h;
}

/// The groups and codes of h by themselves, without a product between them.
struct bench {
    fqt::context c{};
    std::vector<double> shared; // doubles, for their alignment
    using groups = fqt::householder_groups<dims, dims>;
    template <class Q>
    using codes = fqt::gradient_codes<dims, Q>;
    using lazy = fqt::stored_gradient<dims, float>;
    using arch = fqt::arch::best;

    explicit bench(int samples, int threads = 1) : shared(at(samples * sample_size * 4 + 20000)) {
        c.samples = samples;
        c.threads = threads;
    }
    /// Calls use(y, groups) with the transformed h and what is to be carved after it.
    template <class Use>
    numbers through(const numbers& h, Use&& use) {
        fqt::carver memory(reinterpret_cast<std::byte*>(shared.data()));
        auto g = groups::carve(memory, c.samples);
        auto* measuring = memory.take<std::byte>(4096);
        const auto y = g.template reflect<arch>(c, lazy{h.data()}, measuring, "h");
        use(y, g, memory, measuring);
        numbers back(h.size());
        g.template restore<arch>(c, fqt::nothing{}, back.data());
        return back;
    }
    /// h after y was quantized by Q and turned back.
    template <class Q>
    numbers quantized(const numbers& h, std::uint32_t step) {
        return through(h, [&](const auto& y, auto& g, fqt::carver& memory, std::byte* measuring) {
            auto q = codes<Q>::carve(memory, c.samples);
            q.template encode<arch>(c, y, {1, step, 2}, measuring, nullptr, "h");
            copy(q, g.product_rows());
        });
    }
    template <class X>
    void copy(const X& x, float* to) const {
        for (int n = 0; n < c.samples; ++n)
            for (int p = 0; p < dims.pixels(); ++p)
                for (int b = 0; b < fqt::blocks(dims.channels); ++b)
                    x.template load<arch>(n, p, b).store(to + fqt::offset_of(dims, n, p, b));
    }
    /// h as samples' own grids leave it.
    template <class Q>
    numbers by_sample(const numbers& h, std::uint32_t step) {
        fqt::carver memory(reinterpret_cast<std::byte*>(shared.data()));
        auto* measuring = memory.take<std::byte>(4096);
        auto q = codes<Q>::carve(memory, c.samples);
        q.template encode<arch>(c, lazy{h.data()}, {1, step, 2}, measuring, nullptr, "h");
        numbers values(h.size());
        copy(q, values.data());
        return values;
    }
};

double square_distance(const numbers& a, const numbers& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += std::pow(double{a[i]} - double{b[i]}, 2);
    return sum;
}

const numbers few_large{0.01f, 3.0f, 0.02f, 0.01f, 0.03f, 0.0f, 1.0f, 0.01f, 0.02f, 0.015f, 0.01f, 0.005f, 0.03f};

template <int Bits>
using own = symmetric<Bits, stochastic, fqt::per_sample>;
template <int Bits>
using in_groups = symmetric<Bits, stochastic, fqt::per_householder>;

} // namespace

TEST_CASE("each group has one large sample; reflections are orthogonal and their own inverse") {
    const numbers h = gradient_of(few_large);
    bench b(static_cast<int>(few_large.size()));
    std::vector<double> weight_square(few_large.size()), reflected(h.size());
    std::vector<int> scaled(few_large.size()), count(few_large.size());
    numbers y(h.size());
    const numbers back = b.through(h, [&](const auto& of, auto& g, auto&, auto*) {
        b.copy(of, y.data());
        const auto rows = g.rows(b.c.samples);
        int grouped = 0;
        for (int n = 0; n < b.c.samples; ++n) {
            const auto& row = rows[at(n)];
            CHECK(row.scale * row.inverse == 1);
            if (row.group < 0) continue;
            ++grouped;
            ++count[at(row.group)];
            scaled[at(row.group)] += row.scale < 1;
            weight_square[at(row.group)] += double{row.weight} * double{row.weight};
            CHECK((row.scale < 1) == (few_large[at(n)] >= 1));
            // y in double.
            for (int i = 0; i < sample_size; ++i) {
                double sum = 0;
                for (int m = 0; m < b.c.samples; ++m)
                    if (rows[at(m)].group == row.group)
                        sum +=
                            double{rows[at(m)].weight} * double{rows[at(m)].scale} * double{h[at(m * sample_size + i)]};
                reflected[at(n * sample_size + i)] =
                    double{row.scale} * double{h[at(n * sample_size + i)]} - double{row.weight} * sum;
            }
        }
        CHECK(grouped == b.c.samples);
        std::copy(y.begin(), y.end(), g.product_rows());
    });
    for (std::size_t group = 0; group < 2; ++group) {
        CHECK(count[group] >= 2);
        CHECK(scaled[group] == 1);
        CHECK(std::abs(weight_square[group] - 2) < 1e-6); // |u|^2 = 2 makes I - u u^T a reflection
    }
    CHECK(count[0] + count[1] == static_cast<int>(few_large.size()));
    double furthest_y = 0, furthest_back = 0;
    for (std::size_t i = 0; i < h.size(); ++i) {
        furthest_y = std::max(furthest_y, std::abs(double{y[i]} - reflected[i]));
        furthest_back = std::max(furthest_back, std::abs(double{back[i]} - double{h[i]}));
    }
    CHECK(furthest_y < 1e-6);
    CHECK(furthest_back < 2e-6);
}

TEST_CASE("samples of one magnitude, one sample, and zeros stay alone") {
    for (const numbers& magnitude : {numbers(9, 1.0f), numbers{2.0f}, numbers(5, 0.0f)}) {
        const numbers h = gradient_of(magnitude);
        bench b(static_cast<int>(magnitude.size()));
        const numbers back = b.through(h, [&](const auto& y, auto& g, auto&, auto*) {
            for (const auto& row : g.rows(b.c.samples)) CHECK(row.group == -1);
            b.copy(y, g.product_rows());
        });
        CHECK(back == h);
    }
}

TEST_CASE("quantized in groups, h is unbiased, and its variance a fraction of that of samples' own grids") {
    const numbers h = gradient_of(few_large);
    bench b(static_cast<int>(few_large.size()));
    constexpr int steps = 2000;
    numbers mean(h.size());
    std::vector<double> sum(h.size());
    double variance = 0, variance_of_own = 0;
    for (std::uint32_t step = 0; step < steps; ++step) {
        const numbers q = b.quantized<in_groups<4>>(h, step);
        variance += square_distance(q, h) / steps;
        variance_of_own += square_distance(b.by_sample<own<4>>(h, step), h) / steps;
        for (std::size_t i = 0; i < q.size(); ++i) sum[i] += double{q[i]} / steps;
    }
    for (std::size_t i = 0; i < h.size(); ++i) mean[i] = static_cast<float>(sum[i]);
    MESSAGE("variance in groups ", variance, ", of samples' own grids ", variance_of_own);
    CHECK(variance < 0.5 * variance_of_own);
    // The mean of `steps` independent errors: a square distance of variance / steps is expected.
    const double ratio = square_distance(mean, h) / (variance / steps);
    CHECK(ratio > 0.8);
    CHECK(ratio < 1.2);
}

TEST_CASE("threads, and builds, do not change a bit of groups and what they give") {
    const numbers h = gradient_of(few_large);
    bench one(static_cast<int>(few_large.size())), two(static_cast<int>(few_large.size()), 2);
    const numbers by_one = one.quantized<in_groups<4>>(h, 3);
    CHECK(support::bits(by_one) == support::bits(two.quantized<in_groups<4>>(h, 3)));
    digest::hash hash;
    hash.add(by_one);
    CHECK(hash.value() == 18289049324811284326u);
}

namespace {

using namespace fqt::layers;
using fqt::window;

template <class Q>
constexpr fqt::scheme<symmetric<8, fqt::nearest, fqt::per_channel>, symmetric<8>, Q, own<8>> scheme_of{};
constexpr auto net = input<2, 6, 6> | conv<12, window{3, 1, 1}> | relu
    | named<"middle">(residual(conv<12, window{3, 1, 1}> | batch_norm<> | relu | conv<12, window{3, 1, 1}>)) | relu
    | dense<10>;

/// All gradients by layers' inputs, and then those of the parameters.
template <class Q>
numbers gradients_of(int threads) {
    constexpr int samples = 11;
    fqt::network<net, scheme_of<Q>> network(fqt::seed{3}, {.batch = samples, .threads = threads});
    numbers seen;
    const auto watch = [&](const fqt::observed_tensor& t) {
        if (t.what != "gradient") return;
        for (int n = 0; n < t.samples; ++n)
            for (int c = 0; c < t.dims.channels; ++c)
                for (int p = 0; p < t.dims.pixels(); ++p) seen.push_back(t.value(n, c, p));
    };
    network.observe(watch);
    const digest::batch<decltype(network)> b(samples, 0);
    network.forward(b.images, samples);
    numbers by_logits;
    for (int i = 0; i < samples * 10; ++i)
        by_logits.push_back((i / 10 == 4 ? 1.0f : 0.01f) * (static_cast<float>(i * 7 % 19) / 9 - 1));
    network.backward(by_logits);
    network.each_parameter(
        [&](const fqt::parameter& p) { seen.insert(seen.end(), p.gradient.begin(), p.gradient.end()); });
    return seen;
}

} // namespace

TEST_CASE("a network's gradients by 8 bits in groups are near those in floats, on any number of threads") {
    const numbers floats = gradients_of<real>(1), grouped = gradients_of<in_groups<8>>(1);
    const auto distance = [&](const numbers& g) {
        REQUIRE(g.size() == floats.size());
        return std::sqrt(square_distance(g, floats) / square_distance(floats, numbers(floats.size())));
    };
    const double in_groups_of_8_bits = distance(grouped), own_of_8_bits = distance(gradients_of<own<8>>(1));
    MESSAGE("relative distance in groups ", in_groups_of_8_bits, ", by samples' own grids ", own_of_8_bits);
    CHECK(in_groups_of_8_bits < own_of_8_bits);
    CHECK(own_of_8_bits < 0.02);
    CHECK(support::bits(grouped) == support::bits(gradients_of<in_groups<8>>(2)));
}
