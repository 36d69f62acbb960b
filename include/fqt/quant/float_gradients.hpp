#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What a scheme would be if its gradients were floats: the same formats of all that the forward pass makes, so that it
// has the same bits, and a backward pass in single precision. A network in such a scheme is the reference that gradient
// noise is measured against (train/probe.hpp).

#include <fqt/quant/scheme.hpp>

namespace fqt {

namespace detail {

template <class S>
struct with_float_gradients;

template <class Floats, bool FoldsScales>
struct in_floats : Floats {
    /// Whether the scheme's own h has the weights' scales folded in, so that rectifiers of the quantized gain add the
    /// same here; but behind a last product with edges of its own, where they have the plain gain.
    static constexpr bool folds_scales = FoldsScales;
    /// What becomes of the scheme of a part that has one of its own.
    template <class Own>
    using inside = in_floats<typename with_float_gradients<Own>::type, with_float_gradients<Own>::folds_scales>;
};
// One object for each set of forward formats, so that schemes that differ in the bits of gradients share a network.
template <class Floats, bool FoldsScales>
inline constexpr in_floats<Floats, FoldsScales> float_scheme{};
template <class S>
inline constexpr const auto& float_scheme_of =
    float_scheme<typename with_float_gradients<S>::type, with_float_gradients<S>::folds_scales>;

template <class Edges>
struct edges_with_float_gradients {
    using type = Edges;
};
template <const auto& S>
struct edges_with_float_gradients<edges_of<S>> {
    using type = edges_of<float_scheme_of<std::remove_cvref_t<decltype(S)>>>;
};

template <class S>
struct with_float_gradients {
    static constexpr bool folds_scales =
        folds_scales_of_weights<typename S::input_gradient_quantizer, typename S::weight_quantizer>;
    using type =
        scheme<typename S::weight_quantizer, typename S::activation_quantizer, real, real, typename S::sums_type, float,
               typename S::residual_type, typename edges_with_float_gradients<typename S::edges_type>::type>;
};

} // namespace detail

/// The scheme S, a type, with gradients in floats, within parts of their own scheme too:
///     network<spec, float_gradients<std::remove_cvref_t<decltype(w8a8g4)>>>
template <class S>
inline constexpr const auto& float_gradients = detail::float_scheme_of<S>;

} // namespace fqt
