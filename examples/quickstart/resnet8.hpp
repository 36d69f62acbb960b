#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The network of the quickstart: a ResNet of eight weighted layers for pictures of 28 x 28, with shortcuts without
// weights (option A of He et al. 2016) and a rectifier on every batch normalization.

#include <fqt/fqt.hpp>

namespace quickstart {

using namespace fqt::layers;

// Evens out the gains of the channels; its weight is a run-time number, and 0 turns it off.
template <int Channels, int Stride = 1, class Normalization = fqt::standard>
constexpr auto conv_bn =
    conv<Channels, fqt::window{.kernel = 3, .stride = Stride}> | batch_norm<fqt::gain_crest<>, Normalization>;

template <int Channels, int Stride = 1, class Normalization = fqt::standard>
constexpr auto block = residual(conv_bn<Channels, Stride, Normalization> | relu | conv_bn<Channels, 1, Normalization>,
                                pad_shortcut<Channels, Stride>)
    | relu;

template <class Normalization>
inline constexpr auto resnet8_with = input<1, 28, 28> | named<"stem">(conv_bn<16, 1, Normalization> | relu)
    | named<"stage1">(block<16, 1, Normalization>) | named<"stage2">(block<32, 2, Normalization>)
    | named<"stage3">(block<64, 2, Normalization>) | named<"head">(global_avg_pool | dense<10>);

inline constexpr auto resnet8 = resnet8_with<fqt::standard>; // no reference: g++ 12 takes none as an argument

/// The recipe that every row of the table shares.
struct recipe {
    int epochs = 1;
    float rate = 0.1f;       ///< peak of one cycle
    float decay = 5e-4f;     ///< of the weights
    float rectification = 0; ///< weight of the rectifiers' loss
    std::uint64_t seed = 1;
    std::FILE* log = nullptr; ///< for the progress bar
};

struct outcome {
    double accuracy{}, images_per_second{};
};

/// Trains resnet8 in a scheme and tests it. Each scheme is compiled in a file of its own.
template <const auto& Scheme>
outcome train(const fqt::train_and_test& data, const recipe& r, fqt::confusion_matrix* confusion = nullptr);

} // namespace quickstart
