#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The atom of every product: one operand, repeated in all lanes, times a vector of 16 lanes, added to 16 sums.
//
//   codes:  sum[lane] += group[0] * matrix[lane][0] + ... + group[3] * matrix[lane][3]     modulo 2^32
//   floats: sum[lane]  = fma(repeated, vector[lane], sum[lane])
//
// Where every lane has operands of its own, a second matrix or vector takes the place of what is repeated.
// Of the two, one has unsigned codes and the other signed ones. `multiply_add` is an overload set on
// the instruction set's tag, so a tag derived from one of ours can overload it, for example to count. No overload
// saturates: a sum is wrong only if its true value does not fit 32 bits.
//
// Where codes have few bits, some instruction sets do better with sums of 16 bits, which hold a few such products at a
// time and are then added to those of 32: short_sums.

#include <fqt/simd/arch.hpp>
#include <fqt/simd/lanes.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

namespace fqt::simd {

/// Vectors of 16 lanes that a tile may keep in registers: sums, and operands that are multiplied into several of them.
/// A sum of the weight gradient is used once a step, so there may be more of those.
template <class Registers>
struct tile_registers {
    static constexpr int sums = 4, operands = 1, gradient_sums = 4;
    /// Whether code_matrix::across() is as fast as load().
    static constexpr bool reads_across = true;
};

/// Sixteen int32 sums while products are added to them: load(const std::int32_t*), repeat(std::int32_t), and a
/// conversion to i32x16. They have a type of their own, the one their instruction works on, because g++ moves a value
/// to another register whenever its type changes, which would cost a tenth of the speed.
template <class Registers>
struct code_sums;

/// Four codes, the same in every lane. Code is std::uint8_t or std::int8_t.
template <class Registers, class Code>
struct code_group;

/// 64 codes, [16 lanes][4]. load() takes them so, across() from [4][16 lanes]: four neighbouring pixels of 16 channels.
template <class Registers, class Code>
struct code_matrix;

/// Whether the instruction set has the short sums below.
template <class Registers>
inline constexpr bool has_short_sums = false;

/// Two sums of 16 bits a lane, while few products of few bits are added to them: zero(), and add_to(code_sums&).
template <class Registers>
struct short_sums;

/// As code_group and code_matrix, for short sums; a matrix is only loaded.
template <class Registers, class Code>
struct short_group;
template <class Registers, class Code>
struct short_matrix;

template <class Registers>
FQT_INLINE void multiply_add(arch::generic, f32_lanes<Registers>& sums, const f32_lanes<Registers>& repeated,
                             const f32_lanes<Registers>& vector) {
    sums = fma(repeated, vector, sums);
}

template <>
struct code_sums<arch::generic> {
    std::uint32_t part[lanes]; // unsigned, since sums wrap

    static code_sums load(const std::int32_t* from) {
        code_sums s;
        std::memcpy(s.part, from, sizeof s.part);
        return s;
    }
    static code_sums repeat(std::int32_t v) {
        code_sums s;
        for (auto& p : s.part) p = static_cast<std::uint32_t>(v);
        return s;
    }
    operator i32x16<arch::generic>() const {
        i32x16<arch::generic> r;
        std::memcpy(r.part, part, sizeof part);
        return r;
    }
};

template <class Code>
struct code_group<arch::generic, Code> {
    Code codes[4];

    static code_group load(const std::byte* from) {
        code_group g;
        std::memcpy(g.codes, from, sizeof g.codes);
        return g;
    }
};

template <class Code>
struct code_matrix<arch::generic, Code> {
    std::int16_t codes[4][lanes]; // widened and transposed, so that loops over lanes are easy to vectorize

    static code_matrix load(const std::byte* from) {
        code_matrix m;
        for (int lane = 0; lane < lanes; ++lane)
            for (int i = 0; i < 4; ++i) m.codes[i][lane] = code(from + lane * 4 + i);
        return m;
    }
    static code_matrix across(const std::byte* from) {
        code_matrix m;
        for (int i = 0; i < 4; ++i)
            for (int lane = 0; lane < lanes; ++lane) m.codes[i][lane] = code(from + i * lanes + lane);
        return m;
    }

private:
    static Code code(const std::byte* from) {
        Code c;
        std::memcpy(&c, from, 1);
        return c;
    }
};

template <class A, class B>
inline void multiply_add(arch::generic, code_sums<arch::generic>& sums, const code_group<arch::generic, A>& group,
                         const code_matrix<arch::generic, B>& matrix) {
    static_assert(std::is_signed_v<A> != std::is_signed_v<B>);
    for (int i = 0; i < 4; ++i) {
        const std::int16_t g = group.codes[i];
        // |product| <= 255 * 128 fits 16 bits.
        for (int lane = 0; lane < lanes; ++lane)
            sums.part[lane] +=
                static_cast<std::uint32_t>(std::int32_t{static_cast<std::int16_t>(g * matrix.codes[i][lane])});
    }
}

template <class A, class B>
inline void multiply_add(arch::generic, code_sums<arch::generic>& sums, const code_matrix<arch::generic, A>& a,
                         const code_matrix<arch::generic, B>& b) {
    static_assert(std::is_signed_v<A> != std::is_signed_v<B>);
    for (int i = 0; i < 4; ++i)
        for (int lane = 0; lane < lanes; ++lane)
            sums.part[lane] += static_cast<std::uint32_t>(std::int32_t{a.codes[i][lane]} * b.codes[i][lane]);
}

} // namespace fqt::simd

#include <fqt/simd/dot_avx2.hpp>
#include <fqt/simd/dot_avx512.hpp>
