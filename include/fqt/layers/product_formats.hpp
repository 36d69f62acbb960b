#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What a linear layer stores and how its products add up, in words, for summaries.

#include <fqt/layers/layer.hpp>
#include <fqt/layers/weights.hpp>

#include <cstdio>

namespace fqt {

/// The greatest power of two with which no sum of `products` products of codes exceeds 65504, the most that binary16
/// holds.
template <class Scheme>
constexpr float unit_of_sums(int products) {
    const std::int64_t greatest = std::int64_t{products}
        * quantizer_traits<typename Scheme::activation_quantizer>::greatest_magnitude(false)
        * quantizer_traits<typename Scheme::weight_quantizer>::greatest_magnitude(true);
    float unit = 1.0f;
    while (static_cast<double>(greatest) * double{unit} > 65504.0) unit /= 2;
    return unit;
}

/// WantsDx: whether there is an input gradient; SharesCodes: whether one set of codes of h serves dX and dW.
template <class Scheme, class Sums, bool WantsDx, bool SharesCodes>
struct product_formats {
    using weight = typename Scheme::weight_quantizer;
    using activation = typename Scheme::activation_quantizer;
    using input_gradient = typename Scheme::input_gradient_quantizer;
    using weight_gradient = typename Scheme::weight_gradient_quantizer;

    template <std::size_t N>
    static void write(char (&to)[N], bool input_is_shared, bool input_is_nonnegative) {
        constexpr note w = format_of<weight>(), dx = format_of<input_gradient>(), dw = format_of<weight_gradient>();
        note input = "fp32";
        if constexpr (!is_real<activation>) {
            input = note{};
            input.append(bits_of<activation>);
            if (is_blocked<activation>) input.append(" bits per block ");
            else input.append(input_is_nonnegative ? " bits unsigned " : " bits signed ");
            input.append(quantizer_traits<activation>::rounding_name);
        }
        std::snprintf(to, N, "weights %s, input %s%s, sums %s, %s%s, dW %s; %s", w.chars, input.chars,
                      is_blocked<activation> ? " (not kept)"
                          : input_is_shared  ? " (shared)"
                                             : "",
                      name_of_type<Sums>(), WantsDx ? "dX " : "no dX", WantsDx ? dx.chars : "",
                      SharesCodes && WantsDx ? "the same codes" : dw.chars, sums());
    }

private:
    template <class A, class B>
    static constexpr bool integer = std::same_as<product_kind<A, B>, kernels::integer>;

    template <class A, class B>
    static constexpr bool has_two = product_bytes<A, B> == 2 || product_bytes<B, A> == 2;

    /// In which type the three products add up.
    static constexpr const char* sums() {
        constexpr bool forward = integer<weight, activation>, dw = integer<activation, weight_gradient>;
        constexpr bool dx = WantsDx ? integer<weight, input_gradient> : dw;
        constexpr bool two_bytes = has_two<weight, activation> || (WantsDx && has_two<weight, input_gradient>)
            || has_two<activation, weight_gradient>;
        if (forward && dx && dw) return two_bytes ? "int32 sums of bytes" : "int32 sums";
        if (!forward && !dx && !dw) return "fp32 sums in a fixed order";
        if (dx && dw) return "fp32 sums in a fixed order forward, int32 backward";
        if (!dx && !dw) return "int32 sums forward, fp32 in a fixed order backward";
        if (forward) return dx ? "int32 sums, in dW fp32 in a fixed order" : "int32 sums, in dX fp32 in a fixed order";
        return dx ? "fp32 sums in a fixed order, in dX int32" : "fp32 sums in a fixed order, in dW int32";
    }
};

} // namespace fqt
