#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Dropout (Srivastava, Hinton, Krizhevsky, Sutskever, Salakhutdinov 2014), inverted: in training each value is zero
// with probability Percent / 100 and otherwise divided by the probability to stay, so that evaluation leaves values
// alone. Lazy: whoever loads a value draws its bits again, which are those of (seed, step, layer, sample, channel,
// position), so forward and backward pass, any number of threads and any instruction set agree.

#include <fqt/layers/layer.hpp>
#include <fqt/simd/random_lanes.hpp>

#include <cstdio>

namespace fqt {

/// x with some values zero and the others larger.
template <class X, int Percent>
struct thinned {
    static constexpr shape dims = X::dims;
    static constexpr bool nonnegative = X::nonnegative, learns = [] {
        if constexpr (requires { X::learns; }) return bool{X::learns};
        else return true;
    }();
    static constexpr float stays = static_cast<float>(100 - Percent) / 100, factor = 1 / stays;
    X x;
    random_stream stream;
    std::uint32_t first_sample;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        const simd::octet_bits<Arch> bits(stream, first_sample + static_cast<std::uint32_t>(n), b * lanes, p / 8,
                                          dims.pixels());
        return where(bits.uniform(p % 8) < floats<Arch>(stays), x.template load<Arch>(n, p, b) * factor, 0.0f);
    }
    interval range(int c) const requires has_range<X> {
        const interval r = x.range(c);
        return {std::min(0.0f, r.low * factor), std::max(0.0f, r.high * factor)};
    }
};

template <int Percent>
struct dropout_spec : spec {
    static_assert(Percent >= 0 && Percent < 100, "fqt: dropout<Percent> takes what is dropped, 0 to 99, such as 50");
    static constexpr const char* name = "dropout";
    static constexpr inferred output(shape in) { return in; }

    template <shape In, class Scheme, class Arch>
    struct layer : plain_layer {
        path name_;
        int number_{};
        random_stream stream_{};
        std::uint32_t first_sample_{};

        static constexpr bool takes_deferred = true;

        void prepare(naming n) {
            name_ = n.name;
            number_ = (*n.products)++;
        }
        template <class X>
        constexpr auto plan(planner&, const X& x) {
            return view(x);
        }
        template <class X>
        constexpr auto view(const X& x) const {
            return thinned<X, Percent>{x, stream_, first_sample_};
        }
        template <class X>
        auto forward(const context& c, const X& x) {
            stream_ = stream_of(c, number_, purpose::activations);
            first_sample_ = c.first_sample;
            return view(x);
        }
        template <class X>
        auto infer(const context&, const X& x) {
            return x;
        }
        template <class X, class G, class Plus>
        auto backward(const context&, const X&, const G& g, const Plus& plus) {
            return add(thinned<G, Percent>{g, stream_, first_sample_}, plus);
        }
        template <class F, class X>
        auto describe(F&& f, const X& x) {
            f(description{name_, name, In, In, "in registers: fp32", 0, 0, 0});
            return view(x);
        }
    };
};

namespace layers {
/// Drops so many percent of the values in training: dropout<50>.
template <int Percent>
inline constexpr dropout_spec<Percent> dropout{};
} // namespace layers

} // namespace fqt
