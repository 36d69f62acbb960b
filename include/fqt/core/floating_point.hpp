#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The floating-point rules on which equal bits rest. Only + - * / sqrt, fma and round-to-integer are used, in a fixed
// order, in the default environment. Compilers may fuse a product into a following sum (g++ does, across statements),
// so every product that is not meant to be fused goes through `product`, which hides it from them.

#include <fqt/core/fail.hpp>

#include <cmath>
#if defined(__SSE2__)
#include <xmmintrin.h>
#else
#include <cfenv>
#endif

#if defined(__FAST_MATH__) || defined(__ASSOCIATIVE_MATH__) || defined(__RECIPROCAL_MATH__)                            \
    || (defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__ > 0)
#error "fqt: -ffast-math, or a part of it, lets the compiler change results and overlook NaN; remove it"
#endif

namespace fqt {

/// a * b, rounded once; never fused into a sum.
inline float product(float a, float b) {
    float p = a * b;
#if defined(__SSE2__)
    asm("" : "+x"(p));
#else
    asm("" : "+m"(p));
#endif
    return p;
}
inline double product(double a, double b) {
    double p = a * b;
#if defined(__SSE2__)
    asm("" : "+x"(p));
#else
    asm("" : "+m"(p));
#endif
    return p;
}

/// True where this thread rounds to nearest and, as far as x86 says so, keeps subnormal numbers.
inline bool floating_point_is_default() {
#if defined(__SSE2__)
    // MXCSR: bits 13-14 rounding, bit 15 flush to zero, bit 6 subnormals are zero.
    return (_mm_getcsr() & 0xE040u) == 0;
#else
    return std::fegetround() == FE_TONEAREST;
#endif
}

[[noreturn]] inline void refuse_floating_point() {
    fail("the program has changed the rounding mode or set flush-to-zero (MXCSR), which would change results; "
         "restore the default floating-point environment (fesetenv(FE_DFL_ENV)) before calling fqt");
}

} // namespace fqt
