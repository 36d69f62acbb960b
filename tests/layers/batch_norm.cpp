// SPDX-License-Identifier: BSD-3-Clause
// One layer by itself, on values in memory, against textbook formulas in long double.
#include "support/one_normalization.hpp"

using namespace alone;

namespace {

/// The same by the formulas.
struct textbook {
    shape s;
    wide mean, variance, sigma, xhat, y, by_gamma, by_beta, dx;

    template <class Layer>
    textbook(Layer& of, shape dims, const wide& x, const numbers& g) : s(dims), xhat(x), y(x), dx(x) {
        const int samples = static_cast<int>(x.size()) / s.size();
        const long double count = samples * s.pixels();
        for (int k = 0; k < s.channels; ++k) {
            const auto each = [&](auto&& f) {
                for (int n = 0; n < samples; ++n)
                    for (int p = 0; p < s.pixels(); ++p) f(at((n * s.channels + k) * s.pixels() + p));
            };
            const auto mean_of = [&](auto&& f) {
                long double sum = 0;
                each([&](std::size_t i) { sum += f(i); });
                return sum / count;
            };
            const long double gamma = of.gamma()[at(k)], beta = of.beta()[at(k)];
            const long double m = mean_of([&](std::size_t i) { return x[i]; });
            const long double v = mean_of([&](std::size_t i) { return (x[i] - m) * (x[i] - m); });
            const long double deviation = std::sqrt(v + 1e-5L);
            each([&](std::size_t i) { xhat[i] = (x[i] - m) / deviation, y[i] = gamma * xhat[i] + beta; });
            mean.push_back(m), variance.push_back(v), sigma.push_back(deviation);
            if (g.empty()) continue;
            const long double mean_g = mean_of([&](std::size_t i) { return g[i]; });
            const long double mean_g_xhat = mean_of([&](std::size_t i) { return g[i] * xhat[i]; });
            by_gamma.push_back(mean_g_xhat * count), by_beta.push_back(mean_g * count);
            each([&](std::size_t i) { dx[i] = gamma / deviation * (g[i] - mean_g - xhat[i] * mean_g_xhat); });
        }
    }
};

constexpr shape dims{5, 4, 3};
const auto ordinary = [](int samples) { return random_numbers(samples * dims.size(), 0.7f, 1.5f, 1); };
const auto gradients = [](int samples) { return random_numbers(samples * dims.size(), 0.1f, 1.0f, 2); };

/// Gains of both signs, and shifts.
template <class Layer>
void set_gains(Layer& l) {
    for (int k = 0; k < dims.channels; ++k) {
        l.gamma()[at(k)] = 0.5f * static_cast<float>(k) - 0.8f;
        l.beta()[at(k)] = 0.1f * static_cast<float>(k);
    }
}

/// Slopes that say which channel they are of.
struct sloped {
    static float penalty(const fqt::normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        for (std::size_t k = 0; k < n.gamma.size(); ++k)
            by_gamma[k] = 0.25f * static_cast<float>(k + 1), by_sigma[k] = -3.0f * static_cast<float>(k + 1);
        return 3.5f;
    }
};

} // namespace

TEST_CASE("values, statistics and gradients are the textbook's, with gains of both signs, for several batch sizes") {
    normalization<dims> l(8);
    set_gains(l);
    for (const int samples : {8, 3, 1}) {
        CAPTURE(samples);
        const numbers x = ordinary(samples), g = gradients(samples);
        const fqt::plain<dims> in{x.data()};
        const textbook book(l, dims, wide(x.begin(), x.end()), g);
        CHECK(furthest(l.forward(samples, in), book.y) < 1e-6);
        CHECK(furthest_relative(l.layer.facts().sigma, book.sigma) < 1e-7);
        CHECK(furthest(l.backward(in, g), book.dx) < 1e-6);
        CHECK(furthest(l.by_gamma(), book.by_gamma) < 1e-5);
        CHECK(furthest(l.by_beta(), book.by_beta) < 1e-5);
    }
}

TEST_CASE("a batch of one value leaves running statistics as they are, unless it is the first") {
    constexpr shape one{3, 1, 1};
    normalization<one> l(4);
    const numbers alone{7, -8, 0.5f}, x = random_numbers(12, 1, 2, 5);
    l.forward(1, fqt::plain<one>{alone.data()});
    CHECK(std::ranges::equal(l.running("mean"), alone));
    l.forward(4, fqt::plain<one>{x.data()});
    const auto kept = [](std::span<float> s) { return numbers(s.begin(), s.end()); };
    const numbers mean = kept(l.running("mean")), variance = kept(l.running("variance"));
    CHECK(mean != alone);
    l.forward(1, fqt::plain<one>{alone.data()});
    CHECK(kept(l.running("mean")) == mean);
    CHECK(kept(l.running("variance")) == variance);
}

TEST_CASE("a smaller batch gives the bits of a layer that was planned for it") {
    normalization<dims> large(8), small(3);
    const numbers before = random_numbers(8 * dims.size(), -2, 5, 9), x = ordinary(3), g = gradients(3);
    large.forward(8, fqt::plain<dims>{before.data()});
    large.backward(fqt::plain<dims>{before.data()}, before);
    const fqt::plain<dims> in{x.data()};
    CHECK(bits(large.forward(3, in)) == bits(small.forward(3, in)));
    CHECK(bits(large.backward(in, g)) == bits(small.backward(in, g)));
    CHECK(bits(large.by_gamma()) == bits(small.by_gamma()));
    CHECK(bits(large.by_beta()) == bits(small.by_beta()));
}

TEST_CASE("a mean of a thousand standard deviations costs the statistics nothing") {
    normalization<dims> l(16);
    for (const float sign : {1.0f, -1.0f}) {
        const numbers x = random_numbers(16 * dims.size(), sign * 1000, 1, 3), g = gradients(16);
        const fqt::plain<dims> in{x.data()};
        const textbook book(l, dims, wide(x.begin(), x.end()), g);
        const numbers y = l.forward(16, in);
        CHECK(furthest_relative(l.layer.facts().sigma, book.sigma) < 1e-7);
        // y = a x + b, and a x is about 1000: the last places of a and b are 6e-5.
        CHECK(furthest(y, book.y) < 2e-4);
        CHECK(furthest(l.backward(in, g), book.dx) < 2e-4);
        CHECK(furthest_relative(l.by_gamma(), book.by_gamma) < 1e-5);
    }
}

TEST_CASE("so it is where the input is sums in binary16, in units of a product") {
    normalization<dims> l(16);
    const numbers units = random_numbers(16 * dims.size(), 1500, 1.5f, 4), g = gradients(16);
    // In memory (n, p, lane), beyond the last channel zeros; units around 1500 are integers.
    std::vector<fqt::binary16> stored(at(16 * dims.pixels() * 16));
    const numbers scale{0.5f, 0.25f, 2.0f, 0.001f, 3.0f, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    const numbers bias{1, 2, 3, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    wide x;
    for (int n = 0; n < 16; ++n)
        for (int k = 0; k < dims.channels; ++k)
            for (int p = 0; p < dims.pixels(); ++p) {
                auto& place = stored[at((n * dims.pixels() + p) * 16 + k)];
                place = fqt::to_binary16(units[at((n * dims.channels + k) * dims.pixels() + p)]);
                x.push_back(static_cast<long double>(fqt::to_float(place)) * scale[at(k)] + bias[at(k)]);
            }
    const fqt::stored_sums<dims, fqt::binary16> in{stored.data(), scale.data(), bias.data(), nullptr, nullptr};
    const textbook book(l, dims, x, g);
    const numbers y = l.forward(16, in);
    CHECK(furthest_relative(l.layer.facts().sigma, book.sigma) < 1e-7);
    CHECK(furthest_relative(l.running("mean"), book.mean) < 1e-7);
    CHECK(furthest(y, book.y) < 2e-4);
    wide times_sigma;
    numbers dx = l.backward(in, g);
    for (std::size_t i = 0; i < dx.size(); ++i) { // the fourth channel's gain is a hundred times the others'
        const std::size_t k = i / at(dims.pixels()) % at(dims.channels);
        dx[i] *= static_cast<float>(book.sigma[k]);
        times_sigma.push_back(book.dx[i] * book.sigma[k]);
    }
    CHECK(furthest(dx, times_sigma) < 3e-4);
}

TEST_CASE("running statistics are the first batch's, then follow by the momentum, the variance without bias") {
    normalization<dims> l(8);
    l.c.momentum = 0.25f;
    wide mean, variance;
    for (const int samples : {8, 3, 5}) {
        const numbers x = random_numbers(samples * dims.size(), static_cast<float>(samples), 2, 30);
        l.forward(samples, fqt::plain<dims>{x.data()});
        const textbook book(l, dims, wide(x.begin(), x.end()), {});
        const long double count = samples * dims.pixels();
        if (mean.empty()) mean = book.mean, variance.assign(mean.size(), 0);
        const long double weight = samples == 8 ? 1 : 0.25L;
        for (std::size_t k = 0; k < mean.size(); ++k) {
            mean[k] += weight * (book.mean[k] - mean[k]);
            variance[k] += weight * (book.variance[k] * count / (count - 1) - variance[k]);
        }
        CHECK(furthest_relative(l.running("mean"), mean) < 1e-6);
        CHECK(furthest_relative(l.running("variance"), variance) < 1e-6);
    }
}

TEST_CASE("evaluation uses the running statistics, and leaves them as they are") {
    normalization<dims> l(8);
    set_gains(l);
    const numbers x = ordinary(8), other = random_numbers(8 * dims.size(), 5, 3, 5);
    l.forward(8, fqt::plain<dims>{x.data()});
    const auto mean = bits(l.running("mean")), variance = bits(l.running("variance"));
    const numbers y = l.all(l.layer.infer(l.c, fqt::plain<dims>{other.data()}));
    wide expected;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t k = i / at(dims.pixels()) % at(dims.channels);
        const long double sigma = std::sqrt(static_cast<long double>(l.running("variance")[k]) + 1e-5L);
        const long double centred = other[i] - static_cast<long double>(l.running("mean")[k]);
        expected.push_back(l.gamma()[k] * centred / sigma + l.beta()[k]);
    }
    CHECK(furthest(y, expected) < 2e-6);
    CHECK(bits(l.running("mean")) == mean);
    CHECK(bits(l.running("variance")) == variance);
}

TEST_CASE("a rectifier's slope by gamma is added to gamma's gradient, that by sigma, along xhat, to the input's") {
    normalization<dims, sloped> l(8);
    set_gains(l);
    const numbers x = ordinary(8), g = gradients(8);
    const fqt::plain<dims> in{x.data()};
    const textbook book(l, dims, wide(x.begin(), x.end()), g);
    for (const float lambda : {0.5f, 0.001f}) {
        CAPTURE(lambda);
        l.c.rectification = lambda;
        l.forward(8, in);
        wide by_gamma = book.by_gamma, dx = book.dx;
        for (std::size_t k = 0; k < by_gamma.size(); ++k)
            by_gamma[k] += lambda * 0.25L * static_cast<long double>(k + 1);
        for (std::size_t i = 0; i < dx.size(); ++i) {
            const auto k = static_cast<long double>(i / at(dims.pixels()) % at(dims.channels));
            dx[i] += lambda * -3.0L * (k + 1) * book.xhat[i] / (8 * dims.pixels());
        }
        CHECK(furthest(l.backward(in, g), dx) < 1e-6);
        CHECK(furthest(l.by_gamma(), by_gamma) < 1e-5);
        CHECK(furthest(l.by_beta(), book.by_beta) < 1e-5);
        CHECK(l.layer.penalty() == 3.5f);
    }
}

TEST_CASE("where no gradient comes in, a rectifier's weighted slope by gamma is all of gamma's gradient, exactly") {
    normalization<dims, sloped> l(8);
    const numbers x = ordinary(8), none(x.size());
    l.c.rectification = 0.125f;
    l.forward(8, fqt::plain<dims>{x.data()});
    l.backward(fqt::plain<dims>{x.data()}, none);
    for (std::size_t k = 0; k < 5; ++k) CHECK(l.by_gamma()[k] == 0.125f * 0.25f * static_cast<float>(k + 1));
    for (const float by_beta : l.by_beta()) CHECK(by_beta == 0);
}

TEST_CASE("a detached rectifier changes the gradient of gamma alone, and one of weight 0 nothing") {
    normalization<dims> plain(8);
    normalization<dims, fqt::gain_energy<>> l(8);
    set_gains(plain);
    set_gains(l);
    const numbers x = ordinary(8), g = gradients(8);
    const fqt::plain<dims> in{x.data()};
    plain.forward(8, in);
    const auto dx = bits(plain.backward(in, g));
    for (const float lambda : {0.0f, 0.1f}) {
        CAPTURE(lambda);
        l.c.rectification = lambda;
        l.forward(8, in);
        CHECK(bits(l.backward(in, g)) == dx);
        CHECK(bits(l.by_beta()) == bits(plain.by_beta()));
        CHECK((bits(l.by_gamma()) == bits(plain.by_gamma())) == (lambda == 0));
    }
}

TEST_CASE("a gamma of zero gives beta and an input gradient of zero, and still learns") {
    normalization<dims> l(8);
    for (float& v : l.gamma()) v = 0;
    for (float& v : l.beta()) v = 0.25f;
    const numbers x = ordinary(8), g = gradients(8);
    const fqt::plain<dims> in{x.data()};
    for (const float y : l.forward(8, in)) CHECK(y == 0.25f);
    for (const float dx : l.backward(in, g)) CHECK(dx == 0);
    for (const float by_gamma : l.by_gamma()) CHECK(std::abs(by_gamma) > 0.01f);
}

TEST_CASE("one sample of one pixel gives beta and, up to rounding, no gradient to its input and to gamma") {
    constexpr shape one{3, 1, 1};
    normalization<one> l(4);
    for (float& v : l.beta()) v = 0.5f;
    const numbers x{7, -8, 0.01f}, g{1, -2, 3};
    const fqt::plain<one> in{x.data()};
    // The gain is 1 / sqrt(1e-5) = 316, so 7 is 2214 in the sum a x + b, whose last place is 2e-4.
    CHECK(furthest(l.forward(1, in), wide(3, 0.5L)) < 3e-4);
    CHECK(furthest(l.backward(in, g), wide(3, 0)) < 3e-4);
    CHECK(numbers(l.by_gamma().begin(), l.by_gamma().end()) == numbers{0, 0, 0});
    CHECK(numbers(l.by_beta().begin(), l.by_beta().end()) == g);
}

TEST_CASE("a constant channel gives beta and finite gradients") {
    normalization<dims> l(8);
    const numbers x(at(8 * dims.size()), 0.3f), g = gradients(8);
    const fqt::plain<dims> in{x.data()};
    const textbook book(l, dims, wide(x.begin(), x.end()), g);
    CHECK(furthest(l.forward(8, in), book.y) < 1e-4);
    // The gain is 1 / sqrt(1e-5) = 316.
    CHECK(furthest(l.backward(in, g), book.dx) < 1e-3);
}

TEST_CASE("a channel's range holds all of its values, whatever the sign of gamma") {
    normalization<dims> l(8);
    set_gains(l);
    const numbers x = ordinary(8);
    float low[16]{}, high[16]{};
    for (std::size_t i = 0; i < x.size(); ++i) {
        const std::size_t k = i / at(dims.pixels()) % at(dims.channels);
        low[k] = std::min(low[k], x[i]), high[k] = std::max(high[k], x[i]);
    }
    std::vector<float> stored(at(8 * dims.pixels() * 16)), ones(16, 1.0f), zeros(16);
    for (int i = 0; i < static_cast<int>(x.size()); ++i) {
        const int n = i / dims.size(), k = i / dims.pixels() % dims.channels, p = i % dims.pixels();
        stored[at((n * dims.pixels() + p) * 16 + k)] = x[at(i)];
    }
    const fqt::stored_sums<dims, float> in{stored.data(), ones.data(), zeros.data(), low, high};
    const numbers y = l.forward(8, in);
    for (int k = 0; k < dims.channels; ++k) {
        CAPTURE(k);
        const fqt::interval range = l.layer.view(in).range(k);
        CHECK(range.low <= range.high);
        float least = INFINITY, greatest = -INFINITY;
        for (int n = 0; n < 8; ++n)
            for (int p = 0; p < dims.pixels(); ++p) {
                const float v = y[at((n * dims.channels + k) * dims.pixels() + p)];
                least = std::min(least, v), greatest = std::max(greatest, v);
            }
        CHECK(range.low <= least);
        CHECK(greatest <= range.high);
    }
}

TEST_CASE("a rectifier is told the layer's place, its gains, and weights of one where no product is before it") {
    normalization<dims> l(2);
    set_gains(l);
    const numbers x = ordinary(2);
    l.forward(2, fqt::plain<dims>{x.data()});
    const fqt::normalization facts = l.layer.facts();
    CHECK(facts.channels() == dims.channels);
    CHECK(facts.index == 0);
    CHECK(facts.count == 1);
    CHECK(facts.closes_block);
    CHECK(facts.gamma[1] == l.gamma()[1]);
    for (const auto& ones : {facts.weight_scale, facts.weight_norm})
        CHECK(numbers(ones.begin(), ones.end()) == numbers(at(dims.channels), 1.0f));
}

TEST_CASE("values, gammas and betas that are not finite are refused by the layer's name") {
    for (const float bad : {std::nanf(""), INFINITY, -INFINITY})
        for (const int place : {0, 1, 2}) {
            CAPTURE(bad);
            CAPTURE(place);
            normalization<dims> l(2);
            numbers x = ordinary(2);
            (place == 0 ? x[17] : place == 1 ? l.gamma()[2] : l.beta()[3]) = bad;
            CHECK_THROWS_WITH_AS(l.forward(2, fqt::plain<dims>{x.data()}), doctest::Contains("'norm' is not finite"),
                                 fqt::error);
        }
}
