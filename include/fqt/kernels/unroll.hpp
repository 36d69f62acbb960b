#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Loops that must not remain loops: an array of sums stays in registers only if every index is a constant. Compilers'
// own unrolling leaves such arrays in memory, at a third of the speed.

#include <type_traits>
#include <utility>

namespace fqt::kernels {

namespace detail {
template <class F, int... I>
[[gnu::always_inline]] constexpr void unroll(F& f, std::integer_sequence<int, I...>) {
    (f(std::integral_constant<int, I>{}), ...);
}
} // namespace detail

/// f(0), f(1), ..., f(N - 1); each argument is a constant. Lambdas given to it say `__attribute__((always_inline))`.
template <int N, class F>
[[gnu::always_inline]] constexpr void unroll(F&& f) {
    detail::unroll(f, std::make_integer_sequence<int, N>{});
}

} // namespace fqt::kernels
