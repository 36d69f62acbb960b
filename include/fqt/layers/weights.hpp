#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The weights of one product: master values, their codes and grids, and both packed forms. The input gradient uses the
// same codes as the forward pass. Its sum runs over output channels, so a per-channel scale cannot be applied after
// it; the scale is folded into the gradient before that is quantized.

#include <fqt/kernels/forward.hpp>
#include <fqt/kernels/input_gradient.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/layers/passes.hpp>

#include <cmath>
#include <cstring>
#include <limits>

namespace fqt {

/// The product of two quantized tensors runs on integers where both grids are linear.
template <class A, class B>
using product_kind = std::conditional_t<is_linear<A> && is_linear<B>, kernels::integer, kernels::real>;

template <geometry G, class Scheme, class Arch>
struct weights {
    using quantizer = typename Scheme::weight_quantizer;
    using forward_kind = product_kind<quantizer, typename Scheme::activation_quantizer>;
    using backward_kind = product_kind<quantizer, typename Scheme::input_gradient_quantizer>;
    using forward_kernel = kernels::forward_product<G, forward_kind, Arch>;
    using backward_kernel = kernels::input_gradient_product<G, backward_kind, Arch>;

    static constexpr int row = G.weights() / G.outputs; // weights of one output channel
    static constexpr bool integer_forward = std::same_as<forward_kind, kernels::integer>;
    static constexpr bool integer_backward = std::same_as<backward_kind, kernels::integer>;
    static constexpr bool decodes = !is_real<quantizer> && (!integer_forward || !integer_backward);

    float *value{}, *gradient{};
    std::int8_t* code{}; // (k, r, s, c), unless the quantizer is `real`
    float* step{};       // of each output channel's grid; 1 where values are decoded before the product
    float* fold{};       // what is folded into channel k of the gradient: the step, or a stand-in where that is 0
    float* norm{};       // Euclidean norm of each output channel's weights
    std::byte *packed_forward{}, *packed_backward{};

    /// Asks for memory; `learns` says whether an input gradient is wanted.
    constexpr void plan(planner& p, bool learns) {
        p.persistent(value, G.weights());
        p.persistent(gradient, G.weights());
        if (!is_real<quantizer>) p.persistent(code, G.weights());
        p.persistent(step, padded(G.outputs));
        p.persistent(fold, padded(G.outputs));
        p.persistent(norm, padded(G.outputs));
        p.persistent(grid_, G.outputs);
        p.persistent(range_, G.outputs);
        p.persistent(packed_value_, G.weights());
        p.persistent(packed_forward, static_cast<int>(forward_kernel::packed_bytes));
        if (learns) p.persistent(packed_backward, static_cast<int>(backward_kernel::packed_bytes));
        if (decodes) p.shared(sizeof(float) * static_cast<std::size_t>(G.weights()));
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
        parallel_for(G.outputs, threads, [&](int k, int) { measure(k); });
        fit(name);
        if constexpr (is_real<quantizer>) {
            pack(value, signed_activations, learns, threads);
        } else {
            auto* decoded = reinterpret_cast<float*>(c.shared);
            const random_stream stream = stream_of(c, layer, purpose::weights);
            parallel_for(G.outputs, threads, [&](int k, int) { encode(k, stream, decoded); });
            pack(decoded, signed_activations, learns, threads);
        }
    }

    /// The same for evaluation, where values seldom change from one call to the next: the forward form is packed only
    /// if they have. Values are compared, and not watched, since whoever has a span of them may write to it.
    void prepare_infer(const context& c, int layer, const char* name, bool signed_activations) {
        const bool same_draws =
            !quantizer_traits<quantizer>::draws || (packed_seed_ == c.seed && packed_step_ == c.step);
        if (is_packed_ && same_draws && std::memcmp(value, packed_value_, sizeof(float) * G.weights()) == 0) return;
        prepare(c, layer, name, signed_activations, false);
        std::copy_n(value, G.weights(), packed_value_);
        packed_seed_ = c.seed;
        packed_step_ = c.step;
        is_packed_ = true;
    }

private:
    typename quantizer_traits<quantizer>::grid_type* grid_{};
    interval* range_{};     // of each output channel
    float* packed_value_{}; // what the codes of an evaluation were made of
    std::uint64_t packed_seed_{};
    std::uint32_t packed_step_{};
    bool is_packed_{};

    /// Range and norm of output channel k; a norm of infinity if they are not finite or too large.
    void measure(int k) {
        const float* w = value + k * row;
        interval range{};
        double square = 0;
        for (int i = 0; i < row; ++i) {
            range = range.join({w[i], w[i]});
            square = std::fma(double{w[i]}, double{w[i]}, square);
        }
        range_[k] = range;
        norm[k] = square <= double{std::numeric_limits<float>::max()} ? static_cast<float>(std::sqrt(square))
                                                                      : std::numeric_limits<float>::infinity();
    }

    void fit(const char* name) {
        constexpr code_limits limits = limits_of(bits_of<quantizer>, true);
        interval all{};
        float largest_step = 0;
        for (int k = 0; k < G.outputs; ++k) {
            if (!std::isfinite(norm[k])) passes::refuse_non_finite("a weight", name);
            all = all.join(range_[k]);
        }
        for (int k = 0; k < G.outputs; ++k) {
            grid_[k] = quantizer::fit(has_granularity<quantizer, per_channel> ? range_[k] : all, limits);
            if constexpr (is_linear<quantizer>) step[k] = grid_[k].step;
            else step[k] = 1;
            largest_step = std::max(largest_step, step[k]);
        }
        // A channel of zeros has no step; folding a zero in would lose its weight gradient for good.
        for (int k = 0; k < G.outputs; ++k) fold[k] = step[k] > 0 ? step[k] : largest_step > 0 ? largest_step : 1.0f;
    }

    void encode(int k, const random_stream& stream, float* decoded) {
        constexpr code_limits limits = limits_of(bits_of<quantizer>, true);
        using values = floats<Arch>;
        for (int first = 0; first < row; first += lanes) {
            const int count = std::min(lanes, row - first);
            float w[lanes]{}, u[lanes]{}, q[lanes], d[lanes];
            std::copy_n(value + k * row + first, count, w);
            if constexpr (quantizer_traits<quantizer>::draws)
                for (int i = 0; i < count; ++i) u[i] = uniform16(stream.bits16(0, k, first + i, row));
            const auto rounded =
                passes::clamped<Arch>(quantizer::encode(values::load(w), grid_[k], values::load(u)), limits);
            rounded.store(q);
            for (int i = 0; i < count; ++i) code[k * row + first + i] = static_cast<std::int8_t>(q[i]);
            if constexpr (decodes) {
                quantizer::decode(rounded, grid_[k]).store(d);
                std::copy_n(d, count, decoded + k * row + first);
            }
        }
    }

    void pack(const float* decoded, bool signed_activations, bool learns, int threads) {
        constexpr bool signed_gradients = true;
        const auto values = [&]<bool Integer>(std::bool_constant<Integer>) {
            if constexpr (Integer) return code;
            else return decoded;
        };
        const auto forward = values(std::bool_constant<integer_forward>{});
        const auto backward = values(std::bool_constant<integer_backward>{});
        const int backward_parts = learns ? backward_kernel::parts : 0;
        parallel_for(forward_kernel::parts + backward_parts, threads, [&](int part, int) {
            if (part < forward_kernel::parts) forward_kernel::pack(forward, signed_activations, part, packed_forward);
            else backward_kernel::pack(backward, signed_gradients, part - forward_kernel::parts, packed_backward);
        });
    }
};

} // namespace fqt
