// SPDX-License-Identifier: BSD-3-Clause
// Without quantizers, every gradient is the slope of the loss: central finite differences of the twin
// (support/twin.hpp) in double, of every parameter, of every product's input and of its sums, which are the inputs of
// what follows it.
#include <doctest/doctest.h>

#include "../support/twin_network.hpp"

using namespace fqt::layers;
using fqt::window;

namespace {

template <class Rectifier = fqt::unrectified, int Channels = 6>
constexpr auto normalized_body =
    conv<Channels> | batch_norm<Rectifier> | relu | conv<Channels, window{.kernel = 3, .groups = 2}> | batch_norm<>;

using fqt::through_sigma, fqt::layer_gain;
using smooth_crest = fqt::gain_crest<layer_gain, through_sigma>;

// One layer or block a line, which the formatter does not keep.
// clang-format off
inline constexpr auto convolutions = input<3, 9, 8> | conv<4, window{1, 1, 0}> | conv<6, window{3, 2, 1}>
    | batch_norm<fqt::gain_energy<layer_gain, through_sigma>> | relu
    | conv<4, window{5, 1, 2, 2}, fqt::with_bias> | batch_norm<fqt::gain_crest<>> | relu
    | conv<5, window{2, 1, 0}, fqt::with_bias> | relu
    | conv<17, window{7, 3, 3}> | batch_norm<fqt::even_gains<layer_gain, through_sigma>> | dense<3>;
inline constexpr auto pools = input<2, 9, 10> | batch_norm<> | conv<5> | max_pool<window{3, 2, 1}>
    | conv<4, window{3, 1, 0}> | batch_norm<smooth_crest> | avg_pool<window{2, 1, 1}> | conv<3>
    | avg_pool<window{3, 2, 1}> | batch_norm<fqt::gain_energy<>> | max_pool<window{2, 1, 0}>
    | dense<4, fqt::without_bias>;
inline constexpr auto residuals = input<2, 7, 6> | conv<6, window{1, 1, 0}>
    | residual(normalized_body<fqt::gain_hinge<>>) | relu
    | residual(conv<9, window{3, 2, 1}> | relu | residual(conv<9> | batch_norm<>), pad_shortcut<9, 2>) | relu
    | residual(conv<4> | batch_norm<fqt::even_gains<>>, conv<4, window{1, 1, 0}> | batch_norm<>) | global_avg_pool
    | dense<3>;
inline constexpr auto preactivation = input<2, 7, 6> | conv<6, window{1, 1, 0}>
    | residual(batch_norm<> | relu | normalized_body<fqt::gain_hinge<layer_gain, through_sigma>>)
    | residual(batch_norm<> | relu | conv<8, window{3, 2, 1}>, pad_shortcut<8, 2>) | batch_norm<> | relu
    | global_avg_pool | dense<3>;
// clang-format on

// Of the greatest of a tensor's gradients: what single precision leaves of 7 digits. Where a normalization makes a
// shift vanish, gradients are 0 but for rounding: less than a thousandth of the network's greatest is measured by that.
constexpr double tolerance = 3e-5;
constexpr int most_elements = 24; // of a tensor that are tried

template <const auto& Spec>
void check_gradients() {
    using network = fqt::network<Spec, fqt::fp32>;
    constexpr int samples = 3;
    constexpr float lambda = 0.3f;
    network net(fqt::seed{3}, {.batch = samples, .threads = 1, .rectification = lambda});
    twin::network own(Spec, fqt::fp32, fqt::seed{3}, false);
    std::size_t index = 0;
    net.each_parameter([&](const fqt::parameter& p) {
        const bool is_gamma = p.kind == fqt::parameter_kind::gamma;
        if (p.kind != fqt::parameter_kind::weight)
            std::ranges::copy(twin::random_floats(static_cast<int>(p.value.size()), is_gamma ? 0.3f : -0.3f,
                                                  is_gamma ? 2.0f : 0.3f, 10),
                              p.value.begin());
        own.parameters[index].value->assign(p.value.begin(), p.value.end());
        own.parameters[index++].gradient->assign(p.value.size(), 0);
    });
    const auto images = twin::random_floats(samples * network::input.size(), -1.0f, 1.0f, 1),
               slopes = twin::random_floats(samples * network::output.size(), -1.0f, 1.0f, 2);

    twin::recorder watcher;
    net.observe(watcher);
    net.forward(images, samples);
    net.backward(slopes);

    // One element of one tensor of the forward pass is moved.
    std::string moved_layer, moved_what;
    std::size_t moved_element = 0;
    double by = 0;
    own.r.see = [&](const std::string& layer, const std::string& what, twin::tensor& t) {
        if (layer == moved_layer && what == moved_what) t.v[moved_element] += by;
    };
    const auto loss = [&] {
        const twin::numbers y = own.forward(images, samples);
        return std::inner_product(y.begin(), y.end(), slopes.begin(), 0.0) + double{lambda} * own.root->penalty();
    };
    loss();
    own.r.anchor = false; // from here on, a detached rectifier takes these sigmas as given
    double worst = 0, least_scale = 0;
    const auto greatest = [](const auto& gradient) {
        double most = 0;
        for (const double g : gradient) most = std::max(most, std::abs(g));
        return most;
    };
    net.each_parameter(
        [&](const fqt::parameter& p) { least_scale = std::max(least_scale, greatest(p.gradient) / 1000); });
    const auto check = [&](const auto& gradient, auto&& move) {
        const double scale = std::max(greatest(gradient), least_scale);
        const std::size_t count = gradient.size(), stride = count / most_elements + 1;
        for (std::size_t i = 0; i < count; i += stride) {
            CAPTURE(i);
            constexpr double step = 1e-7;
            move(i, step);
            const double up = loss();
            move(i, -step);
            const double down = loss();
            move(i, 0);
            const double slope = (up - down) / (2 * step), error = std::abs(slope - double(gradient[i])) / scale;
            worst = std::max(worst, error);
            CHECK(error < tolerance);
        }
    };

    index = 0;
    net.each_parameter([&](const fqt::parameter& p) {
        const std::string name = p.name.c_str();
        CAPTURE(name);
        twin::numbers& values = *own.parameters[index++].value;
        const twin::numbers before = values;
        check(p.gradient, [&](std::size_t i, double step) { values[i] = before[i] + step; });
    });
    for (const twin::product* layer : own.products) {
        CAPTURE(layer->name);
        const auto move = [&](const std::string& tensor, const char* what) {
            moved_layer = tensor, moved_what = what;
            return [&](std::size_t i, double step) { moved_element = i, by = step; };
        };
        check(watcher.codes.at(layer->name + " weight_gradient").v, move(layer->name, "sums"));
        // What a shortcut gives is a part of its block's gradient, which the body's first product returns whole.
        if (layer->learns && layer->name.find("shortcut") == std::string::npos)
            check(watcher.codes.at(layer->name + " gradient").v, move(layer->x->owner, "codes"));
        moved_layer.clear();
    }
    MESSAGE("greatest error ", worst, " of a tensor's greatest gradient");
}

} // namespace

TEST_CASE("gradients of convolutions, normalizations and dense layers are slopes of the loss") {
    check_gradients<convolutions>();
}
TEST_CASE("gradients of pools are slopes of the loss") { check_gradients<pools>(); }
TEST_CASE("gradients of residuals are slopes of the loss") { check_gradients<residuals>(); }
TEST_CASE("gradients of pre-activation residuals are slopes of the loss") { check_gradients<preactivation>(); }

TEST_CASE_TEMPLATE("slopes of a rectifier are those of its loss", R,
                   fqt::gain_energy<fqt::quantized_gain, fqt::through_sigma>,
                   fqt::gain_hinge<fqt::layer_gain, fqt::through_sigma>,
                   fqt::gain_crest<fqt::quantized_gain, fqt::through_sigma>,
                   fqt::even_gains<fqt::quantized_gain, fqt::through_sigma>, fqt::gain_energy<>,
                   fqt::even_gains<fqt::quantized_gain>) {
    constexpr int channels = 5;
    const auto gamma = twin::random_floats(channels, -2.0f, 3.0f, 3),
               sigma = twin::random_floats(channels, 0.5f, 2.0f, 4),
               scale = twin::random_floats(channels, 0.5f, 2.0f, 5);
    std::vector<float> by_gamma(channels), by_sigma(channels);
    const float loss = R::penalty({gamma, sigma, scale, scale, 0, 1, false}, by_gamma, by_sigma);

    constexpr twin::rectifier rule = twin::rectifier_of<R>;
    const double sum = std::accumulate(scale.begin(), scale.end(), 0.0);
    const auto loss_at = [&](int moved, double gamma_step, double sigma_step) {
        twin::numbers gains;
        for (int c = 0; c < channels; ++c) {
            const std::size_t k = twin::at(c);
            const double r =
                (double{gamma[k]} + (c == moved ? gamma_step : 0)) / (double{sigma[k]} + (c == moved ? sigma_step : 0));
            gains.push_back(rule.quantized_gain ? r * double{scale[k]} * channels / sum : r);
        }
        return rule.loss(gains);
    };
    CHECK(double{loss} == doctest::Approx(loss_at(0, 0, 0)));
    constexpr double step = 1e-6;
    for (int c = 0; c < channels; ++c) {
        CHECK(double{by_gamma[twin::at(c)]}
              == doctest::Approx((loss_at(c, step, 0) - loss_at(c, -step, 0)) / (2 * step)).epsilon(1e-6));
        const double slope = rule.through_sigma ? (loss_at(c, 0, step) - loss_at(c, 0, -step)) / (2 * step) : 0;
        CHECK(double{by_sigma[twin::at(c)]} == doctest::Approx(slope).epsilon(1e-6));
    }
}
