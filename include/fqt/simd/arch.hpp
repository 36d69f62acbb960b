#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Instruction sets as tags; inheritance means "falls back to". Everything that depends on the instruction set is a
// template on the tag, so that several can live in one program. `generic` always exists and is the specification.

namespace fqt::arch {

/// Plain C++: every loop over 16 lanes is a loop.
struct generic {
    static constexpr const char* name = "generic";
    using registers = generic;
};
/// AVX2 with FMA and F16C: two registers of 8 lanes. It has no 8-bit product that cannot saturate, so codes are
/// widened.
struct avx2 : generic {
    static constexpr const char* name = "avx2";
    using registers = avx2;
};
/// AVX-512 F, BW, DQ, VL, VBMI and VNNI: one register of 16 lanes, four 8-bit products a lane.
struct avx512 : avx2 {
    static constexpr const char* name = "avx512-vnni";
    using registers = avx512;
};
/// AVX-512 with AMX: eight matrix registers beside the others, and the product of two as one instruction.
struct amx : avx512 {
    static constexpr const char* name = "amx-int8";
    using matrices = amx;
};

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512DQ__) && defined(__AVX512VL__)                    \
    && defined(__AVX512VBMI__) && defined(__AVX512VNNI__)
#define FQT_HAS_AVX512 1
#if defined(__AMX_TILE__) && defined(__AMX_INT8__) && defined(__x86_64__) && defined(__linux__)
#define FQT_HAS_AMX 1
using best = amx;
#else
using best = avx512;
#endif
#elif defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
using best = avx2;
#else
using best = generic;
#endif
#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)
#define FQT_HAS_AVX2 1
#endif

} // namespace fqt::arch
