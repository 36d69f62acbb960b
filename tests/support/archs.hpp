#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The instruction sets that a test program was built for, for TEST_CASE_TEMPLATE("...", arch, FQT_ARCHS).

#include <fqt/simd/arch.hpp>

#include <doctest/doctest.h>

#if defined(FQT_HAS_AMX)
#define FQT_ARCHS fqt::arch::generic, fqt::arch::avx2, fqt::arch::avx512, fqt::arch::amx
#elif defined(FQT_HAS_AVX512)
#define FQT_ARCHS fqt::arch::generic, fqt::arch::avx2, fqt::arch::avx512
#elif defined(FQT_HAS_AVX2)
#define FQT_ARCHS fqt::arch::generic, fqt::arch::avx2
#else
#define FQT_ARCHS fqt::arch::generic
#endif

TYPE_TO_STRING(fqt::arch::generic);
TYPE_TO_STRING(fqt::arch::avx2);
TYPE_TO_STRING(fqt::arch::avx512);
TYPE_TO_STRING(fqt::arch::amx);

namespace fqt::test {

/// Plain C++ with matrix registers, so that kernels on these run everywhere.
struct generic_matrices : arch::generic {
    static constexpr const char* name = "generic-matrices";
    using matrices = arch::generic;
};

} // namespace fqt::test

#if defined(FQT_HAS_AMX)
#define FQT_ARCHS_WITH_MATRICES fqt::test::generic_matrices, fqt::arch::amx
#else
#define FQT_ARCHS_WITH_MATRICES fqt::test::generic_matrices
#endif
TYPE_TO_STRING(fqt::test::generic_matrices);
