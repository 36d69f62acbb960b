// SPDX-License-Identifier: BSD-3-Clause
// What -ffinite-math-only defines: every check for NaN would be optimized away.
// expect: fqt: -ffast-math, or a part of it, lets the compiler change results and overlook NaN; remove it
#if FQT_FAIL
#undef __FINITE_MATH_ONLY__
#define __FINITE_MATH_ONLY__ 1
#endif
#include <fqt/core/floating_point.hpp>

int main() { return !fqt::floating_point_is_default(); }
