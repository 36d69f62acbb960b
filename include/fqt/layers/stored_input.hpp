#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The input of a layer that needs it in memory: products read it three times, residuals twice. It is encoded once, in
// one pass over the lazy tensor, by a grid that is known beforehand where ranges pass through; evaluation uses the
// running range instead. An input that is stored in the wanted format already is used as it is.
//
// Where the range rule clips, the gradient passes only where a value lay inside (the straight-through estimator); where
// the range is learnt, its slope is summed in a pass of its own; one of images, by which there is no gradient, stays
// what it was in the first batch, and is a state. Block formats pass the gradient everywhere, also where
// their scales clip.

#include <fqt/layers/block_rounding.hpp>
#include <fqt/layers/deferred.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/layers/measuring.hpp>
#include <fqt/layers/passes.hpp>

#include <cmath>

namespace fqt {

/// g where x lies inside the clipped range, else 0.
template <class X, class G>
struct clipped_gradient {
    static constexpr shape dims = X::dims;
    X x;
    G g;
    const interval* inside;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        const auto v = x.template load<Arch>(n, p, b);
        const auto is_inside = (v >= floats<Arch>(inside->low)) & (v <= floats<Arch>(inside->high));
        return where(is_inside, g.template load<Arch>(n, p, b), 0.0f);
    }
};

template <shape Shape, class Quantizer, class Arch>
class stored_input {
    using traits = quantizer_traits<Quantizer>;
    using range_rule = typename traits::range;
    using rule = range_traits<range_rule>;

    std::byte* data_{};
    typename traits::grid_type* grid_{};
    interval* clip_{}; // what the grid covers
    float* range_{};   // the largest magnitude stored in this batch; running low, running high, whether ever set
    float* memory_{};  // of the range rule
    float *learned_{}, *learned_gradient_{};

    // A grid may end before its range does: powers of two.
    static constexpr bool grid_clips = [] {
        if constexpr (requires { Quantizer::clips; }) return Quantizer::clips;
        else return false;
    }();
    template <class X>
    static constexpr bool reuses = is_coded_by<X, Quantizer>;
    template <class X>
    static constexpr bool clips = !reuses<X> && (rule::clips || grid_clips);

public:
    template <class X>
    using type = codes<Shape, Quantizer, !X::nonnegative, X::learns>;

    template <class X>
    constexpr void plan(planner& p) {
        static_assert(!takes_no_negatives<Quantizer> || X::nonnegative,
                      "fqt: scheme.activation is for inputs that cannot be negative, and a layer's input can be: put a "
                      "relu before it, or give it another scheme: with<scheme>(layer)");
        if constexpr (!reuses<X>) {
            p.persistent(grid_, 1);
            p.persistent(clip_, 1);
            p.state(range_, 4);
            if (rule::memory > 0) p.state(memory_, rule::memory);
            if (rule::learned) p.state(learned_, 1);
            if (rule::learned && X::learns) p.persistent(learned_gradient_, 1);
            p.saved(data_, static_cast<std::int64_t>(type<X>::sample_bytes));
            p.shared(input_measuring_bytes < rule::learned ? measures::moments : rule::needs, Shape > (p.batch()));
            p.shared(static_cast<std::size_t>(p.batch()) * sizeof(float));
            if (rule::learned) p.shared(static_cast<std::size_t>(p.batch()) * sizeof(double));
        }
    }
    template <class F>
    void each_parameter(F&& f, const path& name) {
        constexpr std::array<int, 4> dims{1, 1, 1, 1};
        if (learned_gradient_)
            f(parameter{name / "input_range", parameter_kind::range, {learned_, 1}, {learned_gradient_, 1}, dims});
    }
    template <class F>
    void each_state(F&& f, const path& name) {
        if (range_) f(state{name / "range", {range_ + 1, 3}});
        if (learned_ && !learned_gradient_) f(state{name / "input_range", {learned_, 1}});
        if (memory_) f(state{name / "range_memory", {memory_, std::size_t{rule::memory}}});
    }
    template <class X>
    static constexpr std::size_t bytes() {
        return reuses<X> ? 0 : type<X>::sample_bytes;
    }

    template <class X>
    constexpr type<X> view(const X& x) const {
        if constexpr (reuses<X>) return x;
        else return {data_, grid_, range_};
    }

    // ---- forward ----
    // In training a product encodes each sample just before it multiplies it; otherwise all samples are encoded at
    // once.

    /// Chooses the grid by x's range in this batch, and lets the running range follow.
    template <class X>
    void prepare_forward(const context& c, const X& x, const path& name) {
        if constexpr (!reuses<X>) {
            const interval range = current_range(c, x, name);
            const float weight = range_[3] > 0 ? c.momentum : 1.0f;
            range_[1] = std::fma(weight, range.low - range_[1], range_[1]);
            range_[2] = std::fma(weight, range.high - range_[2], range_[2]);
            range_[3] = 1;
            fit(x, range);
        }
    }
    /// Encodes sample n, after prepare_forward(); of_sample has one number a sample, for finish().
    template <class X>
    void encode_sample(const context& c, const X& x, int n, const random_stream& stream, float* of_sample) {
        if constexpr (!reuses<X>) of_sample[n] = passes::encode_sample<Arch, type<X>>(c, x, *grid_, stream, data_, n);
    }
    template <class X>
    void finish(const context& c, const X&, const float* of_sample) {
        if constexpr (!reuses<X>) {
            range_[0] = 0;
            for (int n = 0; n < c.samples; ++n) range_[0] = std::max(range_[0], of_sample[n]);
        }
    }

    template <class X>
    type<X> forward(const context& c, const X& x, const random_stream& stream, const path& name) {
        prepare_forward(c, x, name);
        return encode(c, x, stream);
    }
    /// Chooses the grid by the running range; what lies outside is clamped to it.
    template <class X>
    type<X> infer(const context& c, const X& x, const random_stream& stream, const path& name) {
        if constexpr (!reuses<X>) {
            if (!(range_[3] > 0)) passes::refuse_without_range(name.c_str());
            if (!std::isfinite(range_[1]) || !std::isfinite(range_[2]))
                passes::refuse_non_finite("the running range of the input", name.c_str());
            if (rule::learned && !(*learned_ > 0)) passes::refuse_learnt_range("the input", name.c_str(), *learned_);
            if constexpr (rule::learned) fit(x, interval_of(x, *learned_));
            else fit(x, {range_[1], range_[2]});
        }
        return encode(c, x, stream);
    }

    // ---- backward ----

    /// From the gradient by the stored codes' values to that by x.
    template <class X, class G>
    auto backward(const context& c, const X& x, const G& g) {
        if constexpr (!X::learns) {
            return nothing{};
        } else if constexpr (!clips<X> || std::same_as<G, nothing>) {
            return g;
        } else {
            if constexpr (rule::learned) sum_slope(c, x, g);
            return clipped_gradient<X, G>{x, g, clip_};
        }
    }
    /// Whether backward() gives anything but g.
    template <class X>
    static constexpr bool changes_gradient = clips<X>;

private:
    template <class X>
    interval current_range(const context& c, const X& x, const path& name) {
        if constexpr (rule::learned) {
            if (!(*learned_ > 0))
                *learned_ = range_rule::initial(measure_input<measures::moments, Arch>(c, x, name), limits_for(x));
            return interval_of(x, *learned_);
        } else {
            return rule::clip(measure_input<rule::needs, Arch>(c, x, name), limits_for(x),
                              {memory_, std::size_t{rule::memory}});
        }
    }
    template <class X>
    static constexpr code_limits limits_for(const X&) {
        return traits::limits(!X::nonnegative);
    }
    template <class X>
    static interval interval_of(const X&, float clip) {
        return {X::nonnegative ? 0.0f : -clip, clip};
    }
    template <class X>
    void fit(const X& x, interval range) {
        *clip_ = range;
        *grid_ = Quantizer::fit(range, limits_for(x));
        if constexpr ((rule::clips || grid_clips) && !rule::learned) {
            // The grid may end before the range does, or cover more of it than asked for.
            const interval ends{end_of_grid(limits_for(x).low), end_of_grid(limits_for(x).high)};
            *clip_ = grid_clips ? ends : range.join(ends);
        }
    }
    float end_of_grid(int code) const {
        return floats<arch::generic>(Quantizer::decode(floats<arch::generic>(static_cast<float>(code)), *grid_))
            .lane(0);
    }
    template <class X>
    type<X> encode(const context& c, const X& x, const random_stream& stream) {
        if constexpr (!reuses<X>) {
            auto* of_sample = reinterpret_cast<float*>(c.shared);
            parallel_for(c.samples, c.threads,
                         [&](int n, int thread) { encode_sample(c, ready(x, n, thread), n, stream, of_sample); });
            finish(c, x, of_sample);
        }
        return view(x);
    }

    template <class X, class G>
    void sum_slope(const context& c, const X& x, const G& g) {
        auto* of_sample = reinterpret_cast<double*>(c.shared);
        const auto stored = view(x);
        const floats<Arch> clip(*learned_);
        parallel_for(c.samples, c.threads, [&](int n, int) {
            auto sum = simd::f64x16<Arch>::zero();
            passes::each_block<Shape>([&](int p, int b) {
                const auto slope =
                    range_rule::slope(x.template load<Arch>(n, p, b), stored.template load<Arch>(n, p, b), clip);
                sum.add_product(without_padding<Arch, Shape>(slope, b), g.template load<Arch>(n, p, b));
            });
            of_sample[n] = sum_of_lanes<Arch>(sum);
        });
        double total = 0;
        for (int n = 0; n < c.samples; ++n) total += of_sample[n];
        const double scale = range_rule::gradient_scale(static_cast<double>(Shape.size()), limits_for(x));
        *learned_gradient_ = static_cast<float>(product(total, scale));
    }
};

/// An input in a block format is not stored: every product quantizes it anew, along its own contraction.
template <shape Shape, class Quantizer, class Arch>
    requires(is_blocked<Quantizer>)
class stored_input<Shape, Quantizer, Arch> {
    static constexpr bool two_levels = Quantizer::has_two_levels;
    static_assert(blocks_fit<Quantizer, Shape, Arch>);
    grid* grid_{};   // of the tensor
    float* range_{}; // running largest magnitude, whether it was ever set

public:
    template <class X>
    using type = X;

    template <class X>
    constexpr void plan(planner& p) {
        p.persistent(grid_, 1);
        if (two_levels) p.state(range_, 2);
        p.shared(input_measuring_bytes<measures::extremes, Shape>(p.batch()));
    }
    template <class F>
    void each_parameter(F&&, const path&) {}
    template <class F>
    void each_state(F&& f, const path& name) {
        if (two_levels) f(state{name / "range", {range_, 2}});
    }
    template <class X>
    static constexpr std::size_t bytes() {
        return 0;
    }
    template <class X>
    static constexpr bool changes_gradient = false;

    template <class X>
    constexpr X view(const X& x) const {
        return x;
    }

    template <class X>
    void prepare_forward(const context& c, const X& x, const path& name) {
        // Also where only its being finite matters.
        const float most = measure_input<measures::extremes, Arch>(c, x, name).range.magnitude();
        if constexpr (two_levels) {
            range_[0] = std::fma(range_[1] > 0 ? c.momentum : 1.0f, most - range_[0], range_[0]);
            range_[1] = 1;
            *grid_ = Quantizer::fit({-most, most}, {});
        }
    }
    template <class X>
    X infer(const context&, const X& x, const random_stream&, const path& name) {
        if constexpr (two_levels) {
            if (!(range_[1] > 0)) passes::refuse_without_range(name.c_str());
            if (!std::isfinite(range_[0])) passes::refuse_non_finite("the running range of the input", name.c_str());
            *grid_ = Quantizer::fit({-range_[0], range_[0]}, {});
        }
        return x;
    }
    /// Sample n along an axis, quantized and decoded, into padded_size(Shape) floats.
    template <block_axis Axis, class X>
    void round(const context& c, const X& x, int n, const random_stream& stream, float* to) const {
        block_rounding<Quantizer, Axis, Shape, Arch>::round(x, n, *grid_, stream,
                                                            c.first_sample + static_cast<std::uint32_t>(n), to);
    }
    template <class X>
    void encode_sample(const context&, const X&, int, const random_stream&, float*) {}
    template <class X>
    void finish(const context&, const X&, const float*) {}
};

} // namespace fqt
