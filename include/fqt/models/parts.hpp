#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What the models of this folder are made of. A model is a spec, a value without precision: fqt::network<model, scheme>
// makes a network of it. Every model takes its batch normalization as an argument, by default one whose rectifier is
// chosen at run time (network_options.rectifier).

#include <fqt/layers/activations.hpp>
#include <fqt/layers/batch_norm.hpp>
#include <fqt/layers/chain.hpp>
#include <fqt/layers/conv.hpp>
#include <fqt/layers/pool.hpp>
#include <fqt/layers/residual.hpp>

namespace fqt::models {

/// The batch normalization of every model unless it is given another.
inline constexpr auto any_batch_norm = layers::batch_norm<any_rectifier>;

/// What stands before the first stage: for pictures of 32 x 32 a convolution of stride 1; for those of ImageNet one of
/// stride 2, in ResNets with a pool of stride 2 behind it.
enum class stem { cifar, imagenet };

/// How a residual block that changes shape passes its input on (He, Zhang, Ren, Sun 2016, section 4.1): option A
/// without weights, zeros for new channels; option B by a 1 x 1 convolution.
enum class shortcut { pad, convolution };

/// A convolution of an odd kernel that keeps height and width up to its stride, with batch normalization.
template <int Channels, int Kernel, int Stride, auto BatchNorm, int Groups = 1>
constexpr auto conv_bn =
    layers::conv<Channels, window{.kernel = Kernel, .stride = Stride, .pad = Kernel / 2, .groups = Groups}> | BatchNorm;

/// The shortcut of a block that changes shape.
template <int Channels, int Stride, auto BatchNorm, shortcut Shortcut>
constexpr auto changing_shortcut = [] {
    if constexpr (Shortcut == shortcut::pad) return layers::pad_shortcut<Channels, Stride>;
    else return conv_bn<Channels, 1, Stride, BatchNorm>;
}();

/// A first part, and Times - 1 others behind it.
template <int Times, layer_spec First, layer_spec Other>
constexpr auto then_repeat(First first, Other other) {
    if constexpr (Times == 1) return first;
    else return first | layers::repeat<Times - 1>(other);
}

} // namespace fqt::models
