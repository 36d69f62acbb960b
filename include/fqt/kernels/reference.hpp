#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The three products in plain loops over logical tensors: the specification. Integers are exact in int64; floats follow
// the documented order of fma exactly, so kernels equal this bit for bit: for finite operands, as some kernels leave
// out rows of border.
//   x [y][x][c] of shape G.in,  w and dw [k][r][s][channel of k's group],  h [y][x][k] of shape G.out(); no padded
//   lanes.

#include <fqt/core/shape.hpp>
#include <fqt/kernels/taps.hpp>

#include <cmath>
#include <cstdint>

namespace fqt::kernels::reference {

inline void multiply_add(std::int64_t& sum, int a, int b) { sum += std::int64_t{a} * b; }
inline void multiply_add(float& sum, float a, float b) { sum = std::fma(a, b, sum); }

/// The value at a position of a tensor [y][x][channel], and 0 outside it.
template <class T>
T at(const T* tensor, shape s, int y, int x, int channel) {
    const bool inside = y >= 0 && y < s.height && x >= 0 && x < s.width;
    return inside ? tensor[(std::int64_t{y} * s.width + x) * s.channels + channel] : T{};
}

constexpr std::int64_t weight_index(const geometry& g, int k, int r, int s, int c) {
    return ((std::int64_t{k} * g.kernel_height + r) * g.kernel_width + s) * g.channels_per_group() + c;
}

/// y[y][x][k], T is int or float, Sum int64 or float.
template <class T, class Sum>
void forward(const geometry& g, const T* x, const T* w, Sum* out) {
    const int in_row = taps_in_row(g.kernel_width);
    for (int oy = 0; oy < g.out().height; ++oy)
        for (int ox = 0; ox < g.out().width; ++ox)
            for (int k = 0; k < g.outputs; ++k) {
                const int group = k / g.outputs_per_group();
                Sum sum{};
                for (int r = 0; r < g.kernel_height; ++r)
                    for (int first = 0; first < g.kernel_width; first += in_row)
                        for (int c = 0; c < g.channels_per_group(); ++c)
                            for (int s = first; s < first + in_row; ++s)
                                multiply_add(sum,
                                             at(x, g.in, oy * g.stride + r - g.pad, ox * g.stride + s - g.pad,
                                                group * g.channels_per_group() + c),
                                             w[weight_index(g, k, r, s, c)]);
                *out++ = sum;
            }
}

/// dx[y][x][c].
template <class T, class Sum>
void input_gradient(const geometry& g, const T* h, const T* w, Sum* dx) {
    const auto meets = [&](int position, int tap) { return (position + g.pad - tap) % g.stride == 0; };
    for (int y = 0; y < g.in.height; ++y)
        for (int x = 0; x < g.in.width; ++x)
            for (int c = 0; c < g.in.channels; ++c) {
                const int group = c / g.channels_per_group();
                int taps = 0; // in a row, of this phase
                for (int s = 0; s < g.kernel_width; ++s) taps += meets(x, s);
                Sum sum{};
                const auto add = [&](int r, int s, int k) {
                    const int channel = group * g.outputs_per_group() + k;
                    // Divisions are exact here; negative ones lie in the border.
                    multiply_add(sum, at(h, g.out(), (y + g.pad - r) / g.stride, (x + g.pad - s) / g.stride, channel),
                                 w[weight_index(g, channel, r, s, c % g.channels_per_group())]);
                };
                for (int r = g.kernel_height - 1; r >= 0; --r) {
                    if (!meets(y, r)) continue;
                    if (taps_in_row(taps) == taps) {
                        for (int k = 0; k < g.outputs_per_group(); ++k)
                            for (int s = g.kernel_width - 1; s >= 0; --s)
                                if (meets(x, s)) add(r, s, k);
                    } else {
                        for (int s = g.kernel_width - 1; s >= 0; --s)
                            for (int k = 0; meets(x, s) && k < g.outputs_per_group(); ++k) add(r, s, k);
                    }
                }
                *dx++ = sum;
            }
}

/// The inner sums of dw[k][r][s][c], before they are scaled.
template <class T, class Sum>
void weight_gradient(const geometry& g, const T* x, const T* h, Sum* dw) {
    for (int k = 0; k < g.outputs; ++k)
        for (int r = 0; r < g.kernel_height; ++r)
            for (int s = 0; s < g.kernel_width; ++s)
                for (int c = 0; c < g.channels_per_group(); ++c) {
                    const int channel = k / g.outputs_per_group() * g.channels_per_group() + c;
                    Sum sum{};
                    for (int oy = 0; oy < g.out().height; ++oy)
                        for (int ox = 0; ox < g.out().width; ++ox)
                            multiply_add(sum,
                                         at(x, g.in, oy * g.stride + r - g.pad, ox * g.stride + s - g.pad, channel),
                                         at(h, g.out(), oy, ox, k));
                    *dw++ = sum;
                }
}

} // namespace fqt::kernels::reference
