#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A training run in one number: 64 bits of hash over every weight, statistic and logit of a few steps. Any change of
// any bit, on any instruction set, compiler, optimisation level or number of threads, changes it.

#include <fqt/network/network.hpp>
#include <fqt/train/loss.hpp>
#include <fqt/train/optimizer.hpp>

#include <bit>
#include <cstdint>
#include <span>
#include <vector>

namespace digest {

/// FNV-1a over the bits of floats.
class hash {
    std::uint64_t value_ = 0xcbf29ce484222325u;

public:
    void add(std::span<const float> values) {
        for (const float v : values) value_ = (value_ ^ std::bit_cast<std::uint32_t>(v)) * 0x100000001b3u;
    }
    std::uint64_t value() const { return value_; }
};

/// Images and labels that need no file.
template <class Network>
struct batch {
    std::vector<float> images;
    std::vector<fqt::class_label> labels;

    explicit batch(int samples, std::uint32_t number) {
        const fqt::random_stream random{99, number, 0};
        const auto size = static_cast<std::uint32_t>(Network::input.size());
        for (std::uint32_t n = 0; n < static_cast<std::uint32_t>(samples); ++n) {
            labels.push_back(
                static_cast<fqt::class_label>((n + number) % static_cast<std::uint32_t>(Network::output.size())));
            for (std::uint32_t i = 0; i < size; ++i) {
                const float noise = fqt::uniform32(random.block(n, i)[0]) - 0.5f;
                images.push_back(noise + (i / 5 % (labels.back() + 2u) == 0 ? 1.0f : 0.0f));
            }
        }
    }
};

/// Trains `steps` steps on batches of `samples` and hashes all that came of it.
template <class Network, class Master = fqt::full_precision, class Momentum = fqt::full_precision>
std::uint64_t of_training(int samples, int steps, int threads, float rectification = 1e-2f) {
    Network net{fqt::seed{5}, {.batch = samples, .threads = threads, .rectification = rectification}};
    fqt::sgd<Network, Master, Momentum> optimizer{net, {.momentum = 0.9f, .decay = 1e-3f, .nesterov = true}};
    std::vector<float> gradient;
    hash h;
    for (int step = 0; step < steps; ++step) {
        const batch<Network> b(samples, static_cast<std::uint32_t>(step));
        const auto logits = net.forward(b.images, samples);
        h.add(logits);
        gradient.resize(logits.size());
        fqt::cross_entropy(logits, b.labels, gradient);
        net.backward(gradient);
        net.each_parameter([&](const fqt::parameter& p) { h.add(p.gradient); });
        optimizer.step(0.05f);
    }
    const batch<Network> b(samples, 1000);
    h.add(net.predict(b.images, samples));
    net.each_parameter([&](const fqt::parameter& p) { h.add(p.value); });
    net.each_state([&](const fqt::state& s) { h.add(s.value); });
    return h.value();
}

} // namespace digest
