#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The kernel of forward products and input gradients of depthwise convolutions: a correlation (taps.hpp) in which every
// output has a channel of its own,
//   sums[y][x][c] = sum over taps (t, u) of weight[c][t][u] * image[top + y * stride + t][left + x * stride + u][c]
//
// 16 lanes are 16 channels, and a step contracts a group of neighbouring taps of a row, four codes or one float, of
// which the last ones may have zero weights. A tile holds the sums of R sites of one column: each group of pixels is
// read, and its codes brought side by side, once for all windows of the tile that it is in. Packed weights:
//   [start of each sum: block] [16 lanes]      integer kind: int32, -128 * sum of the channel's weights if signed
//   [block][t][group of u] [16 lanes][group]
// A float sum is a chain of fma over t, u ascending: that of correlate.hpp without zeros between groups, and with rows
// of border. Include that.

#include <fqt/kernels/correlate.hpp>

namespace fqt::kernels {

template <correlation C, class Kind, class Arch, std::int64_t Longest>
    requires(C.plane > 0)
struct correlate<C, Kind, Arch, Longest> {
private:
    using weight = typename Kind::weight;
    using accumulator = typename Kind::template sums<Arch>;

    static constexpr int tap_groups = (C.taps_x + Kind::group - 1) / Kind::group;
    // Sites of a column write a row of sums apart, so that those of more than 8 would often share a set of the cache.
    static constexpr even_tiles tiles =
        split_evenly(C.sites_y, std::min(simd::tile_registers<typename Arch::registers>::sums, 8));
    static constexpr std::ptrdiff_t pixel_bytes = lanes * static_cast<int>(sizeof(typename Kind::operand));
    static constexpr int lane_bytes = Kind::group * static_cast<int>(sizeof(weight));
    static constexpr std::ptrdiff_t start_bytes = is_integer<Kind> ? blocks(C.outputs) * vector_bytes : 0,
                                    block_bytes = std::ptrdiff_t{C.taps_y} * tap_groups * vector_bytes;
    static_assert(C.taps() <= Longest);

public:
    /// int32 sums; float ones for the real kind.
    using sums_type = std::conditional_t<is_integer<Kind>, simd::i32x16<Arch>, simd::f32x16<Arch>>;
    static constexpr std::size_t packed_bytes = whole_lines(start_bytes + blocks(C.outputs) * block_bytes);

    /// Packed weights can be written in so many independent parts.
    static constexpr int parts = blocks(C.outputs);

    /// Writes one part; weight_at(channel, 0, t, u) gives the logical weights.
    template <class WeightAt>
    static void pack(const WeightAt& weight_at, bool is_signed, int part, std::byte* packed) {
        std::byte* block = packed + start_bytes + part * block_bytes;
        std::memset(block, 0, block_bytes);
        for (int lane = 0; lane < lanes; ++lane) {
            const int channel = part * lanes + lane;
            int sum = 0;
            for (int t = 0; t < C.taps_y && channel < C.outputs; ++t)
                for (int u = 0; u < C.taps_x; ++u) {
                    const weight w = weight_at(channel, 0, t, u);
                    store(block + (t * tap_groups + u / Kind::group) * vector_bytes + lane * lane_bytes
                              + u % Kind::group * static_cast<int>(sizeof(weight)),
                          w);
                    if constexpr (is_integer<Kind>) sum += w;
                }
            if constexpr (is_integer<Kind>) store(packed + channel * 4, is_signed ? -128 * sum : 0);
        }
    }

    /// Calls epilogue(target pixel, block, sums) once for every site and block of 16 outputs. Each tile copies it, so
    /// that what it captures by value stays in registers.
    template <class Epilogue>
    static void run(const std::byte* staged, const std::byte* packed, const Epilogue& epilogue) {
        for (int block = 0; block < blocks(C.outputs); ++block) {
            for (int y = 0; y < tiles.count * tiles.full; y += tiles.full)
                for (int x = 0; x < C.sites_x; ++x) tile<tiles.full>(staged, packed, block, y, x, epilogue);
            if constexpr (tiles.rest > 0)
                for (int x = 0; x < C.sites_x; ++x)
                    tile<tiles.rest>(staged, packed, block, tiles.count * tiles.full, x, epilogue);
        }
    }

private:
    // Row q of the tile's pixels is under row t of the window at site r iff q = r * stride + t.
    template <int Sites, class Epilogue>
    static void tile(const std::byte* staged, const std::byte* packed, int block, int y, int x,
                     const Epilogue& shared_epilogue) {
        const Epilogue epilogue = shared_epilogue;
        const std::byte* image = staged
            + (std::ptrdiff_t{block} * C.plane + std::ptrdiff_t{C.top + y * C.stride} * C.image_width + C.left
               + x * C.stride)
                * pixel_bytes;
        const std::byte* weights = packed + start_bytes + block * block_bytes;
        accumulator sums[Sites];
        unroll<Sites>([&](auto r) FQT_INLINE_LAMBDA { sums[r] = start(packed, block); });
        unroll<(Sites - 1) * C.stride + C.taps_y>([&](auto q) FQT_INLINE_LAMBDA {
            if constexpr (q % C.stride < C.taps_y)
                unroll<tap_groups>([&](auto g) FQT_INLINE_LAMBDA {
                    const auto pixels =
                        Kind::template pixels<Arch>(image + (q * C.image_width + g * Kind::group) * pixel_bytes);
                    unroll<Sites>([&](auto r) FQT_INLINE_LAMBDA {
                        constexpr int t = q - r * C.stride;
                        if constexpr (t >= 0 && t < C.taps_y)
                            multiply_add(
                                Arch{}, sums[r], pixels,
                                Kind::template vector<Arch, weight>(weights + (t * tap_groups + g) * vector_bytes));
                    });
                });
        });
        unroll<Sites>([&](auto r) FQT_INLINE_LAMBDA { epilogue(C.target(y + r, x), block, sums_type(sums[r])); });
    }

    FQT_INLINE static accumulator start(const std::byte* packed, int block) {
        if constexpr (is_integer<Kind>)
            return accumulator::load(reinterpret_cast<const std::int32_t*>(packed) + block * lanes);
        else return accumulator::zero();
    }
};

} // namespace fqt::kernels
