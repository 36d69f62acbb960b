#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// MobileNetV2 (Sandler, Howard, Zhu, Zhmoginov, Chen 2018): inverted residuals with depthwise convolutions and linear
// ends. Few products for each batch normalization, so a hard case for quantized gradients.

#include <fqt/models/parts.hpp>

namespace fqt::models {

namespace detail {

/// Widen by 1 x 1 (unless Widen is 1), 3 x 3 depthwise, narrow by 1 x 1 without activation (table 1); on the identity
/// where the shape stays.
template <int In, int Out, int Widen, int Stride, auto BatchNorm>
constexpr auto inverted_residual = [] {
    using namespace layers;
    constexpr int inner = In * Widen;
    constexpr auto rest = conv_bn<inner, 3, Stride, BatchNorm, inner> | relu6 | conv_bn<Out, 1, 1, BatchNorm>;
    constexpr auto body = [rest] {
        if constexpr (Widen == 1) return rest;
        else return conv_bn<inner, 1, 1, BatchNorm> | relu6 | rest;
    }();
    if constexpr (Stride == 1 && In == Out) return residual(body);
    else return body;
}();

template <int In, int Out, int Widen, int Stride, int Blocks, auto BatchNorm>
constexpr auto inverted_stage = then_repeat<Blocks>(inverted_residual<In, Out, Widen, Stride, BatchNorm>,
                                                    inverted_residual<Out, Out, Widen, 1, BatchNorm>);

} // namespace detail

/// MobileNetV2 of width 1 (table 2): for 3 x 224 x 224, or for 3 x 32 x 32 with strides of 1 in the stem and the second
/// stage. 3,504,872 parameters with 1,000 classes, 2,236,682 with 10.
template <int Classes = 1000, stem Stem = stem::imagenet, auto BatchNorm = any_batch_norm>
inline constexpr auto mobilenet_v2 = [] {
    using namespace layers;
    constexpr int side = Stem == stem::cifar ? 32 : 224, early = Stem == stem::cifar ? 1 : 2;
    return input<3, side, side> | named<"stem">(conv_bn<32, 3, early, BatchNorm> | relu6)
        | named<"stage1">(detail::inverted_stage<32, 16, 1, 1, 1, BatchNorm>)
        | named<"stage2">(detail::inverted_stage<16, 24, 6, early, 2, BatchNorm>)
        | named<"stage3">(detail::inverted_stage<24, 32, 6, 2, 3, BatchNorm>)
        | named<"stage4">(detail::inverted_stage<32, 64, 6, 2, 4, BatchNorm>)
        | named<"stage5">(detail::inverted_stage<64, 96, 6, 1, 3, BatchNorm>)
        | named<"stage6">(detail::inverted_stage<96, 160, 6, 2, 3, BatchNorm>)
        | named<"stage7">(detail::inverted_stage<160, 320, 6, 1, 1, BatchNorm>)
        | named<"last">(conv_bn<1280, 1, 1, BatchNorm> | relu6) | named<"head">(global_avg_pool | dense<Classes>);
}();

} // namespace fqt::models
