// SPDX-License-Identifier: BSD-3-Clause
// Times whole training steps of ResNet-20 on one generated batch: forward, loss, backward, optimizer, in the scheme
// that the build names (SCHEME). Prints "<first loss> <last loss> <milliseconds of each step>..."
//
//     fqt_step_<scheme> <threads> <steps>
#include "resnet20.hpp"
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#if !defined(SCHEME)
#define SCHEME fqt::w8a8g4
#endif

int main(int argc, char** argv) try {
    if (argc != 3) fqt::fail("this program takes <threads> <steps>, not %d words; give both", argc - 1);
    const int threads = std::atoi(argv[1]), steps = std::atoi(argv[2]);
    constexpr int samples = 128, warm_up = 3;
    const fqt::dataset data = fqt::generated_images(10, {3, 32, 32}, samples, fqt::seed{7});
    fqt::batches batches(data, {.size = samples, .shuffle = false});
    const auto batch = batches.next();

    fqt::network<step_benchmark::resnet20, SCHEME> net{fqt::seed{1},
                                                       {.batch = samples, .threads = threads, .rectification = 1e-3f}};
    fqt::sgd optimizer{net, {.momentum = 0.9f, .decay = 1e-4f}};
    std::vector<float> gradient(static_cast<std::size_t>(samples) * 10);
    std::vector<double> times;
    float first = 0, last = 0;
    for (int step = 0; step < steps + warm_up; ++step) {
        const auto start = std::chrono::steady_clock::now();
        const auto loss = fqt::cross_entropy(net.forward(batch->images, samples), batch->labels, gradient, {});
        net.backward(loss.gradient);
        optimizer.step(0.005f);
        const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
        if (step == 0) first = loss.value;
        last = loss.value;
        if (step >= warm_up) times.push_back(time.count());
    }
    std::printf("%g %g", static_cast<double>(first), static_cast<double>(last));
    for (const double t : times) std::printf(" %.4f", t);
    std::printf("\n");
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
