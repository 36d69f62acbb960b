#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The twin (twin.hpp) of fqt::network<spec, scheme>, made from the types of specs and schemes, and what tests of both
// need: a recorder of what the library shows, and numbers without structure.

#include <fqt/network/network.hpp>

#include "twin.hpp"
#include <map>
#include <span>

namespace twin {

// ---- schemes ----

template <class Q>
rule rule_of() {
    if constexpr (std::same_as<Q, fqt::real>) {
        return {};
    } else {
        using R = typename Q::rounding;
        using G = typename Q::granularity;
        return {Q::bits,
                std::same_as<R, fqt::nearest>          ? rounding::nearest
                    : std::same_as<R, fqt::stochastic> ? rounding::stochastic
                    : std::same_as<R, fqt::downward>   ? rounding::downward
                                                       : rounding::toward_zero,
                std::same_as<G, fqt::per_tensor>        ? grain::tensor
                    : std::same_as<G, fqt::per_channel> ? grain::channel
                                                        : grain::sample};
    }
}
template <class T>
inline constexpr format format_of = std::same_as<T, fqt::binary16> ? format::half
    : std::same_as<T, fqt::bfloat16>                               ? format::brain
                                                                   : format::full;

template <class W, class A, class I, class G, class S, class D, class R, class E>
scheme scheme_of(fqt::scheme<W, A, I, G, S, D, R, E>) {
    return {rule_of<W>(), rule_of<A>(), rule_of<I>(), rule_of<G>(),
            format_of<S>, format_of<D>, format_of<R>, std::same_as<E, fqt::eight_bit_edges>};
}

// ---- rectifiers ----

template <class F>
double mean_of(const numbers& gains, F&& f) {
    double sum = 0;
    for (const double r : gains) sum += f(r);
    return sum / static_cast<double>(gains.size());
}
inline double excess(double r) { return std::copysign(std::max(0.0, std::abs(r) - 1), r); }
inline double energy(const numbers& gains) {
    return mean_of(gains, [](double r) { return r * r; }) / 2;
}
inline double hinge(const numbers& gains) {
    return mean_of(gains, [](double r) { return excess(r) * excess(r); }) / 2;
}
inline double crest(const numbers& gains) {
    const double count = static_cast<double>(gains.size());
    return std::log(mean_of(gains, [](double r) { return std::pow(r, 8); }) * count) / 8
        - std::log(mean_of(gains, [](double r) { return r * r; }) * count) / 2;
}
inline double even(const numbers& gains) {
    const auto log_gain = [](double r) { return std::log(std::abs(r) + 1e-6); };
    const double middle = mean_of(gains, log_gain);
    return mean_of(gains, [&](double r) { return std::pow(log_gain(r) - middle, 2); }) / 2;
}

template <class Gain, class Flow>
constexpr rectifier rectifier_with(double (*loss)(const numbers&), double (*slope)(double)) {
    return {loss, slope, std::same_as<Gain, fqt::quantized_gain>, std::same_as<Flow, fqt::through_sigma>};
}
template <class R>
inline constexpr rectifier rectifier_of{};
template <class G, class F>
inline constexpr rectifier rectifier_of<fqt::gain_energy<G, F>> = rectifier_with<G, F>(energy,
                                                                                       [](double r) { return r; });
template <class G, class F>
inline constexpr rectifier rectifier_of<fqt::gain_hinge<G, F>> = rectifier_with<G, F>(hinge, excess);
template <class G, class F>
inline constexpr rectifier rectifier_of<fqt::gain_crest<G, F>> = rectifier_with<G, F>(crest, nullptr);
template <class G, class F>
inline constexpr rectifier rectifier_of<fqt::even_gains<G, F>> = rectifier_with<G, F>(even, nullptr);

// ---- specs ----

/// of(spec, shape of its input) for every kind of spec.
struct layers {
    template <int Out, fqt::window W, class Bias>
    static pointer of(fqt::conv_spec<Out, W, Bias>, shape in) {
        return std::make_unique<product>(fqt::geometry_of(in, Out, W), Bias::value);
    }
    template <int Out, class Bias>
    static pointer of(fqt::dense_spec<Out, Bias>, shape in) {
        return std::make_unique<product>(fqt::geometry_of_dense(in, Out), Bias::value);
    }
    template <class R>
    static pointer of(fqt::batch_norm_spec<R>, shape in) {
        return std::make_unique<batch_norm>(in, rectifier_of<R>);
    }
    static pointer of(fqt::relu_spec, shape in) { return std::make_unique<relu>(in); }
    template <fqt::window W>
    static geometry pooled(shape in) {
        return {in, in.channels, W.kernel, W.kernel, W.stride, W.pad, 1};
    }
    template <fqt::window W>
    static pointer of(fqt::pool_spec<fqt::max_pool_layer, W>, shape in) {
        return std::make_unique<pool>(pooled<W>(in), true);
    }
    template <fqt::window W>
    static pointer of(fqt::pool_spec<fqt::average_pool_layer, W>, shape in) {
        return std::make_unique<pool>(pooled<W>(in), false);
    }
    static pointer of(fqt::global_avg_pool_spec, shape in) {
        return std::make_unique<pool>(geometry{in, in.channels, in.height, in.width}, false);
    }
    static pointer of(fqt::identity_spec, shape in) { return std::make_unique<pad_shortcut>(in, in.channels, 1); }
    template <int Out, int Stride>
    static pointer of(fqt::pad_shortcut_spec<Out, Stride>, shape in) {
        return std::make_unique<pad_shortcut>(in, Out, Stride);
    }
    template <shape S>
    static pointer of(fqt::input_spec<S>, shape) {
        return std::make_unique<pad_shortcut>(S, S.channels, 1, true);
    }
    template <class Body, class Shortcut>
    static pointer of(fqt::residual_spec<Body, Shortcut>, shape in) {
        return std::make_unique<residual>(of(Body{}, in), of(Shortcut{}, in));
    }
    template <fqt::fixed_string Name, class S>
    static pointer of(fqt::named_spec<Name, S>, shape in) {
        return of(S{}, in);
    }
    template <const auto& Scheme, class S>
    static pointer of(fqt::with_spec<Scheme, S>, shape in) {
        pointer result = of(S{}, in);
        result->own = scheme_of(Scheme);
        return result;
    }
    template <class... S>
    static pointer of(fqt::chain_spec<S...>, shape in) {
        auto result = std::make_unique<chain>();
        const auto append = [&]<class T>(T spec) {
            std::string label;
            if constexpr (requires { T::label; }) label = T::label.view();
            result->parts.emplace_back(label, of(spec, in));
            in = result->parts.back().second->out;
        };
        (append(S{}), ...);
        result->in = result->parts.front().second->in, result->out = in;
        return result;
    }
};

/// The twin of fqt::network<spec, scheme>.
struct network : lists {
    pointer root;
    run r{};

    template <class Spec, class Scheme>
    network(Spec spec, Scheme s, fqt::seed seed, bool single) : root(layers::of(spec, {})) {
        root->place(*this, "", scheme_of(s), true, true);
        r.seed = seed.value, r.single = single;
    }
    /// The logits (n, c, p).
    numbers forward(std::span<const float> images, int samples, bool training = true) {
        r.samples = samples, r.training = training;
        return root->forward(r, {.v = {samples, root->in, {images.begin(), images.end()}}, .learns = false}).v.v;
    }
    void backward(std::span<const float> by_logits) {
        root->backward(r, {{r.samples, root->out, {by_logits.begin(), by_logits.end()}}}, nullptr);
        ++r.step;
    }
};

// ---- for tests ----

/// What a network shows: codes, and the values they stand for, by "layer what".
struct recorder {
    std::map<std::string, tensor> codes{}, values{};

    void operator()(const fqt::observed_tensor& t) {
        const std::string name = std::string(t.layer) + " " + std::string(t.what);
        codes[name] = make(t.samples, t.dims, [&](int n, int c, int p) { return t.code(n, c, p); });
        values[name] = make(t.samples, t.dims, [&](int n, int c, int p) { return t.value(n, c, p); });
    }
};

inline std::vector<float> random_floats(int count, float low, float high, std::uint32_t stream) {
    std::vector<float> v(at(count));
    for (std::uint32_t i = 0; i < v.size(); ++i)
        v[i] = std::fma(high - low, fqt::uniform32(fqt::random_stream{77, 0, stream}.block(0, i)[0]), low);
    return v;
}

} // namespace twin
