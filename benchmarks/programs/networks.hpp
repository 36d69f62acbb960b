#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The networks that are timed, each with rectified batch normalization.

#include <fqt/fqt.hpp>

namespace benchmark {

using namespace fqt::layers;

template <int Channels, int Stride = 1>
constexpr auto conv_bn = conv<Channels, fqt::window{.kernel = 3, .stride = Stride}> | batch_norm<fqt::gain_crest<>>;

template <int Channels, int Stride = 1>
constexpr auto conv_bn_relu = conv_bn<Channels, Stride> | relu;

template <int Channels>
constexpr auto block = residual(conv_bn_relu<Channels> | conv_bn<Channels>) | relu;
template <int Channels>
constexpr auto halving_block = residual(conv_bn_relu<Channels, 2> | conv_bn<Channels>, pad_shortcut<Channels, 2>)
    | relu;

/// 6 * Blocks + 2 layers (He, Zhang, Ren, Sun 2016, section 4.2), shortcuts without weights (option A).
template <int Blocks>
constexpr auto resnet = input<3, 32, 32> | conv_bn_relu<16> | repeat<Blocks>(block<16>)
    | halving_block<32> | repeat<Blocks - 1>(block<32>) | halving_block<64> | repeat<Blocks - 1>(block<64>)
    | global_avg_pool | dense<10>;

inline constexpr auto resnet20 = resnet<3>;
inline constexpr auto resnet110 = resnet<18>;

inline constexpr auto small_cnn =
    input<1, 28, 28> | conv_bn_relu<32> | conv_bn_relu<64, 2> | conv_bn_relu<64, 2> | global_avg_pool | dense<10>;

template <int Channels>
constexpr auto vgg_stage =
    conv_bn_relu<Channels> | conv_bn_relu<Channels> | max_pool<fqt::window{.kernel = 2, .stride = 2, .pad = 0}>;
inline constexpr auto vgg =
    input<3, 32, 32> | vgg_stage<64> | vgg_stage<128> | vgg_stage<256> | global_avg_pool | dense<10>;

/// The schemes that networks are timed with.
namespace schemes {

using fqt::fp32, fqt::w8a8, fqt::w8a8g8, fqt::w8a8g4, fqt::w8a8g2;
inline constexpr auto w8a8_blocks2 = fqt::w8a8_blocks<2>;

/// w8a8g4 without random numbers: what they cost is the difference.
inline constexpr fqt::scheme<fqt::symmetric<8, fqt::nearest, fqt::per_channel>, fqt::symmetric<8>,
                             fqt::symmetric<4, fqt::nearest, fqt::per_sample>>
    w8a8g4nearest{};

/// Weights, activations and gradients of Bits bits.
template <int Bits>
inline constexpr fqt::scheme<fqt::symmetric<Bits, fqt::nearest, fqt::per_channel>, fqt::symmetric<Bits>,
                             fqt::symmetric<Bits, fqt::stochastic, fqt::per_sample>>
    all_in{};
inline constexpr auto w4a4g4 = all_in<4>;
inline constexpr auto w2a2g2 = all_in<2>;

} // namespace schemes

} // namespace benchmark
