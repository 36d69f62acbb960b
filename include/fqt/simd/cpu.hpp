#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A program built for an instruction set that the processor lacks says so in one line, instead of dying of an illegal
// instruction. Every source file that includes this header checks, before its other initializers run, the sets that fqt
// and g++ 12 use of those that the compiler was allowed to use for that file. Matrix registers a process has to ask the
// system for, which is done here too.

#if (defined(__x86_64__) || defined(__i386__)) && defined(__GNUC__) && __has_include(<unistd.h>)

#include <fqt/simd/arch.hpp>

#include <cstddef>
#include <unistd.h>
#if defined(FQT_HAS_AMX)
#include <sys/syscall.h>
#endif

// The check itself must run on any x86-64: at -O0 too, and where -march=native spells out each instruction set. It
// calls no inline function, since that one would be compiled for the instruction set under suspicion.
#define FQT_BASELINE                                                                                                   \
    [[gnu::target("no-sse3,no-ssse3,no-sse4.1,no-sse4.2,no-avx,no-avx2,no-avx512f,no-bmi,no-bmi2,no-lzcnt,"            \
                  "no-popcnt,no-movbe")]]

namespace fqt {

namespace {

// Static, for each source file has its own macros; a constructor of priority 101 precedes ordinary initializers.
FQT_BASELINE [[gnu::constructor(101), gnu::used]] void check_cpu() {
    __builtin_cpu_init();
    const char* lacking[24];
    std::size_t count = 0;
#if defined(__SSE3__)
    if (!__builtin_cpu_supports("sse3")) lacking[count++] = "SSE3";
#endif
#if defined(__SSSE3__)
    if (!__builtin_cpu_supports("ssse3")) lacking[count++] = "SSSE3";
#endif
#if defined(__SSE4_1__)
    if (!__builtin_cpu_supports("sse4.1")) lacking[count++] = "SSE4.1";
#endif
#if defined(__SSE4_2__)
    if (!__builtin_cpu_supports("sse4.2")) lacking[count++] = "SSE4.2";
#endif
#if defined(__POPCNT__)
    if (!__builtin_cpu_supports("popcnt")) lacking[count++] = "POPCNT";
#endif
#if defined(__AVX__)
    if (!__builtin_cpu_supports("avx")) lacking[count++] = "AVX";
#endif
#if defined(__AVX2__)
    if (!__builtin_cpu_supports("avx2")) lacking[count++] = "AVX2";
#endif
#if defined(__FMA__)
    if (!__builtin_cpu_supports("fma")) lacking[count++] = "FMA";
#endif
#if defined(__F16C__)
    if (!__builtin_cpu_supports("f16c")) lacking[count++] = "F16C";
#endif
#if defined(__BMI__)
    if (!__builtin_cpu_supports("bmi")) lacking[count++] = "BMI";
#endif
#if defined(__BMI2__)
    if (!__builtin_cpu_supports("bmi2")) lacking[count++] = "BMI2";
#endif
#if defined(__LZCNT__)
    if (!__builtin_cpu_supports("lzcnt")) lacking[count++] = "LZCNT";
#endif
#if defined(__AVX512F__)
    if (!__builtin_cpu_supports("avx512f")) lacking[count++] = "AVX512F";
#endif
#if defined(__AVX512BW__)
    if (!__builtin_cpu_supports("avx512bw")) lacking[count++] = "AVX512BW";
#endif
#if defined(__AVX512DQ__)
    if (!__builtin_cpu_supports("avx512dq")) lacking[count++] = "AVX512DQ";
#endif
#if defined(__AVX512VL__)
    if (!__builtin_cpu_supports("avx512vl")) lacking[count++] = "AVX512VL";
#endif
#if defined(__AVX512VBMI__)
    if (!__builtin_cpu_supports("avx512vbmi")) lacking[count++] = "AVX512VBMI";
#endif
#if defined(__AVX512VNNI__)
    if (!__builtin_cpu_supports("avx512vnni")) lacking[count++] = "AVX512VNNI";
#endif
#if defined(__AVX512VBMI2__)
    if (!__builtin_cpu_supports("avx512vbmi2")) lacking[count++] = "AVX512VBMI2";
#endif
#if defined(__AVX512BITALG__)
    if (!__builtin_cpu_supports("avx512bitalg")) lacking[count++] = "AVX512BITALG";
#endif
#if defined(__AVX512VPOPCNTDQ__)
    if (!__builtin_cpu_supports("avx512vpopcntdq")) lacking[count++] = "AVX512VPOPCNTDQ";
#endif
#if defined(FQT_HAS_AMX)
    if (!__builtin_cpu_supports("amx-tile")) lacking[count++] = "AMX-TILE";
    if (!__builtin_cpu_supports("amx-int8")) lacking[count++] = "AMX-INT8";
    constexpr long ask_for_a_feature = 0x1023, data_of_matrices = 18; // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
    const bool refused = count == 0 && ::syscall(SYS_arch_prctl, ask_for_a_feature, data_of_matrices) != 0;
#else
    constexpr bool refused = false;
#endif
    if (count == 0 && !refused) return;

    // One line in one write, put together without a library function.
    char line[512];
    std::size_t length = 0;
    const auto* const before = "fqt: this program was built for ";
    const auto* const after = refused
        ? "AMX, which the system refuses this process; rebuild it with -mno-amx-tile\n"
        : ", which this processor or its system lacks; rebuild it with -march=native on this machine\n";
    for (const char* c = before; *c != '\0'; ++c) line[length++] = *c;
    for (std::size_t i = 0; i < count; ++i) {
        if (i > 0) line[length++] = ',', line[length++] = ' ';
        for (const char* c = lacking[i]; *c != '\0'; ++c) line[length++] = *c;
    }
    for (const char* c = after; *c != '\0'; ++c) line[length++] = *c;
    const auto written = ::write(2, line, length);
    static_cast<void>(written);
    ::_exit(2);
}

} // namespace

} // namespace fqt

#undef FQT_BASELINE

#endif
