#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// One algorithm on the quickstart's network. Each is compiled in a file of its own, made from one.cpp.in, and enters
// itself into the list.

#include "../quickstart/resnet8.hpp"
#include <algorithm>
#include <chrono>
#include <memory>
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

// ---- recipes: initialisation, optimizer, and rate over the run ----

/// What most algorithms train with: SGD with momentum, one cycle, and weights as they are drawn.
struct momentum_sgd {
    template <class Network>
    static void initialise(Network&, fqt::seed) {}
    template <class Network>
    static auto optimizer(Network& net) {
        return fqt::sgd{net, {.momentum = 0.9f, .decay = 5e-4f, .decay_range = 5e-4f}};
    }
    static auto rate(std::int64_t steps) { return fqt::schedule::one_cycle{.rate = 0.1f, .steps = steps}; }
};

/// UI8's: each layer's rate follows the deviation of its gradient's direction.
struct deviating_sgd : momentum_sgd {
    template <class Network>
    class counteracting {
        fqt::sgd<Network> sgd_;
        std::unique_ptr<fqt::deviation_rate> deviations_ = std::make_unique<fqt::deviation_rate>();

    public:
        explicit counteracting(Network& net) : sgd_(momentum_sgd::optimizer(net)) { net.observe(*deviations_); }
        void step(float rate) { sgd_.step(rate, *deviations_); }
    };
    template <class Network>
    static auto optimizer(Network& net) {
        return counteracting<Network>(net);
    }
};

/// WAGE's: weights on an 8-bit grid, no momentum; 8 steps of the grid for the greatest gradient, then 1, then 1/8.
struct wage_sgd {
    template <class Network>
    static void initialise(Network& net, fqt::seed s) {
        fqt::wage_initialise(net, s);
    }
    template <class Network>
    static auto optimizer(Network& net) {
        return fqt::integer_sgd<Network>(net);
    }
    static auto rate(std::int64_t steps) {
        return [steps](std::int64_t step) {
            return step * 3 < steps * 2 ? 8.0f : step * 6 < steps * 5 ? 1.0f : 0.125f;
        };
    }
};

/// NITI's: gradients of 5, then 4, then 3 bits are subtracted from 8-bit weights.
struct niti_sgd {
    template <class Network>
    static void initialise(Network&, fqt::seed) {}
    template <class Network>
    static auto optimizer(Network& net) {
        return fqt::integer_sgd<Network, fqt::niti_update>(net);
    }
    static auto rate(std::int64_t steps) {
        return [steps](std::int64_t step) { return step * 2 < steps ? 5.0f : step * 4 < steps * 3 ? 4.0f : 3.0f; };
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
    fqt::trainer{net, optimizer, Recipe::rate(fqt::steps_of(data.train, options)), options}.run(data.train, data.test);
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
    const auto rate = Recipe::rate(40);
    for (int i = 0; i < 40; ++i) {
        const auto start = std::chrono::steady_clock::now();
        const auto logits = net.forward(now->images, now->samples);
        net.backward(fqt::cross_entropy(logits, now->labels, std::span(gradient), {}).gradient);
        optimizer.step(static_cast<float>(rate(i)));
        times.push_back(std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count());
    }
    std::nth_element(times.begin(), times.begin() + 20, times.end());
    return times[20];
}

} // namespace study
