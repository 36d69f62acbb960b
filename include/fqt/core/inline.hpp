#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What is inlined whatever the compiler thinks: in loops a call costs more than most of these functions do, and big
// kernels exhaust what compilers inline on their own. Nothing is without optimisation, where the copies would take up
// to a third of the time of compiling.

#ifdef __OPTIMIZE__
#define FQT_INLINE [[gnu::always_inline]] inline
#define FQT_INLINE_LAMBDA __attribute__((always_inline)) // between a lambda's parameters and its body
#else
#define FQT_INLINE inline
#define FQT_INLINE_LAMBDA
#endif
