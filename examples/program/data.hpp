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

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <filesystem>
#include <initializer_list>
#include <set>
#include <string>

namespace program {

/// The data sets that --data knows by a word.
inline const std::vector<std::string> data_words{"fashion-mnist", "generated", "generated-grey"};

namespace detail {

inline fqt::train_and_test generated(fqt::shape image) {
    return fqt::split(fqt::generated_images(10, image, 6000, fqt::seed{7}), 5000);
}

#if __has_include(<png.h>) && __has_include(<jpeglib.h>)
inline fqt::train_and_test read_pictures(const std::string& folder, const settings& s, fqt::shape input) {
    fqt::image_folder_options options{.grey = input.channels == 1, .threads = s.threads};
    if (s.scale_pictures) options.size = {input.height, input.width};
    fqt::train_and_test sets{fqt::image_folder(folder + "/train", options),
                             fqt::image_folder(folder + "/test", options)};
    if (sets.train.class_names != sets.test.class_names)
        fqt::fail("the folders train and test in %s have other classes; give both a folder for each class",
                  folder.c_str());
    sets.test.scale = sets.train.scale;
    return sets;
}
#endif

enum class data_files { cifar10, cifar100, mnist, pictures, unknown };

/// What the folder's files are is known by any of their names, so that a reader can say which of them is missing.
inline data_files files_of(const std::string& folder) {
    const auto has = [&](std::initializer_list<const char*> files) {
        return std::ranges::any_of(files, [&](const char* file) {
            std::error_code ignored;
            return std::filesystem::exists(std::filesystem::path(folder) / file, ignored);
        });
    };
    if (has({"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin",
             "test_batch.bin", "cifar-10-batches-bin"}))
        return data_files::cifar10;
    if (has({"train.bin", "test.bin", "cifar-100-binary"})) return data_files::cifar100;
    if (has({"train-images-idx3-ubyte", "train-images-idx3-ubyte.gz", "t10k-images-idx3-ubyte",
             "t10k-images-idx3-ubyte.gz"}))
        return data_files::mnist;
    return has({"train", "test"}) ? data_files::pictures : data_files::unknown;
}

inline fqt::train_and_test read_folder(data_files files, const std::string& folder, const settings& s,
                                       fqt::shape input) {
    switch (files) {
    case data_files::cifar10:
        return fqt::cifar10(folder);
    case data_files::cifar100:
        return fqt::cifar100(folder);
    case data_files::mnist: {
        fqt::train_and_test sets = fqt::fashion_mnist(folder);
        sets.train.class_names = sets.test.class_names = {}; // MNIST has the same files
        return sets;
    }
    case data_files::pictures:
#if __has_include(<png.h>) && __has_include(<jpeglib.h>)
        return read_pictures(folder, s, input);
#else
        static_cast<void>(s), static_cast<void>(input);
        fqt::fail(
            "--data %s holds folders of pictures, and this program was built without libpng and libjpeg; build it "
            "with both (Debian: libpng-dev libjpeg62-turbo-dev)",
            folder.c_str());
#endif
    case data_files::unknown:
        break;
    }
    fqt::fail("--data %s holds no data set that is known: give a folder with the binary files of CIFAR-10 "
              "(data_batch_1.bin, ...) or CIFAR-100 (train.bin), with the four IDX files of MNIST or Fashion-MNIST, or "
              "with folders train and test that hold a folder of PNG or JPEG files for each class; or one of the words "
              "fashion-mnist, generated and generated-grey",
              folder.c_str());
}

} // namespace detail

/// Training and test set of a run; with held_out, images of the training set stand for the test set. Pictures in
/// folders are read for a network's `input`.
/// Errors: a folder that does not exist or whose files are of no known kind, scale_pictures without pictures, and all
/// that their readers refuse.
inline fqt::train_and_test load_data(const settings& s, fqt::shape input) {
    fqt::train_and_test sets = [&] {
        const bool is_word = std::ranges::count(data_words, s.data) > 0;
        std::error_code ignored;
        if (!is_word && !std::filesystem::is_directory(s.data, ignored))
            fqt::fail("there is no folder %s; --data takes a folder with a data set, or a word, of which the nearest "
                      "are %s",
                      s.data.c_str(), nearest(s.data, data_words).c_str());
        const detail::data_files files = is_word ? detail::data_files::unknown : detail::files_of(s.data);
        if (s.scale_pictures && files != detail::data_files::pictures)
            fqt::fail("--scale-pictures is given, and %s holds no folders of PNG or JPEG files; leave it out",
                      s.data.c_str());
        if (s.data == "generated") return detail::generated({3, 32, 32});
        if (s.data == "generated-grey") return detail::generated({1, 28, 28});
        if (s.data == "fashion-mnist") return fqt::fashion_mnist();
        return detail::read_folder(files, s.data, s, input);
    }();
    // The seed of the split is not the run's, so that runs are compared on the same images.
    if (s.held_out > 0) sets = fqt::held_out(sets.train, s.held_out, fqt::seed{0x5EED});
    if (s.train_images > 0) {
        const auto classes_of = [](const fqt::dataset& d) {
            return std::set<fqt::class_label>(d.labels.begin(), d.labels.end()).size();
        };
        const std::size_t all = classes_of(sets.train);
        const bool by_class = std::ranges::is_sorted(sets.train.labels); // as pictures in folders are
        sets.train = sets.train.take(std::min(s.train_images, sets.train.size()));
        if (const std::size_t some = classes_of(sets.train); by_class && some < all)
            fqt::fail("the first %d training images of %s are of %zu of its %zu classes; give more --train-images",
                      s.train_images, s.data.c_str(), some, all);
    }
    return sets;
}

/// "50000 images, 8d1e52cf96a40b73": their number, and a hash (FNV-1a, number by number) of pixels and labels.
inline std::string fingerprint(const fqt::dataset& data) {
    std::uint64_t hash = 0xcbf29ce484222325u;
    const auto add = [&](const auto& numbers) {
        for (const auto number : numbers) hash = (hash ^ number) * 0x100000001b3u;
    };
    add(data.pixels), add(data.labels);
    char text[64];
    std::snprintf(text, sizeof text, "%d images, %016" PRIx64, data.size(), hash);
    return text;
}

} // namespace program
