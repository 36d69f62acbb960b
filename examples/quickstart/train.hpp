#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// quickstart::train, included by the files that each compile it for one scheme.

#include "resnet8.hpp"
#include <chrono>

namespace quickstart {

template <const auto& Scheme>
outcome train(const fqt::train_and_test& data, const recipe& r, fqt::confusion_matrix* confusion) {
    fqt::network<resnet8, Scheme> net{fqt::seed{r.seed}, {.batch = 128, .rectification = r.rectification}};
    fqt::sgd optimizer{net, {.momentum = 0.9f, .decay = r.decay}};
    const fqt::trainer_options options{.epochs = r.epochs, .batch = 128, .seed = fqt::seed{r.seed}, .log = r.log};
    const fqt::schedule::one_cycle rate{.rate = r.rate, .steps = fqt::steps_of(data.train, options)};
    if (r.log) fqt::summary(net, stdout);

    const auto start = std::chrono::steady_clock::now();
    fqt::trainer{net, optimizer, rate, options}.run(data.train, data.test);
    const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

    const fqt::evaluation test = fqt::evaluate(net, data.test, 128, confusion);
    return {test.accuracy, static_cast<double>(data.train.size()) * r.epochs / seconds};
}

} // namespace quickstart
