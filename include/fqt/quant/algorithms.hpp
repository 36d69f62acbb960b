#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Published algorithms of fully quantized training, each a scheme with its paper, and what was chosen where the paper
// is silent or this library cannot follow. A scheme says how tensors are quantized; what else an algorithm consists of
// - batch normalization, optimizer, initialisation - is named beside it and given to the network and trainer. Every
// algorithm takes any rectifier: batch_norm<rectifier>. docs/algorithms.md has all of them in one table.
//
// Common choices: gradients between layers are bfloat16, sums of integer products binary16 times a power of two;
// biases, batch normalization and the loss are in floats unless said otherwise; momentum SGD on float master weights.

#include <fqt/quant/adaptive_resolution.hpp>
#include <fqt/quant/asymmetric.hpp>
#include <fqt/quant/blocks.hpp>
#include <fqt/quant/clip_memory.hpp>
#include <fqt/quant/clip_search.hpp>
#include <fqt/quant/clipping.hpp>
#include <fqt/quant/dorefa.hpp>
#include <fqt/quant/learned_range.hpp>
#include <fqt/quant/mean_of.hpp>
#include <fqt/quant/minifloat.hpp>
#include <fqt/quant/power_of_two.hpp>
#include <fqt/quant/pseudo_stochastic.hpp>
#include <fqt/quant/radix4.hpp>
#include <fqt/quant/scheme.hpp>
#include <fqt/quant/tanh_weights.hpp>

namespace fqt::algorithms {

namespace detail {

template <class Weight, class Activation, class InputGradient, class WeightGradient = InputGradient,
          class Edges = eight_bit_edges>
using formats = scheme<Weight, Activation, InputGradient, WeightGradient, binary16, bfloat16, binary16, Edges>;

template <int Bits>
struct dorefa_weights {
    using type = tanh_weights<dorefa_levels<Bits, nearest>>;
};
template <>
struct dorefa_weights<1> {
    using type = sign_of<>;
};

} // namespace detail

// ---- uniform grids ----

/// DoReFa-Net (Zhou, Wu, Ni, Zhou, Wen, Zou 2016; the authors' code). Weights tanh-normalized on 2^k levels without
/// zero, of one bit sign(w) E|w| (eq. 7, 9); activations clipped to [0, 1] (eq. 11); gradients on 2^k levels without
/// zero by sample, stochastic (eq. 12); first and last product in floats. 1-2-6 and 1-2-4 are the paper's.
template <int WeightBits = 1, int ActivationBits = 2, int GradientBits = 4>
inline constexpr detail::formats<typename detail::dorefa_weights<WeightBits>::type,
                                 symmetric<ActivationBits, nearest, per_tensor, fixed_range<0.0f, 1.0f>>,
                                 dorefa_levels<GradientBits, stochastic, per_sample>,
                                 dorefa_levels<GradientBits, stochastic, per_sample>, float_edges>
    dorefa{};

/// WAGE 2-8-8-8 (Wu, Li, Chen, Shi, ICLR 2018; the authors' code). Ternary weights in steps of 1/2, activations in
/// steps of 2^-7, errors at Shift(max|e|) = 2^round(log2 max|e|), all to nearest; all layers. Initialise with
/// wage_initialise and train with integer_sgd, which keeps weights on an 8-bit grid: with other initialisations ternary
/// weights begin as zeros. The paper has no batch normalization, whose place the layers' constant scales take; both
/// compute the same function up to a power of two. Activations that cannot be negative use the sign's bit: [0, 2).
inline constexpr detail::formats<fixed_step<2>, fixed_step<8>,
                                 power_of_two<8, nearest, per_tensor, full_range, nearest_power>,
                                 power_of_two<8, nearest, per_tensor, full_range, nearest_power>, uniform_edges>
    wage{};

/// WAGEUBN (Yang, Wu, Deng et al., Neural Networks 2020; the authors' code). Weights and activations in steps of 2^-7;
/// the gradient of sums in two ranges with a flag (E2), here 8 bits with the flag: integers to 4032, of two bytes.
/// Batch normalization quantized_affine<8>. The paper's integer optimizer is not part of the scheme.
inline constexpr detail::formats<fixed_step<8>, fixed_step<8>, flag_grid<8>, flag_grid<8>, uniform_edges> wageubn{};

/// SBM (Banner, Hubara, Hoffer, Soudry: Scalable methods, NeurIPS 2018). 8-bit weights and activations by tensor, from
/// the least to the greatest value; gradient bifurcation: 8 bits stochastic into dX, 16 into dW, which the authors'
/// code leaves in floats; all layers. Batch normalization range_norm. Zero points make integers of 9 bits, so of two
/// bytes. Ranges of activations are those of the batch, not means over samples.
inline constexpr detail::formats<asymmetric<8>, asymmetric<8>, asymmetric<8, stochastic>, symmetric<16, stochastic>,
                                 uniform_edges>
    sbm{};

/// Unified INT8 (Zhu, Gong, Yu, Liu, Wang, Li, Yan, CVPR 2020; second hand). 8 bits by tensor; gradients clipped where
/// the cosine with the true gradient is greatest (direction sensitive clipping), searched at every step; the paper does
/// so every 100. Its learning rate scaling by exp(-20 d), at least 0.1, is deviation_rate, an argument of sgd::step.
inline constexpr detail::formats<symmetric<8>, symmetric<8>, symmetric<8, stochastic, per_tensor, greatest_cosine>,
                                 symmetric<8, stochastic, per_tensor, greatest_cosine>>
    ui8{};

/// Distribution adaptive INT8 (Zhao, Huang, Pan, Li, Zhang, Gu, Xu, AAAI 2021; second hand). 8 bits; the gradient into
/// dW by channel, into dX by tensor, each clipped by the kind of its distribution (magnitude-aware clipping).
inline constexpr detail::formats<symmetric<8>, symmetric<8>, symmetric<8, stochastic, per_tensor, magnitude_aware<>>,
                                 symmetric<8, stochastic, per_channel, magnitude_aware<>>>
    daint8{};

/// FPBP, adaptive precision training (Zhang, Liu, Zhang et al., CVPR 2020; from memory). 8-bit weights and activations;
/// gradients of 8 bits, or of 16 where 8 would err by more than 3 % (adaptive_resolution), in every layer and step
/// anew, to nearest. The paper's 24 bits are those of a float.
inline constexpr detail::formats<power_of_two<8>, power_of_two<8>,
                                 power_of_two<16, nearest, per_tensor, adaptive_resolution<>>>
    fpbp{};

/// StatQuant's PTQ (Chen, Gai, Yao, Mahoney, Gonzalez, NeurIPS 2020; the authors' code): gradients of Bits bits between
/// the least and the greatest value with an exact zero, one grid a tensor, stochastic; dW at 8 bits always, as in their
/// code (bwbits = 8), symmetric. At 8 bits integers with a zero point take two bytes. All layers.
template <int Bits>
inline constexpr detail::formats<symmetric<8>, symmetric<8>, asymmetric<Bits, stochastic, per_tensor>,
                                 symmetric<8, stochastic>, uniform_edges>
    statquant_ptq{};

/// StatQuant's PSQ: the same with a grid for each sample.
template <int Bits>
inline constexpr detail::formats<symmetric<8>, symmetric<8>, asymmetric<Bits, stochastic, per_sample>,
                                 symmetric<8, stochastic, per_sample>, uniform_edges>
    statquant_psq{};

/// StatQuant's BHQ: samples are grouped and reflected so that each group shares its variance (per_householder), then
/// quantized on symmetric grids of their own.
template <int Bits>
inline constexpr detail::formats<symmetric<8>, symmetric<8>, symmetric<Bits, stochastic, per_householder>,
                                 symmetric<8, stochastic, per_sample>, uniform_edges>
    statquant_bhq{};

// ---- logarithmic grids ----

/// Ultra-low precision 4-bit training (Sun, Wang, Chen et al., NeurIPS 2020; second hand and from memory). Weights by
/// SAWB, activations by PACT (give the optimizer decay_range); gradients 1-3-0 in radix 4, even powers into dX, odd
/// ones into dW (two-phase rounding), to nearest. Integers to 4096 take two bytes. The scale is the tensor's largest
/// magnitude; the paper's trainable GradScale, as far as it is known here (grad_scale), made training unsteady.
inline constexpr detail::formats<symmetric<4, nearest, per_tensor, sawb>,
                                 symmetric<4, nearest, per_tensor, clipped_activation>, radix4<even_powers>,
                                 radix4<odd_powers>>
    ultra_low{};

/// LUQ (Chmiel, Banner, Hoffer, Ben Yaacov, Soudry, ICLR 2023). 4-bit weights and activations by SAWB; gradients of
/// Bits bits on a logarithmic grid with stochastic underflow and logarithmic stochastic rounding, all unbiased. Powers
/// of two to 64 are integers of a byte, and those of 5 bits, to 16384, of two.
template <int Bits = 4>
inline constexpr detail::formats<symmetric<4, nearest, per_tensor, sawb>, symmetric<4, nearest, per_tensor, sawb>,
                                 fqt::luq<Bits>>
    luq{};

/// LUQ with SMP: dW is the mean of Samples products, each with its own rounding.
template <int Bits = 4, int Samples = 2>
inline constexpr detail::formats<symmetric<4, nearest, per_tensor, sawb>, symmetric<4, nearest, per_tensor, sawb>,
                                 fqt::luq<Bits>, mean_of<Samples, fqt::luq<Bits>>>
    luq_smp{};

// ---- eight-bit floats: products run on floats in a fixed order ----

/// FP8 (Wang, Choi, Brand, Chen, Gopalakrishnan, NeurIPS 2018; from memory). All operands 1-5-2, to nearest, scaled to
/// the tensor instead of by a loss scale of 1000; the last product in 16 bits there, first and last in floats here.
/// Sums in fp32 instead of chunks in 16 bits.
inline constexpr detail::formats<e5m2<>, e5m2<>, e5m2<>, e5m2<>, float_edges> fp8{};

/// Hybrid FP8 (Sun, Choi, Chen et al., NeurIPS 2019; from memory): 1-4-3 forward, 1-5-2 backward, to nearest; edges in
/// floats.
inline constexpr detail::formats<e4m3<>, e4m3<>, e5m2<>, e5m2<>, float_edges> hfp8{};

/// The delayed scaling of NVIDIA's Transformer Engine (read in its source): hybrid FP8 with the largest magnitude of
/// the last History steps for a scale; steps that saturate are counted. There it saves the pass that measures; here
/// that pass is the one that remembers this step's magnitude.
template <int History = 1024>
inline constexpr detail::formats<
    e4m3<nearest, per_tensor, delayed<History>>, e4m3<nearest, per_tensor, delayed<History>>,
    e5m2<nearest, per_tensor, delayed<History>>, e5m2<nearest, per_tensor, delayed<History>>, float_edges>
    fp8_delayed{};

// ---- integer only ----

/// NITI (Wang, Rasoulinezhad, Leong, So, 2020; the authors' code). int8 times a power of two for weights, activations
/// and errors, to nearest; all layers. The weight gradient is a product of these and is rounded pseudo-stochastically
/// to a few bits by the optimizer (integer_sgd with niti_update). The paper has no batch normalization, and an integer
/// loss.
inline constexpr detail::formats<power_of_two<8>, power_of_two<8>, power_of_two<8>, power_of_two<8>, uniform_edges>
    niti{};

// ---- blocks ----

/// Jetfire (Xi, Chen, Zhao, Zhu, ICML 2024; the authors' code): int8 in tiles of 32 x 32 with scales max / 127,
/// gradients stochastic. Made for transformers; here tiles are pixels times channels. Products run on floats of the
/// decoded values.
inline constexpr detail::formats<int8_tiles<>, int8_tiles<>, int8_tiles<stochastic>, int8_tiles<stochastic>,
                                 float_edges>
    jetfire{};

/// Microscaling (OCP MX v1.0; NVIDIA's MXFP8 recipe): e4m3 everywhere, blocks of 32 along each contraction.
inline constexpr detail::formats<mxfp8_e4m3<>, mxfp8_e4m3<>, mxfp8_e4m3<>, mxfp8_e4m3<>, float_edges> mxfp8{};
/// 8-bit integers in blocks of 32; gradients stochastic.
inline constexpr detail::formats<fqt::mxint8<>, fqt::mxint8<>, fqt::mxint8<stochastic>, fqt::mxint8<stochastic>,
                                 float_edges>
    mxint8{};
/// e2m1 in blocks of 32; gradients stochastic.
inline constexpr detail::formats<fqt::mxfp4<>, fqt::mxfp4<>, fqt::mxfp4<stochastic>, fqt::mxfp4<stochastic>,
                                 float_edges>
    mxfp4{};

/// NVFP4 (NVIDIA's recipe, read in Transformer Engine's source): e2m1 in blocks of 16 with e4m3 scales and one float
/// scale; weights in tiles of 16 x 16; stochastic for gradients alone. The recipe's random Hadamard transform before dW
/// mixes pixels, which a window of 3 x 3 does not allow, and is left out.
inline constexpr detail::formats<fqt::nvfp4<nearest, per_tile<16>>, fqt::nvfp4<>, fqt::nvfp4<stochastic>,
                                 fqt::nvfp4<stochastic>, float_edges>
    nvfp4{};

} // namespace fqt::algorithms
