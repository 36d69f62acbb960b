#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What the tests of files share: a folder that vanishes, and IDX files made by hand.

#include <fqt/train/labels.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <unistd.h>
#include <vector>

namespace fqt_test {

using bytes = std::vector<std::uint8_t>;
using labels_of = std::vector<fqt::class_label>;

/// A folder that vanishes with the test.
struct folder {
    static inline int made = 0;
    std::string path = std::filesystem::temp_directory_path().string() + "/fqt_" + std::to_string(getpid()) + "_"
        + std::to_string(made++);
    folder() { std::filesystem::create_directories(path); }
    ~folder() { std::filesystem::remove_all(path); }

    std::string write(const std::string& name, const bytes& content) const {
        const std::string whole = path + "/" + name;
        std::FILE* file = std::fopen(whole.c_str(), "wb");
        REQUIRE(file);
        if (!content.empty()) CHECK(std::fwrite(content.data(), 1, content.size(), file) == content.size());
        std::fclose(file);
        return whole;
    }
};

/// An IDX file of these dimensions, its values 0, 1, 2, ... modulo `modulus`.
inline bytes idx(const std::vector<unsigned>& extents, unsigned modulus = 256) {
    bytes file = {0, 0, 8, static_cast<std::uint8_t>(extents.size())};
    std::size_t size = 1;
    for (const unsigned extent : extents) {
        for (const unsigned shift : {24u, 16u, 8u, 0u}) file.push_back(static_cast<std::uint8_t>(extent >> shift));
        size *= extent;
    }
    for (std::size_t i = 0; i < size; ++i) file.push_back(static_cast<std::uint8_t>(i % modulus));
    return file;
}

/// The same file after change(file).
template <class F>
bytes changed(bytes file, F&& change) {
    change(file);
    return file;
}

} // namespace fqt_test
