#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The data set that --data names: a folder, known by the files in it, or a word.

#include <fqt/io/cifar.hpp>
#include <fqt/io/fashion_mnist.hpp>
#include <fqt/train/held_out.hpp>

#include "settings.hpp"
#include <filesystem>

namespace program {

/// Training and test set of a run; with held_out, images of the training set stand for the test set.
/// Errors: a folder whose files are of no known kind, and all that their readers refuse.
inline fqt::train_and_test load_data(const settings& s) {
    const auto has = [&](const char* file) { return std::filesystem::exists(std::filesystem::path(s.data) / file); };
    fqt::train_and_test sets = [&] {
        if (s.data == "generated") return fqt::split(fqt::generated_images(10, {3, 32, 32}, 6000, fqt::seed{7}), 5000);
        if (s.data == "generated-grey")
            return fqt::split(fqt::generated_images(10, {1, 28, 28}, 6000, fqt::seed{7}), 5000);
        if (s.data == "fashion-mnist") return fqt::fashion_mnist();
        if (fqt::has_cifar10(s.data)) return fqt::cifar10(s.data);
        if (has("train.bin") || has("cifar-100-binary/train.bin")) return fqt::cifar100(s.data);
        if (fqt::has_fashion_mnist(s.data)) return fqt::fashion_mnist(s.data);
        fqt::fail("--data %s holds no data set that is known: give a folder with the binary files of CIFAR-10 "
                  "(data_batch_1.bin, ...) or CIFAR-100 (train.bin), or with the four IDX files of MNIST or "
                  "Fashion-MNIST",
                  s.data.c_str());
    }();
    // The seed of the split is not the run's, so that runs are compared on the same images.
    if (s.held_out > 0) sets = fqt::held_out(sets.train, s.held_out, fqt::seed{0x5EED});
    if (s.train_images > 0) sets.train = sets.train.take(std::min(s.train_images, sets.train.size()));
    return sets;
}

} // namespace program
