#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A few steps of training on one batch, and bits of floats to compare.

#include "digest.hpp"
#include <bit>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace support {

using float_bits = std::vector<std::uint32_t>;
inline float_bits bits(std::span<const float> values) {
    float_bits b;
    for (const float v : values) b.push_back(std::bit_cast<std::uint32_t>(v));
    return b;
}

/// Gradients by name, or the parameters' and states' own values.
template <class Network>
std::map<std::string, float_bits> gradients(Network& net) {
    std::map<std::string, float_bits> all;
    net.each_parameter([&](const fqt::parameter& p) { all[p.name.c_str()] = bits(p.gradient); });
    return all;
}
template <class Network>
std::map<std::string, float_bits> values(Network& net) {
    std::map<std::string, float_bits> all;
    net.each_parameter([&](const fqt::parameter& p) { all[p.name.c_str()] = bits(p.value); });
    net.each_state([&](const fqt::state& s) { all[s.name.c_str()] = bits(s.value); });
    return all;
}

/// Forward and backward on a batch; the loss.
template <class Network>
float pass(Network& net, const digest::batch<Network>& b) {
    const auto logits = net.forward(b.images, static_cast<int>(b.labels.size()));
    std::vector<float> gradient(logits.size());
    const float loss = fqt::cross_entropy(logits, b.labels, gradient).value;
    net.backward(gradient);
    return loss;
}

/// The loss before each of some steps on one batch.
template <class Network>
std::vector<float> train(Network& net, const digest::batch<Network>& b, int steps, float rate = 0.1f) {
    fqt::sgd optimizer{net};
    std::vector<float> losses;
    for (int step = 0; step < steps; ++step) {
        losses.push_back(pass(net, b));
        optimizer.step(rate);
    }
    return losses;
}

} // namespace support
