#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Files in IDX, the format of MNIST and its relatives: two zero bytes, a type, the number of dimensions, the dimensions
// as big-endian 32-bit numbers, then the values. Every way in which such a file can be wrong is an error that names the
// file, because a data set that is read wrongly trains without complaint. Compressed files: io/gzip.hpp.

#include <fqt/core/fail.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/train/dataset.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace fqt {

/// An array of unsigned bytes from an IDX file: one dimension for labels, three (samples, y, x) or four (samples,
/// channel, y, x) for images.
struct idx_array {
    std::string source; ///< the file, for messages
    std::vector<int> extents;
    std::vector<std::uint8_t> values;
};

/// A whole file. Errors: a file that is missing, is a folder, or cannot be read.
inline std::vector<std::uint8_t> read_file(const std::string& path) {
    struct closer {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    const std::unique_ptr<std::FILE, closer> file(std::fopen(path.c_str(), "rb"));
    if (!file) fail("the file %s cannot be opened (%s); check the path", path.c_str(), std::strerror(errno));
    std::vector<std::uint8_t> bytes;
    std::size_t used = 0;
    for (;;) {
        bytes.resize(used + (std::size_t{1} << 20));
        errno = 0;
        const std::size_t got = std::fread(bytes.data() + used, 1, bytes.size() - used, file.get());
        if (std::ferror(file.get()))
            fail("the file %s cannot be read (%s); check the path and the disk", path.c_str(), std::strerror(errno));
        used += got;
        if (got == 0) break;
    }
    bytes.resize(used);
    return bytes;
}

/// The IDX array in `bytes`; `source` names it in messages. Errors: anything but an array of unsigned bytes with one to
/// four dimensions that is exactly as long as it says.
inline idx_array parse_idx(std::vector<std::uint8_t> bytes, const std::string& source) {
    const char* name = source.c_str();
    if (bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b)
        fail("%s is compressed with gzip, and an IDX file was expected; read it with read_idx_gz of fqt/io/gzip.hpp",
             name);
    if (bytes.size() < 4)
        fail("%s has %zu bytes, and an IDX file has at least 4; the file is cut short, so fetch it again", name,
             bytes.size());
    if (bytes[0] != 0 || bytes[1] != 0)
        fail("%s begins with the bytes %02x %02x, and an IDX file with 00 00; it is a file of another kind", name,
             unsigned{bytes[0]}, unsigned{bytes[1]});
    if (bytes[2] != 0x08)
        fail("%s holds values of IDX type 0x%02x, and only 0x08, unsigned bytes, is read; convert it", name,
             unsigned{bytes[2]});
    const std::size_t dimensions = bytes[3], header = 4 + 4 * dimensions;
    if (dimensions < 1 || dimensions > 4)
        fail("%s has %zu dimensions; labels have 1, images 3 or 4, so it is a file of another kind", name, dimensions);
    if (bytes.size() < header)
        fail("%s has %zu bytes, and its header alone %zu; the file is cut short, so fetch it again", name, bytes.size(),
             header);

    idx_array array{source, {}, {}};
    std::uint64_t expected = 1;
    for (std::size_t d = 0; d < dimensions; ++d) {
        const std::uint8_t* b = bytes.data() + 4 + 4 * d;
        const std::uint32_t extent =
            std::uint32_t{b[0]} << 24 | std::uint32_t{b[1]} << 16 | std::uint32_t{b[2]} << 8 | std::uint32_t{b[3]};
        // Bounded, so that neither this product nor a later int overflows.
        constexpr std::uint64_t most = std::uint64_t{1} << 40;
        if (extent == 0) fail("dimension %zu of %s is 0, so it holds nothing; fetch a file that is not empty", d, name);
        if (extent > static_cast<std::uint32_t>(std::numeric_limits<int>::max()) || expected > most / extent)
            fail("dimension %zu of %s is %lu, which makes an array of more than 2^40 bytes; the header is damaged", d,
                 name, static_cast<unsigned long>(extent));
        expected *= extent;
        array.extents.push_back(static_cast<int>(extent));
    }
    const std::uint64_t found = bytes.size() - header;
    if (found != expected)
        fail("%s has %llu bytes of values, and its header announces %llu; the file is %s, so fetch it again", name,
             static_cast<unsigned long long>(found), static_cast<unsigned long long>(expected),
             found < expected ? "cut short" : "too long");
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(header));
    array.values = std::move(bytes);
    return array;
}

/// Reads a plain IDX file. Errors: those of read_file and parse_idx.
inline idx_array read_idx(const std::string& path) { return parse_idx(read_file(path), path); }

/// A data set from an array of images and one of labels, with the scale measured from the images. Errors, each naming
/// the file: labels where images belong or the reverse, images and labels that are not equally many, a label that is
/// not below `classes`.
inline dataset idx_dataset(idx_array images, const idx_array& labels, int classes,
                           std::vector<std::string> class_names = {}) {
    const std::size_t dimensions = images.extents.size();
    if (dimensions == 1)
        fail("%s was given as images and has 1 dimension, like labels; are the two files in each other's place?",
             images.source.c_str());
    if (dimensions != 3 && dimensions != 4)
        fail("%s was given as images and has %zu dimensions; "
             "images have 3 (samples, y, x) or 4 (samples, channel, y, x)",
             images.source.c_str(), dimensions);
    if (labels.extents.size() != 1)
        fail("%s was given as labels and has %zu dimensions, where labels have 1; "
             "are the two files in each other's place?",
             labels.source.c_str(), labels.extents.size());
    if (images.extents[0] != labels.extents[0])
        fail("%s has %d images and %s has %d labels; give files that belong together", images.source.c_str(),
             images.extents[0], labels.source.c_str(), labels.extents[0]);
    for (std::size_t n = 0; n < labels.values.size(); ++n)
        if (labels.values[n] >= classes)
            fail("label %zu of %s is %d, and there are %d classes; give the right number of classes, or the right file",
                 n, labels.source.c_str(), int{labels.values[n]}, classes);
    const std::vector<int>& e = images.extents;
    const shape image = dimensions == 4 ? shape{e[1], e[2], e[3]} : shape{1, e[1], e[2]};
    dataset data{image, classes, std::move(images.values), {}, std::move(class_names), {}};
    data.labels.assign(labels.values.begin(), labels.values.end());
    data.scale = measure_scale(data);
    return data;
}

} // namespace fqt
