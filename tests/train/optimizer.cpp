// SPDX-License-Identifier: BSD-3-Clause
// sgd against its formula in doubles, the formats that it keeps weights and velocities in, and what it refuses.

#include <fqt/train/optimizer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace {

using doctest::Contains;
using fqt::parameter_kind;

constexpr float infinity = std::numeric_limits<float>::infinity(),
                not_a_number = std::numeric_limits<float>::quiet_NaN();

/// A parameter of each kind; the first has several chunks of the optimizer's loops.
struct parameters {
    std::vector<std::pair<parameter_kind, std::vector<float>>> values{
        {parameter_kind::weight, std::vector<float>(9001)},
        {parameter_kind::bias, std::vector<float>(5)},
        {parameter_kind::gamma, std::vector<float>(16)},
        {parameter_kind::beta, std::vector<float>(16)},
        {parameter_kind::range, std::vector<float>(1)}};
    std::vector<std::vector<float>> gradients;
    int team = 1;
    std::uint32_t now = 0;

    parameters() {
        for (auto& [kind, v] : values) {
            for (float& x : v) x = next();
            gradients.emplace_back(v.size());
        }
        draw();
    }
    void draw() {
        for (auto& g : gradients)
            for (float& x : g) x = next();
        ++now;
    }
    template <class F>
    void each_parameter(F&& f) {
        for (std::size_t i = 0; i < values.size(); ++i)
            f(fqt::parameter{fqt::path{} / static_cast<int>(i) / "p", values[i].first, values[i].second, gradients[i]});
    }
    int threads() const { return team; }
    std::uint64_t seed_value() const { return 7; }
    std::uint32_t step() const { return now; }

private:
    std::uint32_t drawn_ = 0;
    float next() { return fqt::uniform32(fqt::random_stream{1, 0, 0}.block(0, drawn_++)[0]) - 0.5f; }
};

/// v = momentum v + g, w = w - rate (v, or g + momentum v), with g the gradient and decay times w.
std::vector<std::vector<double>> by_formula(parameters p, const fqt::sgd_options& o, double rate, int steps) {
    std::vector<std::vector<double>> all;
    for (const auto& [kind, v] : p.values) all.emplace_back(v.begin(), v.end());
    auto velocities = all;
    for (auto& v : velocities) std::ranges::fill(v, 0.0);
    for (int step = 0; step < steps; ++step, p.draw())
        for (std::size_t k = 0; k < all.size(); ++k) {
            const parameter_kind kind = p.values[k].first;
            const double decay = kind == parameter_kind::weight ? double{o.decay}
                : kind == parameter_kind::gamma                 ? double{o.decay_gamma}
                : kind == parameter_kind::range                 ? double{o.decay_range}
                                                                : double{o.decay_beta};
            for (std::size_t i = 0; i < all[k].size(); ++i) {
                double &w = all[k][i], &v = velocities[k][i];
                const double g = double{p.gradients[k][i]} + decay * w;
                v = double{o.momentum} * v + g;
                w -= rate * (o.nesterov ? g + double{o.momentum} * v : v);
            }
        }
    return all;
}

template <class... Formats>
parameters stepped(parameters p, const fqt::sgd_options& o, float rate, int steps) {
    fqt::sgd<parameters, Formats...> optimizer(p, o);
    for (int step = 0; step < steps; ++step, p.draw()) optimizer.step(rate);
    return p;
}

/// The largest distance of a weight from what the formula gives.
double distance(const parameters& p, const std::vector<std::vector<double>>& expected) {
    double most = 0;
    for (std::size_t k = 0; k < expected.size(); ++k)
        for (std::size_t i = 0; i < expected[k].size(); ++i)
            most = std::max(most, std::abs(double{p.values[k].second[i]} - expected[k][i]));
    return most;
}

} // namespace

TEST_CASE("a step of sgd is its formula, with decay by the kind of a parameter") {
    for (const bool nesterov : {false, true}) {
        const fqt::sgd_options options{.momentum = 0.9f,
                                       .decay = 0.1f,
                                       .decay_gamma = 0.2f,
                                       .decay_beta = 0.3f,
                                       .decay_range = 0.4f,
                                       .nesterov = nesterov};
        const auto expected = by_formula({}, options, 0.1, 4);
        CHECK(distance(stepped({}, options, 0.1f, 4), expected) < 2e-6);
        CHECK(distance({}, expected) > 0.1);
        fqt::sgd_options other = options;
        other.nesterov = !nesterov;
        CHECK(distance(stepped({}, other, 0.1f, 4), expected) > 0.01);
        for (float fqt::sgd_options::*decay : {&fqt::sgd_options::decay, &fqt::sgd_options::decay_gamma,
                                               &fqt::sgd_options::decay_beta, &fqt::sgd_options::decay_range}) {
            other = options;
            other.*decay = 0;
            CHECK(distance(stepped({}, other, 0.1f, 4), expected) > 0.0001);
        }
    }
}

TEST_CASE("a step of rate 0 moves nothing, and threads change no bit") {
    CHECK(stepped({}, {.decay = 1}, 0, 3).values == parameters{}.values);
    parameters many;
    many.team = 3;
    using coarse = fqt::fixed_point<8>;
    CHECK(stepped(many, {}, 0.1f, 3).values == stepped({}, {}, 0.1f, 3).values);
    CHECK(stepped<coarse, coarse>(many, {}, 0.1f, 3).values == stepped<coarse, coarse>({}, {}, 0.1f, 3).values);
}

TEST_CASE("factors multiply the rate of each parameter") {
    parameters p;
    const parameters before = p;
    fqt::sgd optimizer(p, {.momentum = 0});
    optimizer.step(0.1f, [](const fqt::parameter& of) { return of.kind == parameter_kind::gamma ? 0.5f : 0.0f; });
    for (std::size_t k = 0; k < p.values.size(); ++k)
        for (std::size_t i = 0; i < p.values[k].second.size(); ++i) {
            const float rate = p.values[k].first == parameter_kind::gamma ? 0.05f : 0.0f;
            CHECK(p.values[k].second[i] == std::fma(-rate, before.gradients[k][i], before.values[k].second[i]));
        }
}

TEST_CASE("fixed-point weights are multiples of the least power of two that holds them, and near what they stand for") {
    const fqt::sgd_options options{.momentum = 0.9f};
    const auto check = [&]<class Master>(Master, double error) {
        const parameters p = stepped<Master>({}, options, 0.1f, 1);
        const auto expected = by_formula({}, options, 0.1, 1);
        for (std::size_t k = 0; k < p.values.size(); ++k) {
            double most = 0;
            for (const double w : expected[k]) most = std::max(most, std::abs(w));
            const double step = std::exp2(std::ceil(std::log2(most / double{Master::greatest})));
            std::size_t off_grid = 0, far = 0;
            for (std::size_t i = 0; i < expected[k].size(); ++i) {
                const double w = double{p.values[k].second[i]};
                off_grid += w / step != std::nearbyint(w / step);
                // The master is rounded when the optimizer is made, too.
                far += std::abs(w - expected[k][i]) > 2 * error * step;
            }
            CHECK(off_grid == 0);
            CHECK(far == 0);
        }
    };
    check(fqt::fixed_point<16, fqt::nearest>{}, 0.51);
    check(fqt::fixed_point<8, fqt::nearest>{}, 0.51);
    check(fqt::fixed_point<16>{}, 1.01);
    check(fqt::fixed_point<8>{}, 1.01);
}

TEST_CASE("stochastic fixed-point weights follow small gradients in the mean, where nearest ones stay") {
    parameters p;
    for (auto& [kind, v] : p.values) std::ranges::fill(v, 0.25f); // on the grid of 2^-8, which holds up to 127 / 256
    for (auto& g : p.gradients) std::ranges::fill(g, 1.0f);
    constexpr float rate = 1.0f / 256 / 10; // a tenth of a step
    const auto mean_move = [&]<class Master>(Master) {
        parameters moved = p;
        fqt::sgd<parameters, Master>(moved, {.momentum = 0}).step(rate);
        double sum = 0;
        for (const float w : moved.values[0].second) sum += 0.25 - double{w};
        return sum / static_cast<double>(moved.values[0].second.size());
    };
    CHECK(mean_move(fqt::fixed_point<8, fqt::nearest>{}) == 0);
    // Standard error of the mean of 9001: 0.3 / sqrt(9001) of a step.
    CHECK(std::abs(mean_move(fqt::fixed_point<8>{}) - double{rate}) < 4 * 0.0032 / 256);
}

TEST_CASE("what sgd cannot do is refused, and nothing is changed") {
    parameters p;
    for (const float bad : {-0.1f, 1.0f, not_a_number})
        CHECK_THROWS_WITH_AS((fqt::sgd(p, {.momentum = bad})), Contains("it must lie in [0, 1)"), fqt::error);
    for (const float bad : {-1e-3f, not_a_number, infinity}) {
        CHECK_THROWS_WITH_AS((fqt::sgd(p, {.decay = bad})), Contains("a decay of sgd is"), fqt::error);
        CHECK_THROWS_WITH_AS((fqt::sgd(p, {.decay_gamma = bad})), Contains("0 or more, and finite"), fqt::error);
        CHECK_THROWS_WITH_AS((fqt::sgd(p, {.decay_beta = bad})), Contains("0 or more, and finite"), fqt::error);
        CHECK_THROWS_WITH_AS((fqt::sgd(p, {.decay_range = bad})), Contains("0 or more, and finite"), fqt::error);
        fqt::sgd optimizer(p);
        CHECK_THROWS_WITH_AS(optimizer.step(bad), Contains("a step of rate"), fqt::error);
        CHECK_THROWS_WITH_AS(
            optimizer.step(0.1f,
                           [&](const fqt::parameter& of) { return of.kind == parameter_kind::range ? bad : 1.0f; }),
            Contains("for the rate of '4.p'"), fqt::error);
        CHECK(p.values == parameters{}.values);
    }
    fqt::sgd<parameters, fqt::fixed_point<16>> optimizer(p);
    p.gradients[0][17] = infinity;
    CHECK_THROWS_WITH_AS(optimizer.step(0.1f), Contains("not finite"), fqt::error);
}
