#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Gates y = x * body(x), the body giving one number for each channel of a sample: squeeze-and-excitation (Hu, Shen, Sun
// 2018). x is stored as codes, which body and gate read. The product is lazy, like a residual's sum; the body's
// backward pass begins with the gate's gradient, the sum over pixels of g x, in floats and in one order.

#include <fqt/layers/activations.hpp>
#include <fqt/layers/chain.hpp>
#include <fqt/layers/cheap_gradient.hpp>
#include <fqt/layers/conv.hpp>
#include <fqt/layers/keeps_input.hpp>
#include <fqt/layers/pool.hpp>

#include <algorithm>
#include <cstdio>

namespace fqt {

/// x, or a gradient, times the values of a gate: samples x padded channels.
template <class X>
struct times_gate {
    static constexpr shape dims = X::dims;
    X x;
    const float* values;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        constexpr shape gate{dims.channels, 1, 1};
        return x.template load<Arch>(n, p, b) * floats<Arch>::load(values + offset_of(gate, n, 0, b));
    }
};

/// The output: besides the gate's values, what made them, which knows their range.
template <class X, class Gate>
struct gated : times_gate<X> {
    static constexpr bool nonnegative = X::nonnegative && Gate::nonnegative, learns = true;
    Gate gate;

    interval range(int c) const requires(has_range<X>&& has_range<Gate>) {
        const interval u = this->x.range(c), v = gate.range(c);
        const float ends[] = {u.low * v.low, u.low * v.high, u.high * v.low, u.high * v.high};
        return {*std::min_element(ends, ends + 4), *std::max_element(ends, ends + 4)};
    }
};

template <layer_spec Body>
struct gate_spec : spec {
    static_assert(detail::input_of<Body>().size() == 0,
                  "fqt: input<C, H, W> stands inside a gate; a network has it once, in front");
    static constexpr const char* name = "gate";
    static constexpr int products = Body::products, normalizations = Body::normalizations;

    static constexpr inferred output(shape in) {
        const inferred body = Body::output(in);
        if (!body.ok) return body;
        const shape gate{in.channels, 1, 1};
        if (body.value != gate) return mismatch{"a gate needs one number for each channel", body.value, gate};
        return in;
    }
    static constexpr int parameters(shape in) { return Body::parameters(in); }
    static constexpr std::int64_t macs(shape in) { return Body::macs(in); }

    template <shape In, class Scheme, class Arch>
    class layer : public keeps_input<In, Scheme, Arch> {
        using gradient_type = typename Scheme::gradient_type;
        static constexpr shape gate_shape{In.channels, 1, 1};

        typename Body::template layer<In, Scheme, Arch> body_{};
        float *gate_{}, *gate_gradient_{}; // samples x padded channels
        gradient_type* gradient_{};        // of the product, where it is not cheap

        template <class X, class Gate>
        constexpr auto product_of(const X& x, const Gate& gate) const {
            return gated<X, Gate>{{x, gate_}, gate};
        }

    public:
        template <class X>
        constexpr auto plan(planner& p, const X& x) {
            this->template plan_input<X>(p);
            p.saved(gate_, padded_size(gate_shape));
            p.saved(gate_gradient_, padded_size(gate_shape));
            const auto s = this->stored(x);
            const auto parts = p.begin_parts();
            const auto body = body_.plan(p, s);
            p.stores_input();         // the gate's values
            p.end_parts(parts, true); // what the body returns may read it
            p.gradient(gradient_, padded_size(In), p.moment());
            return product_of(s, body);
        }
        void prepare(naming n) {
            keeps_input<In, Scheme, Arch>::prepare(n);
            n.closes_block = false;
            body_.prepare(n);
        }
        void initialise(std::uint64_t seed) {
            if constexpr (requires { body_.initialise(seed); }) body_.initialise(seed);
        }
        template <class F>
        void each_parameter(F&& f) {
            keeps_input<In, Scheme, Arch>::each_parameter(f);
            body_.each_parameter(f);
        }
        template <class F>
        void each_state(F&& f) {
            keeps_input<In, Scheme, Arch>::each_state(f);
            body_.each_state(f);
        }
        template <class F>
        void each_normalization(F&& f) {
            body_.each_normalization(f);
        }

        template <class X>
        constexpr auto view(const X& x) const {
            const auto s = this->stored(x);
            return product_of(s, body_.view(s));
        }
        template <class X>
        auto forward(const context& c, const X& x) {
            const auto s = this->template store_input<false>(c, x);
            const auto gate = body_.forward(c, s);
            passes::store<Arch>(c, gate, gate_);
            return product_of(s, gate);
        }
        template <class X>
        auto infer(const context& c, const X& x) {
            const auto s = this->template store_input<true>(c, x);
            const auto gate = finished(c, body_.infer(c, s));
            passes::store<Arch>(c, gate, gate_);
            return product_of(s, gate);
        }

        /// dx = g gate + (the body's backward pass of dgate), dgate[n][c] = sum over pixels of g[n][c] x[n][c].
        template <class X, class G, class Plus>
        auto backward(const context& c, const X& x, const G& g, const Plus& plus) {
            return with_cheap_gradient<Arch>(
                c, g, gradient_, [&](const auto& cheap) { return backward_through_input(c, x, cheap, plus); });
        }
        template <class F, class X>
        auto describe(F&& f, const X& x) {
            description d{this->name_, name, In, In, {}, 0, 0, 0};
            d.saved_bytes = layer::template input_bytes<X>() + 2 * sizeof(float) * padded_size(gate_shape);
            std::snprintf(d.formats, sizeof d.formats, "input %d bits, product in registers",
                          bits_of<typename layer::quantizer>);
            f(d);
            const auto s = this->stored(x);
            return product_of(s, body_.describe(f, s));
        }

    private:
        template <class X, class G, class Plus>
        auto backward_through_input(const context& c, const X& x, const G& g, const Plus& plus) {
            if constexpr (layer::template clips<X>) {
                const auto by_input = backward_stored(c, this->stored(x), g, nothing{});
                return add(this->through_input(c, x, by_input), plus);
            } else {
                return backward_stored(c, this->stored(x), g, plus);
            }
        }
        template <class S, class G, class Plus>
        auto backward_stored(const context& c, const S& s, const G& g, const Plus& plus) {
            parallel_for(c.samples, c.threads, [&](int n, int) {
                for (int b = 0; b < blocks(In.channels); ++b) {
                    floats<Arch> sum(0.0f);
                    for (int p = 0; p < In.pixels(); ++p)
                        sum = fma(g.template load<Arch>(n, p, b), s.template load<Arch>(n, p, b), sum);
                    sum.store(gate_gradient_ + offset_of(gate_shape, n, 0, b));
                }
            });
            const stored_values<gate_shape, float> by_gate{gate_gradient_, nullptr};
            return body_.backward(c, s, by_gate, add(times_gate<G>{g, gate_}, plus));
        }
    };
};

namespace layers {
/// x times body(x), which gives one number for each channel of a sample.
template <layer_spec Body>
constexpr gate_spec<Body> gate(Body) {
    return {};
}
/// Squeeze-and-excitation of so many channels: their means through a dense layer of `Reduced` (Channels / 16 in the
/// paper, Channels / 4 in MobileNetV3) with relu and one of `Channels` with hard_sigmoid (MobileNetV3's; the paper's
/// is a sigmoid).
template <int Channels, int Reduced>
inline constexpr auto squeeze_excite = gate(global_avg_pool | dense<Reduced> | relu | dense<Channels> | hard_sigmoid);
} // namespace layers

} // namespace fqt
