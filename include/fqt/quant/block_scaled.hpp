#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Gradients whose blocks of 16 channels have scales of their own, and that integer products can multiply all the same:
// a block's scale is a whole number, so code times scale is an integer that fits a byte.

#include <fqt/quant/dorefa.hpp>
#include <fqt/quant/hadamard.hpp>
#include <fqt/quant/quantizer.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>

namespace fqt {

namespace detail {

/// The greatest integer of a linear grid of one byte that is even about zero; 0 where a grid is not, or is not known to
/// be.
template <class Q>
constexpr int greatest_of() {
    using traits = quantizer_traits<Q>;
    if constexpr (!traits::linear || traits::integer_bytes(true) == 2) return 0;
    else if constexpr (std::same_as<typename traits::grid_type, dorefa_grid>) return Q::intervals; // 2 q + 1
    else if constexpr (traits::has_integers) return 0;
    else return traits::limits(true).high;
}

} // namespace detail

/// A linear quantizer for gradients, per sample or tensor, whose grid each 16 channels of a pixel multiply by a whole
/// number that they share, the least with which the block's largest magnitude lies within the grid. So a block is as
/// coarse as its own values need, nothing is clipped that the range rule leaves, and rounding stays unbiased where it
/// was. Value = integer * scale * step, where integer * scale is at most 127 in magnitude: products are sums of such
/// integers. A block costs a byte beside its codes: 2.5 bits a value where codes have 2. Blocks smaller than the
/// sample's largest by more than the greatest scale (42 for integers up to 3) share scale 1.
/// Shared scales are those of block floating point and of MX's microexponents (Rouhani et al., ISCA 2023), which are
/// powers of two, where a block may fill half of its grid; whole numbers leave 1 / scale of it empty at most.
/// Four levels without zero, dorefa_levels<2>, waste little where blocks are alike, which hadamard<...> makes of them:
/// w8a8_blocks (scheme.hpp). Without it zeros are frequent, and symmetric<2> may do better.
template <class Quantizer>
struct block_scaled : Quantizer {
    static_assert(detail::greatest_of<Quantizer>() > 0,
                  "fqt: block_scaled<quantizer> multiplies integers that are even about zero; give it symmetric "
                  "or power_of_two to 8 bits, or dorefa_levels to 7");
    static_assert(!is_rotated<Quantizer>,
                  "fqt: block_scaled<hadamard<quantizer>> would not transform; write "
                  "hadamard<block_scaled<quantizer>>");
    static_assert(refuse_search<typename Quantizer::range>());
    static constexpr bool scales_blocks = true;
    /// The greatest integer of scale 1, and the greatest scale with which integers stay within 127.
    static constexpr int greatest = detail::greatest_of<Quantizer>();
    static constexpr int greatest_scale = 127 / greatest;

    static auto fit(interval range, code_limits limits) {
        return Quantizer::fit({range.low / greatest_scale, range.high / greatest_scale}, limits);
    }
    /// The scale of a block of values.
    static float scale_of(auto v, const auto& g) {
        const float wanted = std::ceil(reduce_max(abs(v)) / (g.step * greatest));
        return wanted > 1 ? std::min(wanted, float{greatest_scale}) : 1.0f; // 1 also where both are 0
    }
};

} // namespace fqt
