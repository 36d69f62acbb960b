// SPDX-License-Identifier: BSD-3-Clause
// Networks off the beaten track; each must train.
#include <fqt/layers/gate.hpp>
#include <fqt/quant/learned_range.hpp>

#include "support/check_trains.hpp"

using namespace fqt::layers;
using support::check_trains;

namespace {

constexpr fqt::window point{.kernel = 1};
constexpr auto preactivation = input<2, 6, 6> | conv<8> | residual(batch_norm<> | relu | conv<8>) | batch_norm<> | relu
    | global_avg_pool | dense<4>;
constexpr auto signed_activations = input<2, 6, 6> | conv<8, point> | dense<4>;
constexpr auto pool_first = input<2, 6, 6> | max_pool<> | dense<4>;
constexpr auto average_first = input<2, 6, 6> | avg_pool<> | dense<4>;
constexpr auto statistics_first = input<2, 6, 6> | batch_norm<> | dense<4>;
constexpr auto relu_first = input<2, 6, 6> | relu | dense<4>;
constexpr auto block_first = input<2, 6, 6> | residual(conv<5, fqt::window{1, 2, 0}>, pad_shortcut<5, 2>) | dense<4>;
constexpr auto normalized_shortcut = input<2, 6, 6> | conv<5> | batch_norm<> | relu
    | residual(conv<5> | batch_norm<>, batch_norm<>) | relu | global_avg_pool | dense<4>;
constexpr auto pooled_statistics = input<2, 6, 6> | max_pool<> | batch_norm<> | dense<4>;
constexpr auto gate_first = input<2, 6, 6> | gate(global_avg_pool | hard_sigmoid) | batch_norm<> | dense<4>;
constexpr auto gate_with_weights_first = input<2, 6, 6> | squeeze_excite<2, 4> | dense<4>;
constexpr auto block_of_statistics_first = input<2, 6, 6> | residual(batch_norm<> | relu) | dense<4>;

// Images have ranges, too, but none that is learnt.
using learnt = fqt::symmetric<8, fqt::nearest, fqt::per_tensor, fqt::learned_step>;
constexpr fqt::scheme learnt_ranges{
    .weight = learnt{},
    .activation = learnt{},
    .input_gradient = fqt::symmetric<8>{},
    .edges = fqt::uniform_edges{},
};

} // namespace

TEST_CASE("pre-activation residuals train") { check_trains<preactivation>(); }
TEST_CASE("a convolution whose activations are signed trains") { check_trains<signed_activations>(); }
TEST_CASE("a network that begins with a maximum pool trains") { check_trains<pool_first>(); }
TEST_CASE("a network that begins with an average pool trains") { check_trains<average_first>(); }
TEST_CASE("a network that begins with a batch normalization trains") { check_trains<statistics_first>(); }
TEST_CASE("a network that begins with relu trains") { check_trains<relu_first>(); }
TEST_CASE("a network that begins with a residual trains") { check_trains<block_first>(); }
TEST_CASE("a network that begins with a residual without a product trains") {
    check_trains<block_of_statistics_first>();
}
TEST_CASE("a network that begins with a gate trains") { check_trains<gate_with_weights_first>(); }
TEST_CASE("what reads the images before anything is learnt trains with learnt ranges") {
    check_trains<pooled_statistics, learnt_ranges>();
    check_trains<gate_first, learnt_ranges>();
    check_trains<block_first, learnt_ranges>();
}

TEST_CASE("a residual whose shortcut is a batch normalization trains") { check_trains<normalized_shortcut>(); }

TEST_CASE("a batch normalization of the images learns its gains and shifts") {
    using network = fqt::network<statistics_first, fqt::w8a8g4>;
    network net{fqt::seed{7}, {.batch = 8, .threads = 1}};
    support::pass(net, digest::batch<network>(8, 0));
    for (const char* name : {"1.gamma", "1.beta"})
        for (const float gradient : net.parameter(name).gradient) CHECK(gradient != 0);
}
