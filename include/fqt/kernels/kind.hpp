#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The kinds of products: of 8-bit codes with int32 sums, the same with codes of few bits, and of floats. Everything
// else is the same for all.

#include <fqt/core/shape.hpp>
#include <fqt/kernels/unroll.hpp>
#include <fqt/simd/dot.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <type_traits>

namespace fqt::kernels {

/// Products of unsigned codes (signed ones with 128 added) and signed weights: exact.
struct integer {
    using operand = std::uint8_t;
    using weight = std::int8_t;
    /// Operands that one multiply-add contracts.
    static constexpr int group = 4;
    /// What is added to signed operands, and to be subtracted again where sums start.
    static constexpr int bias = 128;

    template <class Arch>
    using sums = simd::code_sums<typename Arch::registers>;
    /// One group of codes in every lane, and a vector of 16 of them; Code is operand or weight.
    template <class Arch, class Code>
    FQT_INLINE static auto repeat(const std::byte* from) {
        return simd::code_group<typename Arch::registers, Code>::load(from);
    }
    template <class Arch, class Code>
    FQT_INLINE static auto vector(const std::byte* from) {
        return simd::code_matrix<typename Arch::registers, Code>::load(from);
    }
    /// One vector of `group` neighbouring pixels of 16 channels, as they are staged.
    template <class Arch>
    FQT_INLINE static auto pixels(const std::byte* from) {
        return simd::code_matrix<typename Arch::registers, operand>::across(from);
    }
};

/// The same of codes so small that `Adds` multiply-adds fit sums of 16 bits, where an instruction set is faster with
/// those. Signed operands have Bias added.
template <int Bias, int Adds>
struct short_integer : integer {
    static constexpr int bias = Bias, adds = Adds;

    template <class Arch>
    using partial_sums = simd::short_sums<typename Arch::registers>;
    template <class Arch, class Code>
    FQT_INLINE static auto repeat(const std::byte* from) {
        return simd::short_group<typename Arch::registers, Code>::load(from);
    }
    template <class Arch, class Code>
    FQT_INLINE static auto vector(const std::byte* from) {
        return simd::short_matrix<typename Arch::registers, Code>::load(from);
    }
    template <class Arch>
    static auto pixels(const std::byte* from) = delete; // where sums are short, across() is slow
};

/// Products of floats; every sum is a chain of fma in a documented order.
struct real {
    using operand = float;
    using weight = float;
    static constexpr int group = 1;

    template <class Arch>
    using sums = simd::f32x16<Arch>;
    template <class Arch, class>
    FQT_INLINE static simd::f32x16<Arch> repeat(const std::byte* from) {
        float v;
        std::memcpy(&v, from, sizeof v);
        return v;
    }
    template <class Arch, class>
    FQT_INLINE static simd::f32x16<Arch> vector(const std::byte* from) {
        return simd::f32x16<Arch>::load(reinterpret_cast<const float*>(from));
    }
    template <class Arch>
    FQT_INLINE static simd::f32x16<Arch> pixels(const std::byte* from) {
        return vector<Arch, operand>(from);
    }
};

template <class Kind>
inline constexpr bool is_integer = Kind::group == 4;
template <class Kind>
inline constexpr bool is_short = requires {
    Kind::adds;
};

/// What to add to signed operands of such a magnitude: as little as makes them unsigned, or 128, with which sources
/// give them.
constexpr int bias_of(int of_signed) { return of_signed < 64 ? of_signed : 128; }
/// Multiply-adds of four products that surely fit the two sums of 16 bits that they go into.
constexpr int adds_of(int of_signed, int of_unsigned, int of_weights) {
    const int operand = std::max(of_signed < 64 ? 2 * of_signed : 255, of_unsigned);
    return std::numeric_limits<std::int16_t>::max() / std::max(2 * operand * of_weights, 1);
}
/// A step has up to five multiply-adds for a sum (taps.hpp), which must fit.
inline constexpr int fewest_short_adds = 5;

/// The kind of integer products of operands up to OfSigned in magnitude where they may be negative, up to OfUnsigned
/// where not, and weights up to OfWeights.
template <class Arch, int OfSigned, int OfUnsigned, int OfWeights>
using integer_kind = std::conditional_t<
    simd::has_short_sums<typename Arch::registers> && adds_of(OfSigned, OfUnsigned, OfWeights) >= fewest_short_adds,
    short_integer<bias_of(OfSigned), adds_of(OfSigned, OfUnsigned, OfWeights)>, integer>;

/// add_steps(sums, steps), which does AddsInStep multiply-adds a step for each of the sums; or, in short sums, several
/// times a few of them.
template <class Kind, class Arch, int AddsInStep, class Sums, int Size, class AddSteps>
FQT_INLINE void add_in_parts(Sums (&sums)[Size], int steps, const AddSteps& add_steps) {
    if constexpr (!is_short<Kind>) {
        add_steps(sums, steps);
    } else {
        constexpr int most = Kind::adds / AddsInStep;
        static_assert(most > 0);
        do {
            typename Kind::template partial_sums<Arch> part[Size];
            unroll<Size>([&](auto i) FQT_INLINE_LAMBDA { part[i] = part[i].zero(); });
            add_steps(part, std::min(steps, most));
            unroll<Size>([&](auto i) FQT_INLINE_LAMBDA { part[i].add_to(sums[i]); });
        } while ((steps -= most) > 0);
    }
}

/// The sums of either kind as floats.
template <class Registers>
FQT_INLINE simd::f32_lanes<Registers> as_floats(simd::i32_lanes<Registers> sums) {
    return sums.to_float();
}
template <class Registers>
FQT_INLINE simd::f32_lanes<Registers> as_floats(simd::f32_lanes<Registers> sums) {
    return sums;
}

/// Bytes of one vector: 16 lanes of `group` weights, or 16 sums.
inline constexpr int vector_bytes = 64;

/// Channels that a sum contracts over, padded with zero weights to whole groups.
template <class Kind>
constexpr int contracted(int channels) {
    return static_cast<int>(round_up(channels, Kind::group));
}

/// Channels of one staged pixel. Codes are written in blocks of 16; only first layers, of up to 12 channels, are
/// denser.
template <class Kind>
constexpr int staged_channels(int channels) {
    return !is_integer<Kind> ? channels : channels <= 12 ? contracted<Kind>(channels) : padded(channels);
}

/// The value of a scalar at a possibly unaligned place in a buffer.
template <class T>
T load(const std::byte* from) {
    T v;
    std::memcpy(&v, from, sizeof v);
    return v;
}
template <class T>
void store(std::byte* to, T v) {
    std::memcpy(to, &v, sizeof v);
}

/// Buffers are measured in whole cache lines.
constexpr std::size_t whole_lines(std::int64_t bytes) { return static_cast<std::size_t>(round_up(bytes, 64)); }

} // namespace fqt::kernels
