#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// ResNet-20 for images of 3 x 32 x 32 (He, Zhang, Ren, Sun 2016, section 4.2), shortcuts without weights (option A).

#include <fqt/fqt.hpp>

namespace step_benchmark {

using namespace fqt::layers;

template <int Channels, int Stride = 1>
constexpr auto conv_bn = conv<Channels, fqt::window{.kernel = 3, .stride = Stride}> | batch_norm<fqt::gain_crest<>>;

template <int Channels>
constexpr auto block = residual(conv_bn<Channels> | relu | conv_bn<Channels>) | relu;
template <int Channels>
constexpr auto halving_block = residual(conv_bn<Channels, 2> | relu | conv_bn<Channels>, pad_shortcut<Channels, 2>)
    | relu;

inline constexpr auto resnet20 = input<3, 32, 32> | conv_bn<16> | relu | repeat<3>(block<16>)
    | halving_block<32> | repeat<2>(block<32>) | halving_block<64> | repeat<2>(block<64>) | global_avg_pool | dense<10>;

} // namespace step_benchmark
