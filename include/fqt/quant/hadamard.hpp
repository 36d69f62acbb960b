#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The Hadamard transform of 16 values, before they are quantized: an outlier is spread over all of them, so that it
// does not take the resolution of the others.

#include <fqt/quant/blocks.hpp>

namespace fqt {

/// Quantizer for h in dX = W^T h, after a transform of each 16 output channels by the orthonormal H, H_ij = +-1/4,
/// which is its own inverse: dX = (H W)^T (H h). H W is that of the forward pass's weights, quantized anew by the rule
/// of scheme.weight over its whole range, one grid for the tensor. So no weight scale is folded into h. As in Xi, Li,
/// Chen, Zhu, "Training Transformers with 4-bit Integers" (NeurIPS 2023), whose blocks lie along the contraction
/// likewise; the NVFP4 recipe also draws signs, here H is fixed. For scheme.input_gradient alone; output channels, of
/// each group of a convolution, in multiples of 16. The first and the last product are not transformed with
/// eight_bit_edges.
template <class Quantizer>
struct hadamard : Quantizer {
    static_assert(!is_real<Quantizer>, "fqt: hadamard<real> would undo itself; give it a quantizer, or use real");
};

/// Whether quantizer Q transforms values by H first.
template <class Q>
inline constexpr bool is_rotated = false;
template <class Q>
inline constexpr bool is_rotated<hadamard<Q>> = true;

/// H v for 16 floats, or 16 rows of lanes. Sums in one order.
template <class T>
inline void hadamard16(T (&v)[16]) {
    for (int half = 1; half < 16; half *= 2)
        for (int i = 0; i < 16; ++i)
            if ((i & half) == 0) {
                const T a = v[i], b = v[i + half];
                v[i] = a + b;
                v[i + half] = a - b;
            }
    for (T& x : v) x = x * T(0.25f);
}

} // namespace fqt
