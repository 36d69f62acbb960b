// SPDX-License-Identifier: BSD-3-Clause
// Trains ResNet-20 on CIFAR-10 in the scheme that the build names (SCHEME) and prints, after each epoch, the seconds of
// training so far and the test accuracy.
//
//     training_<scheme> <folder of CIFAR-10> <threads> <epochs> <images>
#include "training.hpp"

#include "networks.hpp"
#include <cstdio>

int main(int argc, char** argv) try {
    if (argc != 5) fqt::fail("this program takes <folder of CIFAR-10> <threads> <epochs> <images>");
    const benchmark::training t(argv + 1);
    fqt::network<benchmark::resnet20, benchmark::schemes::SCHEME> net{
        fqt::seed{1}, {.batch = t.batch, .threads = t.threads, .rectification = 1e-3f}};
    fqt::sgd optimizer{net, {.momentum = t.momentum, .decay = t.decay}};
    const fqt::trainer_options options{.epochs = t.epochs,
                                       .batch = t.batch,
                                       .augment = t.augment(),
                                       .evaluate_every = 0,
                                       .threads = t.threads,
                                       .log = nullptr};
    fqt::trainer trainer{net, optimizer, t.rate(), options};
    benchmark::curve curve;
    trainer.run(t.data.train, t.data.test, fqt::no_callback{}, [&](const fqt::epoch_facts&) {
        curve.epoch([&] { return fqt::evaluate(net, t.data.test, t.batch, nullptr, t.threads).accuracy; });
    });
    curve.print();
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
