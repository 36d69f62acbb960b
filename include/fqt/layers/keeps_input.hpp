#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The base of layers without products of their own that read their input more than once: pools and gates.

#include <fqt/layers/layer.hpp>
#include <fqt/layers/stored_input.hpp>

namespace fqt {

/// The input as codes, a name, and a number for random rounding.
template <shape In, class Scheme, class Arch>
class keeps_input : public plain_layer {
protected:
    using activation = typename product_scheme<Scheme>::activation_quantizer;
    // Block formats belong to contractions; others store values.
    using quantizer = std::conditional_t<is_blocked<activation>, real, activation>;
    stored_input<In, quantizer, Arch> input_{};
    path name_{};
    int number_{};

    template <class X>
    constexpr auto stored(const X& x) const {
        if constexpr (is_stored<X>) return x;
        else return input_.view(x);
    }
    template <class X>
    constexpr void plan_input(planner& p) {
        if constexpr (!is_stored<X>) {
            p.stores_input();
            input_.template plan<X>(p);
        }
    }
    template <class X>
    static constexpr std::size_t input_bytes() {
        return is_stored<X> ? 0 : decltype(input_)::template bytes<X>();
    }
    template <bool Infer, class X>
    auto store_input(const context& c, const X& x) {
        const auto stream = stream_of(c, number_, purpose::activations);
        if constexpr (is_stored<X>) return x;
        else if constexpr (Infer) return input_.infer(c, x, stream, name_);
        else return input_.forward(c, x, stream, name_);
    }

public:
    static constexpr bool takes_deferred = true;

    void prepare(naming n) {
        name_ = n.name;
        number_ = (*n.products)++;
    }
    template <class F>
    void each_state(F&& f) {
        input_.each_state(f, name_);
    }
    template <class F>
    void each_parameter(F&& f) {
        input_.each_parameter(f, name_);
    }

protected:
    /// From the gradient by what is stored to that by x: it stops where x was clipped.
    template <class X, class G>
    auto through_input(const context& c, const X& x, const G& g) {
        if constexpr (is_stored<X>) return g;
        else return input_.backward(c, x, g);
    }
    template <class X>
    static constexpr bool clips = !is_stored<X> && decltype(input_)::template changes_gradient<X>;
};

} // namespace fqt
