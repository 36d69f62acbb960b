#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// core/random.hpp for 16 lanes: one block of Philox serves one channel at 8 consecutive positions, so 16 blocks at a
// time serve a block of 16 channels at an octet of positions. The numbers are exactly those of random_stream::bits16.

#include <fqt/core/random.hpp>
#include <fqt/simd/lanes.hpp>

namespace fqt::simd {

namespace detail {

/// The rounds of Philox from `Round` on, into four words of lanes. Step, stream and sample are the same in all lanes,
/// and a round spreads a difference to no more than two words: three rounds pass before all words differ. Until then
/// the types keep common words, and their products, in plain registers. (Words are passed one by one: g++ would copy a
/// struct of four through memory.)
template <int Round, class Word, class A, class B, class C, class D>
FQT_INLINE void philox_from(Word (&result)[4], A a, B b, C c, D d, std::uint32_t key_a, std::uint32_t key_b) {
    if constexpr (Round == philox::rounds) {
        result[0] = a;
        result[1] = b;
        result[2] = c;
        result[3] = d;
    } else {
        const auto p = mul_hi_lo(a, philox::multiplier_a);
        const auto q = mul_hi_lo(c, philox::multiplier_b);
        philox_from<Round + 1>(result, q.high ^ (b ^ key_a), q.low, p.high ^ (d ^ key_b), p.low, key_a + philox::weyl_a,
                               key_b + philox::weyl_b);
    }
}

} // namespace detail

/// The random numbers of 16 channels, from `first_channel`, at positions 8 * octet to 8 * octet + 7 of one sample.
template <class Arch>
class octet_bits {
    using word = u32x16<Arch>;

public:
    FQT_INLINE octet_bits(const random_stream& stream, std::uint32_t sample, int first_channel, int octet,
                          int positions) {
        const auto octets = static_cast<std::uint32_t>((positions + 7) / 8);
        const auto first = static_cast<std::uint32_t>(first_channel) * octets + static_cast<std::uint32_t>(octet);
        detail::philox_from<0>(words_, stream.step, stream.stream, sample, word::ramp(first, octets),
                               static_cast<std::uint32_t>(stream.seed), static_cast<std::uint32_t>(stream.seed >> 32));
    }

    /// uniform16 of every channel's 16 bits at position 8 * octet + j.
    FQT_INLINE f32x16<Arch> uniform(int j) const { return uniform16(bits(j)); }

    /// uniform16 of every channel's random_stream::stratified16 at position 8 * o + j, where the bits at position o are
    /// `of_octet`.
    FQT_INLINE static f32x16<Arch> stratified(word of_octet, int j) {
        return uniform16((of_octet + word(random_stream::stratum(j))) & word(0xffffu));
    }

    /// Every channel's 16 bits at position 8 * octet + j.
    FQT_INLINE word bits(int j) const { return (words_[j / 2] >> (16 * (j % 2))) & word(0xffffu); }

private:
    // Under the exponent of 2^23, 16 bits k are the float 2^23 + k; one exact fma makes (k + 1/2) / 2^16 of it.
    FQT_INLINE static f32x16<Arch> uniform16(word k) {
        return fma(as_float(k | word(0x4b000000u)), 0x1p-16f, 0x1p-17f - 0x1p7f);
    }

    word words_[4];
};

} // namespace fqt::simd
