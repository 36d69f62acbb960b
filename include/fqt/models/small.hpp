#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Networks for first steps: LeNet-5, and a perceptron with batch normalization.

#include <fqt/models/parts.hpp>

namespace fqt::models {

/// LeNet-5 for 1 x 28 x 28 with ReLU, maximum pools and fully connected feature maps, as it is trained today (LeCun,
/// Bottou, Bengio, Haffner 1998, figure 2, whose pictures are padded to 32 x 32). 61,706 parameters, 416,520
/// multiply-adds. No batch normalization, so no rectifier acts on it.
template <int Classes = 10>
inline constexpr auto lenet5 = [] {
    using namespace layers;
    constexpr auto halve = max_pool<window{.kernel = 2, .stride = 2, .pad = 0}>;
    return input<1, 28, 28> | named<"conv1">(conv<6, window{.kernel = 5, .pad = 2}, with_bias> | relu | halve)
        | named<"conv2">(conv<16, window{.kernel = 5, .pad = 0}, with_bias> | relu | halve)
        | named<"dense1">(dense<120> | relu) | named<"dense2">(dense<84> | relu) | named<"head">(dense<Classes>);
}();

/// A perceptron with batch normalization and ReLU behind each hidden layer: mlp<shape{1, 28, 28}, 10, any_batch_norm,
/// 512, 512>.
template <shape In, int Classes, auto BatchNorm, int... Widths>
inline constexpr auto mlp = [] {
    using namespace layers;
    static_assert(sizeof...(Widths) > 0, "fqt: mlp needs the width of at least one hidden layer");
    return (input<In.channels, In.height, In.width> | ... | (dense<Widths, without_bias> | BatchNorm | relu))
        | named<"head">(dense<Classes>);
}();

} // namespace fqt::models
