#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The two kinds of products: of 8-bit codes with int32 sums, and of floats. Everything else is the same for both.

#include <fqt/core/shape.hpp>
#include <fqt/simd/dot.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace fqt::kernels {

/// Products of unsigned codes (signed ones with 128 added) and signed weights: exact.
struct integer {
    using operand = std::uint8_t;
    using weight = std::int8_t;
    /// Operands that one multiply-add contracts.
    static constexpr int group = 4;

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
