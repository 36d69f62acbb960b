#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Residual networks: those for CIFAR with 6n + 2 layers and their pre-activation form, and those for ImageNet with
// their variants for small pictures.
//     fqt::network<fqt::models::resnet_cifar<20>, fqt::w8a8g4>
//     fqt::network<fqt::models::resnet<18, 10, fqt::models::stem::cifar>, fqt::w8a8g4>

#include <fqt/models/parts.hpp>

namespace fqt::models {

namespace detail {

using layers::relu;

/// conv-bn-relu-conv-bn on a shortcut, then relu (He et al. 2016, figure 5 left).
template <int Channels, int Stride, bool Changes, auto BatchNorm, shortcut Shortcut>
constexpr auto basic_block = [] {
    constexpr auto body = conv_bn<Channels, 3, Stride, BatchNorm> | relu | conv_bn<Channels, 3, 1, BatchNorm>;
    if constexpr (Changes)
        return layers::residual(body, changing_shortcut<Channels, Stride, BatchNorm, Shortcut>) | relu;
    else return layers::residual(body) | relu;
}();

/// 1 x 1, 3 x 3, 1 x 1 with four times as many channels at the end (figure 5 right); the stride is in the 3 x 3, as in
/// common libraries.
template <int Channels, int Stride, bool Changes, auto BatchNorm>
constexpr auto bottleneck = [] {
    constexpr auto body = conv_bn<Channels, 1, 1, BatchNorm> | relu | conv_bn<Channels, 3, Stride, BatchNorm> | relu
        | conv_bn<4 * Channels, 1, 1, BatchNorm>;
    if constexpr (Changes)
        return layers::residual(body, changing_shortcut<4 * Channels, Stride, BatchNorm, shortcut::convolution>) | relu;
    else return layers::residual(body) | relu;
}();

template <int Channels, int Stride, int Blocks, bool Changes, auto BatchNorm, shortcut Shortcut>
constexpr auto basic_stage = then_repeat<Blocks>(basic_block<Channels, Stride, Changes, BatchNorm, Shortcut>,
                                                 basic_block<Channels, 1, false, BatchNorm, Shortcut>);
template <int Channels, int Stride, int Blocks, auto BatchNorm>
constexpr auto bottleneck_stage = then_repeat<Blocks>(bottleneck<Channels, Stride, true, BatchNorm>,
                                                      bottleneck<Channels, 1, false, BatchNorm>);

/// bn-relu-conv-bn-relu-conv on the identity (He et al. 2016b, figure 1 b).
template <int Channels, auto BatchNorm>
constexpr auto preact_block = layers::residual(BatchNorm | relu | layers::conv<Channels> | BatchNorm | relu
                                               | layers::conv<Channels>);
/// Where the shape changes, body and 1 x 1 shortcut share the first bn-relu.
template <int Channels, int Stride, auto BatchNorm>
constexpr auto changing_preact_block = BatchNorm | relu
    | layers::residual(layers::conv<Channels, window{.stride = Stride}> | BatchNorm | relu | layers::conv<Channels>,
                       layers::conv<Channels, window{.kernel = 1, .stride = Stride}>);

template <stem Stem, auto BatchNorm>
constexpr auto resnet_stem = [] {
    using namespace layers;
    constexpr auto small = input<3, 32, 32>;
    constexpr auto large = input<3, 224, 224>;
    constexpr auto pool = max_pool<window{.kernel = 3, .stride = 2}>;
    if constexpr (Stem == stem::cifar) return small | named<"stem">(conv_bn<64, 3, 1, BatchNorm> | relu);
    else return large | named<"stem">(conv_bn<64, 7, 2, BatchNorm> | relu | pool);
}();

template <int Classes>
constexpr auto head = layers::named<"head">(layers::global_avg_pool | layers::dense<Classes>);

} // namespace detail

/// A ResNet of Depth = 6n + 2 weighted layers for 3 x 32 x 32 (He, Zhang, Ren, Sun 2016, section 4.2): 16, 32 and 64
/// channels in three stages of n blocks. Parameters with option A: 269,722 at depth 20, 853,018 at 56.
template <int Depth, int Classes = 10, auto BatchNorm = any_batch_norm, shortcut Shortcut = shortcut::pad>
inline constexpr auto resnet_cifar = [] {
    static_assert(Depth >= 8 && Depth % 6 == 2,
                  "fqt: resnet_cifar<Depth> takes depths of 6n + 2: 8, 14, 20, 32, 44, 56, 110");
    using namespace layers;
    constexpr int n = (Depth - 2) / 6;
    return input<3, 32, 32> | named<"stem">(conv_bn<16, 3, 1, BatchNorm> | relu)
        | named<"stage1">(detail::basic_stage<16, 1, n, false, BatchNorm, Shortcut>)
        | named<"stage2">(detail::basic_stage<32, 2, n, true, BatchNorm, Shortcut>)
        | named<"stage3">(detail::basic_stage<64, 2, n, true, BatchNorm, Shortcut>) | detail::head<Classes>;
}();

/// The same with normalization before each convolution (He, Zhang, Ren, Sun, "Identity Mappings in Deep Residual
/// Networks", 2016). Blocks that change shape have a 1 x 1 shortcut.
template <int Depth, int Classes = 10, auto BatchNorm = any_batch_norm>
inline constexpr auto preact_resnet_cifar = [] {
    static_assert(Depth >= 8 && Depth % 6 == 2,
                  "fqt: preact_resnet_cifar<Depth> takes depths of 6n + 2: 8, 14, 20, 32, 44, 56, 110");
    using namespace layers;
    constexpr int n = (Depth - 2) / 6;
    return input<3, 32, 32> | named<"stem">(conv<16>) | named<"stage1">(repeat<n>(detail::preact_block<16, BatchNorm>))
        | named<"stage2">(
               then_repeat<n>(detail::changing_preact_block<32, 2, BatchNorm>, detail::preact_block<32, BatchNorm>))
        | named<"stage3">(
               then_repeat<n>(detail::changing_preact_block<64, 2, BatchNorm>, detail::preact_block<64, BatchNorm>))
        | named<"end">(BatchNorm | relu) | detail::head<Classes>;
}();

/// ResNet-18, -34 or -50 (He, Zhang, Ren, Sun 2016, table 1), with 1 x 1 shortcuts: for 3 x 224 x 224, or for 3 x 32 x
/// 32 with a 3 x 3 stem of stride 1 and no pool. Parameters for ImageNet: 11,689,512, 21,797,672 and 25,557,032.
template <int Depth, int Classes = 1000, stem Stem = stem::imagenet, auto BatchNorm = any_batch_norm>
inline constexpr auto resnet = [] {
    static_assert(Depth == 18 || Depth == 34 || Depth == 50, "fqt: resnet<Depth> takes depths 18, 34 and 50");
    using namespace layers;
    constexpr auto first = detail::resnet_stem<Stem, BatchNorm>;
    constexpr bool is_18 = Depth == 18;
    if constexpr (Depth == 50) {
        return first | named<"stage1">(detail::bottleneck_stage<64, 1, 3, BatchNorm>)
            | named<"stage2">(detail::bottleneck_stage<128, 2, 4, BatchNorm>)
            | named<"stage3">(detail::bottleneck_stage<256, 2, 6, BatchNorm>)
            | named<"stage4">(detail::bottleneck_stage<512, 2, 3, BatchNorm>) | detail::head<Classes>;
    } else {
        constexpr auto by = shortcut::convolution;
        return first | named<"stage1">(detail::basic_stage < 64, 1, is_18 ? 2 : 3, false, BatchNorm, by >)
            | named<"stage2">(detail::basic_stage < 128, 2, is_18 ? 2 : 4, true, BatchNorm, by >)
            | named<"stage3">(detail::basic_stage < 256, 2, is_18 ? 2 : 6, true, BatchNorm, by >)
            | named<"stage4">(detail::basic_stage < 512, 2, is_18 ? 2 : 3, true, BatchNorm, by >)
            | detail::head<Classes>;
    }
}();

} // namespace fqt::models
