#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// How weights begin, where not as the network draws them (he_uniform). Each weight is a function of the seed, its
// tensor's place and its own, so equal calls give equal bits on any machine.

#include <fqt/core/fail.hpp>
#include <fqt/core/math.hpp>
#include <fqt/network/network.hpp>

#include <cmath>
#include <cstdint>

namespace fqt {

/// Laws of a weight, with fan_in = taps x input channels of a group and fan_out = taps x output channels.
enum class weight_law {
    he_uniform,     ///< variance 2 / fan_in, uniform (He, Zhang, Ren, Sun 2015, eq. 10): a new network's, drawn anew
    he_normal,      ///< variance 2 / fan_in, normal
    he_fan_out,     ///< variance 2 / fan_out, normal: what ResNets are usually begun with
    glorot_uniform, ///< variance 2 / (fan_in + fan_out), uniform (Glorot and Bengio 2010, eq. 16)
};

namespace detail {

/// Two independent draws, normal with variance 1 (Box and Muller 1958), from 64 random bits.
inline std::array<float, 2> normal_pair(std::uint32_t a, std::uint32_t b) {
    // 1 - u is in (0, 1], so its logarithm is finite.
    const float radius = std::sqrt(-2.0f * math::log(1.0f - uniform32(a)));
    const float angle = product(static_cast<float>(2 * math::pi), uniform32(b));
    const float quarter = static_cast<float>(math::pi / 2);
    return {product(radius, math::cos(angle)), product(radius, math::cos(angle - quarter))};
}

} // namespace detail

/// Draws all weights anew by a law; biases, batch normalizations and the rest of the network stay as they are.
template <class Network>
void initialise_weights(Network& network, seed s, weight_law law) {
    std::uint32_t tensor = 0;
    network.each_parameter([&](const parameter& p) {
        const std::uint32_t number = tensor++;
        if (p.kind != parameter_kind::weight) return;
        const auto [k, r, t, c] = p.shape;
        const double taps = static_cast<double>(r) * t, fan_in = taps * c, fan_out = taps * k;
        const double variance = law == weight_law::glorot_uniform ? 2 / (fan_in + fan_out)
            : law == weight_law::he_fan_out                       ? 2 / fan_out
                                                                  : 2 / fan_in;
        const bool is_uniform = law == weight_law::he_uniform || law == weight_law::glorot_uniform;
        const auto bound = static_cast<float>(std::sqrt(is_uniform ? 3 * variance : variance));
        const random_stream random{s.value, number, 0x1217'0001u};
        for (std::size_t i = 0; i < p.value.size(); ++i) {
            const auto bits = random.block(0, static_cast<std::uint32_t>(i / 2));
            const std::size_t half = i % 2;
            const float draw =
                is_uniform ? std::fma(2.0f, uniform32(bits[half]), -1.0f) : detail::normal_pair(bits[0], bits[1])[half];
            p.value[i] = product(draw, bound);
        }
    });
}

/// Sets gamma of the last batch normalization of each residual block's body to `value`, so that blocks begin close to
/// identities: a body's share of the gradient, and of the noise in it, goes with the square of this gamma
/// (docs/theory.md, section 5). Returns how many there are: 0 where no residual block ends with one, as in
/// pre-activation networks. Errors: a value that is not finite.
template <class Network>
int set_last_gammas(Network& network, float value) {
    if (!std::isfinite(value)) fail("set_last_gammas was given %g; give a finite value, such as 0.1", double{value});
    int found = 0;
    network.each_normalization([&](const auto& layer) {
        if (!layer.facts().closes_block) return;
        std::ranges::fill(network.parameter((layer.name() / "gamma").view()).value, value);
        ++found;
    });
    return found;
}

/// The same with 0: blocks begin as identities (Goyal et al. 2017, section 5.1).
template <class Network>
int zero_last_gammas(Network& network) {
    return set_last_gammas(network, 0);
}

} // namespace fqt
