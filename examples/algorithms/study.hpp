#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// One algorithm on the quickstart's network. Each is compiled in a file of its own, made from one.cpp.in, and enters
// itself into the list.

#include "../quickstart/resnet8.hpp"
#include <algorithm>
#include <chrono>
#include <vector>

namespace study {

struct options {
    int epochs = 2;
    float rectification = 0;
    std::uint64_t seed = 1;
};

struct outcome {
    double accuracy{};   ///< on the test set
    std::size_t bytes{}; ///< of the network's memory, one thread
};

struct algorithm {
    int number; ///< its place in the table
    const char* name;
    outcome (*train)(const fqt::train_and_test&, const options&);
    double (*step)(const fqt::train_and_test&); ///< milliseconds of a training step of 128 images, the median of many
};

/// All algorithms of the program, in the order in which their files are linked.
inline std::vector<algorithm>& algorithms() {
    static std::vector<algorithm> list;
    return list;
}
struct entry {
    explicit entry(const algorithm& a) { algorithms().push_back(a); }
};

inline constexpr int batch = 128;

/// What most algorithms train with: SGD with momentum, and weights as they are drawn.
struct momentum_sgd {
    static constexpr float rate = 0.1f;
    template <class Network>
    static void initialise(Network&, fqt::seed) {}
    template <class Network>
    static auto optimizer(Network& net) {
        return fqt::sgd{net, {.momentum = 0.9f, .decay = 5e-4f, .decay_range = 5e-4f}};
    }
};

template <const auto& Scheme, class Normalization, class Recipe>
outcome train(const fqt::train_and_test& data, const options& o) {
    using network = fqt::network<quickstart::resnet8_with<Normalization>, Scheme>;
    network net{fqt::seed{o.seed}, {.batch = batch, .rectification = o.rectification}};
    Recipe::initialise(net, fqt::seed{o.seed});
    auto optimizer = Recipe::optimizer(net);
    const fqt::trainer_options options{
        .epochs = o.epochs, .batch = batch, .seed = fqt::seed{o.seed}, .evaluate_every = 0};
    const fqt::schedule::one_cycle rate{.rate = Recipe::rate, .steps = fqt::steps_of(data.train, options)};
    fqt::trainer{net, optimizer, rate, options}.run(data.train, data.test);
    return {fqt::evaluate(net, data.test, batch).accuracy, network::arena_bytes(batch)};
}

template <const auto& Scheme, class Normalization, class Recipe>
double step(const fqt::train_and_test& data) {
    fqt::network<quickstart::resnet8_with<Normalization>, Scheme> net{fqt::seed{1}, {.batch = batch}};
    Recipe::initialise(net, fqt::seed{1});
    auto optimizer = Recipe::optimizer(net);
    fqt::batches over(data.train, {.size = batch, .shuffle = false});
    const auto now = over.next();
    std::vector<float> gradient(std::size_t{batch} * 10);
    std::vector<double> times;
    for (int i = 0; i < 40; ++i) {
        const auto start = std::chrono::steady_clock::now();
        const auto logits = net.forward(now->images, now->samples);
        net.backward(fqt::cross_entropy(logits, now->labels, std::span(gradient), {}).gradient);
        optimizer.step(0.01f);
        times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    std::nth_element(times.begin(), times.begin() + 20, times.end());
    return times[20];
}

} // namespace study
