#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Layers that are a rule on single values. Write the rule, get the layer:
//     struct leaky : fqt::pointwise<leaky> {
//         static constexpr const char* name = "leaky";
//         static auto forward(auto x) { return max(x, x * 0.125f); }
//         static auto backward(auto x, auto g) { return where(x > 0.0f, g, g * 0.125f); }
//     };
// forward(x) is the value, backward(x, g) the gradient by x. `monotonic = true` lets ranges pass through without a
// measuring pass, `nonnegative = true` makes the codes of the result unsigned. Chains of such layers are one loop.

#include <fqt/layers/layer.hpp>

#include <cstdio>

namespace fqt {

template <class Rule>
struct pointwise : spec {
    static constexpr inferred output(shape in) { return in; }

    template <shape In, class Scheme, class Arch>
    struct layer : plain_layer {
        static constexpr bool takes_deferred = true;
        path name_;

        void prepare(naming n) { name_ = n.name; }
        template <class X>
        constexpr auto plan(planner&, const X& x) {
            return view(x);
        }
        template <class X>
        constexpr auto view(const X& x) const {
            return mapped<Rule, X>{x};
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
        auto backward(const context&, const X& x, const G& g, const Plus& plus) {
            return add(mapped_gradient<Rule, X, G>{x, g}, plus);
        }
        template <class F, class X>
        auto describe(F&& f, const X& x) {
            f(description{name_, Rule::name, In, In, "in registers: fp32", 0, 0, 0});
            return view(x);
        }
    };
};

/// y = max(x, 0); the gradient passes where x > 0.
struct relu_spec : pointwise<relu_spec> {
    static constexpr const char* name = "relu";
    static constexpr bool monotonic = true, nonnegative = true;
    static auto forward(auto x) { return max(x, decltype(x)(0.0f)); }
    static auto backward(auto x, auto g) { return where(x > 0.0f, g, 0.0f); }
};

namespace layers {
inline constexpr relu_spec relu{};
} // namespace layers

} // namespace fqt
