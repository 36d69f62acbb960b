// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/layers/batch_norm.hpp>
#include <fqt/layers/gate.hpp>
#include <fqt/network/network.hpp>
#include <fqt/train/check_layer.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace {

using namespace fqt::layers;
using fqt::shape;

// A gate that is known: hard_sigmoid of the mean.
constexpr auto by_mean = gate(global_avg_pool | hard_sigmoid);
constexpr auto gated_mean = input<3, 2, 3> | by_mean;
constexpr auto block = conv<20> | batch_norm<> | relu | conv<20> | batch_norm<> | squeeze_excite<20, 5>;
constexpr auto spec =
    input<3, 8, 8> | conv<20> | batch_norm<> | relu | residual(block) | relu | global_avg_pool | dense<4>;

std::vector<float> wave(int size) {
    std::vector<float> values(static_cast<std::size_t>(size));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = std::sin(0.37f * static_cast<float>(i * i % 977));
    return values;
}

template <const auto& Scheme>
std::vector<float> trained(int threads) {
    constexpr int samples = 6;
    fqt::network<spec, Scheme> net{fqt::seed{3}, {.batch = samples, .threads = threads}};
    const std::vector<float> images = wave(samples * 192), slopes = wave(samples * 4);
    for (int step = 0; step < 3; ++step) {
        net.forward(images, samples);
        net.backward(slopes);
        net.each_parameter([](const fqt::parameter& p) {
            for (std::size_t i = 0; i < p.value.size(); ++i) p.value[i] -= 0.05f * p.gradient[i];
        });
    }
    const auto logits = net.predict(images, samples);
    return {logits.begin(), logits.end()};
}

} // namespace

TEST_CASE("a gate multiplies each channel of a sample by what its body gives") {
    constexpr int samples = 2, pixels = 6;
    fqt::network<gated_mean, fqt::fp32> net{fqt::seed{1}, {.batch = samples, .threads = 1}};
    const std::vector<float> x = wave(samples * 3 * pixels);
    const auto y = net.forward(x, samples);
    for (std::size_t channel = 0; channel < samples * 3; ++channel) {
        double mean = 0;
        for (std::size_t p = 0; p < pixels; ++p) mean += double{x[channel * pixels + p]} / pixels;
        for (std::size_t p = 0; p < pixels; ++p)
            CHECK(y[channel * pixels + p] == doctest::Approx(x[channel * pixels + p] * (mean + 3) / 6).epsilon(1e-5));
    }
}

TEST_CASE("gates keep the contract of layers") {
    const auto passes = [](const fqt::check_result& found) {
        INFO(found.log);
        CHECK(found.ok);
    };
    passes(fqt::check_layer<by_mean, shape{5, 4, 3}>());
    passes(fqt::check_layer<squeeze_excite<20, 4>, shape{20, 3, 3}>());
    // Behind a layer whose gradient is dear, and with the gradient of a shortcut to be added.
    passes(fqt::check_layer<residual(conv<5> | squeeze_excite<5, 3>), shape{5, 4, 4}>());
}

TEST_CASE("squeeze and excitation train in integers, with the same bits on any number of threads") {
    const std::vector<float> one = trained<fqt::w8a8g4>(1);
    CHECK(one == trained<fqt::w8a8g4>(3));
    const std::vector<float> exact = trained<fqt::fp32>(2);
    double apart = 0, size = 0;
    for (std::size_t i = 0; i < one.size(); ++i) {
        apart += (double{one[i]} - double{exact[i]}) * (double{one[i]} - double{exact[i]});
        size += double{exact[i]} * double{exact[i]};
    }
    CAPTURE(apart / size);
    CHECK(apart < 0.01 * size);
}

TEST_CASE("a gate of another shape is refused") {
    constexpr auto wide = gate(global_avg_pool | dense<7>);
    constexpr fqt::inferred found = decltype(wide)::output({5, 4, 4});
    CHECK_FALSE(found.ok);
    CHECK(squeeze_excite<20, 5>.output({20, 8, 8}).ok);
    CHECK(squeeze_excite<20, 5>.parameters({20, 8, 8}) == 20 * 5 + 5 + 5 * 20 + 20);
    CHECK(squeeze_excite<20, 5>.macs({20, 8, 8}) == 2 * 20 * 5);
}
