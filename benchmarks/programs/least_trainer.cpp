// SPDX-License-Identifier: BSD-3-Clause
// The least program that trains ResNet-20, for the time and memory that compiling it takes. Like its peer, dlib.cpp, it
// includes what it uses and makes steps on one batch of random numbers.
// Prints "first" and "last", the losses of its first and last step.
#include <fqt/models/resnet.hpp>
#include <fqt/network/network.hpp>
#include <fqt/train/loss.hpp>
#include <fqt/train/optimizer.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <vector>

int main() {
    constexpr int samples = 128, classes = 10;
    using network =
        fqt::network<fqt::models::resnet_cifar<20, classes, fqt::layers::batch_norm<fqt::gain_crest<>>>, fqt::w8a8g4>;
    network net{fqt::seed{1}, {.batch = samples}};
    fqt::sgd optimizer{net, {.momentum = 0.9f, .decay = 1e-4f}};

    std::vector<float> images(std::size_t{samples} * network::input.size()), gradient(std::size_t{samples} * classes);
    std::vector<std::uint16_t> labels(samples);
    std::uint32_t state = 1;
    const auto random = [&] { return (state = state * 1664525 + 1013904223) >> 16; };
    for (float& x : images) x = static_cast<float>(random()) / 32768 - 1;
    for (std::uint16_t& label : labels) label = static_cast<std::uint16_t>(random() % classes);

    constexpr int steps = 5;
    for (int step = 0; step < steps; ++step) {
        const auto loss = fqt::cross_entropy(net.forward(images, samples), labels, gradient);
        net.backward(loss.gradient);
        optimizer.step(0.005f);
        if (step == 0) std::printf("{\"first\": %g, ", static_cast<double>(loss.value));
        if (step == steps - 1) std::printf("\"last\": %g}\n", static_cast<double>(loss.value));
    }
}
