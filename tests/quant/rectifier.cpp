// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/core/random.hpp>
#include <fqt/quant/rectifier.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

// ---- the rectifiers' losses as their comments define them, in double, from the gains ----

using doubles = std::vector<double>;

double energy(const doubles& r) {
    double sum = 0;
    for (const double v : r) sum += v * v;
    return sum / (2 * static_cast<double>(r.size()));
}
double hinge(const doubles& r) {
    double sum = 0;
    for (const double v : r) sum += std::pow(std::max(0.0, std::abs(v) - 1), 2);
    return sum / (2 * static_cast<double>(r.size()));
}
double crest(const doubles& r) {
    double largest = 0, second = 0, eighth = 0;
    for (const double v : r) largest = std::max(largest, std::abs(v));
    for (const double v : r) second += std::pow(v / largest, 2), eighth += std::pow(v / largest, 8);
    return std::log(eighth) / 8 - std::log(second) / 2;
}
double evenness(const doubles& r) {
    double mean = 0, sum = 0;
    for (const double v : r) mean += std::log(std::abs(v) + 1e-6) / static_cast<double>(r.size());
    for (const double v : r) sum += std::pow(std::log(std::abs(v) + 1e-6) - mean, 2);
    return sum / (2 * static_cast<double>(r.size()));
}
double distance_from_one(const doubles& r) {
    double sum = 0;
    for (const double v : r) sum += std::pow(std::log(std::abs(v) + 1e-6), 2);
    return sum / (2 * static_cast<double>(r.size()));
}

struct channels {
    std::vector<float> gamma, sigma, weight_scale, weight_norm;
    fqt::normalization facts() const { return {gamma, sigma, weight_scale, weight_norm, 0, 1, false}; }
};

/// Gains gamma / sigma, times the weight scale relative to the mean one where `quantized`.
doubles gains_of(const doubles& gamma, const doubles& sigma, const channels& c, bool quantized) {
    double mean = 0;
    for (const float s : c.weight_scale) mean += double{s} / static_cast<double>(c.gamma.size());
    doubles r;
    for (std::size_t i = 0; i < gamma.size(); ++i)
        r.push_back(gamma[i] / sigma[i] * (quantized ? double{c.weight_scale[i]} / mean : 1));
    return r;
}

channels random_channels(std::uint32_t trial) {
    channels c;
    const fqt::random_stream random{17, 0, trial};
    for (std::uint32_t i = 0; i < 6; ++i) {
        const auto bits = random.block(0, i);
        const auto power = [&](std::size_t k, float low, float high) {
            return std::exp2(low + (high - low) * fqt::uniform32(bits[k]));
        };
        c.gamma.push_back(power(0, -3, 2) * (bits[2] & 1u ? 1.0f : -1.0f));
        c.sigma.push_back(power(1, -3, 3));
        c.weight_scale.push_back(power(3, -8, 2));
        c.weight_norm.push_back(1);
    }
    if (trial % 4 == 1) c.gamma[2] = 1e-7f;
    if (trial % 4 == 2) c.gamma[3] = 0;
    return c;
}

struct slopes {
    float loss;
    std::vector<float> by_gamma, by_sigma;
};
template <class R>
slopes slopes_of(const channels& c) {
    slopes s{0, std::vector<float>(c.gamma.size(), NAN), std::vector<float>(c.gamma.size(), NAN)};
    s.loss = R::penalty(c.facts(), s.by_gamma, s.by_sigma);
    return s;
}

/// Holds loss and slopes of R against f and its central differences, on random channels.
template <class R>
void check_slopes(double (*f)(const doubles&), bool quantized, bool through, bool smooth_at_zero = true) {
    for (std::uint32_t trial = 0; trial < 40; ++trial) {
        const channels c = random_channels(trial);
        const doubles gamma(c.gamma.begin(), c.gamma.end()), sigma(c.sigma.begin(), c.sigma.end());
        const auto loss = [&](const doubles& g, const doubles& s) { return f(gains_of(g, s, c, quantized)); };
        const slopes found = slopes_of<R>(c);
        CHECK(double{found.loss} == doctest::Approx(loss(gamma, sigma)).epsilon(1e-5).scale(0.1));
        for (std::size_t i = 0; i < gamma.size(); ++i) {
            const auto difference = [&](const doubles& at, auto&& along, double up, double down) {
                doubles above = at, below = at;
                above[i] += up;
                below[i] -= down;
                return (along(above) - along(below)) / (up + down);
            };
            const auto by_gamma = [&](const doubles& g) { return loss(g, sigma); };
            const auto by_sigma = [&](const doubles& s) { return loss(gamma, s); };
            // Small against the 1e-6 that even_gains adds to a gain; from zero upwards where there is a kink at zero.
            const bool zero = gamma[i] == 0 && !smooth_at_zero;
            const double h =
                zero ? 1e-11 * sigma[i] : 1e-5 * std::max(std::abs(gamma[i]), smooth_at_zero ? 1e-3 : 1e-7);
            const double expected = difference(gamma, by_gamma, h, zero ? 0 : h);
            CHECK(double{found.by_gamma[i]}
                  == doctest::Approx(expected).epsilon(1e-4).scale(1e-3 + (zero ? std::abs(expected) : 0)));
            if (through)
                CHECK(double{found.by_sigma[i]}
                      == doctest::Approx(difference(sigma, by_sigma, 1e-5 * sigma[i], 1e-5 * sigma[i]))
                             .epsilon(1e-4)
                             .scale(1e-3));
            else CHECK(found.by_sigma[i] == 0);
        }
    }
}

template <template <class, class> class R>
void check_all_policies(double (*f)(const doubles&), bool smooth_at_zero = true) {
    check_slopes<R<fqt::layer_gain, fqt::detached>>(f, false, false, smooth_at_zero);
    check_slopes<R<fqt::layer_gain, fqt::through_sigma>>(f, false, true, smooth_at_zero);
    check_slopes<R<fqt::quantized_gain, fqt::detached>>(f, true, false, smooth_at_zero);
    check_slopes<R<fqt::quantized_gain, fqt::through_sigma>>(f, true, true, smooth_at_zero);
}

channels with_gains(std::vector<float> gains) {
    const std::vector<float> ones(gains.size(), 1.0f);
    return {std::move(gains), ones, ones, ones};
}

} // namespace

static_assert(
    fqt::rectifier<fqt::unrectified> && fqt::rectifier<fqt::gain_energy<>> && fqt::rectifier<fqt::gain_hinge<>>);
static_assert(fqt::rectifier<fqt::gain_crest<>> && fqt::rectifier<fqt::even_gains<>> && !fqt::rectifier<int>);

TEST_CASE("the losses have the values that one computes by hand") {
    CHECK(slopes_of<fqt::gain_energy<>>(with_gains({3, -4})).loss == 6.25f);
    CHECK(slopes_of<fqt::gain_hinge<>>(with_gains({0.5f, -2})).loss == 0.25f);
    CHECK(slopes_of<fqt::gain_crest<>>(with_gains({2, 2, -2, 2})).loss == doctest::Approx(-0.375 * std::log(4.0)));
    CHECK(slopes_of<fqt::gain_crest<>>(with_gains({5})).loss == 0);
    CHECK(slopes_of<fqt::even_gains<>>(with_gains({1, 7.3890561f})).loss == doctest::Approx(0.5).epsilon(1e-5));
    CHECK(slopes_of<fqt::unrectified>(with_gains({3, -4})).loss == 0);
}

TEST_CASE("gain_energy has the slopes of its loss for both gains, detached and through sigma") {
    check_all_policies<fqt::gain_energy>(energy);
}

TEST_CASE("gain_hinge has the slopes of its loss for both gains, detached and through sigma") {
    check_all_policies<fqt::gain_hinge>(hinge);
}

TEST_CASE("gain_crest has the slopes of its loss for both gains, detached and through sigma") {
    check_all_policies<fqt::gain_crest>(crest);
}

TEST_CASE("even_gains has the slopes of its loss for both gains, detached and through sigma") {
    check_all_policies<fqt::even_gains>(evenness, false);
}

TEST_CASE("unit_gain has the slopes of its loss for both gains, detached and through sigma") {
    check_all_policies<fqt::unit_gain>(distance_from_one, false);
}

TEST_CASE("unit_gain is at rest where every gain is one") {
    const slopes s = slopes_of<fqt::unit_gain<>>(with_gains({1, -1, 1}));
    CHECK(s.loss == doctest::Approx(0).scale(1));
    for (const float v : s.by_gamma) CHECK(std::abs(v) < 1e-5f);
}

TEST_CASE("unrectified writes slopes of zero") {
    const slopes s = slopes_of<fqt::unrectified>(random_channels(0));
    for (std::size_t i = 0; i < s.by_gamma.size(); ++i) {
        CHECK(s.by_gamma[i] == 0);
        CHECK(s.by_sigma[i] == 0);
    }
}

TEST_CASE("at_block_ends is its rectifier at the end of a block, and none elsewhere") {
    using R = fqt::gain_energy<fqt::layer_gain, fqt::through_sigma>;
    const channels c = random_channels(0);
    const slopes whole = slopes_of<R>(c), elsewhere = slopes_of<fqt::at_block_ends<R>>(c);
    CHECK(elsewhere.loss == 0);
    for (const float v : elsewhere.by_gamma) CHECK(v == 0);
    for (const float v : elsewhere.by_sigma) CHECK(v == 0);
    fqt::normalization facts = c.facts();
    facts.closes_block = true;
    slopes end = whole;
    std::ranges::fill(end.by_gamma, NAN);
    CHECK(fqt::at_block_ends<R>::penalty(facts, end.by_gamma, end.by_sigma) == whole.loss);
    CHECK(std::string_view(fqt::at_block_ends<R>::name) == std::string("at block ends, ") + R::name);
    CHECK(end.by_gamma == whole.by_gamma);
    CHECK(end.by_sigma == whole.by_sigma);
}

TEST_CASE("bounded_gammas pulls back what is beyond its bound, and leaves the others alone") {
    channels c = with_gains({0.25f, -0.5f, 0, 1.5f, -2.5f, 0.5f, 0.1f, 0.3f});
    std::ranges::fill(c.sigma, 4.0f); // of no account
    const slopes s = slopes_of<fqt::bounded_gammas<0.5f>>(c);
    CHECK(s.loss == 5.0f / 16); // (1^2 + 2^2) / 2C
    for (const float v : s.by_sigma) CHECK(v == 0);
    for (const std::size_t i : {0u, 1u, 2u, 5u, 6u, 7u}) CHECK(s.by_gamma[i] == 0);
    CHECK(s.by_gamma[3] == 0.125f);
    CHECK(s.by_gamma[4] == -0.25f);
}

TEST_CASE("gain_hinge leaves channels alone that do not amplify") {
    const slopes s = slopes_of<fqt::gain_hinge<fqt::layer_gain, fqt::through_sigma>>(with_gains({0.5f, -1, 1, 0, -3}));
    for (std::size_t i = 0; i < 4; ++i) {
        CHECK(s.by_gamma[i] == 0);
        CHECK(s.by_sigma[i] == 0);
    }
    CHECK(s.by_gamma[4] == doctest::Approx(-0.4));
}

TEST_CASE("gain_crest and even_gains do not see a factor common to all gains") {
    const channels c = random_channels(0);
    channels scaled = c;
    for (float& g : scaled.gamma) g *= 8;
    CHECK(slopes_of<fqt::gain_crest<>>(scaled).loss == slopes_of<fqt::gain_crest<>>(c).loss);
    CHECK(slopes_of<fqt::even_gains<>>(scaled).loss
          == doctest::Approx(slopes_of<fqt::even_gains<>>(c).loss).epsilon(1e-4));
    CHECK(slopes_of<fqt::gain_energy<>>(scaled).loss == doctest::Approx(64 * slopes_of<fqt::gain_energy<>>(c).loss));
}

TEST_CASE("where every gamma or every weight scale is zero, losses and slopes are finite") {
    const auto check = []<class R>(R) {
        channels c = random_channels(0);
        std::ranges::fill(c.weight_scale, 0.0f);
        for (int i = 0; i < 2; ++i) {
            const slopes s = slopes_of<R>(c);
            CHECK(std::isfinite(s.loss));
            for (const float v : s.by_gamma) CHECK(std::isfinite(v));
            for (const float v : s.by_sigma) CHECK(std::isfinite(v));
            std::ranges::fill(c.gamma, 0.0f);
        }
    };
    check(fqt::gain_energy<fqt::quantized_gain, fqt::through_sigma>{});
    check(fqt::gain_hinge<fqt::quantized_gain, fqt::through_sigma>{});
    check(fqt::gain_crest<fqt::quantized_gain, fqt::through_sigma>{});
    check(fqt::even_gains<fqt::quantized_gain, fqt::through_sigma>{});
    check(fqt::unit_gain<fqt::quantized_gain, fqt::through_sigma>{});
    // Without scales the quantized gain is the layer's.
    channels c = random_channels(0);
    std::ranges::fill(c.weight_scale, 0.0f);
    CHECK(slopes_of<fqt::gain_energy<fqt::quantized_gain>>(c).by_gamma == slopes_of<fqt::gain_energy<>>(c).by_gamma);
}

TEST_CASE("rules that leave sigma alone say so, wherever they act") {
    using namespace fqt;
    CHECK(is_detached<unrectified>);
    CHECK(is_detached<gain_crest<quantized_gain>>);
    CHECK(is_detached<bounded_gammas<0.3f>>);
    CHECK(is_detached<bounded_branches<>>);
    CHECK(is_detached<at_block_ends<gain_energy<>>>);
    CHECK_FALSE(is_detached<even_gains<layer_gain, through_sigma>>);
    CHECK_FALSE(is_detached<at_block_ends<gain_energy<layer_gain, through_sigma>>>);
    CHECK_FALSE(is_detached<any_rectifier>);
}
