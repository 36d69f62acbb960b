#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The linear layer under conv and dense: where a network computes and stores. Its three products are
//     forward          sums = W x       codes of x and W, int32 sums
//     input gradient   dx = W^T h       codes of h (with the weight scales folded in) and of W
//     weight gradient  dW = sum_n h x   codes of h and x, one int32 sum a sample, scaled and added in order
// with h the gradient by the sums. Products of two linear grids run on integers, the others on floats in a fixed order.

#include <fqt/kernels/weight_gradient.hpp>
#include <fqt/layers/code_source.hpp>
#include <fqt/layers/gradient_codes.hpp>
#include <fqt/layers/householder.hpp>
#include <fqt/layers/product_formats.hpp>
#include <fqt/layers/product_output.hpp>
#include <fqt/layers/stored_input.hpp>
#include <fqt/layers/weights.hpp>

namespace fqt {

template <geometry G, class Scheme, class Arch, bool Bias>
class product_layer {
    using activation_quantizer = typename Scheme::activation_quantizer;
    using input_gradient_quantizer = typename Scheme::input_gradient_quantizer;
    using weight_gradient_quantizer = typename Scheme::weight_gradient_quantizer;
    using gradient_type = typename Scheme::gradient_type;
    using weights_type = weights<G, Scheme, Arch>;
    using forward_kernel = typename weights_type::forward_kernel;
    using backward_kernel = typename weights_type::backward_kernel;
    using weight_kind = dw_kernel_kind<G, Arch, activation_quantizer, weight_gradient_quantizer>;
    using weight_kernel =
        kernels::weight_gradient_of_bytes<kernels::weight_gradient_product<G, weight_kind, Arch>,
                                          product_bytes<activation_quantizer, weight_gradient_quantizer>,
                                          product_bytes<weight_gradient_quantizer, activation_quantizer>>;
    using dx_codes = gradient_codes<G.out(), input_gradient_quantizer>;
    using dw_codes = gradient_codes<G.out(), weight_gradient_quantizer>;
    using reflecting_groups = householder_groups<G.out(), G.in>;

    static constexpr bool integer_forward = weights_type::integer_forward,
                          integer_backward = weights_type::integer_backward, rotates = weights_type::rotates,
                          folds_scales = weights_type::folds_scales, rotates_dw = is_rotated<weight_gradient_quantizer>;
    static constexpr bool reflects = has_granularity<input_gradient_quantizer, per_householder>;
    static constexpr bool integer_weight_gradient = kernels::is_integer<weight_kind>;
    // One set of codes serves both backward products where their quantizers agree.
    static constexpr bool has_dx_codes = !is_real<input_gradient_quantizer> && !is_blocked<input_gradient_quantizer>;
    static constexpr bool shared_codes =
        has_dx_codes && std::same_as<input_gradient_quantizer, weight_gradient_quantizer>;
    // Independent roundings of h that dW is averaged over.
    static constexpr int copies = dw_codes::copies;

    // binary16 holds at most 65504, so sums are stored times a power of two that no possible sum exceeds.
    using sums_type = std::conditional_t<integer_forward, typename Scheme::sums_type, float>;
    static constexpr float unit =
        std::same_as<sums_type, binary16> && integer_forward ? unit_of_sums<Scheme>(G.weights() / G.outputs) : 1.0f;
    // In evaluation the sums stay as the kernel gives them.
    using exact_sums =
        std::conditional_t<std::same_as<typename forward_kernel::sums_type, simd::i32x16<Arch>>, std::int32_t, float>;

    static constexpr int in_size = padded_size(G.in), out_size = padded_size(G.out()), out_channels = padded(G.outputs);

    // Operands in a block format are quantized into floats before they are staged.
    static constexpr bool blocked_input = is_blocked<activation_quantizer>,
                          blocked_dx = is_blocked<input_gradient_quantizer>,
                          blocked_dw = is_blocked<weight_gradient_quantizer>;
    static constexpr bool reads_codes_of_h = has_dx_codes && !is_real<weight_gradient_quantizer> && !blocked_dw;
    static_assert(blocks_fit<input_gradient_quantizer, G.out(), Arch>);
    static constexpr std::size_t rounded_bytes = sizeof(float)
        * static_cast<std::size_t>(std::max(blocked_input ? in_size : 0, blocked_dx || blocked_dw ? out_size : 0));

    // Of a sample: its activations, and as many roundings of its gradient as there are.
    static constexpr std::size_t staged_bytes_of_dw =
        weight_kernel::staged_activation_bytes + weight_kernel::staged_gradient_bytes * copies;

    // The sums of the weight gradient over samples: a number of groups that depends on sizes alone, added in order,
    // each a chain of fmas over its samples in order, and each sample's roundings and bytes. So neither threads nor how
    // many samples a kernel takes at once change bits.
    static constexpr int groups = std::clamp(static_cast<int>((8 << 20) / (weight_kernel::sums * sizeof(float))), 2, 8);

    weights_type weights_{};
    float *bias_{}, *bias_gradient_{};
    stored_input<G.in, activation_quantizer, Arch> input_{};
    sums_type* sums_{};
    exact_sums* exact_sums_{};
    gradient_type* dx_{};
    float *scale_{}, *low_{}, *high_{}, *zeros_{};
    double *first_{}, *second_{};
    float *dx_memory_{}, *dw_memory_{}; // of the gradients' range rules
    path name_{};
    int number_{};

    template <class X>
    using input_type = typename stored_input<G.in, activation_quantizer, Arch>::template type<X>;
    template <class X> // whether products take X's integers as signed bytes, which two bytes always are
    static constexpr bool signs = !X::nonnegative || quantizer_traits<activation_quantizer>::integer_bytes(false) == 2;
    template <class X> // whether the scales of weights are folded into h before it is quantized for dX
    static constexpr bool folds = folds_scales&& X::learns;
    template <class X>
    static constexpr bool clips = stored_input<G.in, activation_quantizer, Arch>::template changes_gradient<X>;

public:
    template <class X>
    static constexpr bool adds_plus = !clips<X>;
    static constexpr bool takes_deferred = !blocked_input;

    // ---- memory, names, parameters ----

    template <class X>
    constexpr auto plan(planner& p, const X& x) {
        static_assert(
            !((rotates && X::learns) || rotates_dw) || G.outputs_per_group() % 16 == 0,
            "fqt: scheme.input_gradient or scheme.weight_gradient is hadamard<quantizer>, which takes output channels "
            "(of each group) in multiples of 16; give this layer another scheme: with<scheme>(layer)");
        weights_.plan(p, X::learns);
        if (Bias)
            for (float** place : {&bias_, &bias_gradient_}) p.persistent(*place, out_channels);
        for (float** place : {&zeros_, &scale_, &low_, &high_}) p.persistent(*place, out_channels);
        for (double** place : {&first_, &second_}) p.persistent(*place, out_channels);
        if (dx_codes::memory_size > 0 && X::learns) p.state(dx_memory_, dx_codes::memory_size);
        if (dw_codes::memory_size > 0 && !(shared_codes && X::learns)) p.state(dw_memory_, dw_codes::memory_size);
        input_.template plan<X>(p);
        // Where dX and dW read codes of h, its sums and gradient are of no use once those are there.
        const int written = p.moment(), read = reads_codes_of_h ? p.moment() : written;
        if constexpr (!is_stored<X>) p.stores_input();
        p.sums(sums_, out_size, read);
        p.evaluation_sums(exact_sums_, out_size);
        if (X::learns) p.gradient(dx_, in_size, written);
        p.reads_gradient(read);

        p.shared(forward_memory(nullptr, p.batch()).bytes);
        const backward_memory memory(nullptr, p.batch(), X::learns);
        p.shared(memory.bytes);
        p.scratch(rounded_bytes + forward_kernel::staged_bytes);
        p.scratch(rounded_bytes + backward_kernel::staged_bytes);
        p.scratch(rounded_bytes + staged_bytes_of_dw * weight_kernel::samples_at_once);
        return view(x);
    }

    void prepare(naming n) {
        name_ = n.name;
        number_ = (*n.products)++;
    }
    void initialise(std::uint64_t seed) {
        weights_.initialise(
            {seed, 0, static_cast<std::uint32_t>(number_) * 8u + static_cast<std::uint32_t>(purpose::initialisation)});
    }
    template <class F>
    void each_parameter(F&& f) {
        constexpr std::array<int, 4> bias_dims{G.outputs, 1, 1, 1};
        weights_.each_parameter(f, name_);
        if constexpr (Bias)
            f(parameter{
                name_ / "bias", parameter_kind::bias, {bias_, G.outputs}, {bias_gradient_, G.outputs}, bias_dims});
        input_.each_parameter(f, name_);
    }
    template <class F>
    void each_state(F&& f) {
        input_.each_state(f, name_);
        weights_.each_state(f, name_);
        const auto memory = [&](const char* of, float* first, int size) {
            if (first) f(state{name_ / of, {first, static_cast<std::size_t>(size)}});
        };
        memory("input_gradient_range_memory", dx_memory_, dx_codes::memory_size);
        memory("weight_gradient_range_memory", dw_memory_, dw_codes::memory_size);
    }
    template <class F>
    void each_normalization(F&&) {}

    template <class F, class X>
    auto describe(F&& f, const X& x) {
        constexpr bool whole = G == geometry_of_dense(G.in, G.outputs);
        constexpr std::size_t input_bytes = decltype(input_)::template bytes<X>();
        constexpr std::size_t sums_bytes = sizeof(sums_type) * static_cast<std::size_t>(out_size);
        description d{name_,
                      whole ? "dense" : "conv",
                      G.in,
                      G.out(),
                      {},
                      G.weights() + (Bias ? G.outputs : 0),
                      G.macs(),
                      input_bytes + sums_bytes,
                      (X::learns ? 2 : 1) * G.macs()};
        product_formats<Scheme, sums_type, X::learns, shared_codes>::write(d.formats, input_bytes == 0, X::nonnegative);
        f(d);
        return view(x);
    }

    // ---- forward ----

    template <class X>
    constexpr auto view(const X&) const {
        return stored_sums<G.out(), sums_type>{sums_, scale_, Bias ? bias_ : zeros_, low_, high_};
    }

    /// First and second moments of the sums, left by the forward pass for a batch normalization behind it.
    passes::moments moments() const { return {first_, second_, low_, high_}; }
    /// What is folded into each channel of h before it is quantized for dX; empty where nothing is.
    std::span<const float> weight_scales() const {
        const bool folds_here = weights_type::scales_in_gain && dx_; // which has a place where the input learns
        return {weights_.fold, folds_here ? std::size_t{G.outputs} : std::size_t{0}};
    }
    std::span<const float> weight_norms() const { return {weights_.norm, G.outputs}; }

    template <class X>
    auto forward(const context& c, const X& x) {
        weights_.prepare(c, number_, name_.c_str(), signs<X>, X::learns);
        input_.prepare_forward(c, x, name_);
        set_scale(x, 1.0f / unit);
        const auto out = view(x);
        const forward_memory memory(c.shared, c.samples);
        parallel_for(c.samples, c.threads, [&](int n, int thread) {
            input_.encode_sample(c, x, n, stream_of(c, number_, purpose::activations), memory.greatest);
            multiply(c, x, n, thread, to_units<G.out(), sums_type, unit>{sums_, n});
            passes::moments_of_sample<Arch>(
                out, n, memory.moments + static_cast<std::size_t>(n) * passes::moment_bytes(G.outputs));
        });
        passes::add_moments(c.samples, out_channels, memory.moments, moments());
        input_.finish(c, x, memory.greatest);
        c.watcher.see(name_.view(), "input", c.samples, input_.view(x));
        c.watcher.see(name_.view(), "sums", c.samples, out, integer_forward ? unit : 0.0f);
        return out;
    }

    template <class X>
    auto infer(const context& c, const X& x) {
        weights_.prepare_infer(c, number_, name_.c_str(), signs<X>);
        const auto codes = input_.infer(c, x, stream_of(c, number_, purpose::activations), name_);
        set_scale(x, 1.0f);
        c.watcher.see(name_.view(), "input", c.samples, codes);
        const auto multiply_sample = [this, &c, codes](int n, int thread, exact_sums* to) {
            multiply(c, codes, n, thread, to_exact_sums<G.out(), exact_sums>{to});
        };
        const stored_sums<G.out(), exact_sums> sums{exact_sums_, scale_, Bias ? bias_ : zeros_, low_, high_};
        deferred_sums out{sums, exact_sums_, multiply_sample, c.threads <= c.samples};
        if (blocked_input || c.watcher) out.finish(c);
        c.watcher.see(name_.view(), "sums", c.samples, sums, integer_forward ? 1.0f : 0.0f);
        if constexpr (blocked_input) return sums;
        else return out;
    }

private:
    /// The pieces of shared memory that the forward pass uses at the same time.
    struct forward_memory {
        std::byte* moments{};
        float* greatest{};
        std::size_t bytes{};

        constexpr forward_memory(std::byte* base, int samples) {
            carver memory(base);
            moments = memory.take<std::byte>(static_cast<std::size_t>(samples) * passes::moment_bytes(G.outputs));
            greatest = memory.take<float>(static_cast<std::size_t>(samples));
            bytes = memory.used();
        }
    };

    /// What turns stored sums into real numbers.
    template <class X>
    void set_scale(const X& x, float per_unit) {
        float activation_step = 1.0f;
        if constexpr (integer_forward) activation_step = step_of(*input_.view(x).grid);
        for (int k = 0; k < G.outputs; ++k) {
            scale_[k] = integer_forward ? product(product(weights_.step[k], activation_step), per_unit) : 1.0f;
            if (Bias && !std::isfinite(bias_[k])) passes::refuse_non_finite("a bias", name_.c_str());
        }
    }

    /// Calls stage(source) with how a kernel reads sample n of the input for a product that contracts along Axis: as
    /// codes, or as floats, which a block format leaves in `rounded`.
    template <block_axis Axis, class X, class Stage>
    void stage_x(const context& c, const X& x, int n, float* rounded, Stage&& stage) {
        if constexpr (blocked_input) {
            input_.template round<Axis>(c, x, n, stream_of(c, number_, purpose::activations), rounded);
            stage(float_source{rounded, padded(G.in.channels)});
        } else {
            stage(code_source<input_type<X>>(input_.view(x), n));
        }
    }
    template <class X, class Epilogue>
    void multiply(const context& c, const X& x, int n, int thread, const Epilogue& epilogue) {
        std::byte* staged = c.scratch_of(thread) + rounded_bytes;
        stage_x<block_axis::channels>(c, x, n, reinterpret_cast<float*>(c.scratch_of(thread)), [&](const auto& source) {
            forward_kernel::run(forward_kernel::operands_of(source, staged), weights_.packed_forward, epilogue);
        });
    }

    // ---- backward ----

    /// The pieces of shared memory that the backward pass uses at the same time.
    struct backward_memory {
        dx_codes dx{};
        dw_codes dw{};
        reflecting_groups reflecting{};
        grid dx_tensor{}, dw_tensor{}; // of block formats
        float* group_sums{};
        std::byte* measuring{};
        double* reduced{}; // sums of h, for a bias
        std::size_t bytes{};

        constexpr backward_memory(std::byte* base, int samples, bool wants_dx) {
            carver memory(base);
            if constexpr (has_dx_codes)
                if (wants_dx || shared_codes) dx = dx_codes::carve(memory, samples);
            if constexpr (!is_real<weight_gradient_quantizer> && !blocked_dw && !shared_codes)
                dw = dw_codes::carve(memory, samples);
            if constexpr (shared_codes) dw = dx;
            if constexpr (reflects)
                if (wants_dx) reflecting = reflecting_groups::carve(memory, samples);
            group_sums = memory.take<float>(static_cast<std::size_t>(groups) * weight_kernel::sums);
            measuring = memory.take<std::byte>(
                std::max({dx_codes::encode_bytes(samples), dw_codes::encode_bytes(samples),
                          passes::reduce_bytes(G.outputs, Bias) * static_cast<std::size_t>(samples)}));
            if constexpr (Bias) reduced = memory.take<double>(static_cast<std::size_t>(out_channels));
            bytes = memory.used();
        }
    };

public:
    template <class X, class H, class Plus>
    auto backward(const context& c, const X& x, const H& h, const Plus& plus) {
        constexpr bool wants_dx = X::learns;
        backward_memory memory(c.shared, c.samples, wants_dx);
        if constexpr (Bias) {
            passes::reduce<Arch, G.out(), 1>(c, memory.measuring, memory.reduced,
                                             [h](auto& sum, int n, int p, int b)
                                                 FQT_INLINE_LAMBDA { sum[0].add(h.template load<Arch>(n, p, b)); });
            for (int k = 0; k < G.outputs; ++k) {
                bias_gradient_[k] = static_cast<float>(memory.reduced[k]);
                if (!std::isfinite(bias_gradient_[k]))
                    passes::refuse_non_finite("the gradient of a bias", name_.c_str());
            }
        }
        if constexpr (blocked_dx || blocked_dw) fit_blocks(c, h, memory);
        if constexpr (wants_dx && has_dx_codes) {
            const auto stream = stream_of(c, number_, purpose::input_gradient);
            const auto encode = [&](const auto& values) {
                if constexpr (rotates) c.watcher.see_detail(name_.view(), "exact input_gradient", c.samples, h);
                else c.watcher.see_detail(name_.view(), "exact input_gradient", c.samples, values);
                memory.dx.template encode<Arch>(c, values, stream, memory.measuring, dx_memory_, name_.c_str());
            };
            if constexpr (folds<X>)
                c.watcher.see_detail(name_.view(), "weight_scale", 1,
                                     stored_gradient<shape{G.outputs, 1, 1}, float>{weights_.fold});
            if constexpr (reflects)
                encode(memory.reflecting.template reflect<Arch>(c, for_dx(h), memory.measuring, name_.c_str()));
            else encode(for_dx(h));
            c.watcher.see(name_.view(), "input_gradient", c.samples, rotated_back_if<rotates>(memory.dx));
        }
        if constexpr (wants_dx && !has_dx_codes) c.watcher.see(name_.view(), "input_gradient", c.samples, h);
        if constexpr (is_real<weight_gradient_quantizer> || blocked_dw) {
            c.watcher.see(name_.view(), "weight_gradient", c.samples, h);
        } else if constexpr (!(shared_codes && wants_dx)) {
            c.watcher.see_detail(name_.view(), "exact weight_gradient", c.samples, h);
            memory.dw.template encode<Arch>(c, rotated_if<rotates_dw>(h),
                                            stream_of(c, number_, purpose::weight_gradient), memory.measuring,
                                            dw_memory_, name_.c_str());
            c.watcher.see(name_.view(), "weight_gradient", c.samples, rotated_back_if<rotates_dw>(memory.dw));
        }

        const auto add_group = [&](int group, int thread) { add_weight_gradient(c, x, h, memory, group, thread); };
        if constexpr (!wants_dx) {
            parallel_for(groups, c.threads, add_group);
            finish_weight_gradient<false>(c, x, memory);
            return nothing{};
        } else {
            parallel_for(
                groups, add_group, c.samples,
                [&](int n, int thread) {
                    if constexpr (reflects)
                        input_gradient(c, h, nothing{}, memory, memory.reflecting.product_rows(), n, thread);
                    else if constexpr (clips<X>) input_gradient(c, h, nothing{}, memory, dx_, n, thread);
                    else input_gradient(c, h, plus, memory, dx_, n, thread);
                },
                c.threads);
            if constexpr (reflects && clips<X>) memory.reflecting.template restore<Arch>(c, nothing{}, dx_);
            else if constexpr (reflects) memory.reflecting.template restore<Arch>(c, plus, dx_);
            finish_weight_gradient<shared_codes && folds<X>>(c, x, memory);
            const stored_gradient<G.in, gradient_type> result{dx_};
            if constexpr (clips<X>) {
                // What lay outside the input's range gets no gradient by this product; `plus` is not its business.
                const auto inside = input_.backward(c, x, result);
                const auto total = add(inside, plus);
                c.watcher.see(name_.view(), "gradient", c.samples, total);
                return total;
            } else {
                c.watcher.see(name_.view(), "gradient", c.samples, result);
                return result;
            }
        }
    }

private:
    /// h as it is quantized for dX.
    template <class H>
    auto for_dx(const H& h) const {
        if constexpr (rotates) return rotated<H>{h};
        else if constexpr (folds_scales) return folded<H>{h, weights_.fold};
        else return h;
    }

    /// Grids of block formats for h, where their scales have two levels.
    template <class H>
    void fit_blocks(const context& c, const H& h, backward_memory& memory) {
        const auto range_of = [&](const auto& values) {
            measured_samples<measures::extremes, G.out(), Arch> found(memory.measuring, c.samples);
            found.measure_all(c, values, "a gradient", name_.c_str());
            return found.of_batch(c.samples).range;
        };
        const interval range = range_of(rotated_if < blocked_dx ? rotates : rotates_dw > (h));
        if constexpr (blocked_dx) memory.dx_tensor = input_gradient_quantizer::fit(range, {});
        if constexpr (blocked_dw && blocked_dx && rotates != rotates_dw)
            memory.dw_tensor = weight_gradient_quantizer::fit(range_of(rotated_if<rotates_dw>(h)), {});
        else if constexpr (blocked_dw) memory.dw_tensor = weight_gradient_quantizer::fit(range, {});
    }

    /// The same for h.
    template <class Q, block_axis Axis, class Codes, class H, class Stage>
    void stage_h(const context& c, const Codes& codes, const grid& tensor, purpose use, const H& h, int n,
                 float* rounded, Stage&& stage) {
        if constexpr (is_real<Q>) {
            stage(lazy_source<H>{h, n});
        } else if constexpr (is_blocked<Q>) {
            block_rounding<Q, Axis, G.out(), Arch>::round(h, n, tensor, stream_of(c, number_, use),
                                                          c.first_sample + static_cast<std::uint32_t>(n), rounded);
            stage(float_source{rounded, out_channels});
        } else {
            stage(code_source<Codes>(codes, n));
        }
    }

    /// dX of one sample, plus what is to be added to it.
    template <class H, class Plus, class T>
    void input_gradient(const context& c, const H& h, const Plus& plus, const backward_memory& memory, T* dx, int n,
                        int thread) {
        auto* rounded = reinterpret_cast<float*>(c.scratch_of(thread));
        std::byte* staged = c.scratch_of(thread) + rounded_bytes;
        stage_h<input_gradient_quantizer, block_axis::channels>(
            c, memory.dx, memory.dx_tensor, purpose::input_gradient, for_dx(h), n, rounded,
            [&](const auto& source) { backward_kernel::stage(source, staged); });
        floats<Arch> scale(1.0f);
        if constexpr (integer_backward) scale = floats<Arch>(product(memory.dx.step_of(n), weights_.rotated_step));
        backward_kernel::run(staged, weights_.packed_backward, to_gradient<G.in, T, Plus, Arch>{dx, n, scale, plus});
    }

    /// The sums of dW over one group of samples.
    template <class X, class H>
    void add_weight_gradient(const context& c, const X& x, const H& h, const backward_memory& memory, int group,
                             int thread) {
        float* of_group = memory.group_sums + static_cast<std::size_t>(group) * weight_kernel::sums;
        const int first = c.samples * group / groups, last = c.samples * (group + 1) / groups;
        if (first == last || !weight_kernel::writes_all_sums) std::fill_n(of_group, weight_kernel::sums, 0.0f);
        auto* rounded = reinterpret_cast<float*>(c.scratch_of(thread));
        std::byte* staged = c.scratch_of(thread) + rounded_bytes;
        for (int n = first; n < last; n += weight_kernel::samples_at_once) {
            typename weight_kernel::sample samples[weight_kernel::samples_at_once * copies];
            const int count = std::min(weight_kernel::samples_at_once, last - n);
            for (int i = 0; i < count; ++i) {
                std::byte* activation = staged + static_cast<std::size_t>(i) * staged_bytes_of_dw;
                std::byte* gradient = activation + weight_kernel::staged_activation_bytes;
                stage_x<block_axis::pixels>(c, x, n + i, rounded, [&](const auto& source) {
                    weight_kernel::stage_activation(source, signs<X>, activation);
                });
                for (int copy = 0; copy < copies; ++copy, gradient += weight_kernel::staged_gradient_bytes) {
                    stage_h<weight_gradient_quantizer, block_axis::pixels>(
                        c, memory.dw.copy(copy), memory.dw_tensor, purpose::weight_gradient, rotated_if<rotates_dw>(h),
                        n + i, rounded, [&](const auto& source) { weight_kernel::stage_gradient(source, gradient); });
                    samples[i * copies + copy] = {activation, gradient, 1.0f};
                    if constexpr (integer_weight_gradient) samples[i * copies + copy].scale = memory.dw.step_of(n + i);
                }
            }
            weight_kernel::run(samples, count * copies, signs<X>, n == first, of_group);
        }
    }
    /// dW from the groups' sums, and what turns them into real numbers: the activations' step, the channel's step of h,
    /// and, where h had the weight scale folded in, one over that; where h was transformed, H undoes it.
    template <bool Folded, class X>
    void finish_weight_gradient(const context& c, const X& x, const backward_memory& memory) {
        float activation_step = 1.0f;
        if constexpr (integer_weight_gradient) activation_step = step_of(*input_.view(x).grid);
        float factor[out_channels]{};
        for (int k = 0; k < G.outputs; ++k) {
            factor[k] = activation_step;
            if constexpr (copies > 1) factor[k] /= static_cast<float>(copies);
            if constexpr (Folded) factor[k] /= weights_.fold[k];
            if constexpr (dw_codes::by_channel && integer_weight_gradient)
                factor[k] = product(factor[k], memory.dw.steps[k]);
        }
        bool finite[blocks(G.outputs)]{};
        parallel_for(blocks(G.outputs), c.threads, [&](int block, int) {
            finite[block] = weight_kernel::unpack(memory.group_sums, groups, factor, block, weights_.gradient)
                && (!rotates_dw || weights_.rotate_gradient(block));
        });
        for (const bool of_block : finite)
            if (!of_block) passes::refuse_non_finite("the weight gradient", name_.c_str());
        weights_.finish_gradient(c.threads);
    }
};

} // namespace fqt
