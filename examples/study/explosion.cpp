// SPDX-License-Identifier: BSD-3-Clause
// How gradient noise explodes in the first steps of ResNet-20 and ResNet-56: its size in the first layer, and what it
// does to the loss, the weights and the gammas, by the bits of gradients (one grid a tensor) and by the gamma with
// which residual blocks end at first. No rectifier: what is seen is what the start alone does.
//
// Usage: explosion <folder of CIFAR-10, or "generated"> [steps, 60 unless given]

#include "command.hpp"
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <span>
#include <vector>

namespace {

double norm(std::span<const float> values) {
    double sum = 0;
    for (const float v : values) sum += double{v} * double{v};
    return std::sqrt(sum);
}

/// What some steps of training left behind, of the first layer but for the loss.
struct effect {
    double first_gradient; ///< norm of the weights' gradient in the first step
    int steps;             ///< made before numbers were beyond single precision
    double greatest_loss;
    double growth; ///< norm of the weights after the last step over that before the first
    double gamma;  ///< rms after the last step
};

template <int Depth, int Bits>
effect train(const fqt::dataset& data, float last_gamma, int steps) {
    constexpr int batch = 128;
    fqt::network<fqt::models::resnet_cifar<Depth>, fqt::w8a8_gradient<Bits, fqt::per_tensor>> net{fqt::seed{1},
                                                                                                  {.batch = batch}};
    fqt::set_last_gammas(net, last_gamma);
    fqt::sgd optimizer{net, {.momentum = 0.9f, .decay = 5e-4f}};
    const auto weights = net.parameter("stem.0.weight"), gammas = net.parameter("stem.1.gamma");
    const double before = norm(weights.value);
    // The beginning of the study's schedule: 15 epochs of one cycle.
    const fqt::schedule::one_cycle rate{.rate = 0.1f, .steps = fqt::steps_of(data, {.epochs = 15, .batch = batch})};
    fqt::batches over(data, {.size = batch, .seed = {1}});
    std::vector<float> gradient(static_cast<std::size_t>(batch) * 10);
    effect seen{};
    int epoch = 0;
    for (int step = 0; step < steps; ++step) {
        auto now = over.next();
        if (!now) {
            over.start(++epoch);
            now = over.next();
        }
        try {
            const auto loss =
                fqt::cross_entropy(net.forward(now->images, now->samples), now->labels,
                                   std::span(gradient).first(static_cast<std::size_t>(now->samples) * 10));
            net.backward(loss.gradient);
            if (step == 0) seen.first_gradient = norm(weights.gradient);
            seen.greatest_loss = std::max(seen.greatest_loss, double{loss.value});
            optimizer.step(rate(step));
            ++seen.steps;
        } catch (const fqt::error&) { // what it refuses is what is looked for
            break;
        }
    }
    seen.growth = norm(weights.value) / before;
    seen.gamma = norm(gammas.value) / std::sqrt(static_cast<double>(gammas.value.size()));
    return seen;
}

void print(int depth, int bits, float last_gamma, const effect& e, const effect& of_8_bits) {
    std::printf("| ResNet-%d | %d | %g | %.3g | %d | %.3g | %.3g | %.3g |\n", depth, bits, double{last_gamma},
                e.first_gradient / of_8_bits.first_gradient, e.steps, e.greatest_loss, e.growth, e.gamma);
}

template <int Depth>
void compare(const fqt::dataset& data, int steps) {
    for (const float last_gamma : {1.0f, 0.3f, 0.1f, 0.03f}) {
        const effect of_8_bits = train<Depth, 8>(data, last_gamma, steps);
        print(Depth, 8, last_gamma, of_8_bits, of_8_bits);
        print(Depth, 4, last_gamma, train<Depth, 4>(data, last_gamma, steps), of_8_bits);
        print(Depth, 2, last_gamma, train<Depth, 2>(data, last_gamma, steps), of_8_bits);
    }
}

} // namespace

int main(int argc, char** argv) {
    return study::main(argc, argv, "steps", 60, 1, [](const fqt::train_and_test& sets, int steps) {
        std::printf("| network | bits | last gammas | first gradient | steps | greatest loss | weights | gammas |\n"
                    "|---|---|---|---|---|---|---|---|\n");
        compare<20>(sets.train, steps);
        compare<56>(sets.train, steps);
    });
}
