#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Gradients that a layer reads more than once, as residuals and gates do: a chain of rules is stored first.

#include <fqt/layers/layer.hpp>
#include <fqt/layers/passes.hpp>

namespace fqt {

/// Whether a gradient may be evaluated more than once: it is stored, or one rule on stored values.
template <class G>
inline constexpr bool is_cheap = false;
template <shape S, class T>
inline constexpr bool is_cheap<stored_gradient<S, T>> = true;
template <shape S>
inline constexpr bool is_cheap<plain<S>> = true;
template <class Rule, class X, class G>
inline constexpr bool is_cheap<mapped_gradient<Rule, X, G>> = is_cheap<G>;

/// use(g) where g is cheap, else use(g stored in `place`).
template <class Arch, class T, class G, class Use>
auto with_cheap_gradient(const context& c, const G& g, T* place, Use&& use) {
    if constexpr (is_cheap<G>) {
        return use(g);
    } else {
        passes::store<Arch>(c, g, place);
        return use(stored_gradient<G::dims, T>{place});
    }
}

} // namespace fqt
