#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// CIFAR-10 and CIFAR-100 (Krizhevsky, 2009) in their binary layout: files of records, each the label and then the
// pixels of one picture, 3 x 32 x 32, channel by channel. A CIFAR-100 record has two labels, of which the second, fine
// one is used. Files may hold fewer records than the published ones, so that reduced sets are read as well.

#include <fqt/core/fail.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/io/idx.hpp>
#include <fqt/train/dataset.hpp>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <span>
#include <string>
#include <sys/stat.h>
#include <utility>
#include <vector>

namespace fqt {

namespace detail {

/// What tells CIFAR-10's files from CIFAR-100's.
struct cifar_kind {
    const char* name;
    const char* subfolder; ///< that the published archive unpacks to
    std::vector<const char*> train;
    const char* test;
    const char* names; ///< of the file with a class name a line
    const char* files; ///< in words
    int classes;
    std::vector<int> labels; ///< number of classes of each label of a record; the last label is used

    std::size_t record() const { return labels.size() + static_cast<std::size_t>(picture.size()); }
    static constexpr shape picture{3, 32, 32};
};

inline const cifar_kind& cifar10_kind() {
    static const cifar_kind kind{
        "CIFAR-10",
        "cifar-10-batches-bin",
        {"data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin", "data_batch_4.bin", "data_batch_5.bin"},
        "test_batch.bin",
        "batches.meta.txt",
        "data_batch_1.bin to data_batch_5.bin and test_batch.bin",
        10,
        {10}};
    return kind;
}

inline const cifar_kind& cifar100_kind() {
    static const cifar_kind kind{
        "CIFAR-100", "cifar-100-binary", {"train.bin"}, "test.bin", "fine_label_names.txt", "train.bin and test.bin",
        100,         {20, 100}};
    return kind;
}

inline bool is_file(const std::string& path) {
    struct stat facts {};
    return stat(path.c_str(), &facts) == 0 && !S_ISDIR(facts.st_mode);
}

inline bool is_folder(const std::string& path) {
    struct stat facts {};
    return stat(path.c_str(), &facts) == 0 && S_ISDIR(facts.st_mode);
}

/// The folder itself where one of the files lies in it, or its subfolder with the archive's name.
inline std::string cifar_place(const cifar_kind& kind, const std::string& folder) {
    bool here = is_file(folder + "/" + kind.test);
    for (const char* file : kind.train) here = here || is_file(folder + "/" + file);
    const std::string below = folder + "/" + kind.subfolder;
    return !here && is_folder(below) ? below : folder;
}

inline bool has_cifar(const cifar_kind& kind, const std::string& folder) {
    const std::string place = cifar_place(kind, folder);
    bool all = is_file(place + "/" + kind.test);
    for (const char* file : kind.train) all = all && is_file(place + "/" + file);
    return all;
}

/// Appends the records of one file to `data`.
inline void append_cifar(const cifar_kind& kind, const std::string& path, dataset& data) {
    if (!is_file(path))
        fail("%s's file %s is missing; give the folder in which %s lie, or the one above it, %s", kind.name,
             path.c_str(), kind.files, kind.subfolder);
    const std::vector<std::uint8_t> bytes = read_file(path);
    if (bytes.empty()) fail("%s is empty, and a file of %s has records; fetch it again", path.c_str(), kind.name);
    const std::size_t record = kind.record(), labels = kind.labels.size();
    if (bytes.size() % record != 0)
        fail("%s has %zu bytes, which is not a whole number of %s's records of %zu; "
             "the file is cut short or of another kind, so fetch it again",
             path.c_str(), bytes.size(), kind.name, record);
    data.pixels.reserve(data.pixels.size() + bytes.size());
    for (std::size_t at = 0; at < bytes.size(); at += record) {
        const auto now = std::span(bytes).subspan(at, record);
        for (std::size_t i = 0; i < labels; ++i)
            if (now[i] >= kind.labels[i])
                fail("record %zu of %s has label %d, and %s's are below %d; "
                     "the file is damaged or of another kind, so fetch it again",
                     at / record, path.c_str(), int{now[i]}, kind.name, kind.labels[i]);
        data.labels.push_back(now[labels - 1]);
        data.pixels.insert(data.pixels.end(), now.begin() + static_cast<std::ptrdiff_t>(labels), now.end());
    }
}

/// The lines of a file of class names, without those that are empty.
inline std::vector<std::string> cifar_names(const cifar_kind& kind, const std::string& path) {
    std::vector<std::string> names(1);
    for (const std::uint8_t byte : read_file(path)) {
        if (byte != '\n' && byte != '\r') names.back() += static_cast<char>(byte);
        else if (!names.back().empty()) names.emplace_back();
    }
    if (names.back().empty()) names.pop_back();
    if (names.size() != static_cast<std::size_t>(kind.classes))
        fail("%s names %zu classes, and %s has %d; fetch it again, or remove it", path.c_str(), names.size(), kind.name,
             kind.classes);
    return names;
}

inline train_and_test read_cifar(const cifar_kind& kind, const std::string& folder,
                                 std::vector<std::string> class_names) {
    if (!is_folder(folder))
        fail("the folder %s does not exist; give the one in which %s's files %s lie, or the one above it, %s",
             folder.c_str(), kind.name, kind.files, kind.subfolder);
    const std::string place = cifar_place(kind, folder);
    if (const std::string names = place + "/" + kind.names; is_file(names)) class_names = cifar_names(kind, names);
    train_and_test sets;
    for (dataset* data : {&sets.train, &sets.test})
        *data = dataset{kind.picture, kind.classes, {}, {}, class_names, {}};
    for (const char* file : kind.train) append_cifar(kind, place + "/" + file, sets.train);
    append_cifar(kind, place + "/" + kind.test, sets.test);
    sets.train.scale = sets.test.scale = measure_scale(sets.train);
    return sets;
}

} // namespace detail

/// True where CIFAR-10's six files lie in `folder`, or in cifar-10-batches-bin within it.
inline bool has_cifar10(const std::string& folder) { return detail::has_cifar(detail::cifar10_kind(), folder); }

/// True where CIFAR-100's two files lie in `folder`, or in cifar-100-binary within it.
inline bool has_cifar100(const std::string& folder) { return detail::has_cifar(detail::cifar100_kind(), folder); }

/// CIFAR-10 from data_batch_1.bin to data_batch_5.bin and test_batch.bin, in `folder` or in cifar-10-batches-bin within
/// it: pictures of 3 x 32 x 32, ten classes, both sets on the scale measured from the training pictures. Class names
/// are those of batches.meta.txt, or the known ones where it is missing.
/// Errors: a folder or file that is missing; a file that is empty or no whole number of records; a label that is no
/// class; class names that are not ten.
inline train_and_test cifar10(const std::string& folder) {
    return detail::read_cifar(
        detail::cifar10_kind(), folder,
        {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"});
}

/// CIFAR-100 with its hundred fine labels from train.bin and test.bin, in `folder` or in cifar-100-binary within it,
/// likewise. Class names are those of fine_label_names.txt, or none where it is missing. Errors: those of cifar10.
inline train_and_test cifar100(const std::string& folder) {
    return detail::read_cifar(detail::cifar100_kind(), folder, {});
}

} // namespace fqt
