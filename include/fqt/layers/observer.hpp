#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A window into a running network: whoever watches is shown each tensor when it exists, with its codes and its values.
// Nothing is copied and nothing costs time while nobody watches.

#include <fqt/layers/lazy.hpp>

#include <string_view>
#include <type_traits>

namespace fqt {

/// A tensor of one layer in one pass. `what` is
///   "input"            codes of a product's or residual's input
///   "sums"             what a product left, dequantized; codes are the stored units
///   "input_gradient"   h as it enters dX, with the weight scales folded in
///   "weight_gradient"  h as it enters dW, where its codes are not those of input_gradient
///   "gradient"         the gradient by the layer's input
class observed_tensor {
public:
    std::string_view layer, what;
    shape dims;
    int samples;

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
    observed_tensor(std::string_view layer_name, std::string_view kind, int count, const X& x)
        : layer(layer_name), what(kind), dims(X::dims), samples(count), tensor_(&x) {
        using generic = arch::generic;
        values_ = [](const void* t, int n, int p, int b, float(&to)[lanes]) {
            static_cast<const X*>(t)->template load<generic>(n, p, b).store(to);
        };
        codes_ = [](const void* t, int n, int p, int b, float(&to)[lanes]) {
            const X& tensor = *static_cast<const X*>(t);
            if constexpr (requires { tensor.template code<generic>(n, p, b); })
                tensor.template code<generic>(n, p, b).store(to);
            else units_of<generic>(tensor, n, p, b).store(to);
        };
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
    explicit observer(F& f)
        : object_(const_cast<std::remove_const_t<F>*>(&f)),
          call_([](void* object, const observed_tensor& t) { (*static_cast<F*>(object))(t); }) {}
    explicit operator bool() const { return object_ != nullptr; }

    template <class X>
    void see(std::string_view layer, std::string_view what, int samples, const X& x) const {
        if (object_) call_(object_, observed_tensor(layer, what, samples, x));
    }

private:
    void* object_{};
    void (*call_)(void*, const observed_tensor&){};
};

} // namespace fqt
