#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The specs of linear layers: conv<Out, window> and dense<Out>. One layer type computes both, since a dense layer is
// the convolution whose kernel is its whole input.

#include <fqt/layers/product.hpp>

namespace fqt {

/// Whether a linear layer adds a learnt number to each output channel. Before a batch normalization it would do
/// nothing.
struct with_bias {
    static constexpr bool value = true;
};
struct without_bias {
    static constexpr bool value = false;
};

template <int Out, window Window, class Bias>
struct conv_spec : spec {
    static_assert(Out >= 1, "fqt: conv<Out> needs at least one output channel");
    static_assert(Window.kernel >= 1 && Window.stride >= 1 && Window.pad >= 0 && Window.pad < Window.kernel
                      && Window.groups >= 1,
                  "fqt: a conv's window needs kernel >= 1, stride >= 1, 0 <= pad < kernel and groups >= 1");
    static constexpr const char* name = "conv";
    static constexpr int products = 1;
    static constexpr bool renews = true;
    static constexpr bool starts_with_product = true;

    static constexpr geometry of(shape in) { return geometry_of(in, Out, Window); }
    static constexpr inferred output(shape in) {
        if (in.channels % Window.groups != 0 || Out % Window.groups != 0)
            return mismatch{"groups do not divide the channels", {Window.groups, 1, 1}, {in.channels, 1, 1}};
        if (in.height + 2 * Window.pad < Window.kernel || in.width + 2 * Window.pad < Window.kernel)
            return mismatch{"the kernel is larger than its input", {in.channels, Window.kernel, Window.kernel}, in};
        return of(in).out();
    }
    static constexpr int parameters(shape in) { return of(in).weights() + (Bias::value ? Out : 0); }
    static constexpr std::int64_t macs(shape in) { return of(in).macs(); }

    template <shape In, class Scheme, class Arch>
    using layer = product_layer<of(In), product_scheme<Scheme>, Arch, Bias::value>;
};

template <int Out, class Bias>
struct dense_spec : spec {
    static_assert(Out >= 1, "fqt: dense<Out> needs at least one output");
    static constexpr const char* name = "dense";
    static constexpr int products = 1;
    static constexpr bool renews = true;
    static constexpr bool starts_with_product = true;

    static constexpr geometry of(shape in) { return geometry_of_dense(in, Out); }
    static constexpr inferred output(shape) { return shape{Out, 1, 1}; }
    static constexpr int parameters(shape in) { return of(in).weights() + (Bias::value ? Out : 0); }
    static constexpr std::int64_t macs(shape in) { return of(in).macs(); }

    template <shape In, class Scheme, class Arch>
    using layer = product_layer<of(In), product_scheme<Scheme>, Arch, Bias::value>;
};

namespace layers {
/// A convolution: conv<16>, conv<32, fqt::window{.kernel = 3, .stride = 2}>, conv<8, {}, fqt::with_bias>.
template <int Out, window Window = window{}, class Bias = without_bias>
inline constexpr conv_spec<Out, Window, Bias> conv{};
/// A fully connected layer over the whole sample: dense<10>.
template <int Out, class Bias = with_bias>
inline constexpr dense_spec<Out, Bias> dense{};
} // namespace layers

} // namespace fqt
