#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The kernel of forward products and input gradients: a correlation (taps.hpp) of one staged sample with packed weights.
//
// A tile holds the sums of P pixels of one row times V vectors of 16 outputs. One step takes one group of channels and
// one row of taps: each operand is read once, repeated in all lanes, and multiplied into every sum whose window it is in.
// Packed weights lie in the order in which tiles read them:
//   [start of each sum: run][block] [16 lanes]     integer kind: int32, -128 * sum of the run's weights if signed
//   [block / V][row of taps][channel group][tap][V] [16 lanes][group]
// Sums longer than `Longest` products are cut into runs of steps, which are added up in float.

#include <fqt/kernels/kind.hpp>
#include <fqt/kernels/limits.hpp>
#include <fqt/kernels/taps.hpp>
#include <fqt/kernels/tile_shape.hpp>
#include <fqt/kernels/unroll.hpp>

#include <algorithm>
#include <type_traits>

namespace fqt::kernels {

template <correlation C, class Kind, class Arch, std::int64_t Longest = longest_sum>
struct correlate {
private:
    using registers = simd::tile_registers<typename Arch::registers>;
    using weight = typename Kind::weight;
    using accumulator = typename Kind::template sums<Arch>;

    // An input pixel at a phase that no tap reaches has no taps at all.
    static constexpr int row_taps = taps_in_row(C.taps_x), columns = row_taps > 0 ? C.taps_x / row_taps : 1;
    static constexpr int tap_rows = row_taps > 0 ? C.taps_y * columns : 0;
    static constexpr int groups_of_channels = contracted<Kind>(C.depth) / Kind::group;
    static constexpr int total_steps = tap_rows * groups_of_channels;
    static constexpr int pixel_bytes = staged_channels<Kind>(C.depth) * static_cast<int>(sizeof(typename Kind::operand));
    static constexpr int group_bytes = Kind::group * static_cast<int>(sizeof(typename Kind::operand));

    static constexpr bool in_runs = is_integer<Kind> && std::int64_t{C.taps()} * (C.depth / C.groups) > Longest;
    static constexpr int run_steps =
        in_runs ? std::max(1, static_cast<int>(Longest / (std::max(row_taps, 1) * Kind::group))) : std::max(total_steps, 1);
    static constexpr int runs = std::max(1, (total_steps + run_steps - 1) / run_steps);
    static_assert(!in_runs || row_taps * Kind::group <= Longest);
    static_assert(C.groups == 1 || !in_runs, "fqt: a grouped convolution of more than 65,793 products a sum is not implemented");

    static constexpr int output_blocks = blocks(C.outputs);
    static constexpr tile_shape shape_of_tile =
        best_tile({.rows = C.sites_x,
                   .blocks = output_blocks,
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
        is_integer<Kind> ? std::size_t{runs} * std::size_t{output_blocks} * vector_bytes : 0;
    static constexpr std::size_t weight_bytes =
        C.groups > 1 ? sizeof(weight) * std::size_t{C.outputs} * std::size_t{C.taps()} * std::size_t{C.depth / C.groups}
                     : std::size_t{output_blocks / vectors} * std::size_t{total_steps} * step_bytes;

public:
    /// int32 sums; float ones for the real kind and where int32 could overflow.
    using sums_type = std::conditional_t<is_integer<Kind> && !in_runs, simd::i32x16<Arch>, simd::f32x16<Arch>>;
    static constexpr std::size_t packed_bytes = whole_lines(static_cast<std::int64_t>(start_bytes + weight_bytes));

    /// weight_at(output, channel of its group, t, u) gives the logical weights.
    template <class WeightAt>
    static void pack(const WeightAt& weight_at, bool is_signed, std::byte* packed) {
        std::fill(packed, packed + packed_bytes, std::byte{0});
        if constexpr (C.groups > 1)
            pack_grouped(weight_at, is_signed, packed);
        else
            pack_vectors(weight_at, is_signed, packed);
    }

    /// Calls epilogue(target pixel, block, sums) once for every site and block of 16 outputs.
    template <class Epilogue>
    static void run(const std::byte* staged, const std::byte* packed, Epilogue& epilogue) {
        if constexpr (total_steps == 0)
            run_zeros(epilogue);
        else if constexpr (C.groups > 1)
            run_grouped(staged, packed, epilogue);
        else
            run_tiles(staged, packed, epilogue);
    }

private:
    static constexpr std::ptrdiff_t tap_offset(int tap_row) {
        return (std::ptrdiff_t{tap_row / columns} * C.image_width + tap_row % columns) * pixel_bytes;
    }
    static const std::byte* site(const std::byte* staged, int y, int x) {
        return staged + (std::ptrdiff_t{C.top + y * C.stride} * C.image_width + C.left + x * C.stride) * pixel_bytes;
    }
    static void add_to_start(std::byte* packed, int run, int output, weight w) {
        std::byte* at = packed + (std::ptrdiff_t{run} * output_blocks * lanes + output) * 4;
        store(at, load<std::int32_t>(at) - 128 * w);
    }

    // ---- all channels meet all outputs ----

    template <class WeightAt>
    static void pack_vectors(const WeightAt& weight_at, bool is_signed, std::byte* packed) {
        std::byte* to = packed + start_bytes;
        for (int first = 0; first < output_blocks; first += vectors)
            for (int step = 0; step < total_steps; ++step)
                for (int tap = 0; tap < row_taps; ++tap)
                    for (int output = first * lanes; output < (first + vectors) * lanes; ++output)
                        for (int i = 0; i < Kind::group; ++i, to += sizeof(weight)) {
                            const int tap_row = step / groups_of_channels;
                            const int channel = step % groups_of_channels * Kind::group + i;
                            if (output >= C.outputs || channel >= C.depth) continue;
                            const weight w = weight_at(output, channel, tap_row / columns, tap_row % columns + tap);
                            store(to, w);
                            if constexpr (is_integer<Kind>)
                                if (is_signed) add_to_start(packed, step / run_steps, output, w);
                        }
    }

    template <class Epilogue>
    static void run_tiles(const std::byte* staged, const std::byte* packed, Epilogue& epilogue) {
        for (int block = 0; block < output_blocks; block += vectors)
            for (int y = 0; y < C.sites_y; ++y) {
                for (int x = 0; x < tiles.count; ++x) tile<tiles.full>(staged, packed, block, y, x * tiles.full, epilogue);
                if constexpr (tiles.rest > 0) tile<tiles.rest>(staged, packed, block, y, tiles.count * tiles.full, epilogue);
            }
    }

    template <int Pixels, class Epilogue>
    static void tile(const std::byte* staged, const std::byte* packed, int block, int y, int x, Epilogue& epilogue) {
        constexpr int size = Pixels * vectors;
        const std::byte* image = site(staged, y, x);
        const std::byte* weights = packed + start_bytes + std::ptrdiff_t{block / vectors} * total_steps * step_bytes;
        accumulator sums[size];
        if constexpr (!in_runs) {
            accumulate<Pixels>(sums, image, weights, packed, block, 0);
            unroll<size>([&](auto i) __attribute__((always_inline)) {
                epilogue(C.target(y, x + i / vectors), block + i % vectors, sums_type(sums[i]));
            });
        } else {
            sums_type total[size];
            for (auto& t : total) t = sums_type::zero();
            for (int run = 0; run < runs; ++run) {
                accumulate<Pixels>(sums, image, weights, packed, block, run);
                for (int i = 0; i < size; ++i) total[i] = total[i] + simd::i32x16<Arch>(sums[i]).to_float();
            }
            for (int i = 0; i < size; ++i) epilogue(C.target(y, x + i / vectors), block + i % vectors, total[i]);
        }
    }

    // The sums of one run, from its start.
    template <int Pixels>
    [[gnu::always_inline]] static void accumulate(accumulator (&sums)[Pixels * vectors], const std::byte* image,
                                                  const std::byte* weights, const std::byte* packed, int block, int run) {
        unroll<Pixels * vectors>([&](auto i) __attribute__((always_inline)) {
            sums[i] = start(packed, run, block + i % vectors);
        });
        int step = run * run_steps, tap_row = step / groups_of_channels, group = step % groups_of_channels;
        const int end = std::min(step + run_steps, total_steps);
        const std::byte* operands = image + tap_offset(tap_row) + group * group_bytes;
        weights += std::ptrdiff_t{step} * step_bytes;
        // Tested below, since g++ would copy the test of a loop above it, and with it every sum at the loop's end.
        do {
            unroll<(row_taps + taps_at_once - 1) / taps_at_once>([&](auto part) __attribute__((always_inline)) {
                constexpr int first = part * taps_at_once;
                add_taps<Pixels, first, std::min(taps_at_once, row_taps - first)>(sums, operands, weights);
            });
            operands += group_bytes;
            weights += step_bytes;
            if (++group == groups_of_channels) {
                group = 0;
                operands = image + tap_offset(++tap_row);
            }
        } while (++step < end);
    }

    // Taps First to First + Taps - 1 of one row and one group of channels. Position q of the image is under tap t of
    // pixel p iff q = p * stride + t.
    template <int Pixels, int First, int Taps>
    [[gnu::always_inline]] static void add_taps(accumulator (&sums)[Pixels * vectors], const std::byte* operands,
                                                const std::byte* weights) {
        using vector = decltype(Kind::template vector<Arch, weight>(weights));
        vector w[Taps * vectors];
        unroll<Taps * vectors>([&](auto i) __attribute__((always_inline)) {
            w[i] = Kind::template vector<Arch, weight>(weights + (First * vectors + i) * vector_bytes);
        });
        unroll<(Pixels - 1) * C.stride + Taps>([&](auto q) __attribute__((always_inline)) {
            if constexpr (q % C.stride < Taps) {
                const auto operand = Kind::template repeat<Arch, typename Kind::operand>(operands + (First + q) * pixel_bytes);
                unroll<Taps>([&](auto t) __attribute__((always_inline)) {
                    constexpr int distance = q - t, p = distance / C.stride;
                    if constexpr (distance >= 0 && distance % C.stride == 0 && p < Pixels)
                        unroll<vectors>([&](auto v) __attribute__((always_inline)) {
                            multiply_add(Arch{}, sums[p * vectors + v], operand, w[t * vectors + v]);
                        });
                });
            }
        });
    }

    FQT_INLINE static accumulator start(const std::byte* packed, int run, int block) {
        if constexpr (is_integer<Kind>)
            return accumulator::load(reinterpret_cast<const std::int32_t*>(packed) +
                                     (std::ptrdiff_t{run} * output_blocks + block) * lanes);
        else
            return accumulator::zero();
    }

    template <class Epilogue>
    static void run_zeros(Epilogue& epilogue) {
        for (int y = 0; y < C.sites_y; ++y)
            for (int x = 0; x < C.sites_x; ++x)
                for (int block = 0; block < output_blocks; ++block) epilogue(C.target(y, x), block, sums_type::zero());
    }

    // ---- groups: each output meets the channels of its own group, in plain loops ----

    static constexpr int group_depth = C.depth / C.groups, group_outputs = C.outputs / C.groups;

    // [output][row of taps][channel][tap]
    template <class WeightAt>
    static void pack_grouped(const WeightAt& weight_at, bool is_signed, std::byte* packed) {
        std::byte* to = packed + start_bytes;
        for (int output = 0; output < C.outputs; ++output)
            for (int tap_row = 0; tap_row < tap_rows; ++tap_row)
                for (int channel = 0; channel < group_depth; ++channel)
                    for (int tap = 0; tap < row_taps; ++tap, to += sizeof(weight)) {
                        const weight w = weight_at(output, channel, tap_row / columns, tap_row % columns + tap);
                        store(to, w);
                        if constexpr (is_integer<Kind>)
                            if (is_signed) add_to_start(packed, 0, output, w);
                    }
    }

    template <class Epilogue>
    static void run_grouped(const std::byte* staged, const std::byte* packed, Epilogue& epilogue) {
        for (int y = 0; y < C.sites_y; ++y)
            for (int x = 0; x < C.sites_x; ++x)
                for (int block = 0; block < output_blocks; ++block) {
                    typename Kind::sum sums[lanes] = {};
                    for (int lane = 0; lane < lanes && block * lanes + lane < C.outputs; ++lane)
                        sums[lane] = grouped_sum(site(staged, y, x), packed, block * lanes + lane);
                    epilogue(C.target(y, x), block, sums_type::load(sums));
                }
    }

    static typename Kind::sum grouped_sum(const std::byte* image, const std::byte* packed, int output) {
        using operand = typename Kind::operand;
        using simd::multiply_add;
        typename Kind::sum sum{};
        if constexpr (is_integer<Kind>) sum = load<std::int32_t>(packed + std::ptrdiff_t{output} * 4);
        const std::byte* w = packed + start_bytes + std::ptrdiff_t{output} * tap_rows * group_depth * row_taps * int{sizeof(weight)};
        image += std::ptrdiff_t{output / group_outputs} * group_depth * int{sizeof(operand)};
        for (int tap_row = 0; tap_row < tap_rows; ++tap_row)
            for (int channel = 0; channel < group_depth; ++channel)
                for (int tap = 0; tap < row_taps; ++tap, w += sizeof(weight))
                    multiply_add(Arch{}, sum,
                                 load<operand>(image + tap_offset(tap_row) + tap * pixel_bytes + channel * int{sizeof(operand)}),
                                 load<weight>(w));
        return sum;
    }
};

} // namespace fqt::kernels
