#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Loops that must not remain loops: an array of sums stays in registers only if every index is a constant. Compilers'
// own unrolling leaves such arrays in memory, at a third of the speed. Each loop and each of its turns is a function
// to compile before it is inlined, so two nested loops are better written as one over both.

#include <fqt/core/inline.hpp>

#include <type_traits>
#include <utility>

namespace fqt::kernels {

namespace detail {
template <class Indices>
struct unrolled;
template <int... I>
struct unrolled<std::integer_sequence<int, I...>> {
    template <class F>
    FQT_INLINE constexpr void operator()(F&& f) const {
        (f(std::integral_constant<int, I>{}), ...);
    }
};
} // namespace detail

/// unroll<N>(f) is f(0), f(1), ..., f(N - 1); each argument is a constant. Lambdas given to it say `FQT_INLINE_LAMBDA`.
template <int N>
inline constexpr detail::unrolled<std::make_integer_sequence<int, N>> unroll{};

} // namespace fqt::kernels
