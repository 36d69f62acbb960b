#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Shapes of one sample, and the arithmetic of a convolution. Letters, here and everywhere: n sample, c in-channel, k
// out-channel, y x position, r s position within the kernel.

#include <cstdint>

namespace fqt {

/// One sample: channels, height and width. The batch is a run-time number.
struct shape {
    int channels{}, height{}, width{};

    constexpr int pixels() const { return height * width; }
    constexpr int size() const { return channels * height * width; }
    friend constexpr bool operator==(shape, shape) = default;
};

/// The window of a convolution or pool, square: kernel >= 1, stride >= 1, 0 <= pad < kernel, groups dividing both
/// channel counts.
struct window {
    int kernel = 3, stride = 1, pad = kernel / 2, groups = 1;

    friend constexpr bool operator==(window, window) = default;
};

/// A whole linear layer: y[k][y][x] = sum over r, s, c of w[k][r][s][c] * x[c][y * stride + r - pad][x * stride + s -
/// pad]. A dense layer is the convolution whose kernel is its whole input.
struct geometry {
    shape in{};
    int outputs{};
    int kernel_height = 1, kernel_width = 1, stride = 1, pad = 0, groups = 1;

    constexpr int channels_per_group() const { return in.channels / groups; }
    constexpr int outputs_per_group() const { return outputs / groups; }
    constexpr int taps() const { return kernel_height * kernel_width; }
    constexpr int weights() const { return outputs * taps() * channels_per_group(); }
    constexpr shape out() const {
        return {outputs, (in.height + 2 * pad - kernel_height) / stride + 1,
                (in.width + 2 * pad - kernel_width) / stride + 1};
    }
    /// Multiply-adds of one sample's forward product, padding included.
    constexpr std::int64_t macs() const { return std::int64_t{out().pixels()} * weights(); }
    friend constexpr bool operator==(geometry, geometry) = default;
};

constexpr geometry geometry_of(shape in, int outputs, window w) {
    return {in, outputs, w.kernel, w.kernel, w.stride, w.pad, w.groups};
}
constexpr geometry geometry_of_dense(shape in, int outputs) { return {in, outputs, in.height, in.width, 1, 0, 1}; }

// ---- how a sample lies in memory: (y, x, block, lane), channels padded with zeros to whole blocks of 16 ----

/// Channels come in blocks of 16, whatever the width of the registers: 16 lanes are one step of every loop.
inline constexpr int lanes = 16;

constexpr int blocks(int channels) { return (channels + lanes - 1) / lanes; }
constexpr int padded(int channels) { return blocks(channels) * lanes; }
/// Elements of one stored sample, padded lanes included.
constexpr int padded_size(shape s) { return s.pixels() * padded(s.channels); }

constexpr std::int64_t round_up(std::int64_t n, std::int64_t unit) { return (n + unit - 1) / unit * unit; }

} // namespace fqt
