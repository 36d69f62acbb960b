#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The weights of one product: master values, their codes and grids, and both packed forms. The input gradient uses the
// same codes as the forward pass. Its sum runs over output channels, so a per-channel scale cannot be applied after
// it; the scale is folded into the gradient before that is quantized. Only where that is transformed (hadamard.hpp) has
// the input gradient weights of its own, with one grid.

#include <fqt/kernels/forward.hpp>
#include <fqt/kernels/input_gradient.hpp>
#include <fqt/kernels/two_bytes.hpp>
#include <fqt/layers/block_rounding.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/layers/passes.hpp>
#include <fqt/layers/product_kind.hpp>

#include <cmath>
#include <cstring>
#include <limits>

namespace fqt {

template <geometry G, class Scheme, class Arch>
struct weights {
    using quantizer = typename Scheme::weight_quantizer;
    using traits = quantizer_traits<quantizer>;
    using range_rule = typename traits::range;
    using rule = range_traits<range_rule>;
    using activation_quantizer = typename Scheme::activation_quantizer;
    using input_gradient_quantizer = typename Scheme::input_gradient_quantizer;
    static constexpr bool rotates = is_rotated<input_gradient_quantizer>;
    using forward_kind = forward_kernel_kind<G, Arch, activation_quantizer, quantizer>;
    using backward_kind = dx_kernel_kind<G, Arch, input_gradient_quantizer, quantizer>;
    static constexpr bool integer_forward = kernels::is_integer<forward_kind>;
    static constexpr bool integer_backward = kernels::is_integer<backward_kind>;

    static constexpr int code_bytes = traits::integer_bytes(true);
    template <class Kernel, class Other, shape Out>
    using of_bytes = kernels::product_of_bytes<Kernel, G, Out, Arch, product_bytes<Other, quantizer>,
                                               product_bytes<quantizer, Other>>;
    using forward_kernel = of_bytes<kernels::forward_product<G, forward_kind, Arch>, activation_quantizer, G.out()>;
    using backward_kernel =
        of_bytes<kernels::input_gradient_product<G, backward_kind, Arch>, input_gradient_quantizer, G.in>;

    static constexpr int row = G.weights() / G.outputs; // weights of one output channel
    static constexpr bool decodes = !is_real<quantizer> && (!integer_forward || !integer_backward || rotates);
    static constexpr bool by_channel = has_granularity<quantizer, per_channel>;
    static constexpr int grids = by_channel ? G.outputs : 1;
    static constexpr int memory_size = rule::memory * grids;
    static constexpr bool has_codes = !is_real<quantizer> && !is_blocked<quantizer>;
    static constexpr bool transforms = transforms_weights<quantizer>;
    static_assert(!rule::learned || !by_channel,
                  "fqt: scheme.weight learns its range, of which there is one a tensor; use per_tensor");
    static_assert(!rule::learned || is_linear<quantizer>,
                  "fqt: scheme.weight learns its range, for which its grid must be linear; use symmetric<bits>");

    float *value{}, *gradient{};
    std::int8_t* code{}; // integers, (k, r, s, c), unless the quantizer is `real`; all low bytes, then all high ones
    float* step{};       // of each output channel's grid; 1 where values are decoded before the product
    float* fold{};       // what is folded into channel k of the gradient: the step, or a stand-in where that is 0
    float* norm{};       // Euclidean norm of each output channel's weights
    float *learned{}, *learned_gradient{}; // range, where the rule learns it
    float* memory{};                       // of the range rule
    std::byte *packed_forward{}, *packed_backward{};
    float rotated_step{1}; // of the input gradient's own codes, where it has any

    /// Asks for memory; `learns` says whether an input gradient is wanted.
    constexpr void plan(planner& p, bool learns) {
        p.persistent(value, G.weights());
        p.persistent(gradient, G.weights());
        if (has_codes) p.persistent(code, code_bytes * G.weights());
        p.persistent(step, padded(G.outputs));
        p.persistent(fold, padded(G.outputs));
        p.persistent(norm, padded(G.outputs));
        p.persistent(grid_, grids);
        p.persistent(measured_, G.outputs);
        if (rule::learned) p.persistent(learned, 1);
        if (rule::learned) p.persistent(learned_gradient, 1);
        if (memory_size > 0)
            for (float** place : {&memory, &packed_memory_}) p.persistent(*place, memory_size);
        if (rule::needs == measures::histogram) p.persistent(histogram_, magnitude_bins::count * G.outputs);
        if (transforms) p.persistent(transformed_, G.weights());
        p.evaluation(packed_value_, G.weights());
        p.persistent(packed_forward, static_cast<int>(forward_kernel::packed_bytes));
        if (learns) p.persistent(packed_backward, static_cast<int>(backward_kernel::packed_bytes));
        if (rotates && has_codes) p.persistent(rotated_code_, code_bytes * G.weights());
        if (decodes || rotates)
            p.shared((is_blocked<quantizer> || rotates ? 2 : 1) * sizeof(float)
                     * static_cast<std::size_t>(G.weights()));
    }

    template <class F>
    void each_parameter(F&& f, const path& name) {
        constexpr std::array<int, 4> dims{G.outputs, G.kernel_height, G.kernel_width, G.channels_per_group()};
        f(parameter{name / "weight", parameter_kind::weight, {value, G.weights()}, {gradient, G.weights()}, dims});
        if (learned)
            f(parameter{
                name / "weight_range", parameter_kind::range, {learned, 1}, {learned_gradient, 1}, {1, 1, 1, 1}});
    }
    template <class F>
    void each_state(F&& f, const path& name) {
        if (memory) f(state{name / "weight_range_memory", {memory, static_cast<std::size_t>(memory_size)}});
    }

    /// He initialisation: uniform with variance 2 / fan-in (He, Zhang, Ren, Sun 2015, eq. 10).
    void initialise(const random_stream& stream) {
        const float bound = std::sqrt(6.0f / static_cast<float>(row));
        for (int i = 0; i < G.weights(); ++i) {
            const auto bits = stream.block(0, static_cast<std::uint32_t>(i / 4))[static_cast<std::size_t>(i % 4)];
            value[i] = product(std::fma(2.0f, uniform32(bits), -1.0f), bound);
        }
    }

    /// Codes, grids, norms and packed forms of the values as they are now, to meet signed or unsigned activations.
    void prepare(const context& c, int layer, const char* name, bool signed_activations, bool learns) {
        is_packed_ = false;
        // Below this a thread costs more than it saves.
        const int threads = G.weights() < 4096 ? 1 : c.threads;
        if constexpr (transforms) quantizer::transform({value, G.weights()}, {transformed_, G.weights()});
        parallel_for(G.outputs, threads, [&](int k, int) { measure(k); });
        fit(name);
        const random_stream stream = stream_of(c, layer, purpose::weights);
        auto* decoded = reinterpret_cast<float*>(c.shared);
        if constexpr (is_real<quantizer>) {
            if (rotates && learns) rotate(value, stream, threads, decoded);
            pack(value, rotates ? decoded : value, signed_activations, learns, threads);
        } else if constexpr (is_blocked<quantizer>) {
            // Once along each contraction.
            using rounding = block_weight_rounding<quantizer, G>;
            float* for_backward = is_tiled<quantizer> && !rotates ? decoded : decoded + G.weights();
            rounding::round(value_to_quantize(), false, grid_[0], stream, threads, decoded);
            if (learns && rotates) rotate(decoded, stream, threads, for_backward);
            else if (learns && !is_tiled<quantizer>)
                rounding::round(value_to_quantize(), true, grid_[0], stream, threads, for_backward);
            pack(decoded, for_backward, signed_activations, learns, threads);
        } else {
            float* for_backward = rotates ? decoded + G.weights() : decoded;
            parallel_for(G.outputs, threads,
                         [&](int k, int) { encode(value_to_quantize(), k, grid_of(k), stream, 0, code, decoded); });
            if (learns && rotates) rotate(decoded, stream, threads, for_backward);
            pack(decoded, for_backward, signed_activations, learns, threads);
        }
    }

    /// The same for evaluation, where values seldom change from one call to the next: the forward form is packed only
    /// if they have. Values are compared, and not watched, since whoever has a span of them may write to it. What range
    /// rules remember stays as it is.
    void prepare_infer(const context& c, int layer, const char* name, bool signed_activations) {
        const bool same_draws = !traits::draws || (packed_seed_ == c.seed && packed_step_ == c.step);
        const bool same_range =
            (!learned || *learned == packed_range_) && std::equal(memory, memory + memory_size, packed_memory_);
        if (is_packed_ && same_draws && same_range
            && std::memcmp(value, packed_value_, sizeof(float) * G.weights()) == 0)
            return;
        if (learned && !(*learned > 0)) passes::refuse_learnt_range("the weights", name, *learned);
        std::copy_n(memory, memory_size, packed_memory_);
        prepare(c, layer, name, signed_activations, false);
        std::copy_n(packed_memory_, memory_size, memory);
        std::copy_n(value, G.weights(), packed_value_);
        if (learned) packed_range_ = *learned;
        packed_seed_ = c.seed;
        packed_step_ = c.step;
        is_packed_ = true;
    }

    /// H along 16 outputs of the gradient, where that is of H h; false if it leaves the range of floats.
    bool rotate_gradient(int block) {
        float* of_block = gradient + block * lanes * row;
        const interval range = hadamard_of_rows<Arch>(of_block, row, of_block);
        return std::isfinite(range.low) && std::isfinite(range.high);
    }

    /// From the gradient by the quantized weights to that by the values, in place. It passes straight through, but for
    /// a transform, and for ranges that are learnt: there it stops outside, and the range's slope is summed.
    void finish_gradient() {
        if constexpr (rule::learned) {
            double sum = 0;
            const float c = *learned;
            for (int i = 0; i < G.weights(); ++i) {
                const float w = value_to_quantize()[i], decoded = product(static_cast<float>(integer_at(i)), *step);
                using one = floats<arch::generic>;
                sum = std::fma(double{one(range_rule::slope(one(w), one(decoded), one(c))).lane(0)},
                               double{gradient[i]}, sum);
                if (!(std::abs(w) <= c)) gradient[i] = 0;
            }
            *learned_gradient = static_cast<float>(product(sum, range_rule::gradient_scale(G.weights(), limits)));
        }
        if constexpr (transforms) quantizer::transform_gradient({value, G.weights()}, {gradient, G.weights()});
    }

private:
    static constexpr code_limits limits = traits::limits(true);
    struct channel_measurement {
        interval range;
        double magnitude, square;
    };
    typename traits::grid_type* grid_{};
    channel_measurement* measured_{};          // of each output channel
    std::uint32_t* histogram_{};               // likewise
    float* transformed_{};                     // what is quantized, where the quantizer transforms values first
    std::int8_t* rotated_code_{};              // for the input gradient, where it is transformed
    float *packed_value_{}, *packed_memory_{}; // what the codes of an evaluation were made of
    float packed_range_{};
    std::uint64_t packed_seed_{};
    std::uint32_t packed_step_{};
    bool is_packed_{};

    const float* value_to_quantize() const { return transforms ? transformed_ : value; }
    int integer_at(int i) const { return code[i] + (code_bytes == 2 ? 256 * code[G.weights() + i] : 0); }

    /// H w along the outputs, quantized by the weights' own rule: codes, and what they stand for in `to`.
    void rotate(const float* w, const random_stream& stream, int threads, float* to) {
        constexpr int runs = G.outputs / lanes;
        interval of_run[runs + 1]{};
        parallel_for(runs, threads, [&](int run, int) {
            of_run[run] = hadamard_of_rows<Arch>(w + run * lanes * row, row, to + run * lanes * row);
        });
        interval all{};
        for (const interval r : of_run) all = all.join(r);
        const auto g = quantizer::fit(all, limits);
        if constexpr (is_linear<quantizer>) rotated_step = g.step;
        if constexpr (is_blocked<quantizer>)
            block_weight_rounding<quantizer, G>::round(to, true, g, stream, threads, to);
        else if constexpr (has_codes)
            parallel_for(G.outputs, threads, [&](int k, int) { encode(to, k, g, stream, 1, rotated_code_, to); });
    }

    /// What is measured of output channel k; a norm of infinity if weights are not finite or too large.
    void measure(int k) {
        const float* w = value_to_quantize() + k * row;
        channel_measurement m{};
        for (int i = 0; i < row; ++i) {
            m.range = m.range.join({w[i], w[i]});
            m.square = std::fma(double{w[i]}, double{w[i]}, m.square);
            if constexpr (rule::needs >= measures::moments || rule::learned) m.magnitude += double{std::abs(w[i])};
        }
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
        measurement all{.count = double{row} * (last - first)};
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

    void fit(const char* name) {
        for (int k = 0; k < G.outputs; ++k)
            if (!std::isfinite(norm[k])) passes::refuse_non_finite("a weight", name);
        for (int g = 0; g < grids; ++g) {
            const measurement m = measurement_of(by_channel ? g : 0, by_channel ? g + 1 : G.outputs);
            grid_[g] = quantizer::fit(clip_of(m, memory + rule::memory * g), limits);
        }
        float largest_step = 0;
        for (int k = 0; k < G.outputs; ++k) {
            if constexpr (is_linear<quantizer>) step[k] = grid_of(k).step;
            else step[k] = 1;
            largest_step = std::max(largest_step, step[k]);
        }
        // A channel of zeros has no step; folding a zero in would lose its weight gradient for good.
        for (int k = 0; k < G.outputs; ++k) fold[k] = step[k] > 0 ? step[k] : largest_step > 0 ? largest_step : 1.0f;
    }
    interval clip_of(const measurement& m, float* remembered) {
        if constexpr (rule::learned) {
            if (!(*learned > 0)) *learned = range_rule::initial(m, limits);
            return {-*learned, *learned};
        } else {
            return rule::clip(m, limits, {remembered, std::size_t{rule::memory}});
        }
    }
    const auto& grid_of(int k) const { return grid_[by_channel ? k : 0]; }

    /// Row k of the weights w as codes by grid g and, where a product wants them, as what these stand for. `rounding`
    /// keys the random numbers.
    void encode(const float* w, int k, const auto& g, const random_stream& stream, std::uint32_t rounding,
                std::int8_t* codes, float* decoded) {
        using values = floats<Arch>;
        for (int first = 0; first < row; first += lanes) {
            const int count = std::min(lanes, row - first);
            float v[lanes]{}, u[lanes]{}, q[lanes], d[lanes];
            std::copy_n(w + k * row + first, count, v);
            if constexpr (traits::draws)
                for (int i = 0; i < count; ++i) u[i] = uniform16(stream.bits16(rounding, k, first + i, row));
            const auto rounded = passes::clamped<Arch>(quantizer::encode(values::load(v), g, values::load(u)), limits);
            traits::integer(rounded, g).store(q);
            for (int i = 0; i < count; ++i) {
                const int integer = static_cast<int>(q[i]), at = k * row + first + i;
                codes[at] = static_cast<std::int8_t>(integer); // the low byte
                if constexpr (code_bytes == 2) codes[G.weights() + at] = static_cast<std::int8_t>((integer + 128) >> 8);
            }
            if constexpr (decodes) {
                quantizer::decode(rounded, g).store(d);
                std::copy_n(d, count, decoded + k * row + first);
            }
        }
    }

    // Packs codes where a product runs on them, else the decoded weights that are given for it.
    void pack(const float* for_forward, const float* for_backward, bool signed_activations, bool learns, int threads) {
        constexpr bool signed_gradients = true;
        const auto values = []<bool Integer>(std::bool_constant<Integer>, const std::int8_t* codes,
                                             const float* decoded) {
            if constexpr (Integer) return codes;
            else return decoded;
        };
        const auto forward = values(std::bool_constant<integer_forward>{}, code, for_forward);
        const auto backward =
            values(std::bool_constant<integer_backward>{}, rotates ? rotated_code_ : code, for_backward);
        const int backward_parts = learns ? backward_kernel::parts : 0;
        parallel_for(forward_kernel::parts + backward_parts, threads, [&](int part, int) {
            if (part < forward_kernel::parts) forward_kernel::pack(forward, signed_activations, part, packed_forward);
            else backward_kernel::pack(backward, signed_gradients, part - forward_kernel::parts, packed_backward);
        });
    }
};

} // namespace fqt
