// SPDX-License-Identifier: BSD-3-Clause
// One number stands for a training run. Every build must give it: instruction sets, compilers and optimisation levels
// by building this file again (suite isa, and --long), numbers of threads here.
#include "support/digest.hpp"

#include <fqt/layers/activations.hpp>
#include <fqt/layers/dropout.hpp>
#include <fqt/layers/gate.hpp>
#include <fqt/quant/algorithms.hpp>
#include <fqt/quant/hadamard.hpp>

#include <doctest/doctest.h>

using namespace fqt::layers;

namespace {

template <int C, int Stride = 1>
constexpr auto conv_bn =
    conv<C,
         fqt::window{.kernel = 3,
                     .stride = Stride}> | batch_norm<fqt::even_gains<fqt::quantized_gain, fqt::through_sigma>>;

// Odd channel counts and sizes, a stride, all shortcuts, pools, a gate, groups, biases, signed and unsigned codes.
inline constexpr auto everything = input<3, 9, 9> | conv_bn<8> | relu
    | residual(conv_bn<20, 2> | relu | conv_bn<20>, pad_shortcut<20, 2>) | relu
    | residual(conv<17> | batch_norm<>, conv<17, fqt::window{.kernel = 1, .pad = 0}>)
    | max_pool<fqt::window{.kernel = 2,
                           .stride = 1,
                           .pad = 0}> | conv<12, fqt::window{.kernel = 2, .pad = 1, .groups = 1}, fqt::with_bias> | relu
    | gate(global_avg_pool | hard_sigmoid) | avg_pool<> | dense<7>;

inline constexpr auto small =
    input<1, 8, 8> | conv_bn<16> | relu | residual(conv_bn<16>) | relu | global_avg_pool | dense<5>;

inline constexpr fqt::scheme mixed{
    .weight = fqt::symmetric<4, fqt::nearest, fqt::per_channel>{},
    .activation = fqt::symmetric<3>{},
    .input_gradient = fqt::symmetric<2, fqt::stochastic, fqt::per_sample>{},
    .weight_gradient = fqt::symmetric<5, fqt::stochastic, fqt::per_channel>{},
};

// Each part by an algorithm of its own: all kinds of grids, ranges, blocks and normalizations.
namespace published = fqt::algorithms;
template <class Normalization = fqt::standard>
constexpr auto part = conv<16> | batch_norm<fqt::gain_energy<>, Normalization> | relu;
inline constexpr fqt::scheme transformed{
    .weight = fqt::symmetric<4>{},
    .activation = fqt::asymmetric<5>{},
    .input_gradient = fqt::hadamard<fqt::block_scaled<fqt::dorefa_levels<2, fqt::stratified>>>{},
    .weight_gradient = fqt::hadamard<fqt::block_scaled<fqt::symmetric<3, fqt::stochastic, fqt::per_sample>>>{},
};
inline constexpr auto algorithms = input<3, 6, 5> | part<> //
    | with<published::dorefa<3, 4, 4>>(residual(conv<16> | batch_norm<>) | relu | max_pool<>)
    | with<published::statquant_psq<4>>(part<fqt::range_norm>) | with<published::sbm>(part<>)
    | with<published::ultra_low>(part<fqt::l1_norm>) | with<published::luq_smp<>>(part<>)
    | with<published::daint8>(part<>) | with<published::ui8>(part<>) | with<published::statquant_bhq<4>>(part<>)
    | with<transformed>(part<>) | with<published::fp8_delayed<2>>(part<>) | with<published::nvfp4>(part<>)
    | with<published::mxint8>(part<>) | with<published::wageubn>(part<fqt::quantized_affine<8>>) | dense<5>;

// What the others leave out: depthwise and grouped convolutions, other activations, dropout, frozen statistics. And
// weight gradients whose kernels take several samples at once, how many depends on the instruction set: of two bytes,
// and of two roundings, in batches so large that a group of the sum has more samples than that.
template <int Channels, int Groups, int Stride = 1>
constexpr auto grouped = conv<Channels, fqt::window{.kernel = 3, .stride = Stride, .groups = Groups}>;
constexpr auto pointwise = conv<24, fqt::window{.kernel = 1, .stride = 2, .pad = 0}>;
constexpr auto frozen_norm = batch_norm<fqt::unrectified, fqt::frozen>;
constexpr auto at_once = residual(with<published::sbm>(pointwise), with<published::luq_smp<>>(pointwise));
inline constexpr auto the_rest = input<3, 16, 16> | conv<16> | batch_norm<> | relu6 | grouped<16, 16> | frozen_norm
    | leaky_relu<0.1f> | at_once | batch_norm<> | hard_swish | grouped<18, 6, 2> | dropout<30> | dense<5>;

} // namespace

// These numbers were printed by one build; every other must give them. They change only when the arithmetic does.

TEST_CASE("every layer, with mixed formats, gives the same bits on any number of threads") {
    for (const int threads : {1, 2, 3})
        CHECK(digest::of_training<fqt::network<everything, mixed>>(5, 3, threads) == 7675989324262404146u);
}
TEST_CASE("a small network with 4-bit gradients gives the same bits on any number of threads") {
    for (const int threads : {1, 2, 3})
        CHECK(digest::of_training<fqt::network<small, fqt::w8a8g4>>(5, 3, threads) == 15568325272017410417u);
}
TEST_CASE("so does the fp32 scheme") {
    for (const int threads : {1, 2, 3})
        CHECK(digest::of_training<fqt::network<small, fqt::fp32>>(5, 3, threads) == 16763308493453808624u);
}
TEST_CASE("so does the scheme with float gradients") {
    CHECK(digest::of_training<fqt::network<small, fqt::w8a8>>(5, 3, 2) == 5858150114906566854u);
}
TEST_CASE("so do fixed-point master weights and momentum") {
    using net = fqt::network<small, fqt::w8a8g4>;
    CHECK(digest::of_training<net, fqt::fixed_point<16>, fqt::fixed_point<8, fqt::nearest>>(5, 3, 2)
          == 10007768398196023190u);
}
TEST_CASE("so do parts by published algorithms") {
    for (const int threads : {1, 2, 3})
        CHECK(digest::of_training<fqt::network<algorithms, fqt::w8a8g4>>(5, 3, threads) == 15985254749516553000u);
}
TEST_CASE("so do two bits in blocks of 16 channels") {
    for (const int threads : {1, 2})
        CHECK(digest::of_training<fqt::network<small, fqt::w8a8_blocks<2>>>(5, 3, threads) == 15470649559750932988u);
}
TEST_CASE("so do grouped convolutions, other activations, and weight gradients of several samples at once") {
    CHECK(digest::of_training<fqt::network<the_rest, fqt::w8a8g4>>(64, 2, 2) == 16534201006546159228u);
}
