#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The running gradient of a layer's weights: floats to which the sums of each sample are added, times its factor.

#include <fqt/kernels/kind.hpp>

namespace fqt::kernels {

/// A sample that is staged, and its factor.
struct staged_sample {
    const std::byte *activation, *gradient;
    float scale;
};

/// Adds scale * sum to 16 floats of the running gradient, or to zeros.
template <class Registers>
FQT_INLINE void add_scaled(float scale, simd::f32_lanes<Registers> sum, bool to_zero, float* into) {
    using floats = simd::f32_lanes<Registers>;
    fma(floats(scale), sum, to_zero ? floats(0.0f) : floats::load(into)).store(into);
}
template <class Kind, class Arch>
FQT_INLINE void add_scaled(float scale, const typename Kind::template sums<Arch>& sum, bool to_zero, float* into) {
    if constexpr (is_integer<Kind>) add_scaled(scale, simd::i32x16<Arch>(sum).to_float(), to_zero, into);
    else add_scaled(scale, sum, to_zero, into);
}

/// Adds up 16 floats of `count` running gradients of `Size` each, in order, times scale; poison stays 0 if it is
/// finite.
template <std::size_t Size, class Registers>
FQT_INLINE simd::f32_lanes<Registers> sum_up(const float* from, int count, simd::f32_lanes<Registers> scale,
                                             simd::f32_lanes<Registers>& poison) {
    using floats = simd::f32_lanes<Registers>;
    floats sum = floats::load(from);
    for (int i = 1; i < count; ++i) sum = sum + floats::load(from + Size * static_cast<std::size_t>(i));
    sum = sum * scale;
    poison = fma(sum, floats(0.0f), poison);
    return sum;
}

} // namespace fqt::kernels
