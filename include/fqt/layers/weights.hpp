#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The weights of one product as its kernels read them: both packed forms of the codes of weight_codes.hpp. The input
// gradient uses the same codes as the forward pass. Its sum runs over output channels, so a per-channel scale cannot be
// applied after it; the scale is folded into the gradient before that is quantized. Only where that is transformed
// (hadamard.hpp) has the input gradient weights of its own, with one grid.

#include <fqt/kernels/forward.hpp>
#include <fqt/kernels/input_gradient.hpp>
#include <fqt/kernels/two_bytes.hpp>
#include <fqt/layers/block_rounding.hpp>
#include <fqt/layers/product_kind.hpp>
#include <fqt/layers/weight_codes.hpp>

#include <cstring>

namespace fqt {

/// On what the two products with weights run.
template <geometry G, class Scheme, class Arch>
struct weight_products {
    using quantizer = typename Scheme::weight_quantizer;
    using activation_quantizer = typename Scheme::activation_quantizer;
    using input_gradient_quantizer = typename Scheme::input_gradient_quantizer;
    using forward_kind = forward_kernel_kind<G, Arch, activation_quantizer, quantizer>;
    using backward_kind = dx_kernel_kind<G, Arch, input_gradient_quantizer, quantizer>;
    static constexpr bool integer_forward = kernels::is_integer<forward_kind>;
    static constexpr bool integer_backward = kernels::is_integer<backward_kind>;
    static constexpr bool rotates = is_rotated<input_gradient_quantizer>;
    static constexpr bool folds_scales = folds_scales_of_weights<input_gradient_quantizer, quantizer>;
    /// Whether a rectifier of the quantized gain has the scales: where gradients are in floats (float_gradients.hpp),
    /// as in the scheme that they stand for.
    static constexpr bool scales_in_gain = [] {
        if constexpr (requires { Scheme::folds_scales; }) return Scheme::folds_scales;
        else return folds_scales;
    }();
    /// Whether one of them takes what codes stand for: it runs on floats, or on codes of H w.
    static constexpr bool decodes = !is_real<quantizer> && (!integer_forward || !integer_backward || rotates);
};

template <geometry G, class Scheme, class Arch>
struct weights : weight_products<G, Scheme, Arch>,
                 weight_codes<typename Scheme::weight_quantizer, weight_products<G, Scheme, Arch>::decodes, Arch> {
    using products = weight_products<G, Scheme, Arch>;
    using codes_type = weight_codes<typename Scheme::weight_quantizer, products::decodes, Arch>;
    using quantizer = typename codes_type::quantizer;
    using products::integer_forward, products::integer_backward, products::rotates;
    using typename products::activation_quantizer, typename products::input_gradient_quantizer;
    using typename products::forward_kind, typename products::backward_kind, typename codes_type::traits;

    template <class Kernel, class Other, shape Out>
    using of_bytes = kernels::product_of_bytes<Kernel, G, Out, Arch, product_bytes<Other, quantizer>,
                                               product_bytes<quantizer, Other>>;
    using forward_kernel = of_bytes<kernels::forward_product<G, forward_kind, Arch>, activation_quantizer, G.out()>;
    using backward_kernel =
        of_bytes<kernels::input_gradient_product<G, backward_kind, Arch>, input_gradient_quantizer, G.in>;

    std::byte *packed_forward{}, *packed_backward{};
    float rotated_step{1}; // of the input gradient's own codes, where it has any

    constexpr weights()
        : codes_type(weight_sizes{{G.outputs, G.kernel_height, G.kernel_width, G.channels_per_group()}}) {}

    /// Asks for memory; `learns` says whether an input gradient is wanted.
    constexpr void plan(planner& p, bool learns) {
        codes_type::plan(p);
        if (this->memory_size() > 0) p.persistent(packed_memory_, this->memory_size());
        p.evaluation(packed_value_, G.weights());
        p.persistent(packed_forward, static_cast<std::int64_t>(forward_kernel::packed_bytes));
        if (learns) p.persistent(packed_backward, static_cast<std::int64_t>(backward_kernel::packed_bytes));
        if (rotates && has_codes) p.persistent(rotated_code_, codes_type::code_bytes * G.weights());
        if (products::decodes || rotates)
            p.shared((is_blocked<quantizer> || rotates ? 2 : 1) * sizeof(float)
                     * static_cast<std::size_t>(G.weights()));
    }

    /// Codes, grids, norms and packed forms of the values as they are now, to meet signed or unsigned activations.
    void prepare(const context& c, int layer, const char* name, bool signed_activations, bool learns) {
        is_packed_ = false;
        // Below this a thread costs more than it saves.
        const int threads = G.weights() < 4096 ? 1 : c.threads;
        this->fit(name, threads);
        const random_stream stream = stream_of(c, layer, purpose::weights);
        auto* decoded = reinterpret_cast<float*>(c.shared);
        if constexpr (is_real<quantizer>) {
            if (rotates && learns) rotate(value, stream, threads, decoded);
            pack(value, rotates ? decoded : value, signed_activations, learns, threads);
        } else if constexpr (is_blocked<quantizer>) {
            // Once along each contraction.
            using rounding = block_weight_rounding<quantizer, G>;
            const float* const values = this->value_to_quantize();
            float* for_backward = is_tiled<quantizer> && !rotates ? decoded : decoded + G.weights();
            rounding::round(values, false, this->grid_of(0), stream, threads, decoded);
            if (learns && rotates) rotate(decoded, stream, threads, for_backward);
            else if (learns && !is_tiled<quantizer>)
                rounding::round(values, true, this->grid_of(0), stream, threads, for_backward);
            pack(decoded, for_backward, signed_activations, learns, threads);
        } else {
            float* for_backward = rotates ? decoded + G.weights() : decoded;
            this->encode(stream, threads, decoded);
            if (learns && rotates) rotate(decoded, stream, threads, for_backward);
            pack(decoded, for_backward, signed_activations, learns, threads);
        }
    }

    /// The same for evaluation, where values seldom change from one call to the next: the forward form is packed only
    /// if they have. Values are compared, and not watched, since whoever has a span of them may write to it. What range
    /// rules remember stays as it is.
    void prepare_infer(const context& c, int layer, const char* name, bool signed_activations) {
        const bool same_draws = !traits::draws || (packed_seed_ == c.seed && packed_step_ == c.step);
        const int remembered = this->memory_size();
        const bool same_range =
            (!learned || *learned == packed_range_) && std::equal(memory, memory + remembered, packed_memory_);
        if (is_packed_ && same_draws && same_range
            && std::memcmp(value, packed_value_, sizeof(float) * G.weights()) == 0)
            return;
        if (learned && !(*learned > 0)) passes::refuse_learnt_range("the weights", name, *learned);
        std::copy_n(memory, remembered, packed_memory_);
        prepare(c, layer, name, signed_activations, false);
        std::copy_n(packed_memory_, remembered, memory);
        std::copy_n(value, G.weights(), packed_value_);
        if (learned) packed_range_ = *learned;
        packed_seed_ = c.seed;
        packed_step_ = c.step;
        is_packed_ = true;
    }

private:
    using codes_type::has_codes, codes_type::value, codes_type::code, codes_type::learned, codes_type::memory;

    std::int8_t* rotated_code_{};              // for the input gradient, where it is transformed
    float *packed_value_{}, *packed_memory_{}; // what the codes of an evaluation were made of
    float packed_range_{};
    std::uint64_t packed_seed_{};
    std::uint32_t packed_step_{};
    bool is_packed_{};

    /// H w along the outputs, quantized by the weights' own rule: codes, and what they stand for in `to`.
    void rotate(const float* w, const random_stream& stream, int threads, float* to) {
        constexpr int runs = G.outputs / lanes, row = G.weights() / G.outputs;
        interval of_run[runs + 1]{};
        parallel_for(runs, threads, [&](int run, int) {
            of_run[run] = hadamard_of_rows<Arch>(w + run * lanes * row, row, to + run * lanes * row);
        });
        interval all{};
        for (const interval r : of_run) all = all.join(r);
        const auto g = quantizer::fit(all, codes_type::limits);
        if constexpr (is_linear<quantizer>) rotated_step = g.step;
        if constexpr (is_blocked<quantizer>)
            block_weight_rounding<quantizer, G>::round(to, true, g, stream, threads, to);
        else if constexpr (has_codes) this->encode(to, g, stream, 1, threads, rotated_code_, to);
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
