#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Gradients whose blocks of 16 channels have scales of their own, and that integer products can multiply all the same:
// a block's scale is a whole number, so code times scale is an integer that fits a byte.

#include <fqt/quant/quantizer.hpp>

#include <cmath>
#include <type_traits>

namespace fqt {

namespace detail {

/// The grid of the wrapped quantizer for blocks of scale 1, 1 / the magnitude at which they end, and the greatest
/// scale.
template <class Grid>
struct block_grid : Grid {
    float end_inverse{}, most{};
};

/// The least of 1, 2, 3, 4, 6, 8, 12, ... (powers of two and half as much again) that is at least `wanted`, up to
/// `most`, which is one of them.
inline float whole_scale(float wanted, float most) {
    if (!(wanted > 1.0f)) return 1.0f;
    if (wanted >= most) return most;
    int exponent = 0;
    const float half = std::frexp(wanted, &exponent); // wanted = half * 2^exponent, 0.5 <= half < 1
    const float power = std::ldexp(1.0f, exponent - 1);
    const float scale = half == 0.5f ? power : half <= 0.75f ? 1.5f * power : 2 * power;
    return scale == 1.5f ? 2.0f : scale;
}

} // namespace detail

/// A linear quantizer for gradients, per sample or tensor, whose grid each 16 channels of a pixel multiply by a whole
/// number that they share: 1, 2, 3, 4, 6, 8, 12, ..., the least with which the block's largest magnitude lies within
/// the grid. So a block is as coarse as its own values need, nothing is clipped that the range rule leaves, and
/// rounding stays unbiased where it was. Value = integer * scale * step, where integer * scale is at most 127 in
/// magnitude: products are sums of such integers. A block costs a byte beside its codes: 2.5 bits a value where codes
/// have 2. Blocks smaller than the sample's largest by more than the greatest scale (32 for integers up to 3) share
/// scale 1.
/// Shared scales are those of block floating point and of MX's microexponents (Rouhani et al., ISCA 2023), which are
/// powers of two; with those between, all but the smallest blocks fill two thirds of their grid.
/// Four levels without zero, dorefa_levels<2>, waste little where blocks are alike, which hadamard<...> makes of them:
/// w8a8g2_blocks (scheme.hpp). Without it zeros are frequent, and symmetric<2> may do better.
template <class Quantizer>
struct block_scaled : Quantizer {
    static_assert(quantizer_traits<Quantizer>::linear,
                  "fqt: block_scaled<quantizer> multiplies integers, so it needs a linear grid, such as symmetric or "
                  "dorefa_levels");
    static constexpr bool scales_blocks = true;

    /// The greatest magnitude of an integer that a code of the wrapped quantizer stands for, from the step of a grid
    /// that ends at 1.
    static float greatest(code_limits limits) { return std::rint(1.0f / Quantizer::fit({-1, 1}, limits).step); }
    /// The largest scale of the series with which integers stay within 127.
    static float greatest_scale(code_limits limits) {
        const float most = std::floor(127.0f / greatest(limits));
        float scale = 1;
        for (float next = 2; next <= most; next *= 2) scale = 1.5f * next <= most && next > 1 ? 1.5f * next : next;
        return scale;
    }

    static auto fit(interval range, code_limits limits) {
        const float most = greatest_scale(limits);
        const auto unit = Quantizer::fit({range.low / most, range.high / most}, limits);
        return detail::block_grid<std::remove_const_t<decltype(unit)>>{unit, grid_of(range.magnitude() / most).inverse,
                                                                       most};
    }
    /// The scale of a block of values.
    static float scale_of(auto v, const auto& g) {
        return detail::whole_scale(reduce_max(abs(v)) * g.end_inverse, g.most);
    }
};

} // namespace fqt
