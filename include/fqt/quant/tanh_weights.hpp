#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Weights that are transformed before they are quantized. A quantizer of weights may say
//   transform(w, t)              t from w, both whole tensors
//   transform_gradient(w, g)     in place: from the gradient by t to that by w
// and the library quantizes t.

#include <fqt/core/math.hpp>
#include <fqt/quant/quantizer.hpp>

#include <cmath>
#include <span>

namespace fqt {

/// DoReFa's weights (Zhou et al. 2016, eq. 9): t = tanh(w) / max|tanh(w)| is quantized instead of w, so that the grid
/// covers [-1, 1] whatever the weights' scale. The gradient is that of the formula with the maximum held constant; the
/// authors' code also sends a share through the maximum to one weight.
template <class Quantizer>
struct tanh_weights : Quantizer {
    static void transform(std::span<const float> w, std::span<float> t) {
        const float most = greatest(w);
        for (std::size_t i = 0; i < w.size(); ++i) t[i] = most > 0 ? math::tanh(w[i]) / most : 0.0f;
    }
    static void transform_gradient(std::span<const float> w, std::span<float> g) {
        const float most = greatest(w);
        for (std::size_t i = 0; i < w.size(); ++i) {
            const float t = math::tanh(w[i]);
            g[i] = most > 0 ? product(g[i], std::fma(-t, t, 1.0f)) / most : g[i];
        }
    }

private:
    static float greatest(std::span<const float> w) {
        float most = 0;
        for (const float v : w) most = std::max(most, std::abs(v));
        return math::tanh(most);
    }
};

} // namespace fqt
