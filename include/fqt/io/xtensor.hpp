#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// fqt and xtensor: passes over xtensor containers, parameters and gradients as views that can be written, and the
// activations, gradients and codes of a layer by its name. The one header that includes xtensor, so that programs
// without it need not have it. Containers and adaptors alone are used, which compile everywhere.

#include <fqt/core/fail.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/layers/observer.hpp>
#include <fqt/train/labels.hpp>
#include <fqt/train/loss.hpp>

#if __has_include(<xtensor/xtensor.hpp>)
#include <xtensor/xadapt.hpp>
#include <xtensor/xtensor.hpp>
#elif __has_include(<xtensor/containers/xtensor.hpp>) // since xtensor 0.26
#include <xtensor/containers/xadapt.hpp>
#include <xtensor/containers/xtensor.hpp>
#else
#error "fqt: io/xtensor.hpp needs xtensor 0.24 or later; install it (Debian: libxtensor-dev) or leave this header out"
#endif

#include <algorithm>
#include <array>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace fqt {

/// A container, adaptor or view of xtensor: numbers in memory under a shape. Not an expression still to be computed.
template <class E>
concept xtensor_container = requires(const E& e) {
    typename E::value_type;
    e.data();
    e.strides();
    { e.dimension() } -> std::convertible_to<std::size_t>;
    { e.shape(0) } -> std::convertible_to<std::size_t>;
};

/// Numbers of a network under the shape (k, r, s, c); valid as long as the network is.
using tensor_view = xt::xtensor_adaptor<xt::xbuffer_adaptor<float*, xt::no_ownership>, 4>;

namespace detail {

/// "(4, 1, 28, 28)".
template <class E>
std::string text_of_extents(const E& e) {
    std::string text = "(";
    for (std::size_t d = 0; d < e.dimension(); ++d)
        text += (d ? ", " : "") + std::to_string(static_cast<std::size_t>(e.shape(d)));
    return text + ")";
}

/// Labels of any type of integers.
template <class E>
std::vector<class_label> labels_from(const E& labels) {
    static_assert(std::integral<typename E::value_type>,
                  "fqt: labels are the numbers of classes, so an xtensor of "
                  "them holds integers; convert it by xt::cast<int>(...)");
    return class_labels(labels);
}

/// The numbers of e in row-major order, as they lie.
template <class Value, class E>
std::span<const Value> contiguous(const E& e, const char* what) {
    static_assert(
        std::same_as<std::remove_cv_t<typename E::value_type>, Value>,
        "fqt: an xtensor has another type of numbers than fqt takes: float for images, logits, parameters and "
        "gradients; convert it by xt::cast<float>(...)");
    std::size_t size = 1;
    for (std::size_t d = e.dimension(); d-- > 0;) {
        const auto extent = static_cast<std::size_t>(e.shape(d));
        if (extent > 1 && static_cast<std::ptrdiff_t>(e.strides()[d]) != static_cast<std::ptrdiff_t>(size))
            fail("%s of shape %s do not lie in row-major order without gaps; copy them: xt::xtensor<T, %zu> copy = "
                 "xt::eval(...)",
                 what, text_of_extents(e).c_str(), static_cast<std::size_t>(e.dimension()));
        size *= extent;
    }
    const Value* first = e.data();
    if constexpr (requires { e.data_offset(); }) first += static_cast<std::ptrdiff_t>(e.data_offset());
    return {first, size};
}

/// Refuses e unless it has these extents; -1 stands for any.
template <class E>
void check_extents(const E& e, std::initializer_list<int> extents, const char* what, const char* meaning) {
    bool fits = e.dimension() == extents.size();
    std::size_t d = 0;
    for (const int extent : extents) {
        fits = fits && (extent < 0 || static_cast<std::size_t>(e.shape(d)) == static_cast<std::size_t>(extent));
        ++d;
    }
    if (fits) return;
    std::string wanted = "(";
    for (const int extent : extents)
        wanted += (wanted.size() > 1 ? ", " : "") + (extent < 0 ? "n" : std::to_string(extent));
    fail("%s have the shape %s, but the network takes %s, that is %s; reshape them", what, text_of_extents(e).c_str(),
         (wanted + ")").c_str(), meaning);
}

template <class Network, class E>
std::span<const float> images_for(const E& images) {
    constexpr fqt::shape in = Network::input;
    check_extents(images, {-1, in.channels, in.height, in.width}, "images", "(sample, channel, row, column)");
    return contiguous<float>(images, "images");
}

template <class Network>
xt::xtensor<float, 2> logits_from(std::span<const float> logits) {
    constexpr auto classes = static_cast<std::size_t>(Network::output.size());
    xt::xtensor<float, 2> result(std::array<std::size_t, 2>{logits.size() / classes, classes});
    std::copy(logits.begin(), logits.end(), result.data());
    return result;
}

inline tensor_view view_of(std::span<float> values, const std::array<int, 4>& shape) {
    std::array<std::size_t, 4> extents{};
    for (std::size_t d = 0; d < 4; ++d) extents[d] = static_cast<std::size_t>(shape[d]);
    return xt::adapt(static_cast<float*>(values.data()), values.size(), xt::no_ownership(), extents);
}

} // namespace detail

// ---- passes ----

/// Logits (sample, output.size()) of images (sample, channel, row, column), in training. The images must stay in place
/// until backward(), so a temporary is refused. Errors: another shape, numbers that do not lie in row-major order,
/// and those of network.forward.
template <class Network, xtensor_container E>
xt::xtensor<float, 2> forward(Network& network, const E& images) {
    const auto values = detail::images_for<Network>(images);
    return detail::logits_from<Network>(network.forward(values, static_cast<int>(images.shape(0))));
}
template <class Network, xtensor_container E>
    requires(!std::is_lvalue_reference_v<E>)
xt::xtensor<float, 2> forward(Network& network, E&& images)
= delete;

/// The backward pass from the loss's gradient by the logits, (sample, output.size()). Errors: as for forward.
template <class Network, xtensor_container E>
void backward(Network& network, const E& by_logits) {
    detail::check_extents(by_logits, {-1, Network::output.size()}, "gradients by logits", "(sample, class)");
    network.backward(detail::contiguous<float>(by_logits, "gradients by logits"));
}

/// Logits (sample, output.size()) in evaluation. Errors: as for forward.
template <class Network, xtensor_container E>
xt::xtensor<float, 2> predict(Network& network, const E& images) {
    const auto values = detail::images_for<Network>(images);
    return detail::logits_from<Network>(network.predict(values, static_cast<int>(images.shape(0))));
}

/// Softmax cross-entropy (train/loss.hpp) of logits (sample, class) for labels (sample), of any type of integers. Makes
/// `gradient` (sample, class) the gradient of the mean loss. Errors: other shapes, and those of the other
/// cross_entropy.
template <xtensor_container Logits, xtensor_container Labels>
loss_result cross_entropy(const Logits& logits, const Labels& labels, xt::xtensor<float, 2>& gradient,
                          cross_entropy_options options = {}) {
    if (logits.dimension() != 2 || labels.dimension() != 1 || logits.shape(0) != labels.shape(0))
        fail("logits of shape %s and labels of shape %s do not belong together; give (sample, class) and (sample)",
             detail::text_of_extents(logits).c_str(), detail::text_of_extents(labels).c_str());
    const auto values = detail::contiguous<float>(logits, "logits");
    const std::vector<class_label> classes = detail::labels_from(labels);
    gradient.resize(std::array<std::size_t, 2>{static_cast<std::size_t>(logits.shape(0)),
                                               static_cast<std::size_t>(logits.shape(1))});
    return cross_entropy(values, classes, std::span<float>(gradient.data(), gradient.size()), options);
}

// ---- parameters ----

/// The values of a parameter by its name, such as "stage1.0.body.0.weight", to be read and written: (k, r, s, c) for
/// weights - out-channel, kernel row, kernel column, in-channel of the group - and (channel, 1, 1, 1) for the rest.
/// What is written counts from the next pass on. Errors: an unknown name.
template <class Network>
tensor_view parameter_view(Network& network, std::string_view name) {
    const parameter p = network.parameter(name);
    return detail::view_of(p.value, p.shape);
}

/// The gradient of a parameter, in the same shape, as the last backward() left it. Errors: an unknown name.
template <class Network>
tensor_view gradient_view(Network& network, std::string_view name) {
    const parameter p = network.parameter(name);
    return detail::view_of(p.gradient, p.shape);
}

/// Weights (k, r, s, c) in the order that most libraries use, (k, c, r, s).
template <xtensor_container E>
xt::xtensor<float, 4> to_kcrs(const E& weights) {
    if (weights.dimension() != 4)
        fail("weights of shape %s have not 4 dimensions; give (k, r, s, c)", detail::text_of_extents(weights).c_str());
    const std::array<std::size_t, 4> n{
        static_cast<std::size_t>(weights.shape(0)), static_cast<std::size_t>(weights.shape(3)),
        static_cast<std::size_t>(weights.shape(1)), static_cast<std::size_t>(weights.shape(2))};
    xt::xtensor<float, 4> result(n);
    for (std::size_t k = 0; k < n[0]; ++k)
        for (std::size_t c = 0; c < n[1]; ++c)
            for (std::size_t r = 0; r < n[2]; ++r)
                for (std::size_t s = 0; s < n[3]; ++s) result(k, c, r, s) = weights(k, r, s, c);
    return result;
}

/// Sets a parameter from weights (k, c, r, s). Errors: an unknown name, another shape.
template <class Network, xtensor_container E>
void set_from_kcrs(Network& network, std::string_view name, const E& weights) {
    tensor_view to = parameter_view(network, name);
    const auto extent = [&](std::size_t d) { return static_cast<int>(to.shape(d)); };
    const std::string what = "weights for '" + std::string(name) + "'";
    detail::check_extents(weights, {extent(0), extent(3), extent(1), extent(2)}, what.c_str(), "(k, c, r, s)");
    for (std::size_t k = 0; k < to.shape(0); ++k)
        for (std::size_t r = 0; r < to.shape(1); ++r)
            for (std::size_t s = 0; s < to.shape(2); ++s)
                for (std::size_t c = 0; c < to.shape(3); ++c) to(k, r, s, c) = weights(k, c, r, s);
}

// ---- what happens inside ----

/// Keeps tensors of a layer from the passes that follow, until it is destroyed:
///     fqt::capture seen(network, "stage1.0.body.0", "gradient");
///     ... forward, backward ...
///     xt::xtensor<float, 4> g = seen.values();    // (sample, channel, row, column)
/// Layers are called as in summary() and kinds as in layers/observer.hpp: input, sums, input_gradient, weight_gradient,
/// gradient. One capture watches a network at a time; also() adds tensors to it.
template <class Network>
class capture {
public:
    /// Errors: a name that no layer has, a network that is being watched already.
    capture(Network& network, std::string_view layer, std::string_view what) : network_(network) {
        if (network.is_observed())
            fail("the network is being watched already; end the other capture, or add to it by also(layer, what)");
        also(layer, what);
        network.observe(*this);
    }
    ~capture() { network_.stop_observing(); }
    capture(const capture&) = delete;
    capture& operator=(const capture&) = delete;

    /// Keeps one more tensor. Errors: a name that no layer has.
    capture& also(std::string_view layer, std::string_view what) {
        std::string names;
        bool known = false;
        network_.describe([&](const description& d) {
            known = known || d.name.view() == layer;
            if (names.size() < 600) names += (names.empty() ? "" : ", ") + std::string(d.name.view());
        });
        if (!known) fail("no layer is called '%s'; these are: %s", std::string(layer).c_str(), names.c_str());
        kept_.push_back({.layer = std::string(layer), .what = std::string(what), .shown = {}});
        return *this;
    }

    /// Real numbers, (sample, channel, row, column), of the last pass that had the tensor. Without names: of the first
    /// one asked for. Errors: a tensor that was not asked for, or that no pass has shown.
    const xt::xtensor<float, 4>& values() const { return found(kept_.front()).values; }
    const xt::xtensor<float, 4>& values(std::string_view layer, std::string_view what) const {
        return found(asked(layer, what)).values;
    }
    /// The same as codes, integers, where the tensor is stored as codes; else as it is stored.
    const xt::xtensor<float, 4>& codes() const { return found(kept_.front()).codes; }
    const xt::xtensor<float, 4>& codes(std::string_view layer, std::string_view what) const {
        return found(asked(layer, what)).codes;
    }

    /// What the network calls.
    void operator()(const observed_tensor& t) {
        for (kept& k : kept_) {
            if (k.layer != t.layer) continue;
            if (k.shown.find(t.what) == k.shown.npos) k.shown += (k.shown.empty() ? "" : ", ") + std::string(t.what);
            if (k.what == t.what) copy(t, k);
        }
    }

private:
    struct kept {
        std::string layer, what, shown; // shown: the kinds that the layer had
        bool seen = false;
        xt::xtensor<float, 4> values{}, codes{};
    };

    static void copy(const observed_tensor& t, kept& to) {
        const auto extent = [](int n) { return static_cast<std::size_t>(n); };
        const std::array<std::size_t, 4> extents{extent(t.samples), extent(t.dims.channels), extent(t.dims.height),
                                                 extent(t.dims.width)};
        to.values.resize(extents);
        to.codes.resize(extents);
        to.seen = true;
        float values[lanes], codes[lanes];
        for (int n = 0; n < t.samples; ++n)
            for (int p = 0; p < t.dims.pixels(); ++p)
                for (int c = 0; c < t.dims.channels; ++c) {
                    if (c % lanes == 0) {
                        t.values(n, p, c / lanes, values);
                        t.codes(n, p, c / lanes, codes);
                    }
                    const std::size_t at = (extent(n) * extents[1] + extent(c)) * extent(t.dims.pixels()) + extent(p);
                    to.values.data()[at] = values[c % lanes];
                    to.codes.data()[at] = codes[c % lanes];
                }
    }

    const kept& asked(std::string_view layer, std::string_view what) const {
        for (const kept& k : kept_)
            if (k.layer == layer && k.what == what) return k;
        fail("'%s' of layer '%s' was not asked for; add it by also(layer, what) before the pass",
             std::string(what).c_str(), std::string(layer).c_str());
    }
    static const kept& found(const kept& k) {
        if (!k.seen)
            fail("layer '%s' has shown no '%s' so far, but: %s; the kinds are input, sums, input_gradient, "
                 "weight_gradient "
                 "(where its codes are not those of input_gradient) and gradient, the last three in backward()",
                 k.layer.c_str(), k.what.c_str(), k.shown.empty() ? "nothing" : k.shown.c_str());
        return k;
    }

    Network& network_;
    std::deque<kept> kept_; // stays in place, so that what values() returned does too
};

} // namespace fqt
