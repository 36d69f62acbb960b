#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Sixteen lanes as values, on every instruction set: f32x16<Arch> and its mask, 32-bit integers, and sums in double.
//
//   auto y = fma(a, x, b);               // fused where it says so ...
//   auto z = a * x + b;                  // ... and never where it does not, whatever the compiler's contraction
//   y = where(x > 0, y, max(y, -1.0f));
//
// Every function gives the same bits in all versions, the sign of zero included (only the payload of a NaN that arises
// from arithmetic is the compiler's choice): min(a, b) is a < b ? a : b, rint rounds ties to even. They are called
// without a namespace (argument-dependent lookup). All of them exist for a plain `float` too (lanes_generic.hpp), so
// that a rule written with `auto` serves 16 lanes and one, after `using simd::max`. Only operator * of a plain float
// is the compiler's own, which may fuse it into a sum: there call product(a, b).

#include <fqt/simd/arch.hpp>
#include <fqt/simd/lanes_generic.hpp>
#include <fqt/simd/lanes_x86.hpp>

namespace fqt::simd {

/// 16 floats. load, store, lane(i), zero, first(n); + - * / < <= > >= == !=; fma, product, min, max, abs, floor, rint,
/// sqrt, where, is_finite, reduce_min, reduce_max, swapped<N>. A float becomes 16 equal lanes; the default constructor
/// sets none.
template <class Arch>
using f32x16 = f32_lanes<typename Arch::registers>;

/// 16 truth values: & | !, any, all, where(mask, a, b), first(n), lane(i), bits().
template <class Arch>
using mask16 = mask_lanes<typename Arch::registers>;

/// 16 int32: + -, to_float() and to_i32(f32x16), both to the nearest, ties to even.
template <class Arch>
using i32x16 = i32_lanes<typename Arch::registers>;

/// 16 uint32: + ^ & | << >>, mul_hi_lo(a, constant) for 64-bit products, as_float and as_bits, ramp(first, step).
template <class Arch>
using u32x16 = u32_lanes<typename Arch::registers>;

/// 16 sums in double: add(x), add_product(a, b), +=.
template <class Arch>
using f64x16 = f64_lanes<typename Arch::registers>;

} // namespace fqt::simd
