#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The layers whose kernels are timed, and the multiply-adds that they need.

#include <algorithm>
#include <string>

namespace benchmark {

struct layer {
    const char* name;
    int channels, size, outputs; // size x size pixels
    int kernel = 3, stride = 1, groups = 1;

    constexpr int pad() const { return kernel / 2; }
    constexpr int out_size() const { return (size + 2 * pad() - kernel) / stride + 1; }
    /// Multiply-adds of one sample whose pixel lies inside the image: what each of the three products needs.
    constexpr double macs() const {
        double pairs = 0; // of an output row and a kernel row
        for (int y = 0; y < out_size(); ++y)
            for (int r = 0; r < kernel; ++r) {
                const int at = y * stride + r - pad();
                pairs += at >= 0 && at < size;
            }
        return pairs * pairs * channels / groups * outputs;
    }
    /// The same with the zeros of the border, which is how peers count.
    constexpr double nominal_macs() const {
        return 1.0 * out_size() * out_size() * kernel * kernel * channels / groups * outputs;
    }
};

inline constexpr layer layers[] = {
    {"3x3 16-16, 32x32", 16, 32, 16},
    {"3x3 32-32, 16x16", 32, 16, 32},
    {"3x3 64-64, 8x8", 64, 8, 64},
    {"3x3 256-256, 16x16", 256, 16, 256},
    {"3x3/2 16-32, 32x32", 16, 32, 32, 3, 2},
    {"3x3/2 32-64, 16x16", 32, 16, 64, 3, 2},
    {"1x1 64-64, 16x16", 64, 16, 64, 1},
    {"1x1/2 64-128, 16x16", 64, 16, 128, 1, 2},
    {"first 3x3 3-16, 32x32", 3, 32, 16},
    {"first 3x3 1-32, 28x28", 1, 28, 32},
    {"odd 3x3 17-100, 16x16", 17, 16, 100},
    {"depthwise 3x3 64, 16x16", 64, 16, 64, 3, 1, 64},
    {"dense 1024-256", 1024, 1, 256, 1},
};
inline constexpr int layer_count = sizeof layers / sizeof *layers;
inline constexpr int batch = 128;

} // namespace benchmark
