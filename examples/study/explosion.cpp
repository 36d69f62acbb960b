// SPDX-License-Identifier: BSD-3-Clause
// How gradient noise explodes in the first steps of ResNet-20: its size in the first layer, and what it does to the
// loss, the weights and the gammas, by the bits of gradients (one grid a tensor) and by the gamma with which residual
// blocks end at first.
//
// Usage: explosion <folder of CIFAR-10, or "generated"> [steps]

#include <fqt/fqt.hpp>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string>

namespace {

double norm(std::span<const float> values) {
    double sum = 0;
    for (const float v : values) sum += double{v} * double{v};
    return std::sqrt(sum);
}

/// Trains with `Bits` bits of gradients and prints a row. Returns the norm of the first layer's first gradient.
template <int Bits>
double row(const fqt::dataset& data, float last_gamma, int steps, double first_gradient_of_8_bits) {
    using network = fqt::network<fqt::models::resnet_cifar<20>, fqt::w8a8_gradient<Bits, fqt::per_tensor>>;
    constexpr int batch = 128;
    network net{fqt::seed{1}, {.batch = batch}};
    fqt::set_last_gammas(net, last_gamma);
    fqt::sgd optimizer{net, {.momentum = 0.9f, .decay = 5e-4f}};
    const auto weights = net.parameter("stem.0.weight"), gammas = net.parameter("stem.1.gamma");
    const double before = norm(weights.value);
    // The beginning of the study's schedule: 15 epochs of one cycle.
    const fqt::schedule::one_cycle rate{.rate = 0.1f, .steps = 15 * fqt::steps_of(data, {.epochs = 1, .batch = batch})};
    fqt::batches over(data, {.size = batch, .seed = {1}});
    std::vector<float> gradient(static_cast<std::size_t>(batch) * 10);
    double first_gradient = 0;
    float greatest = 0;
    for (int step = 0; step < steps; ++step) {
        auto now = over.next();
        if (!now) now = over.next(); // the next epoch
        const std::span logits = std::span(gradient).first(static_cast<std::size_t>(now->samples) * 10);
        const auto loss = fqt::cross_entropy(net.forward(now->images, now->samples), now->labels, logits);
        net.backward(loss.gradient);
        if (step == 0) first_gradient = norm(weights.gradient);
        greatest = std::max(greatest, loss.value);
        optimizer.step(rate(step));
    }
    const double of_8_bits = Bits == 8 ? first_gradient : first_gradient_of_8_bits;
    std::printf("| %d | %g | %.3g | %.3g | %.3g | %.3g |\n", Bits, double{last_gamma}, first_gradient / of_8_bits,
                double{greatest}, norm(weights.value) / before,
                norm(gammas.value) / std::sqrt(static_cast<double>(gammas.value.size())));
    return of_8_bits;
}

int run(int argc, char** argv) {
    if (argc < 2) {
        std::fprintf(stderr, "usage: explosion <folder of CIFAR-10, or \"generated\"> [steps]\n");
        return 2;
    }
    char* end = nullptr;
    const long steps = argc > 2 ? std::strtol(argv[2], &end, 10) : 60;
    if (steps < 1 || steps > 100'000 || (end && (*end || end == argv[2])))
        fqt::fail("'%s' is no number of steps; give 1 to 100000", argv[2]);
    const fqt::train_and_test sets = argv[1] == std::string("generated")
        ? fqt::split(fqt::generated_images(10, {3, 32, 32}, 300, fqt::seed{7}), 200)
        : fqt::cifar10(argv[1]);
    std::printf(
        "| bits | last gammas | first gradient | greatest loss | weights | gammas |\n|---|---|---|---|---|---|\n");
    for (const float last_gamma : {1.0f, 0.3f, 0.1f}) {
        const double of_8_bits = row<8>(sets.train, last_gamma, static_cast<int>(steps), 0);
        row<4>(sets.train, last_gamma, static_cast<int>(steps), of_8_bits);
        row<2>(sets.train, last_gamma, static_cast<int>(steps), of_8_bits);
    }
    return 0;
}

} // namespace

int main(int argc, char** argv) {
    try {
        return run(argc, argv);
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}
