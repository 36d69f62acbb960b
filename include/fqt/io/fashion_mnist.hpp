#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Fashion-MNIST (Xiao, Rasul, Vollgraf, 2017; MIT licence): 60000 training and 10000 test pictures of clothes, 28 x 28
// grey, ten classes. The one data set that a distribution packages, so fqt's examples and measurements train on it.

#include <fqt/core/fail.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/io/gzip.hpp>
#include <fqt/io/idx.hpp>
#include <fqt/train/dataset.hpp>

#include <cstdio>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

namespace fqt {

/// Where Debian's package dataset-fashion-mnist puts its files.
inline constexpr const char* fashion_mnist_folder = "/usr/share/datasets/fashion-mnist";

namespace detail {

/// The path of folder/name.gz or folder/name, whichever can be opened, or nothing.
inline std::string fashion_mnist_file(const std::string& folder, const char* name) {
    for (const char* ending : {".gz", ""}) {
        std::string path = folder + "/" + name + ending;
        if (std::FILE* file = std::fopen(path.c_str(), "rb")) {
            std::fclose(file);
            return path;
        }
    }
    return {};
}

} // namespace detail

/// True where all four files of Fashion-MNIST can be opened.
inline bool has_fashion_mnist(const std::string& folder = fashion_mnist_folder) {
    for (const char* set : {"train", "t10k"})
        for (const char* kind : {"-images-idx3-ubyte", "-labels-idx1-ubyte"})
            if (detail::fashion_mnist_file(folder, (std::string(set) + kind).c_str()).empty()) return false;
    return true;
}

/// Both sets, on the scale measured from the training images. The files may be compressed or plain.
/// Errors: a missing file, and all that idx_dataset, gunzip and parse_idx refuse; pictures that are not 28 x 28.
inline train_and_test fashion_mnist(const std::string& folder = fashion_mnist_folder) {
    const std::vector<std::string> names = {"T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
                                            "Sandal",      "Shirt",   "Sneaker",  "Bag",   "Ankle boot"};
    const auto read = [&](const char* name) {
        const std::string path = detail::fashion_mnist_file(folder, name);
        if (path.empty())
            fail("Fashion-MNIST's file %s/%s.gz is missing; "
                 "install Debian's package dataset-fashion-mnist, or give the folder in which its four files lie",
                 folder.c_str(), name);
        return read_idx_gz(path);
    };
    const auto load = [&](const char* images, const char* labels) {
        idx_array pictures = read(images);
        const std::string source = pictures.source;
        dataset data = idx_dataset(std::move(pictures), read(labels), 10, names);
        if (data.image != shape{1, 28, 28})
            fail("%s has pictures of %d x %d x %d, where Fashion-MNIST's are 1 x 28 x 28; it is another data set",
                 source.c_str(), data.image.channels, data.image.height, data.image.width);
        return data;
    };
    train_and_test sets{load("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
                        load("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")};
    sets.test.scale = sets.train.scale;
    return sets;
}

} // namespace fqt
