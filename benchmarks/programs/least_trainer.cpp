// SPDX-License-Identifier: BSD-3-Clause
// The least program that trains ResNet-20, for the time and memory that compiling it takes; dlib.cpp is its peer.
// Prints "first" and "last", the losses of its first and last step.
#include "networks.hpp"
#include <cstdio>
#include <vector>

int main() {
    constexpr int samples = 128;
    fqt::network<benchmark::resnet20, fqt::w8a8g4> net{fqt::seed{1}, {.batch = samples}};
    fqt::sgd optimizer{net, {.momentum = 0.9f, .decay = 1e-4f}};
    const fqt::dataset data = fqt::generated_images(10, {3, 32, 32}, samples, fqt::seed{7});
    fqt::batches batches(data, {.size = samples});
    std::vector<float> gradient(std::size_t{samples} * 10);
    for (int epoch = 0; epoch < 5; ++epoch) {
        batches.start(static_cast<std::uint32_t>(epoch));
        while (const auto batch = batches.next()) {
            const auto loss = fqt::cross_entropy(net.forward(batch->images, samples), batch->labels, gradient);
            net.backward(loss.gradient);
            optimizer.step(0.005f);
            if (epoch == 0) std::printf("{\"first\": %g, ", static_cast<double>(loss.value));
            if (epoch == 4) std::printf("\"last\": %g}\n", static_cast<double>(loss.value));
        }
    }
}
