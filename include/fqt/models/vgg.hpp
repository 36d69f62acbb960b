#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Plain stacks of 3 x 3 convolutions for pictures of 32 x 32: VGG-16 with batch normalization, and the small VGG that
// papers on few-bit networks train.

#include <fqt/models/parts.hpp>

namespace fqt::models {

namespace detail {

inline constexpr auto halve = layers::max_pool<window{.kernel = 2, .stride = 2, .pad = 0}>;

/// N convolutions of so many channels, and a pool that halves height and width.
template <int Channels, int N, auto BatchNorm>
constexpr auto vgg_stage = layers::repeat<N>(conv_bn<Channels, 3, 1, BatchNorm> | layers::relu) | halve;

} // namespace detail

/// VGG-16 (Simonyan and Zisserman 2015, column D) with batch normalization for 3 x 32 x 32: thirteen convolutions and
/// one dense layer, as is usual for CIFAR. 14,724,042 parameters: no biases before batch normalization.
template <int Classes = 10, auto BatchNorm = any_batch_norm>
inline constexpr auto vgg16 = [] {
    using namespace layers;
    return input<3, 32, 32> | named<"stage1">(detail::vgg_stage<64, 2, BatchNorm>)
        | named<"stage2">(detail::vgg_stage<128, 2, BatchNorm>) | named<"stage3">(detail::vgg_stage<256, 3, BatchNorm>)
        | named<"stage4">(detail::vgg_stage<512, 3, BatchNorm>) | named<"stage5">(detail::vgg_stage<512, 3, BatchNorm>)
        | named<"head">(dense<Classes>);
}();

/// VGG-small for 3 x 32 x 32: two convolutions each of 128, 256 and 512 channels and one dense layer (Zhang et al.
/// 2018, LQ-Nets, after Courbariaux et al. 2015). 4,660,106 parameters.
template <int Classes = 10, auto BatchNorm = any_batch_norm>
inline constexpr auto vgg_small = [] {
    using namespace layers;
    return input<3, 32, 32> | named<"stage1">(detail::vgg_stage<128, 2, BatchNorm>)
        | named<"stage2">(detail::vgg_stage<256, 2, BatchNorm>) | named<"stage3">(detail::vgg_stage<512, 2, BatchNorm>)
        | named<"head">(dense<Classes>);
}();

} // namespace fqt::models
