#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Loops that must not remain loops: an array of sums stays in registers only if every index is a constant. Compilers'
// own unrolling leaves such arrays in memory, at a third of the speed. Each loop and each of its turns is a function
// to compile before it is inlined, so two nested loops are better written as one over both.

#include <type_traits>
#include <utility>

namespace fqt::kernels {

/// How often unroll() calls.
template <int N>
inline constexpr std::make_integer_sequence<int, N> times{};

/// unroll(times<N>, f) is f(0), f(1), ..., f(N - 1); each argument is a constant. Lambdas given to it say
/// `__attribute__((always_inline))`.
template <int... I, class F>
[[gnu::always_inline]] constexpr void unroll(std::integer_sequence<int, I...>, F&& f) {
    (f(std::integral_constant<int, I>{}), ...);
}

} // namespace fqt::kernels
