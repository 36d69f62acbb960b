// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/core/random.hpp>
#include <fqt/layers/lazy.hpp>
#include <fqt/train/deviation_rate.hpp>
#include <fqt/train/optimizer.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace {

using doctest::Contains;

constexpr fqt::shape dims{20, 2, 3};
constexpr int samples = 2;
using tensor = std::vector<float>;

tensor noise(std::uint32_t stream) {
    tensor v(samples * static_cast<std::size_t>(dims.size()));
    for (std::size_t i = 0; i < v.size(); ++i)
        v[i] = 2 * fqt::uniform32(fqt::random_stream{3, 0, stream}.block(0, static_cast<std::uint32_t>(i))[0]) - 1;
    return v;
}
/// To multiples of a step.
tensor rounded(tensor v, float step) {
    for (float& x : v) x = std::nearbyint(x / step) * step;
    return v;
}
double deviation(const tensor& x, const tensor& y) {
    long double dot = 0, xx = 0, yy = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        dot += static_cast<long double>(x[i]) * static_cast<long double>(y[i]);
        xx += static_cast<long double>(x[i]) * static_cast<long double>(x[i]);
        yy += static_cast<long double>(y[i]) * static_cast<long double>(y[i]);
    }
    return static_cast<double>(1 - dot / std::sqrt(xx * yy));
}
void show(fqt::deviation_rate& to, std::string_view layer, std::string_view what, const tensor& v) {
    to(fqt::observed_tensor(layer, what, samples, fqt::plain<dims>{v.data()}));
}

/// Two layers' parameters, and one of a batch normalization.
struct vectors {
    tensor a{1, -2}, b{3, 4}, gamma{1}, ga{0.5f, 0.25f}, gb{1, -1}, ggamma{2};
    template <class F>
    void each_parameter(F&& f) {
        f(fqt::parameter{fqt::path{} / "one.conv" / "weight", fqt::parameter_kind::weight, a, ga, {}});
        f(fqt::parameter{fqt::path{} / "two" / "weight", fqt::parameter_kind::weight, b, gb, {}});
        f(fqt::parameter{fqt::path{} / "norm" / "gamma", fqt::parameter_kind::gamma, gamma, ggamma, {}});
    }
    int threads() const { return 1; }
    std::uint64_t seed_value() const { return 1; }
    std::uint32_t step() const { return 0; }
};

} // namespace

TEST_CASE("d is one minus the cosine between a gradient and its codes") {
    fqt::deviation_rate rates;
    const tensor h = noise(1);
    for (const float step : {1.2f, 0.5f, 0.1f, 0x1p-6f}) {
        const tensor codes = rounded(h, step);
        show(rates, "a", "exact input_gradient", h);
        show(rates, "a", "input_gradient", codes);
        CHECK(std::abs(rates.deviation("a") - deviation(h, codes)) < 1e-14);
    }
    // The gradient by the weights' own codes comes later, and counts.
    const tensor other = noise(2);
    show(rates, "a", "exact weight_gradient", h);
    show(rates, "a", "weight_gradient", other);
    CHECK(rates.deviation("a") == doctest::Approx(deviation(h, other)));
    CHECK(rates.deviation("a") > 0.5);

    const tensor zero(h.size(), 0.0f);
    show(rates, "b", "exact input_gradient", h);
    show(rates, "b", "input_gradient", zero);
    CHECK(rates.deviation("b") == 1);
    show(rates, "b", "exact input_gradient", zero);
    show(rates, "b", "input_gradient", zero);
    CHECK(rates.deviation("b") == 0);
    show(rates, "c", "exact input_gradient", h);
    show(rates, "c", "input_gradient", h);
    CHECK(rates.deviation("c") < 1e-15);
}

TEST_CASE("codes are compared with their own gradient alone") {
    fqt::deviation_rate rates;
    const tensor h = noise(1), codes = noise(2);
    show(rates, "a", "weight_gradient", h); // floats, with no exact ones before
    show(rates, "a", "exact input_gradient", h);
    show(rates, "b", "input_gradient", codes);
    show(rates, "a", "sums", codes);
    show(rates, "a", "weight_gradient", codes);
    CHECK(rates.deviation("a") == 0);
    CHECK(rates.deviation("b") == 0);
    show(rates, "a", "input_gradient", codes);
    CHECK(rates.deviation("a") == doctest::Approx(deviation(h, codes)));
}

TEST_CASE("phi is max(exp(-20 d), 0.1)") {
    const fqt::deviation_rate rates;
    CHECK(rates.factor(0) == 1);
    for (const double d : {1e-6, 0.01, 0.1, 0.115}) CHECK(std::abs(double{rates.factor(d)} - std::exp(-20 * d)) < 1e-7);
    CHECK(rates.factor(0.116) == 0.1f);
    CHECK(rates.factor(2) == 0.1f);
    CHECK(fqt::deviation_rate({.alpha = 1, .beta = 0}).factor(1) == doctest::Approx(std::exp(-1.0)));
    CHECK(rates.options().alpha == 20);

    constexpr float nan = std::numeric_limits<float>::quiet_NaN();
    for (const float alpha : {-1.0f, nan})
        CHECK_THROWS_WITH_AS(fqt::deviation_rate({.alpha = alpha}), Contains("alpha is"), fqt::error);
    for (const float beta : {-0.1f, 1.1f, nan})
        CHECK_THROWS_WITH_AS(fqt::deviation_rate({.beta = beta}), Contains("beta is"), fqt::error);
}

TEST_CASE("sgd multiplies the rate of each layer by its factor") {
    fqt::deviation_rate rates;
    vectors v;
    fqt::sgd optimizer{v, {.momentum = 0.5f}};
    const vectors before = v;
    CHECK_THROWS_WITH_AS(optimizer.step(0.5f, rates), Contains("has seen no gradient before and after"), fqt::error);
    CHECK(v.a == before.a);

    const tensor h = noise(1), codes = rounded(h, 0.5f);
    show(rates, "one.conv", "exact input_gradient", h);
    show(rates, "one.conv", "input_gradient", codes);
    const float phi = rates.factor(deviation(h, codes));
    REQUIRE(phi < 0.9f);
    REQUIRE(phi > 0.1f);
    optimizer.step(0.5f, rates);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(v.a[i] == doctest::Approx(before.a[i] - 0.5f * phi * v.ga[i]));
        CHECK(v.b[i] == before.b[i] - 0.5f * v.gb[i]); // not seen
    }
    CHECK(v.gamma[0] == before.gamma[0] - 0.5f * v.ggamma[0]); // no quantizer

    // The momentum is that of the gradients, whatever the factors were; a factor of 1 changes nothing.
    vectors plain = before, ones = before;
    fqt::sgd first{plain, {.momentum = 0.5f}}, second{ones, {.momentum = 0.5f}};
    for (int i = 0; i < 3; ++i) {
        first.step(0.3f);
        second.step(0.3f, [](const fqt::parameter&) { return 1.0f; });
    }
    CHECK(plain.a == ones.a);
    CHECK(plain.gamma == ones.gamma);

    const vectors now = v;
    for (const float bad : {-1.0f, std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()})
        CHECK_THROWS_WITH_AS(
            optimizer.step(0.1f, [&](const fqt::parameter& p) { return p.name.view() == "two.weight" ? bad : 1.0f; }),
            Contains("for the rate of 'two.weight'; it must be 0 or more, and finite"), fqt::error);
    CHECK(v.a == now.a);
    CHECK(v.gamma == now.gamma);
}
