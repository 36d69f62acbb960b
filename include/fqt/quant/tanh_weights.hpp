#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Weights that are transformed before they are quantized. A quantizer of weights may say
//   divisor(most)                       of a tensor whose largest magnitude is `most`
//   transform(w, divisor)               what is quantized of a weight
//   transform_gradient(g, w, divisor)   the gradient by w from the one by that

#include <fqt/core/math.hpp>
#include <fqt/quant/quantizer.hpp>

#include <cmath>

namespace fqt {

/// DoReFa's weights (Zhou et al. 2016, eq. 9): t = tanh(w) / max|tanh(w)| is quantized instead of w, so that the grid
/// covers [-1, 1] whatever the weights' scale. The gradient is that of the formula with the maximum held constant; the
/// authors' code also sends a share through the maximum to one weight.
template <class Quantizer>
struct tanh_weights : Quantizer {
    static float divisor(float most) { return math::tanh(most); }
    static float transform(float w, float divisor) { return divisor > 0 ? math::tanh(w) / divisor : 0.0f; }
    static float transform_gradient(float g, float w, float divisor) {
        const float t = math::tanh(w);
        return divisor > 0 ? product(g, std::fma(-t, t, 1.0f)) / divisor : g;
    }
};

} // namespace fqt
