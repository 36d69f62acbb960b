#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Residual blocks y = body(x) + shortcut(x) (He, Zhang, Ren, Sun 2016). The sum is lazy: it is computed in the pass
// that encodes it for the next product, together with whatever pointwise layers follow. In the backward pass the
// shortcut's gradient is an operand of the last store of the body's.

#include <fqt/layers/cheap_gradient.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/layers/stored_input.hpp>

#include <cstdio>

namespace fqt {

/// The shortcut that passes its input on.
struct identity_spec : spec {
    static constexpr const char* name = "identity";
    static constexpr inferred output(shape in) { return in; }

    template <shape In, class Scheme, class Arch>
    struct layer : plain_layer {
        template <class X>
        constexpr auto plan(planner&, const X& x) {
            return x;
        }
        template <class X>
        constexpr auto view(const X& x) const {
            return x;
        }
        template <class X>
        auto forward(const context&, const X& x) {
            return x;
        }
        template <class X>
        auto infer(const context&, const X& x) {
            return x;
        }
        template <class X, class G, class Plus>
        auto backward(const context&, const X&, const G& g, const Plus& plus) {
            return add(g, plus);
        }
        template <class F, class X>
        auto describe(F&&, const X& x) {
            return x;
        }
    };
};

/// Every Stride-th row and column of x, with channels of zeros appended.
template <class X, shape Out, int Stride>
struct subsampled {
    static constexpr shape dims = Out;
    static constexpr bool nonnegative = X::nonnegative, learns = X::learns;
    X x;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        if (b >= blocks(X::dims.channels)) return 0.0f;
        return x.template load<Arch>(n, p / Out.width * Stride * X::dims.width + p % Out.width * Stride, b);
    }
    interval range(int c) const requires has_range<X> { return c < X::dims.channels ? x.range(c) : interval{}; }
};

/// The gradient of `subsampled`: g where a row and column was taken, zero elsewhere.
template <class G, shape In, int Stride>
struct spread_out {
    static constexpr shape dims = In;
    G g;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        const int y = p / In.width, x = p % In.width;
        if (y % Stride != 0 || x % Stride != 0) return 0.0f;
        return without_padding<Arch, In>(g.template load<Arch>(n, y / Stride * G::dims.width + x / Stride, b), b);
    }
};

/// The shortcut without weights where a block changes shape (option A of He et al.): subsamples, and appends channels
/// of zeros. Out >= the channels that come in.
template <int Out, int Stride>
struct pad_shortcut_spec : spec {
    static constexpr const char* name = "pad_shortcut";
    static_assert(Out >= 1 && Stride >= 1, "fqt: pad_shortcut<Out, Stride> needs Out >= 1 channels and Stride >= 1");
    static constexpr inferred output(shape in) {
        if (Out < in.channels) return mismatch{"a pad_shortcut cannot drop channels", {Out, 0, 0}, {in.channels, 0, 0}};
        return shape{Out, (in.height + Stride - 1) / Stride, (in.width + Stride - 1) / Stride};
    }

    template <shape In, class Scheme, class Arch>
    struct layer : plain_layer {
        static constexpr shape out = pad_shortcut_spec::output(In).value;
        path name_;
        void prepare(naming n) { name_ = n.name; }
        template <class X>
        constexpr auto plan(planner&, const X& x) {
            return view(x);
        }
        template <class X>
        constexpr auto view(const X& x) const {
            return subsampled<X, out, Stride>{x};
        }
        template <class X>
        auto forward(const context&, const X& x) {
            return view(x);
        }
        template <class X>
        auto infer(const context&, const X& x) {
            return view(x);
        }
        template <class X, class G, class Plus>
        auto backward(const context&, const X&, const G& g, const Plus& plus) {
            return add(spread_out<G, In, Stride>{g}, plus);
        }
        template <class F, class X>
        auto describe(F&& f, const X& x) {
            f(description{name_, "pad_shortcut", In, out, "in registers", 0, 0, 0});
            return view(x);
        }
    };
};

template <layer_spec Body, layer_spec Shortcut>
struct residual_spec : spec {
    static_assert(detail::input_of<Body>().size() == 0 && detail::input_of<Shortcut>().size() == 0,
                  "fqt: input<C, H, W> stands inside a residual; a network has it once, in front");
    static constexpr const char* name = "residual";
    static constexpr int products = Body::products + Shortcut::products,
                         normalizations = Body::normalizations + Shortcut::normalizations;
    static constexpr bool renews = true;
    static constexpr bool starts_with_product = Body::starts_with_product;

    static constexpr inferred output(shape in) {
        const inferred body = Body::output(in), shortcut = Shortcut::output(in);
        if (!body.ok) return body;
        if (!shortcut.ok) return shortcut;
        if (body.value != shortcut.value) return mismatch{"body and shortcut disagree", body.value, shortcut.value};
        return body;
    }
    static constexpr int parameters(shape in) { return Body::parameters(in) + Shortcut::parameters(in); }
    static constexpr std::int64_t macs(shape in) { return Body::macs(in) + Shortcut::macs(in); }

    template <shape In, class Scheme, class Arch>
    class layer {
        using body_scheme =
            std::conditional_t<(Body::products > 0), Scheme, placed<typename Scheme::base, false, false>>;
        // The format that the body's first product wants: it is the network's last one only if it is alone.
        using first_product =
            placed<typename Scheme::base, body_scheme::first, body_scheme::last && Body::products == 1>;
        using input_quantizer = typename product_scheme<first_product>::activation_quantizer;
        using residual_type = typename Scheme::residual_type;
        using gradient_type = typename Scheme::gradient_type;
        // Block formats are not stored: each product quantizes values along its own contraction.
        static constexpr bool stores_codes = starts_with_product && !is_blocked<input_quantizer>;

        typename Body::template layer<In, body_scheme, Arch> body_{};
        typename Shortcut::template layer<In, placed<typename Scheme::base, false, false>, Arch> shortcut_{};
        stored_input<In, std::conditional_t<stores_codes, input_quantizer, real>, Arch>
            codes_{};             // where a product reads x
        residual_type* values_{}; // where it does not
        interval* measured_{};
        gradient_type* gradient_{}; // of the sum, where it is not cheap
        path name_{};
        int number_{};

        /// x as it is stored: codes where the body starts with a product, plain values of the residual's type
        /// elsewhere.
        template <class X>
        constexpr auto stored(const X& x) const {
            if constexpr (is_stored<X>) return x;
            else if constexpr (stores_codes) return codes_.view(x);
            else return stored_values<In, residual_type, X::nonnegative, X::learns>{values_, measured_};
        }

        template <class X>
        using stored_type =
            std::conditional_t<is_stored<X>, X,
                               std::conditional_t<stores_codes, typename decltype(codes_)::template type<X>,
                                                  stored_values<In, residual_type, X::nonnegative, X::learns>>>;
        template <class X>
        static constexpr bool clips = !is_stored<X> && stores_codes && decltype(codes_)::template changes_gradient<X>;

    public:
        static constexpr bool takes_deferred = true;
        template <class X>
        static constexpr bool adds_plus = !clips<X> && fqt::adds_plus<decltype(body_), stored_type<X>>;

        template <class X>
        constexpr auto plan(planner& p, const X& x) {
            if constexpr (!is_stored<X>) p.stores_input();
            if constexpr (!is_stored<X> && stores_codes) {
                codes_.template plan<X>(p);
            } else if constexpr (!is_stored<X>) {
                p.saved(values_, padded_size(In));
                p.persistent(measured_, 1);
                p.shared(input_measuring_bytes<measures::extremes, In>(p.batch()));
            }
            const auto s = stored(x);
            const auto parts = p.begin_parts();
            const auto body = body_.plan(p, s);
            p.next_part(parts);
            const auto shortcut = shortcut_.plan(p, s);
            p.end_parts(parts, !adds_plus<X>);
            p.gradient(gradient_, padded_size(output(In).value), p.moment());
            return sum(body, shortcut);
        }
        void prepare(naming n) {
            name_ = n.name;
            number_ = (*n.products)++;
            naming inner = n;
            inner.name = n.name / "body";
            inner.closes_block = true;
            body_.prepare(inner);
            inner.name = n.name / "shortcut";
            inner.closes_block = false;
            shortcut_.prepare(inner);
        }
        void initialise(std::uint64_t seed) {
            if constexpr (requires { body_.initialise(seed); }) body_.initialise(seed);
            if constexpr (requires { shortcut_.initialise(seed); }) shortcut_.initialise(seed);
        }
        template <class F>
        void each_parameter(F&& f) {
            codes_.each_parameter(f, name_);
            body_.each_parameter(f);
            shortcut_.each_parameter(f);
        }
        template <class F>
        void each_state(F&& f) {
            codes_.each_state(f, name_);
            body_.each_state(f);
            shortcut_.each_state(f);
        }
        template <class F>
        void each_normalization(F&& f) {
            body_.each_normalization(f);
            shortcut_.each_normalization(f);
        }

        template <class X>
        constexpr auto view(const X& x) const {
            const auto s = stored(x);
            return sum(body_.view(s), shortcut_.view(s));
        }
        template <class X>
        auto forward(const context& c, const X& x) {
            if constexpr (!is_stored<X> && stores_codes)
                codes_.forward(c, x, stream_of(c, number_, purpose::activations), name_);
            else if constexpr (!is_stored<X>) store_values(c, x);
            const auto s = stored(x);
            if constexpr (!is_stored<X>) c.watcher.see(name_.view(), "input", c.samples, s);
            const auto body = body_.forward(c, s);
            return sum(body, shortcut_.forward(c, s));
        }
        template <class X>
        auto infer(const context& c, const X& x) {
            if constexpr (!is_stored<X> && stores_codes)
                codes_.infer(c, x, stream_of(c, number_, purpose::activations), name_);
            else if constexpr (!is_stored<X>) store_values(c, finished(c, x));
            const auto s = stored(x);
            if constexpr (!is_stored<X>) c.watcher.see(name_.view(), "input", c.samples, s);
            const auto body = body_.infer(c, s);
            return sum(body, shortcut_.infer(c, s));
        }
        template <class X, class G, class Plus>
        auto backward(const context& c, const X& x, const G& g, const Plus& plus) {
            return with_cheap_gradient<Arch>(
                c, g, gradient_, [&](const auto& cheap) { return backward_through_codes(c, x, cheap, plus); });
        }
        template <class F, class X>
        auto describe(F&& f, const X& x) {
            constexpr shape out = output(In).value;
            description d{name_, "residual", In, out, {}, 0, 0, 0};
            if constexpr (is_stored<X>) {
                std::snprintf(d.formats, sizeof d.formats, "input shared, sum in registers");
            } else if constexpr (stores_codes) {
                d.saved_bytes = decltype(codes_)::template bytes<X>();
                std::snprintf(d.formats, sizeof d.formats, "input %d bits, sum in registers", bits_of<input_quantizer>);
            } else {
                d.saved_bytes = sizeof(residual_type) * static_cast<std::size_t>(padded_size(In));
                std::snprintf(d.formats, sizeof d.formats, "sum stored in %s", name_of_type<residual_type>());
            }
            f(d);
            const auto s = stored(x);
            const auto body = body_.describe(f, s);
            const auto shortcut = shortcut_.describe(f, s);
            return sum(body, shortcut);
        }

    private:
        template <class A, class B>
        static constexpr auto sum(const A& a, const B& b) {
            return sum_of<A, B>{a, b};
        }

        template <class X>
        void store_values(const context& c, const X& x) {
            measured_samples<measures::extremes, In, Arch> found(c.shared, c.samples);
            found.measure_all(c, x, "the input", name_.c_str());
            *measured_ = found.of_batch(c.samples).range;
            if (std::same_as<residual_type, binary16> && !(measured_->magnitude() < 65520))
                fail("the input of layer '%s' has a value of magnitude %g, and the binary16 in which it is stored ends "
                     "at 65504; set scheme.residual to bfloat16{} or float{}, or lower the learning rate",
                     name_.c_str(), double{measured_->magnitude()});
            passes::store<Arch>(c, x, values_);
        }

        template <class X, class G, class Plus>
        auto backward_stored(const context& c, const X& x, const G& g, const Plus& plus) {
            const auto by_shortcut = shortcut_.backward(c, x, g, plus);
            return body_.backward(c, x, g, by_shortcut);
        }

        /// Where x was clipped as it was stored, the gradient stops; `plus` comes from elsewhere and does not.
        template <class X, class G, class Plus>
        auto backward_through_codes(const context& c, const X& x, const G& g, const Plus& plus) {
            if constexpr (clips<X>) {
                const auto by_codes = backward_stored(c, stored(x), g, nothing{});
                return add(codes_.backward(c, x, by_codes), plus);
            } else {
                return backward_stored(c, stored(x), g, plus);
            }
        }
    };
};

namespace layers {
/// body(x) + x.
template <layer_spec Body>
constexpr residual_spec<Body, identity_spec> residual(Body) {
    return {};
}
/// body(x) + shortcut(x): a pad_shortcut, a convolution with its batch normalization, or a batch normalization alone.
template <layer_spec Body, layer_spec Shortcut>
constexpr residual_spec<Body, Shortcut> residual(Body, Shortcut) {
    return {};
}
/// A shortcut without weights (He, Zhang, Ren, Sun 2016, option A): each Stride-th row and column, and Out channels, of
/// which those beyond the input's are zero; Out is at least the channels that come in.
template <int Out, int Stride = 1>
inline constexpr pad_shortcut_spec<Out, Stride> pad_shortcut{};
} // namespace layers

} // namespace fqt
