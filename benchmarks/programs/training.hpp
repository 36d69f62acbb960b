#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The training in which fqt and libtorch are compared: ResNet-20 on CIFAR-10, with the same order, crops and mirror
// images, rates, momentum and decay of weights.

#include <fqt/fqt.hpp>

#include "report.hpp"
#include <cstdlib>
#include <vector>

namespace benchmark {

/// What the arguments <folder> <threads> <epochs> <images> say; 0 images: all of them.
struct training {
    static constexpr int batch = 128;
    static constexpr float momentum = 0.9f, decay = 5e-4f, peak = 0.4f;
    fqt::train_and_test data;
    int threads, epochs;

    explicit training(char** arguments)
        : data(fqt::cifar10(arguments[0])), threads(std::atoi(arguments[1])), epochs(std::atoi(arguments[2])) {
        if (const int images = std::atoi(arguments[3]); images > 0) data.train = data.train.take(images);
        if (threads < 1 || epochs < 1) fqt::fail("%d threads and %d epochs; give 1 or more", threads, epochs);
    }
    fqt::augmentation augment() const { return {.pad = 4, .flip = true}; }
    fqt::schedule::one_cycle rate() const {
        return {.rate = peak, .steps = std::int64_t{epochs} * fqt::batches_per_epoch(data.train, batch, false)};
    }
};

/// Seconds of training, tests left out, and the test accuracy after each epoch.
class curve {
    double start_ = milliseconds(), spent_ = 0;
    std::vector<double> seconds_, accuracy_;

public:
    /// After an epoch: test() gives the accuracy, and its time does not count.
    template <class Test>
    void epoch(Test&& test) {
        spent_ += milliseconds() - start_;
        seconds_.push_back(spent_ / 1e3);
        accuracy_.push_back(test());
        start_ = milliseconds();
    }
    void print() const {
        report r;
        r.add("seconds", seconds_);
        r.add("accuracy", accuracy_);
        r.print();
    }
};

} // namespace benchmark
