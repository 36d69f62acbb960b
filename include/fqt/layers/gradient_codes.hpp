#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// h, the gradient by a product's sums, on its way into the two products of the backward pass: quantized once or twice,
// with one grid per tensor, sample or channel, or used as floats where the scheme says `real`.

#include <fqt/layers/measuring.hpp>

#include <algorithm>
#include <type_traits>

namespace fqt {

/// Where quantizer Q's grids of h lie, and its codes.
template <shape Shape, class Q>
struct gradient_codes {
    using quantizer = Q;
    using coded = codes<Shape, Q, true>;
    using traits = quantizer_traits<Q>;
    using grid_type = typename traits::grid_type;
    using range = range_traits<typename traits::range>;
    static constexpr bool by_sample = granularity_of_samples<typename traits::granularity>,
                          by_channel = has_granularity<Q, per_channel>;
    static constexpr code_limits limits = traits::limits(true);
    static constexpr int copies = traits::copies;
    static constexpr bool two_bytes = traits::integer_bytes(true) == 2;
    /// At least extremes, by which NaN and infinity are found.
    static constexpr measures needs = std::max(range::needs, measures::extremes);
    /// Floats that the range rule keeps between steps.
    static constexpr int memory_size = range::memory * (by_channel ? padded(Shape.channels) : 1);
    static_assert(!by_channel || (is_linear<Q> && std::same_as<grid_type, grid>),
                  "fqt: scheme.weight_gradient is per channel, so it must have a linear grid without a zero point, "
                  "fqt::grid; use per_sample or per_tensor");
    static_assert(!by_sample || range::memory == 0,
                  "fqt: scheme.input_gradient or scheme.weight_gradient is per sample, and its range rule remembers, "
                  "but samples come and go; use per_tensor");

    std::byte* data;         // `copies` roundings, one after the other
    grid_type* grids;        // per tensor: 1; per sample: one each; per channel: one each
    float *steps, *inverses; // per channel, padded: for lanes
    std::byte* bytes;        // of integers that may take two: how many they take, of each sample and rounding
    std::size_t copy_bytes;

    /// Takes memory for `samples` samples from a carver; with an empty carver it only counts.
    static constexpr gradient_codes carve(carver& memory, int samples) {
        gradient_codes g{};
        const auto n = static_cast<std::size_t>(samples);
        g.copy_bytes = coded::sample_bytes * n;
        g.data = memory.take<std::byte>(g.copy_bytes * copies);
        g.grids = memory.take<grid_type>(by_sample        ? n
                                             : by_channel ? static_cast<std::size_t>(padded(Shape.channels))
                                                          : 1);
        g.steps = memory.take<float>(by_channel ? static_cast<std::size_t>(padded(Shape.channels)) : 1);
        g.inverses = memory.take<float>(by_channel ? static_cast<std::size_t>(padded(Shape.channels)) : 1);
        if constexpr (two_bytes) g.bytes = memory.take<std::byte>(n * copies);
        return g;
    }

    /// The same with the codes of another rounding.
    gradient_codes copy(int number) const {
        gradient_codes g = *this;
        g.data += static_cast<std::size_t>(number) * copy_bytes;
        if constexpr (two_bytes) g.bytes += static_cast<std::size_t>(number) * (copy_bytes / coded::sample_bytes);
        return g;
    }

    const grid_type& grid_of(int n) const { return grids[by_sample ? n : 0]; }
    /// The step that is common to sample n's codes; 1 where every channel has its own, or where grids have none.
    float step_of(int n) const {
        if constexpr (by_channel || !is_linear<Q>) return 1.0f;
        else return grid_of(n).step;
    }

    /// Quantizes h: one pass to measure, one to write. Where samples have grids of their own the second pass follows
    /// while the sample is still in cache. `remembered` holds memory_size floats.
    template <class Arch, class H>
    void encode(const context& c, const H& h, const random_stream& stream, std::byte* shared, float* remembered,
                const char* layer) {
        if constexpr (by_channel) {
            fit_channels<Arch>(c, h, shared, remembered, layer);
            parallel_for(c.samples, c.threads, [&](int n, int) { write<Arch>(c, h, stream, n); });
        } else {
            measured_samples<needs, Shape, Arch> found(shared, c.samples);
            parallel_for(c.samples, c.threads, [&](int n, int) {
                if (!found.measure(h, n)) return;
                if constexpr (by_sample) {
                    grids[n] = fit(found.of_sample(n), nullptr);
                    write<Arch>(c, h, stream, n);
                }
            });
            if (!found.all_finite(c.samples)) passes::refuse_non_finite("a gradient", layer);
            if constexpr (!by_sample) {
                grids[0] = fit(found.of_batch(c.samples), remembered);
                parallel_for(c.samples, c.threads, [&](int n, int) { write<Arch>(c, h, stream, n); });
            }
        }
    }

    /// Bytes of shared memory that encode() uses besides its own.
    static constexpr std::size_t encode_bytes(int samples) {
        using any = arch::generic; // the sizes are the same for all
        return by_channel ? measured_channels<needs, Shape, any>::bytes()
                          : measured_samples<needs, Shape, any>::bytes(samples);
    }

    // ---- the codes as a lazy tensor, for kernels and observers ----

    static constexpr shape dims = Shape;
    static constexpr bool is_signed = true;
    template <class Arch>
    floats<Arch> code(int n, int p, int b) const {
        return coded{data, nullptr, nullptr}.template code<Arch>(n, p, b);
    }
    template <class Arch>
    floats<Arch> integers(int n, int p, int b) const {
        return coded{data, &grid_of(n), nullptr}.template integers<Arch>(n, p, b);
    }
    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        if constexpr (by_channel) return integers<Arch>(n, p, b) * floats<Arch>::load(steps + b * lanes);
        else return coded{data, &grid_of(n), nullptr}.template load<Arch>(n, p, b);
    }
    const std::byte* at(int n, int p, int b) const { return coded{data, nullptr, nullptr}.at(n, p, b); }
    int scale(int n, int p, int b) const { return coded{data, nullptr, nullptr}.scale(n, p, b); }
    /// The bytes that the integers of sample n take.
    int integer_bytes(int n) const { return two_bytes ? std::to_integer<int>(bytes[n]) : 1; }

private:
    static grid_type fit(const measurement& m, float* remembered) {
        return Q::fit(range::clip(m, limits, {remembered, static_cast<std::size_t>(range::memory)}), limits);
    }

    template <class Arch, class H>
    void write(const context& c, const H& h, const random_stream& stream, int n) {
        for (int i = 0; i < copies; ++i) {
            // Streams of a layer end below 2^24.
            random_stream of_copy = stream;
            of_copy.stream += static_cast<std::uint32_t>(i) << 24;
            copy(i).template write_copy<Arch>(c, h, of_copy, n);
        }
    }

    template <class Arch, class H>
    [[gnu::flatten]] void write_copy(const context& c, const H& h, const random_stream& stream, int n) {
        const H values = h;
        const grid_type grid = grid_of(n);
        const coded out{data, nullptr, nullptr};
        floats<Arch> greatest(0.0f);
        passes::each_block_with_draws<Arch, Shape, traits>(
            stream, c.first_sample + static_cast<std::uint32_t>(n), [&](int p, int b, auto u) FQT_INLINE_LAMBDA {
                const auto v = values.template load<Arch>(n, p, b);
                auto* place = const_cast<std::byte*>(out.at(n, p, b));
                const auto q = [&]() FQT_INLINE_LAMBDA {
                    if constexpr (traits::scales_blocks) {
                        const float scale = Q::scale_of(v, grid);
                        place[coded::code_bytes] = static_cast<std::byte>(static_cast<int>(scale));
                        return Q::encode(v * floats<Arch>(1.0f / scale), grid, u);
                    } else if constexpr (by_channel) {
                        const passes::lane_grid<Arch> g{floats<Arch>::load(steps + b * lanes),
                                                        floats<Arch>::load(inverses + b * lanes)};
                        return Q::encode(v, g, u);
                    } else {
                        return Q::encode(v, grid, u);
                    }
                }();
                const auto code = passes::clamped<Arch>(q, limits);
                simd::store_codes<traits::stored_bits, traits::stored_signed(true)>(place, code);
                if constexpr (two_bytes) greatest = max(greatest, abs(traits::integer(code, grid)));
            });
        if constexpr (two_bytes) bytes[n] = reduce_max(greatest) <= 127.0f ? std::byte{1} : std::byte{2};
    }

    template <class Arch, class H>
    void fit_channels(const context& c, const H& h, std::byte* shared, float* remembered, const char* layer) {
        measured_channels<needs, Shape, Arch> found(shared);
        found.measure(c, h);
        for (int k = 0; k < padded(Shape.channels); ++k) {
            const measurement m = found.of_channel(k, c.samples);
            if (!(m.range.high < std::numeric_limits<float>::infinity()))
                passes::refuse_non_finite("a gradient", layer);
            grids[k] = fit(m, remembered + range::memory * k);
            steps[k] = grids[k].step;
            inverses[k] = grids[k].inverse;
        }
    }
};

} // namespace fqt
