#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// How many bits a tensor needs, by the error measure of adaptive precision training.

#include <fqt/core/fail.hpp>
#include <fqt/layers/observer.hpp>
#include <fqt/quant/adaptive_resolution.hpp>
#include <fqt/train/noise_meter.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fqt {

/// FPBP's error measure Diff (difference_of_sums) of rounding x to `bits` bits, with x^ on the grid of step
///   2^ceil(log2(max|x| / (2^(bits-1) - 1))),
/// to the nearest. 0 for a tensor of zeros.
/// 2 <= bits <= 16. Error: bits beyond, or values that are not finite.
inline float bits_difference(std::span<const float> x, int bits) {
    if (bits < 2 || bits > 16) fail("bits_difference was asked for %d bits; it takes 2 to 16", bits);
    float most = 0;
    for (const float v : x) {
        if (!std::isfinite(v)) fail("bits_difference was given a value of %g; give finite numbers", double{v});
        most = std::max(most, std::abs(v));
    }
    if (!(most > 0)) return 0;
    const auto top = static_cast<float>((1 << (bits - 1)) - 1);
    const double step = double{covering_power::step(most, top)};
    if (!(step > 0)) return 1; // all values are rounded to zero
    double sum = 0, rounded = 0;
    for (const float v : x) {
        const double magnitude = std::abs(double{v});
        sum += magnitude;
        rounded += std::min(std::nearbyint(magnitude / step), double{top}) * step; // exact: a power of two
    }
    return difference_of_sums(sum, rounded);
}

struct adaptive_bits_options {
    std::vector<int> formats{4, 6, 8, 16}; ///< bits to choose among, ascending, each 2 to 16
    float threshold = 0.03f;               ///< Diff above which a format is refused, > 0
    std::string what{}; ///< which of the observer's tensors; empty: gradients before they are quantized
};

/// What `adaptive_bits` says of one layer.
struct bits_needed {
    std::string layer;
    int bits{};    ///< the least format with Diff <= threshold in all tensors seen; 0: none of them will do
    int tensors{}; ///< seen: one a pass, or two where dX and dW have quantizers of their own
    std::vector<float> difference{}; ///< the greatest Diff of each format
};

/// Watches a network and reports which format each layer's gradient needs by FPBP's criterion:
///     adaptive_bits need;
///     network.observe(need);
///     ... some passes ...
///     for (const bits_needed& layer : need.report()) ...
/// It is shown "exact input_gradient" and "exact weight_gradient" (layers/observer.hpp), or the tensor of its options.
/// It is a report and no controller: bits are part of a network's type. Build one with the bits that the report gives
/// (a scheme at a place: with<scheme>(layer)) and copy the parameters; where it says 0, `real` is left. FPBP's own
/// choice between 8 and 16 bits as a network trains is adaptive_resolution.
class adaptive_bits {
public:
    static constexpr bool wants_details = true; // the exact gradients

    explicit adaptive_bits(adaptive_bits_options options = {}) : options_(std::move(options)) {
        if (options_.formats.empty() || !std::ranges::is_sorted(options_.formats) || options_.formats.front() < 2
            || options_.formats.back() > 16)
            fail("adaptive_bits was given no formats, or not in ascending order from 2 to 16 bits; give {4, 6, 8, 16}, "
                 "or a part of that");
        if (!(options_.threshold > 0))
            fail("adaptive_bits' threshold is %g; it must be above 0", double{options_.threshold});
    }

    /// Of observers.
    void operator()(const observed_tensor& t) {
        if (options_.what.empty() ? !t.what.starts_with("exact ") : t.what != options_.what) return;
        const std::vector<float> values = values_of(t);
        bits_needed& layer = layer_of(t.layer);
        ++layer.tensors;
        layer.bits = 0;
        for (std::size_t i = options_.formats.size(); i-- > 0;) {
            float& most = layer.difference[i];
            most = std::max(most, bits_difference(values, options_.formats[i]));
            if (most <= options_.threshold) layer.bits = options_.formats[i];
        }
    }

    /// The layers seen, in the order in which they came.
    const std::vector<bits_needed>& report() const { return layers_; }
    void clear() { layers_.clear(); }

private:
    adaptive_bits_options options_;
    std::vector<bits_needed> layers_{};

    bits_needed& layer_of(std::string_view name) {
        for (bits_needed& layer : layers_)
            if (layer.layer == name) return layer;
        return layers_.emplace_back(
            bits_needed{std::string(name), 0, 0, std::vector<float>(options_.formats.size(), 0.0f)});
    }
};

} // namespace fqt
