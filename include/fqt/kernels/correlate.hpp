#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The kernel of forward products and input gradients: a correlation (taps.hpp) of one staged sample with packed
// weights.
//
// A tile holds the sums of P pixels of one row times V vectors of 16 outputs. One step takes one group of channels and
// one row of taps: each operand is read once, repeated in all lanes, and multiplied into every sum whose window it is
// in. A sum goes over a range of steps: rows of the window that meet border alone are left out, and sums longer than
// `Longest` products are cut into several ranges, of all rows, which are added up in float. Packed weights lie in the
// order in which tiles read them:
//   [start of each sum: range][block] [16 lanes]   integer kind: int32, -bias * sum of the range's weights if signed
//   [block / V][row of taps][channel group][tap][V] [16 lanes][group]
// Depthwise layers have a kernel of their own (depthwise.hpp), and most others where there are matrix registers
// (correlate_matrices.hpp).

#include <fqt/kernels/kind.hpp>
#include <fqt/kernels/limits.hpp>
#include <fqt/kernels/pack.hpp>
#include <fqt/kernels/taps.hpp>
#include <fqt/kernels/tile_shape.hpp>
#include <fqt/kernels/unroll.hpp>

#include <algorithm>
#include <concepts>
#include <type_traits>

namespace fqt::kernels {

/// Whether an epilogue says that it is much code: `static constexpr bool is_long = true`.
template <class Epilogue>
inline constexpr bool is_long = requires {
    requires Epilogue::is_long;
};

/// Whether an epilogue keeps int32 sums as they are, so that a kernel may write those of 16 outputs and a pixel itself:
/// at place(pixel, block), pixel_bytes from those of the next pixel.
template <class Epilogue>
concept keeps_sums = requires(const Epilogue& e) {
    { e.place(0, 0) } -> std::same_as<std::byte*>;
    Epilogue::pixel_bytes;
};

template <correlation C, class Kind, class Arch, std::int64_t Longest = longest_sum>
struct correlate {
private:
    using registers = simd::tile_registers<typename Arch::registers>;
    using weight = typename Kind::weight;
    using accumulator = typename Kind::template sums<Arch>;

    // An input pixel at a phase that no tap reaches has no taps at all.
    static constexpr int row_taps = taps_in_row(C.taps_x), columns = row_taps > 0 ? C.taps_x / row_taps : 1;
    static constexpr int tap_rows = row_taps > 0 ? columns* C.taps_y : 0;
    static constexpr grouping channels{C.depth, C.outputs, C.groups};
    static constexpr int window = channels.count();
    static constexpr int first_channel(int block) { return std::min(channels.first(block), C.depth - window); }
    static constexpr int groups_of_channels = contracted<Kind>(window) / Kind::group;
    static constexpr int total_steps = tap_rows * groups_of_channels;
    static constexpr int operand_bytes = static_cast<int>(sizeof(typename Kind::operand));
    static constexpr int pixel_bytes = staged_channels<Kind>(C.depth) * operand_bytes;
    static constexpr int group_bytes = Kind::group * operand_bytes;

    static constexpr bool in_runs = is_integer<Kind> && std::int64_t{C.taps()} * channels.group_channels() > Longest;
    static constexpr int run_steps = std::max(1, static_cast<int>(Longest / (std::max(row_taps, 1) * Kind::group)));
    static_assert(!in_runs || row_taps * Kind::group <= Longest);

    // Steps that sums go over: one range after the other where they are cut; or else those of a row of sites, without
    // rows of the window that meet border alone. Sums of few steps, as in first layers, are faster whole.
    static constexpr bool leaves_out_border = !in_runs && groups_of_channels > 1 && total_steps > 0;
    static constexpr index_range steps_of(int y) {
        if (!leaves_out_border) return {0, total_steps};
        const index_range rows = C.window_rows(y);
        return {rows.first * columns * groups_of_channels, rows.end * columns * groups_of_channels};
    }
    static constexpr bool changes_range(int y) { return y > 0 && steps_of(y) != steps_of(y - 1); }
    static constexpr int range_count = [] {
        if (in_runs) return (total_steps + run_steps - 1) / run_steps;
        int count = 1;
        for (int y = 0; y < C.sites_y; ++y) count += changes_range(y);
        return count;
    }();
    struct table_of_ranges {
        index_range at[range_count];
    };
    static constexpr table_of_ranges ranges = [] {
        table_of_ranges all{};
        if (in_runs)
            for (int i = 0; i < range_count; ++i)
                all.at[i] = {i * run_steps, std::min((i + 1) * run_steps, total_steps)};
        else
            for (int y = 0, i = 0; y < C.sites_y; ++y) all.at[i += changes_range(y)] = steps_of(y);
        return all;
    }();

    static constexpr int output_blocks = blocks(C.outputs);
    static constexpr tile_shape shape_of_tile = best_tile({.rows = C.sites_x,
                                                           .blocks = channels.alike(),
                                                           .most_sums = registers::sums,
                                                           .most_operands = registers::operands,
                                                           .products = row_taps,
                                                           .sums = 1,
                                                           .row_reads = row_taps,
                                                           .shared_reads = std::max(row_taps - C.stride, 0),
                                                           .vector_reads = row_taps});
    static constexpr int vectors = shape_of_tile.vectors;
    static constexpr even_tiles tiles = split_evenly(C.sites_x, std::max(shape_of_tile.rows, 1));
    // Taps whose weights fit the registers together; on AVX2, one after the other.
    static constexpr int taps_at_once = std::clamp(registers::operands / vectors, 1, std::max(row_taps, 1));
    static constexpr int step_bytes = row_taps * vectors * vector_bytes;

    static constexpr std::size_t start_bytes =
        is_integer<Kind> ? std::size_t{range_count} * std::size_t{output_blocks} * vector_bytes : 0;
    static constexpr std::size_t weight_bytes =
        std::size_t{output_blocks / vectors} * std::size_t{total_steps} * step_bytes;

public:
    /// int32 sums; float ones for the real kind and where int32 could overflow.
    using sums_type = std::conditional_t<is_integer<Kind> && !in_runs, simd::i32x16<Arch>, simd::f32x16<Arch>>;
    static constexpr std::size_t packed_bytes = whole_lines(static_cast<std::int64_t>(start_bytes + weight_bytes));

    /// Packed weights can be written in so many independent parts.
    static constexpr int parts = output_blocks / vectors;

    /// Writes one part of the packed form of weights (pack.hpp).
    template <class Weights>
    static void pack(const Weights& weights, bool is_signed, int part, std::byte* packed) {
        const int block = part * vectors;
        if constexpr (is_integer<Kind>)
            for (int i = 0; i < range_count; ++i) std::memset(start_of(packed, i, block), 0, vectors * vector_bytes);
        std::byte* to = packed + start_bytes + std::ptrdiff_t{part} * total_steps * step_bytes;
        for (int step = 0; step < total_steps; ++step) {
            const int tap_row = step / groups_of_channels;
            const int channel = first_channel(block) + step % groups_of_channels * Kind::group;
            for (int tap = 0; tap < row_taps; ++tap)
                for (int v = 0; v < vectors; ++v, to += vector_bytes) {
                    pack_vector<C, Kind, Arch>(weights, block + v, channel, tap_row / columns, tap_row % columns + tap,
                                               to);
                    if constexpr (is_integer<Kind>)
                        for (int i = 0; i < range_count; ++i)
                            if (is_signed && ranges.at[i].first <= step && step < ranges.at[i].end)
                                add_bias<Kind, Arch>(to, start_of(packed, i, block + v));
                }
        }
        if constexpr (is_integer<Kind>)
            for (int i = 0; i < range_count; ++i) negate(start_of(packed, i, block), vectors * lanes);
    }

    /// Calls epilogue(target pixel, block, sums) once for every site and block of 16 outputs. Each tile copies it, so
    /// that what it captures by value stays in registers.
    template <class Epilogue>
    static void run(const std::byte* staged, const std::byte* packed, const Epilogue& epilogue) {
        for (int block = 0; block < output_blocks; block += vectors)
            for (int y = 0, range = 0; y < C.sites_y; ++y) {
                if constexpr (range_count > 1) range += changes_range(y);
                for (int x = 0; x < tiles.count; ++x)
                    tile<tiles.full>(staged, packed, block, y, x * tiles.full, range, epilogue);
                if constexpr (tiles.rest > 0)
                    tile<tiles.rest>(staged, packed, block, y, tiles.count * tiles.full, range, epilogue);
            }
    }

private:
    static constexpr std::ptrdiff_t tap_offset(int tap_row) {
        return (std::ptrdiff_t{tap_row / columns} * C.image_width + tap_row % columns) * pixel_bytes;
    }
    static const std::byte* site(const std::byte* staged, int y, int x) {
        return staged + (std::ptrdiff_t{C.top + y * C.stride} * C.image_width + C.left + x * C.stride) * pixel_bytes;
    }
    static std::byte* start_of(std::byte* packed, int range, int block) {
        return packed + (std::ptrdiff_t{range} * output_blocks + block) * vector_bytes;
    }

    template <int Pixels, class Epilogue>
    static void tile(const std::byte* staged, const std::byte* packed, int block, int y, int x, int range,
                     const Epilogue& shared_epilogue) {
        constexpr int size = Pixels * vectors;
        const Epilogue epilogue = shared_epilogue;
        const std::byte* image = site(staged, y, x) + first_channel(block) * operand_bytes;
        const std::byte* weights = packed + start_bytes + std::ptrdiff_t{block / vectors} * total_steps * step_bytes;
        accumulator sums[size];
        const auto write = [&](int i, const sums_type& sum)
                               FQT_INLINE_LAMBDA { epilogue(C.target(y, x + i / vectors), block + i % vectors, sum); };
        if constexpr (total_steps == 0) {
            unroll<size>([&](auto i) FQT_INLINE_LAMBDA { write(i, sums_type::zero()); });
        } else if constexpr (!in_runs) {
            accumulate<Pixels>(sums, image, weights, packed, block, range);
            if constexpr (is_long<Epilogue> && C.target_step > 1) { // or each phase would have it many times over
                sums_type done[size];
                unroll<size>([&](auto i) FQT_INLINE_LAMBDA { done[i] = sums_type(sums[i]); });
                for (int i = 0; i < size; ++i) write(i, done[i]);
            } else {
                unroll<size>([&](auto i) FQT_INLINE_LAMBDA { write(i, sums_type(sums[i])); });
            }
        } else {
            sums_type total[size];
            for (auto& t : total) t = sums_type::zero();
            for (int i = 0; i < range_count; ++i) {
                accumulate<Pixels>(sums, image, weights, packed, block, i);
                for (int j = 0; j < size; ++j) total[j] = total[j] + simd::i32x16<Arch>(sums[j]).to_float();
            }
            for (int i = 0; i < size; ++i) write(i, total[i]);
        }
    }

    // The sums over one range, from their starts.
    template <int Pixels>
    FQT_INLINE static void accumulate(accumulator (&sums)[Pixels * vectors], const std::byte* image,
                                      const std::byte* weights, const std::byte* packed, int block, int range) {
        unroll<Pixels * vectors>([&](auto i)
                                     FQT_INLINE_LAMBDA { sums[i] = start(packed, range, block + i % vectors); });
        const index_range steps = ranges.at[range_count > 1 ? range : 0];
        int tap_row = steps.first / groups_of_channels, group = steps.first % groups_of_channels;
        const std::byte* operands = image + tap_offset(tap_row) + group * group_bytes;
        weights += std::ptrdiff_t{steps.first} * step_bytes;
        // Tested below, since g++ would copy the test of a loop above it, and with it every sum at the loop's end.
        const auto add_steps = [&](auto& to, int count) FQT_INLINE_LAMBDA {
            do {
                unroll<(row_taps + taps_at_once - 1) / taps_at_once>([&](auto part) FQT_INLINE_LAMBDA {
                    constexpr int first = part * taps_at_once;
                    add_taps<Pixels, first, std::min(taps_at_once, row_taps - first)>(to, operands, weights);
                });
                operands += group_bytes;
                weights += step_bytes;
                if (++group == groups_of_channels) {
                    group = 0;
                    operands = image + tap_offset(++tap_row);
                }
            } while (--count > 0);
        };
        add_in_parts<Kind, Arch, std::max(row_taps, 1)>(sums, steps.end - steps.first, add_steps);
    }

    // Taps First to First + Taps - 1 of one row and one group of channels. Position q of the image is under tap t of
    // pixel p iff q = p * stride + t.
    template <int Pixels, int First, int Taps>
    FQT_INLINE static void add_taps(auto& sums, const std::byte* operands, const std::byte* weights) {
        using vector = decltype(Kind::template vector<Arch, weight>(weights));
        vector w[Taps * vectors];
        unroll<Taps * vectors>([&](auto i) FQT_INLINE_LAMBDA {
            w[i] = Kind::template vector<Arch, weight>(weights + (First * vectors + i) * vector_bytes);
        });
        unroll<(Pixels - 1) * C.stride + Taps>([&](auto q) FQT_INLINE_LAMBDA {
            if constexpr (q % C.stride < Taps) {
                const auto operand =
                    Kind::template repeat<Arch, typename Kind::operand>(operands + (First + q) * pixel_bytes);
                unroll<Taps * vectors>([&](auto i) FQT_INLINE_LAMBDA {
                    constexpr int t = i / vectors, v = i % vectors, distance = q - t, p = distance / C.stride;
                    if constexpr (distance >= 0 && distance % C.stride == 0 && p < Pixels)
                        multiply_add(Arch{}, sums[p * vectors + v], operand, w[i]);
                });
            }
        });
    }

    FQT_INLINE static accumulator start(const std::byte* packed, int range, int block) {
        if constexpr (is_integer<Kind>)
            return accumulator::load(reinterpret_cast<const std::int32_t*>(packed)
                                     + (std::ptrdiff_t{range} * output_blocks + block) * lanes);
        else return accumulator::zero();
    }
};

} // namespace fqt::kernels

#include <fqt/kernels/correlate_matrices.hpp>
#include <fqt/kernels/depthwise.hpp>
