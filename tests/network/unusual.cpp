// SPDX-License-Identifier: BSD-3-Clause
// Networks and formats off the beaten track: each must train, which here means that some steps on one small batch leave
// less than half of the loss.
#include "../support/training.hpp"

#include <doctest/doctest.h>

#include <algorithm>

using namespace fqt::layers;

namespace {

template <const auto& Spec, const auto& Scheme = fqt::w8a8g4>
void check_trains(int steps = 40, float rate = 0.1f) {
    using network = fqt::network<Spec, Scheme>;
    network net{fqt::seed{7}, {.batch = 8, .threads = 1}};
    const digest::batch<network> b(8, 0);
    const auto losses = support::train(net, b, steps, rate);
    CAPTURE(losses.front());
    CHECK(losses.back() < losses.front() / 2);
    // Evaluation goes through the same layers.
    const auto logits = net.predict(b.images, 8);
    const float loss = fqt::cross_entropy(logits, b.labels, {}).value;
    CHECK(loss < losses.front() / 2);
}

constexpr fqt::window point{.kernel = 1};
constexpr auto preactivation = input<2, 6, 6> | conv<8> | residual(batch_norm<> | relu | conv<8>) | batch_norm<> | relu
    | global_avg_pool | dense<4>;
constexpr auto signed_activations = input<2, 6, 6> | conv<8, point> | dense<4>;
constexpr auto pool_first = input<2, 6, 6> | max_pool<> | dense<4>;
constexpr auto average_first = input<2, 6, 6> | avg_pool<> | dense<4>;
constexpr auto statistics_first = input<2, 6, 6> | batch_norm<> | dense<4>;
constexpr auto relu_first = input<2, 6, 6> | relu | dense<4>;
constexpr auto block_first = input<2, 6, 6> | residual(conv<2, point>) | dense<4>;
constexpr auto block_of_statistics_first = input<2, 6, 6> | residual(batch_norm<> | relu) | dense<4>;
constexpr auto padded_block_first = input<2, 6, 6> | residual(conv<5, fqt::window{1, 2, 0}>, pad_shortcut<5, 2>) | dense<4>;
constexpr auto nothing_but_dense = input<2, 6, 6> | dense<4>;
constexpr auto hidden = input<2, 6, 6> | dense<24> | relu | dense<4>;
constexpr auto nested = input<2, 6, 6> | conv<4, point> | residual(residual(conv<4, point>) | relu) | dense<4>;

/// Nothing but the three functions: codes are signed square roots, by 8 bits, one grid a tensor.
struct square_root {
    static float fit(fqt::interval range, fqt::code_limits limits) {
        const float most = static_cast<float>(limits.high);
        return range.magnitude() > 0 ? range.magnitude() / (most * most) : 1.0f;
    }
    static auto encode(auto x, float unit, auto u) {
        const auto root = fqt::stochastic::round(sqrt(abs(x) * (1.0f / unit)), u);
        return where(x < 0.0f, -root, root);
    }
    static auto decode(auto q, float unit) { return q * abs(q) * unit; }
};
constexpr fqt::scheme own_everywhere{square_root{}, square_root{}, square_root{}, square_root{}};
/// Own formats beside the library's: products of integers and of floats in one layer.
constexpr fqt::scheme own_gradients{fqt::symmetric<8, fqt::nearest, fqt::per_channel>{}, fqt::symmetric<8>{}, square_root{},
                                    fqt::symmetric<4, fqt::stochastic, fqt::per_channel>{}};
constexpr fqt::scheme two_bits{fqt::symmetric<4, fqt::nearest, fqt::per_channel>{}, fqt::symmetric<2>{},
                               fqt::symmetric<2, fqt::stochastic, fqt::per_sample>{}};

} // namespace

TEST_CASE("pre-activation residuals train") { check_trains<preactivation>(); }
TEST_CASE("a convolution whose activations are signed trains") { check_trains<signed_activations>(); }
TEST_CASE("a network of one dense layer trains") { check_trains<nothing_but_dense>(); }
TEST_CASE("a network that begins with a maximum pool trains") { check_trains<pool_first>(); }
TEST_CASE("a network that begins with an average pool trains") { check_trains<average_first>(); }
TEST_CASE("a network that begins with a batch normalization trains") { check_trains<statistics_first>(); }
TEST_CASE("a network that begins with relu trains") { check_trains<relu_first>(); }
TEST_CASE("a network that begins with a residual trains") { check_trains<block_first>(); }
TEST_CASE("a network that begins with a residual without a product trains") { check_trains<block_of_statistics_first>(); }
TEST_CASE("a network that begins with a residual and a padded shortcut trains") { check_trains<padded_block_first>(); }
TEST_CASE("a residual in a residual trains") { check_trains<nested>(); }

TEST_CASE("a batch normalization of the images learns its gains and shifts") {
    using network = fqt::network<statistics_first, fqt::w8a8g4>;
    network net{fqt::seed{7}, {.batch = 8, .threads = 1}};
    support::pass(net, digest::batch<network>(8, 0));
    for (const char* name : {"1.gamma", "1.beta"})
        for (const float gradient : net.parameter(name).gradient) CHECK(gradient != 0);
}

TEST_CASE("a quantizer with nothing but fit, encode and decode trains, for all four tensors") {
    check_trains<hidden, own_everywhere>();
}
TEST_CASE("a user's quantizer of gradients trains beside the library's formats") { check_trains<hidden, own_gradients>(); }
TEST_CASE("activations and gradients of two bits train") { check_trains<hidden, two_bits>(80, 0.05f); }
TEST_CASE("a network in floats trains") { check_trains<hidden, fqt::fp32>(); }
TEST_CASE("a network with float gradients trains") { check_trains<hidden, fqt::w8a8>(); }
