#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Specs made of specs: a | b | c runs one after the other, repeat<N>(s) is s | s | ... , named<"stem">(s) gives a part
// of the network a name, with<scheme>(s) another scheme, input<C, H, W> starts a network.

#include <fqt/core/fixed_string.hpp>
#include <fqt/layers/deferred.hpp>
#include <fqt/layers/layer.hpp>

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace fqt {

namespace detail {

// A flat tuple: one base per element, so that depth of templates does not grow with the number of layers.
template <std::size_t I, class T>
struct leaf {
    T value{};
};
template <class Indices, class... T>
struct pack;
template <std::size_t... I, class... T>
struct pack<std::index_sequence<I...>, T...> : leaf<I, T>... {};

/// The name that named<"...">(...) gave to a spec; empty if none did.
template <class S>
constexpr std::string_view label_of() {
    if constexpr (requires { S::label; }) return S::label.view();
    else return {};
}

template <std::size_t I, class T>
constexpr T& get(leaf<I, T>& l) {
    return l.value;
}
template <std::size_t I, class T>
constexpr const T& get(const leaf<I, T>& l) {
    return l.value;
}

} // namespace detail

template <layer_spec... Specs>
struct chain_spec : spec {
    static constexpr const char* name = "";
    static constexpr int count = sizeof...(Specs);
    static_assert(
        [] {
            constexpr int sizes[] = {detail::input_of<Specs>().size()...};
            return std::ranges::all_of(sizes + 1, sizes + count, [](int size) { return size == 0; });
        }(),
        "fqt: input<C, H, W> stands inside a chain; it says what images are, so a network has it once, in front");
    static constexpr int products = (Specs::products + ... + 0), normalizations = (Specs::normalizations + ... + 0);
    static constexpr bool renews = (Specs::renews || ...);
    static_assert(
        [] {
            constexpr std::string_view labels[] = {detail::label_of<Specs>()...};
            for (int i = 0; i < count; ++i)
                for (int j = 0; j < i; ++j)
                    if (!labels[i].empty() && labels[i] == labels[j]) return false;
            return true;
        }(),
        "fqt: two parts of a chain have the same name, so their parameters could not be told apart; rename one, or "
        "name a repetition as a whole: named<\"stage\">(repeat<3>(block))");
    static constexpr bool starts_with_product = [] {
        constexpr bool starts[] = {Specs::starts_with_product...};
        return starts[0];
    }();

    /// The shape of the images, where the chain starts with input<C, H, W>.
    static constexpr shape input() {
        constexpr shape starts[] = {detail::input_of<Specs>()...};
        return starts[0];
    }
    static constexpr inferred output(shape in) {
        inferred x = in;
        int i = 0;
        static_cast<void>(((x = Specs::output(x.value).within(Specs::name, i++), x.ok) && ...));
        return x;
    }
    static constexpr int parameters(shape in) {
        int n = 0;
        ((n += Specs::parameters(in), in = Specs::output(in).value), ...);
        return n;
    }
    static constexpr std::int64_t macs(shape in) {
        std::int64_t n = 0;
        ((n += Specs::macs(in), in = Specs::output(in).value), ...);
        return n;
    }

    template <shape In, class Scheme, class Arch>
    class layer {
        static constexpr std::array<shape, count> shapes = [] {
            std::array<shape, count> result{};
            shape x = In;
            std::size_t i = 0;
            ((result[i++] = x, x = Specs::output(x).value), ...);
            return result;
        }();
        // The elements with the first and the last product.
        static constexpr std::array<int, 2> ends = [] {
            constexpr int products_of[] = {Specs::products...};
            std::array<int, 2> result{count, -1};
            for (int i = 0; i < count; ++i)
                if (products_of[i] > 0) {
                    result[0] = std::min(result[0], i);
                    result[1] = i;
                }
            return result;
        }();
        // What lies before the first product stores its input in that one's formats, what lies behind the last one in
        // those of that.
        template <std::size_t I>
        using scheme_at = placed<typename Scheme::base, Scheme::first&& static_cast<int>(I) <= ends[0],
                                 Scheme::last && ends[1] >= 0 && static_cast<int>(I) >= ends[1]>;

        template <class>
        struct elements_of;
        template <std::size_t... I>
        struct elements_of<std::index_sequence<I...>> {
            using type = detail::pack<std::index_sequence<I...>,
                                      typename Specs::template layer<shapes[I], scheme_at<I>, Arch>...>;
        };
        using elements = typename elements_of<std::make_index_sequence<count>>::type;
        elements elements_{};

        template <std::size_t I>
        constexpr auto& at() {
            return detail::get<I>(elements_);
        }
        template <std::size_t I>
        constexpr const auto& at() const {
            return detail::get<I>(elements_);
        }

        template <class F>
        constexpr void each(F&& f) {
            [&]<std::size_t... I>(std::index_sequence<I...>) { (f(at<I>(), I), ...); }
            (std::make_index_sequence<count>{});
        }

    public:
        static constexpr bool takes_deferred = true;
        template <class X>
        static constexpr bool adds_plus =
            fqt::adds_plus<std::remove_cvref_t<decltype(detail::get<0>(std::declval<elements&>()))>, X>;

        template <std::size_t I = 0, class X>
        constexpr auto plan(planner& p, const X& x) {
            const auto y = at<I>().plan(p, x);
            if constexpr (I + 1 < count) return plan<I + 1>(p, y);
            else return y;
        }
        template <std::size_t I = 0, class X>
        constexpr auto view(const X& x) const {
            const auto y = at<I>().view(x);
            if constexpr (I + 1 < count) return view<I + 1>(y);
            else return y;
        }
        void prepare(naming n) {
            constexpr std::string_view names[] = {detail::label_of<Specs>()...};
            constexpr std::size_t last_renewing = [] {
                std::size_t last = 0, i = 0;
                ((Specs::renews ? last = i : 0, ++i), ...);
                return last;
            }();
            each([&](auto& element, std::size_t i) { element.prepare(n.of_element(names[i], i, i >= last_renewing)); });
        }
        void initialise(std::uint64_t seed) {
            each([&](auto& element, std::size_t) {
                if constexpr (requires { element.initialise(seed); }) element.initialise(seed);
            });
        }
        template <class F>
        void each_parameter(F&& f) {
            each([&](auto& element, std::size_t) { element.each_parameter(f); });
        }
        template <class F>
        void each_state(F&& f) {
            each([&](auto& element, std::size_t) { element.each_state(f); });
        }
        template <class F>
        void each_normalization(F&& f) {
            each([&](auto& element, std::size_t) { element.each_normalization(f); });
        }
        template <std::size_t I = 0, class F, class X>
        auto describe(F&& f, const X& x) {
            const auto y = at<I>().describe(f, x);
            if constexpr (I + 1 < count) return describe<I + 1>(f, y);
            else return y;
        }

        // What a batch normalization behind this chain needs of its last product.
        auto moments() const requires requires { at<count - 1>().moments(); }
        { return at<count - 1>().moments(); }
        auto weight_scales() const { return at<count - 1>().weight_scales(); }
        auto weight_norms() const { return at<count - 1>().weight_norms(); }

        template <std::size_t I = 0, class X, class Before = nothing>
        auto forward(const context& c, const X& x, const Before& before = {}) {
            const auto y = [&] {
                if constexpr (requires { at<I>().forward(c, x, before); }) return at<I>().forward(c, x, before);
                else return at<I>().forward(c, x);
            }();
            if constexpr (I + 1 < count) return forward<I + 1>(c, y, at<I>());
            else return y;
        }
        template <std::size_t I = 0, class X>
        auto infer(const context& c, const X& x) {
            const auto y = [&] {
                if constexpr (fqt::takes_deferred<std::remove_reference_t<decltype(at<I>())>>)
                    return at<I>().infer(c, x);
                else return at<I>().infer(c, finished(c, x));
            }();
            if constexpr (I + 1 < count) return infer<I + 1>(c, y);
            else return y;
        }
        /// `plus` goes to the first element.
        template <std::size_t I = 0, class X, class G, class Plus>
        auto backward(const context& c, const X& x, const G& g, const Plus& plus) {
            if constexpr (I + 1 == count) {
                return backward_at<I>(c, x, g, plus);
            } else {
                const auto inner = backward<I + 1>(c, at<I>().view(x), g, nothing{});
                return backward_at<I>(c, x, inner, plus);
            }
        }

    private:
        template <std::size_t I, class X, class G, class Plus>
        auto backward_at(const context& c, const X& x, const G& g, const Plus& plus) {
            if constexpr (std::same_as<G, nothing>) return g; // nothing below learns
            else return at<I>().backward(c, x, g, plus);
        }
    };
};

namespace detail {
// Chains are joined flat; a named chain is one element.
template <class S>
struct as_chain {
    using type = chain_spec<S>;
};
template <class... S>
struct as_chain<chain_spec<S...>> {
    using type = chain_spec<S...>;
};
template <class... A, class... B>
constexpr chain_spec<A..., B...> joined(chain_spec<A...>, chain_spec<B...>) {
    return {};
}
} // namespace detail

template <layer_spec A, layer_spec B>
constexpr auto operator|(A, B) {
    return detail::joined(typename detail::as_chain<A>::type{}, typename detail::as_chain<B>::type{});
}

template <fixed_string Name, layer_spec S>
struct named_spec : S {
    static_assert(
        [] {
            // No number, which would be another part's name, and no dot, which separates names.
            constexpr auto is_letter = [](char c) { return (c | 32) >= 'a' && (c | 32) <= 'z'; };
            for (const char c : Name.view())
                if (!is_letter(c) && c != '_' && c != '-' && !(c >= '0' && c <= '9')) return false;
            return !Name.view().empty() && is_letter(Name.view()[0]);
        }(),
        "fqt: named<\"...\"> takes letters, digits, '_' and '-', with a letter first");
    static constexpr auto label = Name;
    static constexpr const char* name = label.chars;
};

namespace detail {
// The scheme of a part that has its own: a network's scheme may change it (float_gradients.hpp).
template <class Outer, class Own>
struct part_scheme {
    using type = Own;
};
template <class Outer, class Own>
    requires requires { typename Outer::template inside<Own>; }
struct part_scheme<Outer, Own> {
    using type = typename Outer::template inside<Own>;
};
} // namespace detail

template <const auto& Scheme, layer_spec S>
struct with_spec : S {
    static constexpr bool starts_with_product = false; ///< for a residual around it, whose codes are of another scheme

    template <shape In, class Placed, class Arch>
    using layer = typename S::template layer<
        In, placed<typename detail::part_scheme<Placed, std::remove_cvref_t<decltype(Scheme)>>::type, false, false>,
        Arch>;
};

/// The first element of a network: what its images are.
template <shape Shape>
struct input_spec : spec {
    static constexpr const char* name = "input";
    static constexpr shape input() { return Shape; }
    static constexpr inferred output(shape) { return Shape; }

    template <shape, class Scheme, class Arch>
    struct layer : plain_layer {
        path name_;
        void prepare(naming n) { name_ = n.name; }
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
        auto backward(const context&, const X&, const G&, const Plus&) {
            return nothing{};
        }
        template <class F, class X>
        auto describe(F&& f, const X& x) {
            f(description{name_, "input", Shape, Shape, "the user's floats", 0, 0, 0});
            return x;
        }
    };
};

namespace detail {
template <layer_spec S, std::size_t... I>
constexpr auto repeated(S s, std::index_sequence<I...>) {
    return ((static_cast<void>(I), s) | ...);
}
} // namespace detail

namespace layers {

/// Images of C channels, H rows and W columns; or samples of C numbers each.
template <int C, int H = 1, int W = 1>
inline constexpr input_spec<shape{C, H, W}> input{};

/// s | s | ... | s, N times.
template <int N, layer_spec S>
constexpr auto repeat(S s) {
    static_assert(N >= 1, "fqt: repeat<N> needs N >= 1");
    return detail::repeated(s, std::make_index_sequence<static_cast<std::size_t>(N)>{});
}

/// A part of the network under a name of its own, by which messages, summaries and parameters call it.
template <fixed_string Name, layer_spec S>
constexpr named_spec<Name, S> named(S) {
    return {};
}

/// A part of the network with a scheme of its own; the edges' eight bits do not apply to it.
template <const auto& Scheme, layer_spec S>
constexpr with_spec<Scheme, S> with(S) {
    return {};
}

} // namespace layers

} // namespace fqt
