#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Forward product and input gradient as one thing: a correlation, that is, a window of taps that walks over a staged,
// padded image. The forward product is one correlation. The input gradient at stride S is S x S of them, each over
// the image of h with only the taps that fall on a pixel of h: input row y meets kernel row r iff (y + pad - r) is a
// multiple of S, and then reads row (y + pad - r) / S of h. No product with an inserted zero exists.
//
// The order of a sum, on which float bits rest, is: row of taps, then channel, then tap within the row, all ascending
// in the staged image (so an input gradient meets r and s descending). A row of taps is a row of the window up to five
// taps wide, and a single tap of a wider window.

#include <fqt/core/shape.hpp>

#include <algorithm>

namespace fqt::kernels {

/// Taps whose operands are read together.
constexpr int taps_in_row(int window_width) { return window_width <= 5 ? window_width : 1; }

/// The indices first, first + 1, ..., end - 1.
struct index_range {
    int first{}, end{};
    friend constexpr bool operator==(const index_range&, const index_range&) = default;
};

/// sums[y][x][o] = sum over taps (t, u) and channels d of
///     weight[o][d][t][u] * image[top + y * stride + t][left + x * stride + u][d]
struct correlation {
    int depth{}, outputs{}, groups = 1; // d runs over the depth / groups channels of o's group
    int taps_y = 1, taps_x = 1, stride = 1;
    int image_width = 1, top{}, left{}; // staged pixels; where the first site's window begins
    index_range image_rows{0, 1};       // staged rows of the image; those before and behind are border
    int sites_y = 1, sites_x = 1;
    int target_y{}, target_x{}, target_step = 1, target_width = 1; // the pixel that site (y, x) writes
    int plane = 0; // depthwise: staged pixels of a block of channels, which lie together; else 0

    constexpr int target(int y, int x) const {
        return (target_y + y * target_step) * target_width + target_x + x * target_step;
    }
    constexpr int taps() const { return taps_y * taps_x; }
    /// The rows of the window that meet pixels, and not border alone, from the sites of row y; one if none does.
    constexpr index_range window_rows(int y) const {
        const int row = top + y * stride, first = std::clamp(image_rows.first - row, 0, taps_y - 1);
        return {first, std::clamp(image_rows.end - row, first + 1, taps_y)};
    }
    friend constexpr bool operator==(const correlation&, const correlation&) = default;
};

/// Every output has a channel of its own. (Windows beyond this size, of which a tile would be too long a program, are
/// groups of one channel like any other.)
constexpr bool is_depthwise(const geometry& g) {
    return g.groups > 1 && g.groups == g.in.channels && g.groups == g.outputs && g.kernel_height <= 7
        && g.kernel_width <= 8;
}

/// Which channels meet which outputs. A block of 16 outputs is multiplied with all channels of the groups that it has
/// outputs of, with zero weights where groups differ: a waste where groups are narrow, but lanes left empty are more.
struct grouping {
    int channels, outputs, groups;
    int unit = 1; // a block's channels begin at a multiple of this

    constexpr int group_channels() const { return channels / groups; }
    constexpr int group_outputs() const { return outputs / groups; }
    constexpr bool meets(int channel, int output) const {
        return channel / group_channels() == output / group_outputs();
    }
    /// The first channel that a block meets.
    constexpr int first(int block) const {
        return groups == 1 ? 0 : block * lanes / group_outputs() * group_channels() / unit * unit;
    }
    /// Channels from there on that some block meets.
    constexpr int count() const {
        int most = 0;
        for (int block = 0; block < blocks(outputs); ++block) {
            const int last = std::min(block * lanes + lanes, outputs) - 1;
            most = std::max(most, (last / group_outputs() + 1) * group_channels() - first(block));
        }
        return most;
    }
    /// Neighbouring blocks that meet the same channels, so that one tile may hold them.
    constexpr int alike() const {
        return groups == 1 ? blocks(outputs) : group_outputs() % lanes == 0 ? group_outputs() / lanes : 1;
    }
};

/// A sample's padded copy: borders of zeros around `inner`, in pixels.
struct staged_shape {
    shape inner;
    int top, bottom, left, right;

    constexpr int width() const { return left + inner.width + right; }
    constexpr int height() const { return top + inner.height + bottom; }
    constexpr int pixels() const { return width() * height(); }
    constexpr index_range rows() const { return {top, top + inner.height}; }
    friend constexpr bool operator==(const staged_shape&, const staged_shape&) = default;
};

constexpr staged_shape forward_image(const geometry& g) { return {g.in, g.pad, g.pad, g.pad, g.pad}; }

constexpr correlation forward_correlation(const geometry& g) {
    const shape out = g.out();
    return {.depth = g.in.channels,
            .outputs = g.outputs,
            .groups = g.groups,
            .taps_y = g.kernel_height,
            .taps_x = g.kernel_width,
            .stride = g.stride,
            .image_width = forward_image(g).width(),
            .image_rows = forward_image(g).rows(),
            .sites_y = out.height,
            .sites_x = out.width,
            .target_width = out.width,
            .plane = is_depthwise(g) ? forward_image(g).pixels() : 0};
}

/// One dimension of an input gradient, at the input positions phase, phase + stride, ...
struct gradient_phase {
    int taps = 0; // kernel positions last_tap, last_tap - stride, ... down to last_tap - (taps - 1) * stride
    int last_tap = 0;
    int sites = 0;
    int first = 0; // position of h under the first tap of the first site; negative in the border

    constexpr int end() const { return first + sites - 1 + taps; }
};

constexpr gradient_phase phase_of(int input, int kernel, int stride, int pad, int phase) {
    const int position = phase + pad, residue = position % stride;
    gradient_phase p;
    p.taps = residue < kernel ? (kernel - residue + stride - 1) / stride : 0;
    p.last_tap = residue + stride * (p.taps - 1);
    p.sites = phase < input ? (input - phase + stride - 1) / stride : 0;
    p.first = position / stride - (p.taps - 1);
    return p;
}

/// A dense layer's input gradient is a product without a window: its outputs are all inputs of the layer.
constexpr bool is_dense(const geometry& g) {
    return g.groups == 1 && g.pad == 0 && g.kernel_height == g.in.height && g.kernel_width == g.in.width;
}

/// The borders of h that some phase reads.
constexpr staged_shape input_gradient_image(const geometry& g) {
    staged_shape s{g.out(), 0, 0, 0, 0};
    if (is_dense(g)) return s;
    const auto widen = [&](int input, int kernel, int extent, int& before, int& after) {
        for (int phase = 0; phase < g.stride; ++phase) {
            const gradient_phase p = phase_of(input, kernel, g.stride, g.pad, phase);
            if (p.taps == 0 || p.sites == 0) continue;
            if (-p.first > before) before = -p.first;
            if (p.end() - extent > after) after = p.end() - extent;
        }
    };
    widen(g.in.height, g.kernel_height, s.inner.height, s.top, s.bottom);
    widen(g.in.width, g.kernel_width, s.inner.width, s.left, s.right);
    return s;
}

constexpr correlation input_gradient_correlation(const geometry& g, int phase_y, int phase_x) {
    if (is_dense(g)) return {.depth = g.outputs, .outputs = g.in.pixels() * padded(g.in.channels)};
    const staged_shape image = input_gradient_image(g);
    const gradient_phase y = phase_of(g.in.height, g.kernel_height, g.stride, g.pad, phase_y);
    const gradient_phase x = phase_of(g.in.width, g.kernel_width, g.stride, g.pad, phase_x);
    return {.depth = g.outputs,
            .outputs = g.in.channels,
            .groups = g.groups,
            .taps_y = y.taps,
            .taps_x = x.taps,
            .image_width = image.width(),
            .top = image.top + y.first,
            .left = image.left + x.first,
            .image_rows = image.rows(),
            .sites_y = y.sites,
            .sites_x = x.sites,
            .target_y = phase_y,
            .target_x = phase_x,
            .target_step = g.stride,
            .target_width = g.in.width,
            .plane = is_depthwise(g) ? image.pixels() : 0};
}

} // namespace fqt::kernels
