// SPDX-License-Identifier: BSD-3-Clause
// The policies of batch normalization: against formulas in plain loops, against finite differences of the layer, and in
// a network of integers.
#include <fqt/layers/conv.hpp>
#include <fqt/layers/pool.hpp>
#include <fqt/layers/residual.hpp>
#include <fqt/train/check_layer.hpp>

#include "support/digest.hpp"
#include "support/one_normalization.hpp"
#include <limits>
#include <type_traits>

using namespace alone;
using namespace fqt::layers;
using fqt::layer_gain, fqt::through_sigma, fqt::unrectified;

namespace {

constexpr shape dims{5, 4, 3};
constexpr int samples = 8;

/// A policy as users write them: a third each of the variance, the squared quarter of the range, and the squared
/// deviation.
struct thirds {
    static constexpr bool uses_range = true, uses_deviation = true;
    static fqt::sigma_squared of(const fqt::channel_statistics& s) {
        const double quarter = s.range / 4;
        return {.value = (s.variance + fqt::product(quarter, quarter) + fqt::product(s.deviation, s.deviation)) / 3,
                .by_variance = 1.0 / 3,
                .by_range = quarter / 6,
                .by_deviation = s.deviation * 2 / 3};
    }
};
static_assert(fqt::normalization_policy<thirds>);

struct nothing_left {
    static constexpr const char* name = "nothing_left";
    static constexpr float epsilon = 0;
    static fqt::sigma_squared of(const fqt::channel_statistics&) { return {0}; }
};

// ---- what the policies say, in plain loops ----

/// One channel: what is subtracted, what x - mean is divided by, the square that is averaged, and dsigma/dx.
struct book_of_channel {
    double mean = 0, sigma = 0, square = 0;
    std::vector<double> slope{};
};

struct facts_of_channel {
    double mean = 0, variance = 0, deviation = 0, mean_sign = 0, least = 0, greatest = 0, leasts = 0, greatests = 0;
    explicit facts_of_channel(const std::vector<double>& x) : least(x[0]), greatest(x[0]) {
        const double count = static_cast<double>(x.size());
        for (const double v : x) mean += v / count, least = std::min(least, v), greatest = std::max(greatest, v);
        for (const double v : x) {
            variance += (v - mean) * (v - mean) / count, deviation += std::abs(v - mean) / count;
            mean_sign += sign(v) / count, leasts += v == least, greatests += v == greatest;
        }
    }
    double sign(double v) const { return v > mean ? 1 : v < mean ? -1 : 0; }
    double slope_of_range(double v) const { return (v == greatest) / greatests - (v == least) / leasts; }
    double range() const { return greatest - least; }
};

template <class Policy>
book_of_channel book_of(const std::vector<double>& x) {
    const facts_of_channel f(x);
    const double count = static_cast<double>(x.size()), epsilon = double{1e-5f};
    book_of_channel b{.mean = f.mean};
    if constexpr (std::is_same_v<Policy, fqt::range_norm>) {
        const double c = 0.5 * 0.35 * (1 + std::sqrt(std::acos(-1.0) * std::log(4.0))) / std::sqrt(2 * std::log(count));
        b.square = c * c * f.range() * f.range(), b.sigma = std::sqrt(b.square + epsilon);
        for (const double v : x) b.slope.push_back(c * c * f.range() / b.sigma * f.slope_of_range(v));
    } else if constexpr (std::is_same_v<Policy, fqt::l1_norm>) {
        const double half_pi = std::acos(0.0);
        b.square = half_pi * f.deviation * f.deviation, b.sigma = std::sqrt(b.square + epsilon);
        for (const double v : x) b.slope.push_back(half_pi * f.deviation / b.sigma * (f.sign(v) - f.mean_sign) / count);
    } else if constexpr (std::is_same_v<Policy, thirds>) {
        b.square = (f.variance + f.range() * f.range() / 16 + f.deviation * f.deviation) / 3;
        b.sigma = std::sqrt(b.square + epsilon);
        for (const double v : x)
            b.slope.push_back((2 * (v - f.mean) / count + f.range() / 8 * f.slope_of_range(v)
                               + 2 * f.deviation * (f.sign(v) - f.mean_sign) / count)
                              / 3 / (2 * b.sigma));
    } else { // quantized_affine<8>
        const double exact = std::sqrt(f.variance);
        b.square = f.variance, b.mean = std::nearbyint(f.mean * 32768) / 32768;
        b.sigma = std::nearbyint(exact * 32768) / 32768 + 1.0 / 32768;
        for (const double v : x) b.slope.push_back((v - f.mean) / (count * exact));
    }
    return b;
}

template <class Policy>
inline constexpr bool on_steps = std::is_same_v<Policy, fqt::quantized_affine<8>>;

/// v on the policy's steps of gamma, beta and xhat.
template <class Policy>
double stepped(double v) {
    return on_steps<Policy> ? std::nearbyint(v * 128) / 128 : v;
}

/// The whole layer; weight * slope_by_sigma is what a rectifier adds to the slope by sigma.
template <class Policy>
struct book {
    wide y, dx, by_gamma, by_beta;
    std::vector<book_of_channel> channels;

    book(std::span<const float> gammas, std::span<const float> betas, const wide& x, const numbers& g,
         double weighted_slope_by_sigma = 0)
        : y(x), dx(x) {
        const double count = samples * dims.pixels();
        for (int k = 0; k < dims.channels; ++k) {
            std::vector<std::size_t> places;
            std::vector<double> of_channel;
            for (int n = 0; n < samples; ++n)
                for (int p = 0; p < dims.pixels(); ++p) {
                    places.push_back(at((n * dims.channels + k) * dims.pixels() + p));
                    of_channel.push_back(static_cast<double>(x[places.back()]));
                }
            channels.push_back(book_of<Policy>(of_channel));
            const book_of_channel& b = channels.back();
            const double gamma = stepped<Policy>(double{gammas[at(k)]}), beta = stepped<Policy>(double{betas[at(k)]});
            double sum = 0, with_xhat = 0, with_stepped = 0;
            for (std::size_t j = 0; j < places.size(); ++j) {
                const double xhat = (of_channel[j] - b.mean) / b.sigma, slope = double{g[places[j]]};
                y[places[j]] = gamma * stepped<Policy>(xhat) + beta;
                sum += slope, with_xhat += slope * xhat, with_stepped += slope * stepped<Policy>(xhat);
            }
            by_gamma.push_back(with_stepped), by_beta.push_back(sum);
            const double by_sigma = weighted_slope_by_sigma - gamma / b.sigma * with_xhat;
            for (std::size_t j = 0; j < places.size(); ++j)
                dx[places[j]] = gamma / b.sigma * (double{g[places[j]]} - sum / count) + by_sigma * b.slope[j];
        }
    }
};

// ---- inputs ----

const numbers ordinary = random_numbers(samples * dims.size(), 0.7f, 1.5f, 1);
const numbers gradients = random_numbers(samples * dims.size(), 0.1f, 1.0f, 2);

wide widened(const numbers& v) { return {v.begin(), v.end()}; }
std::size_t channel_of(std::size_t i) { return i / at(dims.pixels()) % at(dims.channels); }

/// Gains of both signs, and shifts; none is on a step of 1/128.
template <class Layer>
void set_gains(Layer& l) {
    for (int k = 0; k < dims.channels; ++k) {
        l.gamma()[at(k)] = 0.5f * static_cast<float>(k) - 0.8f;
        l.beta()[at(k)] = 0.1f * static_cast<float>(k);
    }
}

/// A loss whose slope by each sigma is 0.75, and none by gamma.
struct pull {
    static float penalty(const fqt::normalization&, std::span<float> by_gamma, std::span<float> by_sigma) {
        std::ranges::fill(by_gamma, 0.0f);
        std::ranges::fill(by_sigma, 0.75f);
        return 0;
    }
};

/// Sums in binary16 as a product leaves them: integers, so that extremes have equals. One channel's unit is negative.
struct sums_in_units {
    numbers scale{0.5f, 0.25f, -2.0f, 0.125f, 3.0f}, bias{1, 2, 3, 4, 5};
    std::vector<fqt::binary16> stored = std::vector<fqt::binary16>(at(samples * dims.pixels() * 16));
    wide x;

    sums_in_units() {
        scale.resize(16), bias.resize(16);
        const numbers units = random_numbers(samples * dims.size(), 3, 2.5f, 4);
        for (std::size_t i = 0; i < units.size(); ++i) {
            const std::size_t k = channel_of(i), n = i / at(dims.size()), p = i % at(dims.pixels());
            const float unit = std::rint(units[i]);
            stored[(n * at(dims.pixels()) + p) * 16 + k] = fqt::to_binary16(unit);
            x.push_back(unit * scale[k] + bias[k]);
        }
    }
    fqt::stored_sums<dims, fqt::binary16> input() const {
        return {stored.data(), scale.data(), bias.data(), nullptr, nullptr};
    }
};

template <class Found>
bool all_finite(const Found& values) {
    return std::ranges::all_of(values, [](float v) { return std::isfinite(v); });
}

} // namespace

TEST_CASE_TEMPLATE("values and gradients are those of the formulas, the rectifier's slope by sigma among them", Policy,
                   fqt::range_norm, fqt::l1_norm, fqt::quantized_affine<8>, thirds) {
    normalization<dims, pull, Policy> l(samples);
    set_gains(l);
    const fqt::plain<dims> in{ordinary.data()};
    for (const float weight : {0.0f, 0.5f}) {
        CAPTURE(weight);
        l.c.rectification = weight;
        const book<Policy> b(l.gamma(), l.beta(), widened(ordinary), gradients, double{weight} * 0.75);
        CHECK(furthest(l.forward(samples, in), b.y) < 2e-6);
        CHECK(furthest(l.backward(in, gradients), b.dx) < 3e-6);
        CHECK(furthest(l.by_gamma(), b.by_gamma) < 2e-5);
        CHECK(furthest(l.by_beta(), b.by_beta) < 1e-5);
        for (std::size_t k = 0; k < b.channels.size(); ++k) {
            CHECK(double{l.layer.facts().sigma[k]} == doctest::Approx(b.channels[k].sigma).epsilon(1e-6));
            CHECK(double{l.layer.facts().gamma[k]}
                  == doctest::Approx(stepped<Policy>(double{l.gamma()[k]})).epsilon(1e-7));
        }
    }
}

TEST_CASE_TEMPLATE("so they are where the input is sums in units of a product, and extremes share their gradient",
                   Policy, fqt::range_norm, fqt::l1_norm, fqt::quantized_affine<8>, thirds) {
    const sums_in_units sums;
    normalization<dims, pull, Policy> l(samples);
    set_gains(l);
    l.c.rectification = 0.5f;
    const book<Policy> b(l.gamma(), l.beta(), sums.x, gradients, 0.5 * 0.75);
    CHECK(furthest(l.forward(samples, sums.input()), b.y) < 1e-5);
    CHECK(furthest(l.backward(sums.input(), gradients), b.dx) < 1e-5);
    CHECK(furthest(l.by_gamma(), b.by_gamma) < 1e-4);
}

TEST_CASE("exact gradients are slopes of the loss and of the rectifier's") {
    using energy = fqt::gain_energy<layer_gain, through_sigma>;
    const auto passes = [](const fqt::check_result& result) {
        INFO(result.log);
        return result.ok;
    };
    CHECK(passes(fqt::check_layer<batch_norm<energy, fqt::range_norm>, shape{5, 4, 3}>({.rectification = 0.5f})));
    CHECK(passes(fqt::check_layer<batch_norm<energy, fqt::l1_norm>, shape{5, 4, 3}>({.rectification = 0.5f})));
    CHECK(passes(fqt::check_layer<batch_norm<energy, thirds>, shape{5, 4, 3}>({.rectification = 0.5f})));
    CHECK(passes(fqt::check_layer<batch_norm<unrectified, fqt::frozen>, shape{5, 4, 3}>()));
}

TEST_CASE_TEMPLATE("running statistics follow the batches' mean and sigma squared, and evaluation uses them", Policy,
                   fqt::range_norm, fqt::l1_norm, fqt::quantized_affine<8>, thirds) {
    normalization<dims, unrectified, Policy> l(samples);
    set_gains(l);
    l.c.momentum = 0.25f;
    std::vector<double> mean(5), square(5);
    for (const std::uint32_t batch : {1u, 2u, 3u}) {
        const numbers x = random_numbers(samples * dims.size(), static_cast<float>(batch), 2, 30 + batch);
        l.forward(samples, fqt::plain<dims>{x.data()});
        const book<Policy> b(l.gamma(), l.beta(), widened(x), x);
        const double weight = batch == 1 ? 1 : 0.25, count = samples * dims.pixels();
        for (std::size_t k = 0; k < 5; ++k) {
            double of_batch = 0;
            for (std::size_t i = 0; i < x.size(); ++i) of_batch += channel_of(i) == k ? double{x[i]} / count : 0;
            mean[k] += weight * (of_batch - mean[k]);
            square[k] += weight * (b.channels[k].square * count / (count - 1) - square[k]);
            CHECK(double{l.running("mean")[k]} == doctest::Approx(mean[k]).epsilon(1e-6));
            CHECK(double{l.running("variance")[k]} == doctest::Approx(square[k]).epsilon(1e-6));
        }
    }
    const numbers y = l.all(l.layer.infer(l.c, fqt::plain<dims>{ordinary.data()}));
    wide expected;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const std::size_t k = channel_of(i);
        double m = double{l.running("mean")[k]}, sigma = std::sqrt(double{l.running("variance")[k]} + double{1e-5f});
        if (on_steps<Policy>) {
            m = std::nearbyint(m * 32768) / 32768;
            sigma = std::nearbyint(std::sqrt(double{l.running("variance")[k]}) * 32768) / 32768 + 1.0 / 32768;
        }
        expected.push_back(stepped<Policy>(double{l.gamma()[k]}) * stepped<Policy>((double{ordinary[i]} - m) / sigma)
                           + stepped<Policy>(double{l.beta()[k]}));
    }
    CHECK(furthest(y, expected) < 2e-6);
}

TEST_CASE("what was trained on one batch evaluates it as it trained, but for the correction of the variance") {
    normalization<dims, unrectified, fqt::range_norm> range(samples);
    normalization<dims, unrectified, fqt::l1_norm> l1(samples);
    const auto distance = [](auto& l) {
        const fqt::plain<dims> in{ordinary.data()};
        const numbers y = l.forward(samples, in);
        return furthest(l.all(l.layer.infer(l.c, in)), widened(y));
    };
    // sqrt(96 / 95) is 1.0052, and no xhat is beyond 4.
    CHECK(distance(range) < 0.02);
    CHECK(distance(l1) < 0.02);
}

TEST_CASE("a Gaussian channel has nearly the same sigma by all policies") {
    // Sums of 12 uniform numbers: 1,536 values a channel.
    constexpr shape large{1, 16, 12};
    numbers x(at(samples * large.size()));
    for (std::uint32_t i = 0; i < 12; ++i) {
        const numbers u = random_numbers(samples * large.size(), 0, std::sqrt(1.0f / 12), 50 + i);
        for (std::size_t j = 0; j < x.size(); ++j) x[j] += u[j];
    }
    const auto sigma = [&](auto policy) {
        normalization<large, unrectified, decltype(policy)> l(samples);
        l.forward(samples, fqt::plain<large>{x.data()});
        return double{l.layer.facts().sigma[0]};
    };
    const double deviation = sigma(fqt::standard{});
    CHECK(deviation == doctest::Approx(1).epsilon(0.05));
    CHECK(sigma(fqt::l1_norm{}) == doctest::Approx(deviation).epsilon(0.02));
    CHECK(sigma(fqt::range_norm{}) == doctest::Approx(deviation).epsilon(0.15));
    CHECK(sigma(fqt::quantized_affine<8>{}) == doctest::Approx(deviation).epsilon(1e-4));
}

TEST_CASE("frozen statistics are used in training as in evaluation, stay as they are, and pass r g back") {
    normalization<dims, fqt::gain_energy<>, fqt::frozen> l(samples);
    set_gains(l);
    for (std::size_t k = 0; k < 5; ++k) {
        l.running("mean")[k] = 0.3f * static_cast<float>(k) - 0.5f;
        l.running("variance")[k] = 0.5f + static_cast<float>(k);
    }
    l.running("seen")[0] = 1;
    const auto mean = bits(l.running("mean")), variance = bits(l.running("variance"));
    const sums_in_units sums;
    for (const bool in_units : {false, true}) {
        const auto try_input = [&](const auto& in, const wide& x) {
            for (const float weight : {0.0f, 0.25f}) {
                l.c.rectification = weight;
                const numbers y = l.forward(samples, in);
                const numbers dx = l.backward(in, gradients);
                CHECK(bits(l.all(l.layer.infer(l.c, in))) == bits(y));
                wide expected_y, expected_dx, by_gamma(5), by_beta(5);
                for (std::size_t i = 0; i < y.size(); ++i) {
                    const std::size_t k = channel_of(i);
                    const long double gamma = l.gamma()[k],
                                      sigma = std::sqrt(static_cast<long double>(l.running("variance")[k]) + 1e-5L);
                    const long double xhat = (x[i] - l.running("mean")[k]) / sigma;
                    expected_y.push_back(gamma * xhat + l.beta()[k]);
                    expected_dx.push_back(gamma / sigma * gradients[i]);
                    by_gamma[k] +=
                        gradients[i] * xhat + weight * gamma / (sigma * sigma) / 5 / (samples * dims.pixels());
                    by_beta[k] += gradients[i];
                }
                CHECK(furthest(y, expected_y) < 1e-5);
                CHECK(furthest(dx, expected_dx) < 1e-6);
                CHECK(furthest(l.by_gamma(), by_gamma) < 1e-4);
                CHECK(furthest(l.by_beta(), by_beta) < 1e-5);
            }
        };
        if (in_units) try_input(sums.input(), sums.x);
        else try_input(fqt::plain<dims>{ordinary.data()}, widened(ordinary));
    }
    CHECK(bits(l.running("mean")) == mean);
    CHECK(bits(l.running("variance")) == variance);
}

TEST_CASE("a frozen layer whose input is always zero has the gradients of the constant that comes of it") {
    normalization<dims, unrectified, fqt::frozen> l(samples);
    std::ranges::fill(l.running("mean"), 0.5f);
    sums_in_units sums; // as after a product whose weights are all zero
    std::ranges::fill(sums.scale, 0.0f);
    for (const float y : l.forward(1, sums.input())) CHECK(std::isfinite(y));
    l.forward(samples, sums.input());
    l.backward(sums.input(), gradients);
    for (std::size_t k = 0; k < 5; ++k)
        CHECK(double{l.by_gamma()[k]}
              == doctest::Approx(double{l.by_beta()[k]} * (double{sums.bias[k]} - 0.5)).epsilon(1e-4));
}

TEST_CASE("with fixed steps, values are sums of integers times 2^-14, whatever came in") {
    normalization<dims, unrectified, fqt::quantized_affine<8>> l(samples);
    set_gains(l);
    for (const float y : l.forward(samples, fqt::plain<dims>{ordinary.data()}))
        CHECK(y * 16384 == std::rint(y * 16384));
    normalization<dims, unrectified, fqt::quantized_affine<4>> coarse(samples);
    set_gains(coarse);
    for (const float y : coarse.forward(samples, fqt::plain<dims>{ordinary.data()})) CHECK(y * 64 == std::rint(y * 64));
}

TEST_CASE_TEMPLATE("constant channels, and a batch of one value, give finite numbers and no gradient by xhat", Policy,
                   fqt::range_norm, fqt::l1_norm, fqt::quantized_affine<8>, thirds, fqt::frozen) {
    normalization<dims, unrectified, Policy> l(samples);
    set_gains(l);
    for (const float value : {0.0f, 0.25f, 0.3f, -7.0f}) {
        CAPTURE(value);
        const numbers x(at(samples * dims.size()), value);
        const fqt::plain<dims> in{x.data()};
        const numbers y = l.forward(samples, in);
        CHECK(all_finite(y));
        CHECK(all_finite(l.backward(in, gradients)));
        CHECK(all_finite(l.by_gamma()));
        CHECK(all_finite(l.all(l.layer.infer(l.c, in))));
        // With fixed steps, sigma is 2^-15 and the mean is rounded to that: xhat is off by up to a half.
        if (!on_steps<Policy> && !std::is_same_v<Policy, fqt::frozen>)
            for (std::size_t i = 0; i < y.size(); ++i) CHECK(std::abs(y[i] - l.beta()[channel_of(i)]) < 1e-3f);
    }
    constexpr shape one{3, 1, 1};
    normalization<one, unrectified, Policy> single(1);
    const numbers x{7, -8, 0.01f}, g{1, -2, 3};
    CHECK(all_finite(single.forward(1, fqt::plain<one>{x.data()})));
    CHECK(all_finite(single.backward(fqt::plain<one>{x.data()}, g)));
}

TEST_CASE("a sigma that is not positive is refused, by the layer's and the policy's name") {
    normalization<dims, unrectified, nothing_left> l(samples);
    CHECK_THROWS_WITH_AS(l.forward(samples, fqt::plain<dims>{ordinary.data()}),
                         doctest::Contains("sigma of layer 'norm' is 0 by its policy 'nothing_left'"), fqt::error);
}

TEST_CASE_TEMPLATE("values that are not finite are refused by the layer's name", Policy, fqt::range_norm, fqt::l1_norm,
                   fqt::quantized_affine<8>) {
    for (const float bad : {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
        for (const int place : {0, 1, 2}) {
            CAPTURE(place);
            normalization<dims, unrectified, Policy> l(samples);
            numbers x = ordinary;
            (place == 0 ? x[17] : place == 1 ? l.gamma()[2] : l.beta()[3]) = bad;
            CHECK_THROWS_WITH_AS(l.forward(samples, fqt::plain<dims>{x.data()}),
                                 doctest::Contains("'norm' is not finite"), fqt::error);
        }
}

namespace {

using crest = fqt::gain_crest<fqt::quantized_gain, through_sigma>;
// One layer a line, which the formatter does not keep.
// clang-format off
inline constexpr auto every_policy = input<3, 8, 8>
    | conv<20> | batch_norm<crest, fqt::range_norm> | relu
    | residual(conv<20> | batch_norm<crest, fqt::l1_norm>) | relu
    | conv<12> | batch_norm<crest, fqt::quantized_affine<8>> | relu
    | conv<12> | batch_norm<fqt::gain_crest<>, fqt::frozen> | relu
    | conv<8> | batch_norm<crest, thirds> | global_avg_pool | dense<5>;
// clang-format on

} // namespace

// This number was printed by one build; every other must give it. It changes only when the arithmetic does.
TEST_CASE("a network of all policies with 4-bit gradients gives the same bits on any number of threads") {
    for (const int threads : {1, 2})
        CHECK(digest::of_training<fqt::network<every_policy, fqt::w8a8g4>>(5, 3, threads) == 16199995110940034250u);
}
