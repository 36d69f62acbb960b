#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Pictures in PNG or JPEG files, one folder a class: all in memory, or each unpacked when a batch needs it. A header of
// its own, which fqt.hpp does not include, so that a program which reads no such files need not link what unpacks them
// (-lpng -ljpeg).

#include <fqt/core/fail.hpp>
#include <fqt/core/parallel.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/io/picture_file.hpp>
#include <fqt/io/scale_picture.hpp>
#include <fqt/train/dataset.hpp>
#include <fqt/train/source.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <new>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace fqt {

struct image_folder_options {
    bool grey = false;   ///< one channel, the luma of coloured pictures; otherwise red, green and blue
    picture_size size{}; ///< to which pictures are scaled and cut (scale_picture); {0, 0}: all must be of one size
    int threads = 0;     ///< of image_folder, which unpack; 0: all
};

namespace detail {

/// What lies in a folder, sorted by name, without what is hidden by a dot.
inline std::vector<std::filesystem::path> sorted_entries(const std::filesystem::path& folder) {
    std::error_code problem;
    std::filesystem::directory_iterator entries(folder, problem);
    if (problem)
        fail("the folder %s cannot be read (%s); give one that has a folder of pictures for each class", folder.c_str(),
             problem.message().c_str());
    std::vector<std::filesystem::path> paths;
    for (const auto& entry : entries)
        if (entry.path().filename().native()[0] != '.') paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
    return paths;
}

} // namespace detail

/// A source for batches, evaluate and the trainer, from a folder in which each folder is a class and holds its
/// pictures, PNG or JPEG whatever their names end in:
///     fqt::image_files train("photos/train", {.size = {224, 224}});
///     train.scale = fqt::measure_scale(train); // unpacks all of it once; or give the scale that you know
/// Classes are numbered, and pictures ordered, by the bytes of their names. Files beside the folders, and names that
/// begin with a dot, are not read. Holds names alone; several threads may unpack at once.
class image_files {
public:
    shape image{}; ///< not to be changed
    int classes{}; ///< likewise
    pixel_scale scale{};
    std::vector<std::string> class_names{}; ///< the names of the folders

    /// Reads the names, and one picture where no size is given. Errors, each naming the file or folder: a folder that
    /// cannot be read; none or more than most_classes in it; a class without pictures, or with what is no file in it; a
    /// size of which one side alone is given, or that is not possible.
    explicit image_files(const std::string& folder, image_folder_options options = {}) : options_(options) {
        list(folder);
        classes = static_cast<int>(class_names.size());
        if (is_scaled()) {
            image = {options.grey ? 1 : 3, options.size.height, options.size.width};
        } else {
            const picture first = read_picture(paths_[0], options.grey);
            image = {first.channels, first.size.height, first.size.width};
        }
        check_image(image);
    }

    /// Number of pictures.
    int size() const { return static_cast<int>(paths_.size()); }

    /// Refuses a scale that is not usable.
    void check() const { scale.check(image.channels); }

    /// Unpacks picture n, 0 <= n < size(), unchecked, into `memory`, of image.size() bytes. Errors: those of
    /// read_picture; a picture of another size than the first, where none was given.
    labelled_pixels sample(int n, std::span<std::uint8_t> memory) const {
        const auto at = static_cast<std::size_t>(n);
        const picture one = read_picture(paths_[at], options_.grey);
        if (!is_scaled() && one.size != picture_size{image.height, image.width})
            fail("%s is a picture of %d x %d and %s one of %d x %d (height, width); all must be of one size, or be "
                 "scaled to one (image_folder_options::size, or --scale-pictures of the program)",
                 paths_[0].c_str(), image.height, image.width, paths_[at].c_str(), one.size.height, one.size.width);
        scale_picture(one.pixels, one.size, image, memory);
        return {memory, labels_[at]};
    }

private:
    bool is_scaled() const { return options_.size != picture_size{}; }

    void list(const std::string& folder) {
        for (const auto& place : detail::sorted_entries(folder)) {
            std::error_code ignored; // what cannot be looked at is no folder
            if (!std::filesystem::is_directory(place, ignored)) continue;
            check_classes(static_cast<int>(class_names.size()) + 1, folder.c_str());
            const std::vector<std::filesystem::path> files = detail::sorted_entries(place);
            if (files.empty())
                fail("the folder %s has no pictures, and each folder in %s is a class; add some, or remove it",
                     place.c_str(), folder.c_str());
            for (const auto& file : files) {
                if (std::filesystem::is_directory(file, ignored))
                    fail("the folder %s lies in that of a class, which holds pictures alone; "
                         "give the folder in which the classes lie",
                         file.c_str());
                // Opening a pipe would wait for ever.
                if (!std::filesystem::is_regular_file(file, ignored))
                    fail("%s in the folder of a class is no file, or a link to none; remove it", file.c_str());
                paths_.push_back(file.native());
                labels_.push_back(static_cast<class_label>(class_names.size()));
            }
            class_names.push_back(place.filename().native());
        }
        if (class_names.empty())
            fail("the folder %s has no folders in it; make one for each class, and put the class's pictures into it",
                 folder.c_str());
        if (paths_.size() > static_cast<std::size_t>(std::numeric_limits<int>::max()))
            fail("the folder %s has %zu pictures; it takes at most 2^31 - 1", folder.c_str(), paths_.size());
    }

    image_folder_options options_;
    std::vector<std::string> paths_;
    std::vector<class_label> labels_;
};

/// The same pictures as a data set in memory, with the scale measured from it. Errors: those of image_files and of its
/// sample(); more pictures than memory holds; threads below 0.
inline dataset image_folder(const std::string& folder, image_folder_options options = {}) {
    const image_files files(folder, options);
    dataset data;
    data.image = files.image;
    data.classes = files.classes;
    data.class_names = files.class_names;
    const auto size = static_cast<std::size_t>(files.image.size()), count = static_cast<std::size_t>(files.size());
    try {
        data.pixels.resize(size * count);
        data.labels.resize(count);
    } catch (const std::bad_alloc&) {
        fail("the %zu pictures of %s need %zu bytes of memory; take image_files, which unpacks them as batches need "
             "them",
             count, folder.c_str(), size * count);
    }
    parallel_for(files.size(), threads_of(options.threads), [&](int number, int) {
        const auto n = static_cast<std::size_t>(number);
        data.labels[n] = files.sample(number, std::span(data.pixels).subspan(n * size, size)).label;
    });
    data.scale = measure_scale(data, options.threads);
    return data;
}

} // namespace fqt
