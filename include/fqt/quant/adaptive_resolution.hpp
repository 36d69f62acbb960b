#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The bits of a tensor chosen anew at every step, by the error that they would make.

#include <fqt/core/math.hpp>
#include <fqt/quant/clip_memory.hpp>
#include <fqt/quant/scale.hpp>

#include <cmath>

namespace fqt {

/// FPBP's error measure of magnitudes that sum up to `sum` and, rounded, to `rounded` (Zhang et al., CVPR 2020, from
/// memory): Diff = log2(| sum |x^| - sum |x| | / sum |x| + 1). sum > 0.
inline float difference_of_sums(double sum, double rounded) {
    return math::log(static_cast<float>(std::abs(rounded - sum) / sum) + 1.0f) / 0x1.62e43p-1f;
}

/// FPBP's choice of a gradient's bits (Zhang, Liu, Zhang et al., CVPR 2020, from memory), as the range rule of a grid
/// of 16 bits whose step is a power of two, power_of_two<16, nearest, per_tensor, adaptive_resolution<>>. Bits bits are
/// enough where Diff <= Threshold (difference_of_sums) for x^ on the grid of step
///   2^ceil(log2(max|x| / (2^(Bits-1) - 1))),
/// to the nearest. Then the range is widened so that this is the step: codes have Bits bits, and products leave out the
/// byte that is zero. Else the range is that of the values and the step that of 16 bits. Sums are taken from a
/// histogram, all values of a bin at its middle; one bin is a sixteenth of an octave, so that values meet the same side
/// of a tie as they would one by one, to 8 steps.
///   The paper looks again at intervals that grow while ranges are steady, to save time; here it is every step. It
/// also knows 24 bits, which is what a float has.
///   Memory: how many steps there were, and how many of them had 16 bits.
template <float Threshold = 0.03f, int Bits = 8>
struct adaptive_resolution {
    static_assert(Threshold > 0, "fqt: adaptive_resolution<Threshold> takes an error above 0");
    static_assert(Bits >= 2 && Bits <= 8, "fqt: adaptive_resolution<Threshold, Bits> takes 2 to 8 bits");
    static constexpr const char* name = "adaptive resolution";
    static constexpr bool clips = false;
    static constexpr measures needs = measures::histogram;
    static constexpr int memory = 2;

    static interval clip(const measurement& m, code_limits limits, std::span<float> kept) {
        constexpr int top = (1 << (Bits - 1)) - 1;
        const float step = covering_power::step(m.range.magnitude(), static_cast<float>(top));
        const float widened = step * static_cast<float>(limits.high);
        const bool few = difference(m, step, top) <= Threshold && widened <= std::numeric_limits<float>::max();
        kept[0] += 1; // exact to 2^24 steps
        if (!few) kept[1] += 1;
        return few ? detail::sided(widened, m) : m.range;
    }

    /// How many steps there were of which `kept` is the memory, and how many of them had 16 bits.
    static int steps(std::span<const float> kept) { return static_cast<int>(kept[0]); }
    static int steps_of_16_bits(std::span<const float> kept) { return static_cast<int>(kept[1]); }

private:
    static float difference(const measurement& m, float step, double top) {
        if (!(step > 0)) return 0; // of zeros, or of what counts as zeros with any bits
        double sum = 0, rounded = 0;
        for (std::size_t i = 0; i < m.histogram.size(); ++i) {
            if (m.histogram[i] == 0) continue;
            const double middle = double{magnitude_bins::middle(static_cast<int>(i))}, count = m.histogram[i];
            sum = std::fma(count, middle, sum);
            rounded = std::fma(count, std::min(std::nearbyint(middle / double{step}), top) * double{step}, rounded);
        }
        return sum > 0 ? difference_of_sums(sum, rounded) : 0.0f;
    }
};

} // namespace fqt
