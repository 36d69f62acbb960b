#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The data set that --data names: a folder, known by the files in it, or a word.

#include <fqt/io/cifar.hpp>
#include <fqt/io/fashion_mnist.hpp>
#include <fqt/train/held_out.hpp>

#include "settings.hpp"
#if __has_include(<png.h>) && __has_include(<jpeglib.h>)
#include <fqt/io/image_folder.hpp>
#endif

#include <filesystem>

namespace program {

/// Training and test set of a run; with held_out, images of the training set stand for the test set.
/// Errors: a folder whose files are of no known kind, and all that their readers refuse.
inline fqt::train_and_test load_data(const settings& s) {
    const std::filesystem::path folder = s.data;
    const auto has = [&](const char* file) { return std::filesystem::exists(folder / file); };
    fqt::train_and_test sets = [&]() -> fqt::train_and_test {
        if (s.data == "generated") return fqt::split(fqt::generated_images(10, {3, 32, 32}, 6000, fqt::seed{7}), 5000);
        if (s.data == "generated-grey")
            return fqt::split(fqt::generated_images(10, {1, 28, 28}, 6000, fqt::seed{7}), 5000);
        if (s.data == "fashion-mnist") return fqt::fashion_mnist();
        if (fqt::has_cifar10(s.data)) return fqt::cifar10(s.data);
        if (fqt::has_cifar100(s.data)) return fqt::cifar100(s.data);
        if (fqt::has_fashion_mnist(s.data)) return fqt::fashion_mnist(s.data);
#if __has_include(<png.h>) && __has_include(<jpeglib.h>)
        if (has("train") && has("test")) {
            fqt::train_and_test parts{fqt::image_folder((folder / "train").string()),
                                      fqt::image_folder((folder / "test").string())};
            if (parts.train.class_names != parts.test.class_names)
                fqt::fail("the folders train and test in %s have other classes; give both a folder for each class",
                          s.data.c_str());
            parts.test.scale = parts.train.scale;
            return parts;
        }
#endif
        fqt::fail("--data %s holds no data set that is known: give a folder with the binary files of CIFAR-10 "
                  "(data_batch_1.bin, ...) or CIFAR-100 (train.bin), with the four IDX files of MNIST or "
                  "Fashion-MNIST, or with folders train and test that hold a folder of PNG or JPEG files for each "
                  "class",
                  s.data.c_str());
    }();
    // The seed of the split is not the run's, so that runs are compared on the same images.
    if (s.held_out > 0) sets = fqt::held_out(sets.train, s.held_out, fqt::seed{0x5EED});
    if (s.train_images > 0) sets.train = sets.train.take(std::min(s.train_images, sets.train.size()));
    return sets;
}

} // namespace program
