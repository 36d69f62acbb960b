#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The input of a layer that needs it in memory: products read it three times, residuals twice. It is encoded once, in
// one pass over the lazy tensor, by a grid that is known beforehand where ranges pass through; evaluation uses the
// running range instead. An input that is stored in the wanted format already is used as it is.

#include <fqt/layers/layer.hpp>
#include <fqt/layers/passes.hpp>

namespace fqt {

template <shape Shape, class Quantizer, class Arch>
class stored_input {
    std::byte* data_{};
    typename quantizer_traits<Quantizer>::grid_type* grid_{};
    float*
        range_{}; // the largest magnitude stored in this batch; running low, running high, whether they were ever set

    template <class X>
    static constexpr bool reuses = is_coded_by<X, Quantizer>;

public:
    template <class X>
    using type = codes<Shape, Quantizer, !X::nonnegative>;

    template <class X>
    constexpr void plan(planner& p) {
        if constexpr (!reuses<X>) {
            p.persistent(grid_, 1);
            p.persistent(range_, 4);
            p.saved(data_, static_cast<int>(type<X>::sample_bytes));
            p.shared(static_cast<std::size_t>(p.batch()) * (sizeof(interval) + sizeof(float)));
        }
    }
    template <class F>
    void each_state(F&& f, const path& name) {
        if (range_) f(state{name / "range", {range_ + 1, 3}});
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

    // A product encodes each sample just before it multiplies it; others encode all samples at once.

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
    /// Chooses it by the running range; what lies outside is clamped to it.
    template <class X>
    void prepare_infer(const X& x, const path& name) {
        if constexpr (!reuses<X>) {
            if (!(range_[3] > 0))
                fail("layer '%s' has no range yet, so it cannot be evaluated; train at least one step or load a "
                     "trained state",
                     name.c_str());
            fit(x, {range_[1], range_[2]});
        }
    }
    /// Encodes sample n, after prepare_...(); of_sample has one number a sample, for finish().
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
    template <class X>
    type<X> infer(const context& c, const X& x, const random_stream& stream, const path& name) {
        prepare_infer(x, name);
        return encode(c, x, stream);
    }

private:
    template <class X>
    interval current_range(const context& c, const X& x, const path& name) {
        interval range{};
        if constexpr (has_range<X>) {
            for (int channel = 0; channel < Shape.channels; ++channel) range = range.join(x.range(channel));
            if (!(range.magnitude() < std::numeric_limits<float>::infinity()))
                passes::refuse_non_finite("the input", name.c_str());
            return range;
        } else {
            auto* of_sample = reinterpret_cast<interval*>(c.shared);
            passes::measure<Arch>(c, x, of_sample, "the input", name.c_str());
            return passes::over_samples(c, of_sample);
        }
    }
    template <class X>
    void fit(const X&, interval range) {
        *grid_ = Quantizer::fit(range, limits_of(bits_of<Quantizer>, !X::nonnegative));
    }
    template <class X>
    type<X> encode(const context& c, const X& x, const random_stream& stream) {
        if constexpr (!reuses<X>) {
            auto* of_sample = reinterpret_cast<float*>(c.shared);
            parallel_for(c.samples, c.threads, [&](int n, int) { encode_sample(c, x, n, stream, of_sample); });
            finish(c, x, of_sample);
        }
        return view(x);
    }
};

} // namespace fqt
