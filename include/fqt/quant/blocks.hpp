#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Block formats: short runs of values that share a scale. A run lies along the contraction of a product, so that a
// tensor is quantized once for each product that reads it: along channels for the forward product and dX, along pixels
// for dW. Tiles of pixels times channels serve all products alike. A block format is a quantizer with one member more:
//   fit(range, limits)              the grid of the tensor, for formats whose scales have two levels
//   fit_block(magnitude, tensor)    the grid of a block whose largest magnitude is given
// Blocks have no common step, so products run on decoded floats, summed in a fixed order.

#include <fqt/quant/minifloat.hpp>
#include <fqt/quant/power_of_two.hpp>
#include <fqt/quant/scale.hpp>

namespace fqt {

/// One grid for each `Size` values in a row along the contraction: 16, or a multiple. Fewer channels than that are one
/// block; more must be a multiple of it. The last block of a row of pixels may be shorter.
template <int Size>
struct per_block {
    static_assert(Size >= 16 && Size % 16 == 0, "fqt: per_block<Size> takes multiples of 16");
    static constexpr const char* name = "per block";
    static constexpr int size = Size;
};
/// One grid for each tile of `Size` x `Size` values: pixels times channels, or, of weights, outputs times channels.
template <int Size>
struct per_tile {
    static_assert(Size >= 16 && Size % 16 == 0, "fqt: per_tile<Size> takes multiples of 16");
    static constexpr const char* name = "per tile";
    static constexpr int size = Size;
};

template <class G>
inline constexpr bool is_block_granularity = false;
template <int Size>
inline constexpr bool is_block_granularity<per_block<Size>> = true;
template <int Size>
inline constexpr bool is_block_granularity<per_tile<Size>> = true;

/// Whether quantizer Q has a grid for each block or tile.
template <class Q>
inline constexpr bool is_blocked = is_block_granularity<typename quantizer_traits<Q>::granularity>;
template <class Q>
inline constexpr bool is_tiled = false;
template <class Q>
    requires(is_blocked<Q>)
inline constexpr bool is_tiled<Q> =
    std::same_as<typename quantizer_traits<Q>::granularity, per_tile<quantizer_traits<Q>::granularity::size>>;
/// Values in a row that share a grid.
template <class Q>
inline constexpr int block_size_of = quantizer_traits<Q>::granularity::size;

/// Scales of one level: each block's grid is the element's own for its range. With shared_exponent elements these are
/// the MX formats' E8M0 scales.
struct one_level {
    static constexpr bool has_two_levels = false;
};
/// NVFP4's scales: a float s for the tensor, such that the largest block scale is 448, the greatest of e4m3, and an
/// e4m3 number for each block: s = max|x| / (448 top), s_block = e4m3(max|block| / (top s)), step = s s_block, with
/// `top` the element's greatest value in steps (formula from memory; NVIDIA, "NVFP4 training recipe").
struct two_levels {
    static constexpr bool has_two_levels = true;
};

/// Elements of quantizer Element in blocks: its rule and rounding, one grid for each block or tile.
template <class Element, class Granularity, class Scale = one_level>
struct blocks_of {
    static_assert(is_block_granularity<Granularity>, "fqt: blocks_of takes per_block<Size> or per_tile<Size>");
    static constexpr int bits = quantizer_traits<Element>::bits;
    static constexpr bool linear = false;
    using rounding = typename Element::rounding;
    using granularity = Granularity;
    static constexpr bool has_two_levels = Scale::has_two_levels;
    /// The element's greatest value in steps.
    static constexpr float greatest = [] {
        if constexpr (requires { Element::greatest; }) return Element::greatest;
        else return static_cast<float>(limits_of(bits, true).high);
    }();

    static constexpr code_limits limits(bool is_signed) { return quantizer_traits<Element>::limits(is_signed); }
    static grid fit(interval range, code_limits) {
        return has_two_levels ? grid_of(range.magnitude() / (448.0f * greatest)) : grid{};
    }
    static grid fit_block(float magnitude, const grid& tensor) {
        if constexpr (!has_two_levels) return Element::fit({-magnitude, magnitude}, limits(true));
        else return grid_of(product(rounded_scale(product(magnitude / greatest, tensor.inverse)), tensor.step));
    }
    static auto encode(auto x, const auto& g, auto u) { return Element::encode(x, g, u); }
    static auto decode(auto q, const auto& g) { return Element::decode(q, g); }

private:
    /// The nearest number of e4m3; 448 for what lies beyond.
    static float rounded_scale(float scale) {
        using format = e4m3<nearest, per_tensor, full_range, fixed_scale<e4m3<>::log2_least>>;
        using one = simd::f32x16<arch::generic>;
        const grid own = format::fit({}, {});
        return one(format::decode(format::encode(one(scale), own, one(0.0f)), own)).lane(0);
    }
};

// ---- formats by name (OCP Microscaling Formats v1.0; NVFP4) ----

/// A block of 32 elements with a shared exponent of 8 bits.
template <class Element>
using mx_block = blocks_of<Element, per_block<32>>;
/// 8-bit integers, value = code 2^-6 times the scale; codes in [-127, 127].
template <rounding Rounding = nearest>
using mxint8 = mx_block<power_of_two<8, Rounding, per_tensor, full_range, shared_exponent>>;
template <rounding Rounding = nearest>
using mxfp8_e4m3 = mx_block<e4m3<Rounding, per_tensor, full_range, shared_exponent>>;
template <rounding Rounding = nearest>
using mxfp8_e5m2 = mx_block<e5m2<Rounding, per_tensor, full_range, shared_exponent>>;
template <rounding Rounding = nearest>
using mxfp6_e2m3 = mx_block<minifloat<2, 3, Rounding, per_tensor, full_range, shared_exponent>>;
template <rounding Rounding = nearest>
using mxfp6_e3m2 = mx_block<minifloat<3, 2, Rounding, per_tensor, full_range, shared_exponent>>;
template <rounding Rounding = nearest>
using mxfp4 = mx_block<fp4<Rounding, per_tensor, full_range, shared_exponent>>;
/// 16 elements e2m1 with a scale e4m3 and a float scale for the tensor; per_tile<16> for weights.
template <rounding Rounding = nearest, class Granularity = per_block<16>>
using nvfp4 = blocks_of<fp4<Rounding>, Granularity, two_levels>;
/// Jetfire's tiles of 8-bit integers (Xi, Chen, Zhao, Zhu: ICML 2024; scale max / 127, read in its code).
template <rounding Rounding = nearest, int Size = 32>
using int8_tiles = blocks_of<symmetric<8, Rounding>, per_tile<Size>>;

} // namespace fqt
