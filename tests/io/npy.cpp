// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/io/npy.hpp>

#include <doctest/doctest.h>

#include "files.hpp"
#include <bit>
#include <cstdint>
#include <string>
#include <vector>

using doctest::Approx;
using doctest::Contains;
using fqt_test::bytes, fqt_test::changed, fqt_test::folder, fqt_test::labels_of;

namespace {

/// A .npy file as numpy.save writes it: the header padded with blanks to a multiple of 64, then the values.
bytes npy(const std::string& descr, const std::string& extents, const bytes& values, unsigned version = 1,
          const std::string& order = "False") {
    bytes file = {0x93, 'N', 'U', 'M', 'P', 'Y', static_cast<std::uint8_t>(version), 0};
    std::string header = "{'descr': " + descr + ", 'fortran_order': " + order + ", 'shape': " + extents + ", }";
    const std::size_t start = version == 1 ? 10 : 12;
    while ((start + header.size() + 1) % 64 != 0) header += ' ';
    header += '\n';
    for (std::size_t b = 8; b < start; ++b) file.push_back(static_cast<std::uint8_t>(header.size() >> 8 * (b - 8)));
    file.insert(file.end(), header.begin(), header.end());
    file.insert(file.end(), values.begin(), values.end());
    return file;
}

/// Values of `size` bytes, little-endian.
bytes little_endian(const std::vector<std::int64_t>& values, int size) {
    bytes result;
    for (const std::int64_t value : values)
        for (int b = 0; b < size; ++b)
            result.push_back(static_cast<std::uint8_t>(static_cast<std::uint64_t>(value) >> 8 * b));
    return result;
}

bytes floats(const std::vector<float>& values) {
    std::vector<std::int64_t> bits;
    for (const float value : values) bits.push_back(std::bit_cast<std::uint32_t>(value));
    return little_endian(bits, 4);
}

bytes counted(int count) {
    bytes values;
    for (int i = 0; i < count; ++i) values.push_back(static_cast<std::uint8_t>(i));
    return values;
}

fqt::npy_array images(const std::string& extents, int count) {
    return fqt::parse_npy(npy("'|u1'", extents, counted(count)), "images");
}

fqt::npy_array labels(const std::vector<std::int64_t>& values) {
    return fqt::parse_npy(npy("'<i8'", "(" + std::to_string(values.size()) + ",)", little_endian(values, 8)), "labels");
}

} // namespace

TEST_CASE("bytes and labels from .npy files of every version make a data set") {
    const folder place;
    for (const unsigned version : {1u, 2u, 3u}) {
        const auto pictures = fqt::read_npy(place.write("images.npy", npy("'|u1'", "(2, 2, 3)", counted(12), version)));
        CHECK(pictures.extents == std::vector<int>{2, 2, 3});
        const fqt::dataset data = fqt::npy_dataset(pictures, labels({1, 0}), 2, {.class_names = {"a", "b"}});
        CHECK(data.image == fqt::shape{1, 2, 3});
        CHECK(data.labels == labels_of{1, 0});
        CHECK(data.pixels == counted(12));
        CHECK(data.scale.mean[0] == Approx(5.5 / 255));
        CHECK(data.class_names[1] == "b");
    }
}

TEST_CASE("channels are first or last, and where that is in doubt it must be said") {
    const auto first = fqt::npy_dataset(images("(2, 3, 1, 2)", 12), labels({0, 1}), 2);
    CHECK(first.image == fqt::shape{3, 1, 2});
    CHECK(first.pixels == counted(12));
    const auto last = fqt::npy_dataset(images("(2, 1, 2, 3)", 12), labels({0, 1}), 2, {.channels_last = true});
    CHECK(last.image == fqt::shape{3, 1, 2});
    CHECK(last.pixels == bytes{0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11});

    const auto doubtful = images("(1, 4, 4, 3)", 48);
    CHECK_THROWS_WITH_AS(fqt::npy_dataset(doubtful, labels({0}), 1),
                         Contains("images is 1 x 4 x 4 x 3: its channels seem to be last"), fqt::error);
    CHECK(fqt::npy_dataset(doubtful, labels({0}), 1, {.channels_last = true}).image == fqt::shape{3, 4, 4});
    CHECK(fqt::npy_dataset(doubtful, labels({0}), 1, {.channels_last = false}).image == fqt::shape{4, 4, 3});
    CHECK(fqt::npy_dataset(images("(1, 4, 4)", 16), labels({0}), 1, {.channels_last = true}).image
          == fqt::shape{1, 4, 4});
}

TEST_CASE("floats become 256 levels of their range, channels first or last") {
    const auto pictures = fqt::parse_npy(npy("'<f4'", "(1, 1, 2, 2)", floats({-1, 1, 0.2f, -0.6f})), "floats");
    CHECK(fqt::npy_dataset(pictures, labels({0}), 1, {.range = {-1, 1}}).pixels == bytes{0, 255, 153, 51});
    CHECK(fqt::npy_dataset(pictures, labels({0}), 1, {.channels_last = true, .range = {-1, 1}}).pixels
          == bytes{0, 153, 255, 51});
    CHECK_THROWS_WITH_AS(fqt::npy_dataset(pictures, labels({0}), 1),
                         Contains("the pictures of floats are refused: sample 0 is -1 at channel 0"), fqt::error);
}

TEST_CASE("labels may be bytes or integers of 4 or 8 bytes, in a row or a column") {
    const auto reads = [](const std::string& descr, const std::string& extents, int size) {
        const auto file = fqt::parse_npy(npy(descr, extents, little_endian({0, 2, 255}, size)), "labels");
        CHECK(fqt::npy_dataset(images("(3, 1, 2)", 6), file, 256).labels == labels_of{0, 2, 255});
    };
    reads("'|u1'", "(3,)", 1);
    reads("'<i4'", "(3,)", 4);
    reads("'<i8'", "(3, 1)", 8);
    reads("\"<i8\"", "( 3 , )", 8);
    const auto refuses = [](const fqt::npy_array& file, int classes, const char* what) {
        CHECK_THROWS_WITH_AS(fqt::npy_dataset(images("(3, 1, 2)", 6), file, classes), Contains(what), fqt::error);
    };
    CHECK(fqt::npy_dataset(images("(3, 1, 2)", 6), labels({0, 1, 299}), 300).labels == labels_of{0, 1, 299});
    refuses(labels({0, 1, 3}), 3, "label 2 of labels is 3, and there are 3 classes");
    refuses(labels({0, -1, 0}), 3, "label 1 of labels is -1");
    refuses(labels({0, 1, 300}), 300, "label 2 of labels is 300");
    refuses(labels({0, 1, 2}), 65537, "labels has 65537 classes");
    refuses(labels({std::int64_t{1} << 40, 1, 2}), 3, "label 0 of labels is 1099511627776");
    refuses(fqt::parse_npy(npy("'<i4'", "(3,)", little_endian({0, 1, -5}, 4)), "labels"), 3, "label 2 of labels is -5");
}

TEST_CASE(".npy files that do not belong together, or hold something else, are refused by name") {
    const auto refuses = [](const fqt::npy_array& pictures, const fqt::npy_array& answers, const char* what) {
        CHECK_THROWS_WITH_AS(fqt::npy_dataset(pictures, answers, 9), Contains(what), fqt::error);
    };
    const auto good = images("(2, 1, 3)", 6);
    refuses(good, labels({1, 2, 3}), "images has 2 pictures and labels has 3 labels");
    refuses(good, good, "images was given as labels and has 3 dimensions");
    refuses(labels({1, 2}), good, "labels was given as pictures and holds integers of 8 bytes");
    refuses(images("(2, 3)", 6), labels({1, 2}), "images was given as pictures and has 2 dimensions");
    refuses(good, fqt::parse_npy(npy("'<f4'", "(2,)", floats({0, 1})), "labels"),
            "labels was given as labels and holds floats");
}

TEST_CASE(".npy files that are damaged or of another kind are refused by name") {
    const auto refuses = [](const bytes& file, const char* what) {
        CHECK_THROWS_WITH_AS(fqt::parse_npy(file, "some/file"), Contains(what), fqt::error);
        CHECK_THROWS_WITH_AS(fqt::parse_npy(file, "some/file"), Contains("some/file"), fqt::error);
    };
    const bytes good = npy("'|u1'", "(2, 3)", counted(6)), values = counted(6);
    refuses({}, "has 0 bytes");
    refuses({'P', 'K', 3, 4}, "zip archive");
    refuses(changed(good, [](bytes& f) { f[1] = 'M'; }), "does not begin as a .npy file does");
    refuses(changed(good, [](bytes& f) { f[6] = 4; }), "version 4");
    refuses(changed(good, [](bytes& f) { f[6] = 0; }), "version 0");
    refuses(changed(good, [](bytes& f) { f.resize(60); }), "has 60 bytes, and its header alone 128");
    refuses(changed(npy("'|u1'", "(6,)", values, 2), [](bytes& f) { f.resize(11); }), "cut short");
    refuses(changed(good, [](bytes& f) { f.pop_back(); }), "has 5 bytes of values, and its header announces 6");
    refuses(changed(good, [](bytes& f) { f.push_back(1); }), "too long");
    refuses(npy("'|u1'", "(2, 3)", values, 1, "True"), "Fortran order");
    refuses(npy("'>f4'", "(2, 3)", values), "NumPy's type >f4");
    refuses(npy("'<f8'", "(2, 3)", values), "save pictures as array.astype('u1') or ('<f4')");
    refuses(npy("[('a', '<f4')]", "(2, 3)", values), "NumPy's type [('a'");
    refuses(npy("'|u1", "", values), "NumPy's type ");
    refuses(npy("'|u1'", "6", values), "shape in the header of some/file is not a tuple");
    refuses(npy("'|u1'", "()", values), "single number");
    refuses(npy("'|u1'", "(2, 0)", values), "dimension 1 of some/file is 0");
    refuses(npy("'|u1'", "(2, -3)", values), "extent -3 in the header");
    refuses(npy("'|u1'", "(2, 3L)", values), "extent 3L in the header");
    refuses(npy("'|u1'", "(99999999999999999999999,)", values), "is no size");
    refuses(npy("'|u1'", "(2147483647, 2147483647)", values), "the header is damaged");
    refuses(npy("'|u1'", "(4294967297,)", values), "the header is damaged");
    refuses(changed(good, [](bytes& f) { f[13] = 'x'; }), "has no 'descr'");
    CHECK_THROWS_WITH_AS(fqt::read_npy("/no/such/file"), Contains("/no/such/file cannot be opened"), fqt::error);
}
