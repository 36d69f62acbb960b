#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Packing weights for the kernels of correlations. Weights come as an object:
//   weights(output, channel of its group, t, u)            is one of them
//   weights.template store<Arch>(output, channel, t, u, to)  writes those of 16 outputs by four channels, from these
//                                                            on, where a correlation without groups has so many

#include <fqt/kernels/kind.hpp>
#include <fqt/kernels/taps.hpp>

namespace fqt::kernels {

/// Writes a vector, the weights of a block of 16 outputs by the Kind::group channels from `channel` on, zeros where
/// there are none: [output][channel].
template <correlation C, class Kind, class Arch, class Weights>
FQT_INLINE void pack_vector(const Weights& weights, int block, int channel, int t, int u, std::byte* to) {
    using weight = typename Kind::weight;
    constexpr grouping groups{C.depth, C.outputs, C.groups};
    const int first = block * lanes;
    if constexpr (is_integer<Kind> && C.groups == 1)
        if (first + lanes <= C.outputs && channel + Kind::group <= C.depth)
            return weights.template store<Arch>(first, channel, t, u, to);
    for (int output = first; output < first + lanes; ++output, to += Kind::group * sizeof(weight)) {
        weight w[Kind::group]{};
        for (int i = 0; i < Kind::group; ++i)
            if (output < C.outputs && channel + i < C.depth && (C.groups == 1 || groups.meets(channel + i, output)))
                w[i] = weights(output, (channel + i) % groups.group_channels(), t, u);
        std::memcpy(to, w, sizeof w);
    }
}

/// Adds Kind::bias times the weights of a packed vector to 16 int32 sums.
template <class Kind, class Arch>
FQT_INLINE void add_bias(const std::byte* vector, std::byte* sums) {
    using registers = typename Arch::registers; // and no tag derived from it, which would count this as a product
    static constexpr auto bias = std::byte(Kind::bias);
    static constexpr std::byte biases[4] = {bias, bias, bias, bias};
    auto total = simd::code_sums<registers>::load(reinterpret_cast<const std::int32_t*>(sums));
    multiply_add(registers{}, total, integer::repeat<Arch, std::uint8_t>(biases),
                 integer::vector<Arch, std::int8_t>(vector));
    simd::i32x16<Arch>(total).store(reinterpret_cast<std::int32_t*>(sums));
}
inline void negate(std::byte* sums, int count) {
    for (std::byte* sum = sums; sum < sums + count * 4; sum += 4) store(sum, -load<std::int32_t>(sum));
}

} // namespace fqt::kernels
