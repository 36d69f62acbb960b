#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Specs and layers. A spec is an empty value without shape or precision: conv<16>, relu, residual(...). It has a
// `name`, for messages, and output(shape): the shape of what comes out, or why nothing can. A layer is what a network
// makes of it for one input shape, scheme and instruction set: Spec::layer<In, Scheme, Arch>. A layer does not know its
// neighbours, so equal blocks are compiled once. Its members, x standing for its lazy input:
//   plan(planner&, x)              asks for memory; the same call hands it out. Returns view(x)
//   prepare(naming)                learns its name and number
//   forward(context, x)            trains: computes what is to be stored, returns the lazy output
//   view(x)                        that lazy output again, computing nothing
//   infer(context, x)              evaluates with frozen ranges and statistics; the output may be deferred
//   backward(context, x, g, plus)  from the lazy gradient g of its output to that of its input, plus `plus`
//   takes_deferred                 optional: whether infer() may be given sums yet to be computed (deferred.hpp)
//   adds_plus<X>                   optional: whether backward() has read `plus` when it returns, and not its result
//   each_parameter(f), each_state(f), each_normalization(f), describe(f, x)
// and, where there is something for them to do,
//   initialise(seed)               draws its parameters
//   forward(context, x, before)    instead of the other, with the layer directly before it in the chain
//   moments(), weight_scales(), weight_norms()
//                                  of a layer that a batch normalization may be behind: what it left of its sums, what
//                                  is folded into its gradient, how large its weights are

#include <fqt/core/diagnostic.hpp>
#include <fqt/core/path.hpp>
#include <fqt/layers/context.hpp>
#include <fqt/layers/lazy.hpp>
#include <fqt/layers/planner.hpp>
#include <fqt/quant/rectifier.hpp>
#include <fqt/quant/scheme.hpp>

#include <array>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace fqt {

/// The base of every spec: no products (linear layers) and no batch normalizations unless a spec says so.
struct spec {
    static constexpr int products = 0, normalizations = 0;
    static constexpr bool starts_with_product = false;
    static constexpr bool renews = false; ///< a product or normalization: one before it does not end a residual block
    static constexpr int parameters(shape) { return 0; }
    static constexpr std::int64_t macs(shape) { return 0; }
};

template <class S>
concept layer_spec = std::derived_from<S, spec> && requires(shape in) {
    { S::output(in) } -> std::same_as<inferred>;
};

/// What a parameter is: optimizers treat them differently (weight decay).
enum class parameter_kind { weight, bias, gamma, beta, range };

/// One learnt tensor. Weights are (k, r, s, c) - out-channel, kernel row and column, in-channel of the group -
/// the others have one entry per channel.
struct parameter {
    path name;
    parameter_kind kind;
    std::span<float> value, gradient;
    std::array<int, 4> shape{}; ///< k, r, s, c; {channels, 1, 1, 1} for what has one entry per channel
};

/// Numbers that a layer keeps between steps and that are not learnt: running statistics and ranges.
struct state {
    path name;
    std::span<float> value;
};

namespace detail {
inline std::string text_of(shape s) {
    return std::to_string(s.channels) + "x" + std::to_string(s.height) + "x" + std::to_string(s.width);
}
} // namespace detail

/// A row of the summary.
struct description {
    path name;
    const char* kind;
    shape in, out;
    char formats[352];             ///< what is stored, with which bits and rounding
    std::int64_t parameters, macs; ///< multiply-adds of one sample's forward product
    std::size_t saved_bytes;       ///< a sample
    std::int64_t backward_macs{};  ///< multiply-adds of one sample's input and weight gradient
};

/// How a quantizer stores a tensor, for summaries: "4 bits per sample stochastic", or "fp32".
template <class Q>
constexpr note format_of() {
    if constexpr (is_real<Q>) {
        return "fp32";
    } else {
        note text;
        text.append(bits_of<Q>);
        text.append(" bits ");
        text.append(quantizer_traits<Q>::granularity::name);
        text.append(" ");
        text.append(quantizer_traits<Q>::rounding_name);
        if (quantizer_traits<Q>::scales_blocks) text.append(", in blocks");
        if (is_rotated<Q>) text.append(", transformed");
        return text;
    }
}

/// The name of a stored type, for summaries.
template <class T>
constexpr const char* name_of_type() {
    if constexpr (std::same_as<T, binary16>) return "binary16";
    else if constexpr (std::same_as<T, bfloat16>) return "bfloat16";
    else if constexpr (std::same_as<T, float>) return "fp32";
    else return "int32";
}

/// Hands out names and numbers on the way down.
struct naming {
    path name{};
    int* products{};       ///< counts products: the number that keys a layer's random numbers
    int* normalizations{}; ///< counts batch normalizations
    bool closes_block{};

    /// For element i of a chain, by its label, or by its number where that is empty; `last` says that nothing behind it
    /// in the chain renews what it gives.
    naming of_element(std::string_view label, std::size_t i, bool last) const {
        naming inner = *this;
        inner.name = label.empty() ? name / static_cast<int>(i) : name / label;
        inner.closes_block = closes_block && last;
        return inner;
    }
};

/// Layer::adds_plus<X>, or false where it says nothing.
template <class Layer, class X>
inline constexpr bool adds_plus = [] {
    if constexpr (requires { Layer::template adds_plus<X>; }) return bool{Layer::template adds_plus<X>};
    else return false;
}();

/// Nothing learnt, nothing kept, nothing to name: what most layers inherit.
struct plain_layer {
    void prepare(naming) {}
    template <class F>
    void each_parameter(F&&) {}
    template <class F>
    void each_state(F&&) {}
    template <class F>
    void each_normalization(F&&) {}
};

namespace detail {
/// What a spec says that images are, where it begins a network.
template <class S>
constexpr shape input_of() {
    if constexpr (requires { S::input(); }) return S::input();
    else return {};
}
} // namespace detail

} // namespace fqt
