#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The Hadamard transform of 16 values, before they are quantized: an outlier is spread over all of them, so that it
// does not take the resolution of the others.

#include <fqt/quant/blocks.hpp>
#include <fqt/quant/range.hpp>

#include <algorithm>
#include <array>
#include <cstddef>

namespace fqt {

/// Quantizer for h after a transform of each 16 output channels by the orthonormal H, H_ij = +-1/4, which is its own
/// inverse.
///   dX = W^T h = (H W)^T (H h)
///   dW = h x = H ((H h) x), whose sums are turned back as floats, once a batch
/// H W is that of the forward pass's weights, quantized anew by the rule of scheme.weight over its whole range, one
/// grid for the tensor; so no weight scale is folded into h. dX as in Xi, Li, Chen, Zhu, "Training Transformers with
/// 4-bit Integers" (NeurIPS 2023), whose blocks lie along the contraction likewise; the NVFP4 recipe also draws signs,
/// here H is fixed. In dW the blocks lie across the contraction, so that one set of codes can serve both products. For
/// scheme.input_gradient and scheme.weight_gradient; output channels, of each group of a convolution, in multiples
/// of 16. The first and the last product are not transformed with eight_bit_edges.
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

/// H v for the lanes of one value: the same sums.
template <class Floats>
Floats hadamard_of_lanes(Floats v) {
    static constexpr auto signs = [] {
        std::array<std::array<float, 16>, 4> s{};
        for (std::size_t stage = 0; stage < 4; ++stage)
            for (std::size_t i = 0; i < 16; ++i) s[stage][i] = (i >> stage & 1) != 0 ? -1.0f : 1.0f;
        return s;
    }();
    v = fma(v, Floats::load(signs[0].data()), swapped<1>(v));
    v = fma(v, Floats::load(signs[1].data()), swapped<2>(v));
    v = fma(v, Floats::load(signs[2].data()), swapped<4>(v));
    v = fma(v, Floats::load(signs[3].data()), swapped<8>(v));
    return v * Floats(0.25f);
}

/// H along 16 rows of `size` floats, one behind the other; in place if `to` is `from`. Returns the range of what it
/// writes.
template <class Arch>
interval hadamard_of_rows(const float* from, int size, float* to) {
    interval range{};
    for (int first = 0; first < size; first += lanes) {
        const int count = std::min(lanes, size - first);
        simd::f32x16<Arch> v[16];
        float line[lanes]{};
        for (int i = 0; i < 16; ++i) {
            std::copy_n(from + i * size + first, count, line);
            v[i] = simd::f32x16<Arch>::load(line);
        }
        hadamard16(v);
        for (int i = 0; i < 16; ++i) {
            v[i].store(line);
            std::copy_n(line, count, to + i * size + first);
            range = range.join({reduce_min(v[i]), reduce_max(v[i])});
        }
    }
    return range;
}

} // namespace fqt
