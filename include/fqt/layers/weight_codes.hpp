#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The weights of one product as numbers: master values with their gradients, and by a quantizer's rule the grids and
// codes of them. Sizes are known at run time alone, so that layers of all shapes share this code; what kernels read is
// packed in weights.hpp.

#include <fqt/layers/context.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/layers/passes.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace fqt {

/// Weights (k, r, s, c): `outputs` rows of `row` numbers.
struct weight_sizes {
    std::array<int, 4> dims; ///< k, r, s, c

    constexpr int outputs() const { return dims[0]; }
    constexpr int row() const { return dims[1] * dims[2] * dims[3]; }
    constexpr int count() const { return outputs() * row(); }
};

/// Decodes: whether some product takes what codes stand for, and not the codes.
template <class Quantizer, bool Decodes, class Arch>
class weight_codes {
public:
    using quantizer = Quantizer;
    using traits = quantizer_traits<quantizer>;
    using range_rule = typename traits::range;
    using rule = range_traits<range_rule>;
    static constexpr int code_bytes = traits::integer_bytes(true);
    static constexpr bool by_channel = has_granularity<quantizer, per_channel>;
    static constexpr bool has_codes = !is_real<quantizer> && !is_blocked<quantizer>;
    static constexpr bool transforms = transforms_weights<quantizer>;
    static_assert(!rule::learned || !by_channel,
                  "fqt: scheme.weight learns its range, of which there is one a tensor; use per_tensor");
    static_assert(!rule::learned || is_linear<quantizer>,
                  "fqt: scheme.weight learns its range, for which its grid must be linear; use symmetric<bits>");

    weight_sizes sizes;
    float *value{}, *gradient{};
    std::int8_t* code{}; // integers, (k, r, s, c), unless the quantizer is `real`; all low bytes, then all high ones
    float* step{};       // of each output channel's grid; 1 where values are decoded before the product
    float* fold{};       // what is folded into channel k of the gradient: the step, or a stand-in where that is 0
    float* norm{};       // Euclidean norm of each output channel's weights
    float *learned{}, *learned_gradient{}; // range, where the rule learns it
    float* memory{};                       // of the range rule

    constexpr explicit weight_codes(weight_sizes s) : sizes(s) {}
    constexpr int memory_size() const { return rule::memory * grids(); }

    constexpr void plan(planner& p) {
        p.persistent(value, sizes.count());
        p.persistent(gradient, sizes.count());
        if (has_codes) p.persistent(code, code_bytes * sizes.count());
        p.persistent(step, padded(sizes.outputs()));
        p.persistent(fold, padded(sizes.outputs()));
        p.persistent(norm, padded(sizes.outputs()));
        p.persistent(grid_, grids());
        p.persistent(measured_, sizes.outputs());
        if (rule::learned) p.state(learned, 1);
        if (rule::learned) p.persistent(learned_gradient, 1);
        if (memory_size() > 0) p.state(memory, memory_size());
        if (rule::needs == measures::histogram) p.persistent(histogram_, magnitude_bins::count * sizes.outputs());
        if (transforms) p.persistent(transformed_, sizes.count());
    }

    template <class F>
    void each_parameter(F&& f, const path& name) {
        f(parameter{name / "weight", parameter_kind::weight, all(value), all(gradient), sizes.dims});
        if (learned)
            f(parameter{
                name / "weight_range", parameter_kind::range, {learned, 1}, {learned_gradient, 1}, {1, 1, 1, 1}});
    }
    template <class F>
    void each_state(F&& f, const path& name) {
        if (memory) f(state{name / "weight_range_memory", {memory, static_cast<std::size_t>(memory_size())}});
    }

    /// He initialisation: uniform with variance 2 / fan-in (He, Zhang, Ren, Sun 2015, eq. 10).
    void initialise(const random_stream& stream) {
        const float bound = std::sqrt(6.0f / static_cast<float>(sizes.row()));
        for (int i = 0; i < sizes.count(); ++i) {
            const auto bits = stream.block(0, static_cast<std::uint32_t>(i / 4))[static_cast<std::size_t>(i % 4)];
            value[i] = product(std::fma(2.0f, uniform32(bits), -1.0f), bound);
        }
    }

    /// What is quantized: the values, or what the quantizer makes of them first.
    const float* value_to_quantize() const { return transforms ? transformed_ : value; }
    const auto& grid_of(int k) const { return grid_[by_channel ? k : 0]; }

    /// Norms and grids of the values as they are now. Errors: weights of layer `name` are not finite.
    void fit(const char* name, int threads) {
        float divisor = 1;
        if constexpr (transforms) divisor = quantizer::divisor(greatest());
        parallel_for(sizes.outputs(), threads, [&](int k, int) {
            if constexpr (transforms)
                for (int i = k * sizes.row(); i < (k + 1) * sizes.row(); ++i)
                    transformed_[i] = quantizer::transform(value[i], divisor);
            measure(k);
        });
        for (int k = 0; k < sizes.outputs(); ++k)
            if (!std::isfinite(norm[k])) passes::refuse_non_finite("a weight", name);
        for (int g = 0; g < grids(); ++g) {
            const measurement m = measurement_of(by_channel ? g : 0, by_channel ? g + 1 : sizes.outputs());
            grid_[g] = quantizer::fit(clip_of(m, memory + rule::memory * g), limits);
        }
        float largest_step = 0;
        for (int k = 0; k < sizes.outputs(); ++k) {
            if constexpr (is_linear<quantizer>) step[k] = grid_of(k).step;
            else step[k] = 1;
            largest_step = std::max(largest_step, step[k]);
        }
        // A channel of zeros has no step; folding a zero in would lose its weight gradient for good.
        for (int k = 0; k < sizes.outputs(); ++k)
            fold[k] = step[k] > 0 ? step[k] : largest_step > 0 ? largest_step : 1.0f;
    }

    /// Codes by the grids of fit(), and where a product wants it, what they stand for.
    void encode(const random_stream& stream, int threads, float* decoded) {
        parallel_for(sizes.outputs(), threads,
                     [&](int k, int) { encode_row(value_to_quantize(), k, grid_of(k), stream, 0, code, decoded); });
    }
    /// The same of other weights `w`, all by grid g, as the draws numbered `rounding` round them.
    void encode(const float* w, const auto& g, const random_stream& stream, std::uint32_t rounding, int threads,
                std::int8_t* codes, float* decoded) {
        parallel_for(sizes.outputs(), threads,
                     [&](int k, int) { encode_row(w, k, g, stream, rounding, codes, decoded); });
    }

    /// H along 16 outputs of the gradient, where that is of H h; false if it leaves the range of floats.
    bool rotate_gradient(int block) {
        float* of_block = gradient + block * lanes * sizes.row();
        const interval range = hadamard_of_rows<Arch>(of_block, sizes.row(), of_block);
        return std::isfinite(range.low) && std::isfinite(range.high);
    }

    /// From the gradient by the quantized weights to that by the values, in place. It passes straight through, but for
    /// a transform, and for ranges that are learnt: there it stops outside, and the range's slope is summed.
    void finish_gradient(int threads) {
        if constexpr (rule::learned) {
            using values = floats<Arch>;
            double sum = 0;
            const float c = *learned;
            for (int first = 0; first < sizes.count(); first += lanes) {
                const int count = std::min(lanes, sizes.count() - first);
                float w[lanes]{}, decoded[lanes]{}, slope[lanes];
                std::copy_n(value_to_quantize() + first, count, w);
                for (int i = 0; i < count; ++i) decoded[i] = product(static_cast<float>(integer_at(first + i)), *step);
                values(range_rule::slope(values::load(w), values::load(decoded), values(c))).store(slope);
                for (int i = 0; i < count; ++i) {
                    sum = std::fma(double{slope[i]}, double{gradient[first + i]}, sum);
                    if (!(std::abs(w[i]) <= c)) gradient[first + i] = 0;
                }
            }
            *learned_gradient = static_cast<float>(product(sum, range_rule::gradient_scale(sizes.count(), limits)));
        }
        if constexpr (transforms) {
            const float divisor = quantizer::divisor(greatest());
            parallel_for(sizes.outputs(), threads, [&](int k, int) {
                for (int i = k * sizes.row(); i < (k + 1) * sizes.row(); ++i)
                    gradient[i] = quantizer::transform_gradient(gradient[i], value[i], divisor);
            });
        }
    }

protected:
    static constexpr code_limits limits = traits::limits(true);

private:
    struct channel_measurement {
        interval range;
        double magnitude, square;
    };
    typename traits::grid_type* grid_{};
    channel_measurement* measured_{}; // of each output channel
    std::uint32_t* histogram_{};      // likewise
    float* transformed_{};            // what is quantized, where the quantizer transforms values first

    constexpr int grids() const { return by_channel ? sizes.outputs() : 1; }
    std::span<float> all(float* of) const { return {of, static_cast<std::size_t>(sizes.count())}; }
    float greatest() const {
        float most = 0;
        for (const float w : all(value)) most = std::max(most, std::abs(w));
        return most;
    }
    int integer_at(int i) const { return code[i] + (code_bytes == 2 ? 256 * code[sizes.count() + i] : 0); }

    /// What is measured of output channel k; a norm of infinity if weights are not finite or too large.
    void measure(int k) {
        const int row = sizes.row();
        const float* w = value_to_quantize() + k * row;
        floats<Arch> low(0.0f), high(0.0f);
        auto magnitude = simd::f64x16<Arch>::zero(), square = magnitude;
        each_block(w, row, [&](floats<Arch> v, int, int) FQT_INLINE_LAMBDA {
            low = min(v, low);
            high = max(v, high);
            square.add_product(v, v);
            if constexpr (rule::needs >= measures::moments || rule::learned) magnitude.add(abs(v));
        });
        channel_measurement m{{reduce_min(low), reduce_max(high)}, sum_of(magnitude), sum_of(square)};
        if constexpr (rule::needs == measures::histogram) {
            std::uint32_t* counts = histogram_ + std::ptrdiff_t{k} * magnitude_bins::count;
            std::fill_n(counts, magnitude_bins::count, 0u);
            for (int i = 0; i < row; ++i) ++counts[magnitude_bins::of(w[i])];
        }
        if constexpr (transforms) // a transform may map what is not finite to what is
            for (int i = 0; i < row; ++i)
                if (!std::isfinite(value[k * row + i])) m.square = std::numeric_limits<double>::infinity();
        measured_[k] = m;
        norm[k] = m.square <= double{std::numeric_limits<float>::max()} ? static_cast<float>(std::sqrt(m.square))
                                                                        : std::numeric_limits<float>::infinity();
    }
    measurement measurement_of(int first, int last) {
        measurement all{.count = double(sizes.row()) * (last - first)};
        for (int k = first; k < last; ++k) {
            all.range = all.range.join(measured_[k].range);
            all.magnitude += measured_[k].magnitude;
            all.square += measured_[k].square;
        }
        if constexpr (rule::needs == measures::histogram) {
            std::uint32_t* counts = histogram_ + std::ptrdiff_t{first} * magnitude_bins::count;
            for (int k = first + 1; k < last; ++k)
                for (int i = 0; i < magnitude_bins::count; ++i)
                    counts[i] += histogram_[std::ptrdiff_t{k} * magnitude_bins::count + i];
            all.histogram = {counts, magnitude_bins::count};
        }
        return all;
    }
    interval clip_of(const measurement& m, float* remembered) {
        if constexpr (rule::learned) {
            if (!(*learned > 0)) *learned = range_rule::initial(m, limits);
            return {-*learned, *learned};
        } else {
            return rule::clip(m, limits, {remembered, std::size_t{rule::memory}});
        }
    }

    /// Row k of the weights w as codes by grid g and, where a product wants them, as what these stand for. `rounding`
    /// keys the random numbers.
    void encode_row(const float* w, int k, const auto& g, const random_stream& stream, std::uint32_t rounding,
                    std::int8_t* codes, float* decoded) {
        using values = floats<Arch>;
        const int row = sizes.row();
        each_block(w + k * row, row, [&](values v, int first, int count) FQT_INLINE_LAMBDA {
            float u[lanes]{};
            if constexpr (traits::draws)
                for (int i = 0; i < count; ++i) u[i] = uniform16(stream.bits16(rounding, k, first + i, row));
            const auto rounded = passes::clamped<Arch>(quantizer::encode(v, g, values::load(u)), limits);
            values integers = traits::integer(rounded, g);
            if constexpr (is_linear<quantizer>) // weights of 0, also on a grid without zero: dX would meet a stand-in
                if (!(g.step > 0)) integers = values(0.0f);
            const int at = k * row + first;
            if (code_bytes == 1 && count == lanes) {
                simd::store_codes<8, true>(reinterpret_cast<std::byte*>(codes + at), integers);
            } else {
                float q[lanes];
                integers.store(q);
                for (int i = 0; i < count; ++i) {
                    const int integer = static_cast<int>(q[i]);
                    codes[at + i] = static_cast<std::int8_t>(integer); // the low byte
                    if constexpr (code_bytes == 2)
                        codes[sizes.count() + at + i] = static_cast<std::int8_t>((integer + 128) >> 8);
                }
            }
            if constexpr (Decodes) {
                float d[lanes];
                quantizer::decode(rounded, g).store(d);
                std::copy_n(d, count, decoded + at);
            }
        });
    }

    /// Calls visit(v, first, count) for every 16 of `row` numbers from `first` on; behind the last one are zeros.
    template <class Visit>
    FQT_INLINE static void each_block(const float* w, int row, Visit&& visit) {
        int first = 0;
        for (; first + lanes <= row; first += lanes) visit(floats<Arch>::load(w + first), first, lanes);
        if (first < row) {
            float rest[lanes]{};
            std::copy_n(w + first, row - first, rest);
            visit(floats<Arch>::load(rest), first, row - first);
        }
    }
    static double sum_of(const simd::f64x16<Arch>& sums) {
        double of_lane[lanes], sum = 0;
        sums.store(of_lane);
        for (const double s : of_lane) sum += s;
        return sum;
    }
};

} // namespace fqt
