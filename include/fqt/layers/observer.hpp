#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A window into a running network: whoever watches is shown each tensor when it exists, with its codes and its values.
// Nothing is copied and nothing costs time while nobody watches.

#include <fqt/core/function_ref.hpp>
#include <fqt/layers/lazy.hpp>

#include <string_view>

namespace fqt {

/// A tensor of one layer in one pass. `what` is
///   "input"            codes of a product's or residual's input
///   "sums"             what a product left, dequantized; codes are the stored units
///   "input_gradient"   h as it enters dX, with the weight scales folded in; y where per_householder reflects it
///   "weight_gradient"  h as it enters dW, where its codes are not those of input_gradient
///   "gradient"         the gradient by the layer's input
/// and, shown only to observers that have `static constexpr bool wants_details = true`,
///   "weight_scale"     one value per channel: what is folded into h before dX, where something is
///   "exact input_gradient", "exact weight_gradient"   the same h before it is quantized, where it is
///   "output_gradient"  the gradient by the output of a batch normalization
class observed_tensor {
public:
    std::string_view layer, what;
    shape dims;
    int samples;
    code_limits limits{}; ///< of the codes; {} where there are none
    float unit{};         ///< of sums: a code is an integer sum times this power of two; 0 where sums are floats

    /// 16 values, or codes where it has them, of block b at pixel p of sample n.
    void values(int n, int p, int b, float (&to)[lanes]) const { values_(tensor_, n, p, b, to); }
    void codes(int n, int p, int b, float (&to)[lanes]) const { codes_(tensor_, n, p, b, to); }
    float value(int n, int c, int p) const {
        float v[lanes];
        values(n, p, c / lanes, v);
        return v[c % lanes];
    }
    float code(int n, int c, int p) const {
        float v[lanes];
        codes(n, p, c / lanes, v);
        return v[c % lanes];
    }

    template <class X>
    observed_tensor(std::string_view layer_name, std::string_view kind, int count, const X& x, float unit_of_sums = 0)
        : layer(layer_name), what(kind), dims(X::dims), samples(count), unit(unit_of_sums), tensor_(&x) {
        using best = arch::best;
        values_ = [](const void* t, int n, int p, int b, float(&to)[lanes]) {
            static_cast<const X*>(t)->template load<best>(n, p, b).store(to);
        };
        codes_ = values_;
        if constexpr (requires { x.template code<best>(0, 0, 0); })
            codes_ = [](const void* t, int n, int p, int b, float(&to)[lanes]) {
                static_cast<const X*>(t)->template code<best>(n, p, b).store(to);
            };
        else if constexpr (has_units<X>)
            codes_ = [](const void* t, int n, int p, int b, float(&to)[lanes]) {
                static_cast<const X*>(t)->template units<best>(n, p, b).store(to);
            };
        if constexpr (requires { X::limits; }) limits = X::limits;
        else if constexpr (requires { typename X::quantizer; })
            if constexpr (!is_real<typename X::quantizer>)
                limits = quantizer_traits<typename X::quantizer>::limits(X::is_signed);
    }

private:
    using reader = void (*)(const void*, int, int, int, float (&)[lanes]);
    const void* tensor_;
    reader values_{}, codes_{};
};

/// A callable behind a pointer, which `context` can carry.
class observer {
public:
    constexpr observer() = default;
    template <class F>
    explicit observer(F& f) : show_(f) {
        if constexpr (requires { F::wants_details; }) details_ = F::wants_details;
    }
    explicit operator bool() const { return static_cast<bool>(show_); }

    template <class X>
    void see(std::string_view layer, std::string_view what, int samples, const X& x, float unit = 0) const {
        if (show_) show_(observed_tensor(layer, what, samples, x, unit));
    }
    template <class X>
    void see_detail(std::string_view layer, std::string_view what, int samples, const X& x) const {
        if (details_) show_(observed_tensor(layer, what, samples, x));
    }

private:
    function_ref<void(const observed_tensor&)> show_;
    bool details_{};
};

} // namespace fqt
