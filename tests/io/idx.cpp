// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/io/idx.hpp>

#include <doctest/doctest.h>

#include "files.hpp"
#include <vector>

using doctest::Approx;
using doctest::Contains;
using fqt_test::bytes, fqt_test::changed, fqt_test::folder, fqt_test::labels_of, fqt_test::idx;

TEST_CASE("an IDX file of images and one of labels make a data set") {
    const folder place;
    const auto images = fqt::read_idx(place.write("images", idx({3, 2, 4})));
    CHECK(images.extents == std::vector<int>{3, 2, 4});
    CHECK(images.values.size() == 24);
    const auto labels = fqt::read_idx(place.write("labels", idx({3}, 2)));
    const fqt::dataset data = fqt::idx_dataset(images, labels, 2);
    CHECK(data.image == fqt::shape{1, 2, 4});
    CHECK(data.labels == labels_of{0, 1, 0});
    CHECK(data.pixels_of(1)[3] == 11);
    CHECK(data.scale.mean[0] == Approx(11.5 / 255));
    const auto coloured = fqt::parse_idx(idx({3, 3, 2, 4}), "coloured");
    CHECK(fqt::idx_dataset(coloured, labels, 2).image == fqt::shape{3, 2, 4});
}

TEST_CASE("IDX files that are damaged or of another kind are refused by name") {
    const auto refuses = [](const bytes& file, const char* what) {
        CHECK_THROWS_WITH_AS(fqt::parse_idx(file, "some/file"), Contains(what), fqt::error);
        CHECK_THROWS_WITH_AS(fqt::parse_idx(file, "some/file"), Contains("some/file"), fqt::error);
    };
    const bytes good = idx({3, 2, 4});
    refuses({}, "has 0 bytes");
    refuses({0, 0, 8}, "has 3 bytes");
    refuses(changed(good, [](bytes& f) { f[0] = 'P'; }), "begins with the bytes 50 00");
    refuses(changed(good, [](bytes& f) { f[2] = 0x0d; }), "IDX type 0x0d");
    refuses(changed(good, [](bytes& f) { f[3] = 0; }), "has 0 dimensions");
    refuses(changed(good, [](bytes& f) { f[3] = 5; }), "has 5 dimensions");
    refuses(changed(good, [](bytes& f) { f.resize(15); }), "has 15 bytes, and its header alone 16");
    refuses(changed(good, [](bytes& f) { f.pop_back(); }), "has 23 bytes of values, and its header announces 24");
    refuses(changed(good, [](bytes& f) { f.pop_back(); }), "cut short");
    refuses(changed(good, [](bytes& f) { f.push_back(1); }), "too long");
    refuses(changed(good, [](bytes& f) { f[7] = 0; }), "dimension 0 of some/file is 0");
    refuses(changed(good, [](bytes& f) { f[4] = 0x80; }), "dimension 0 of some/file is 2147483651");
    refuses(changed(good, [](bytes& f) { f[4] = f[8] = 0x7f; }), "the header is damaged");
    refuses({0x1f, 0x8b, 8, 0}, "compressed with gzip");
}

TEST_CASE("images and labels that do not belong together are refused by name") {
    const auto images = fqt::parse_idx(idx({3, 2, 4}), "images"), labels = fqt::parse_idx(idx({3}), "labels");
    CHECK_THROWS_WITH_AS(fqt::idx_dataset(labels, images, 3), Contains("labels was given as images"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::idx_dataset(images, images, 3), Contains("images was given as labels"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::idx_dataset(fqt::parse_idx(idx({3, 2}), "flat"), labels, 3),
                         Contains("flat was given as images and has 2 dimensions"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::idx_dataset(images, fqt::parse_idx(idx({4}), "labels"), 4),
                         Contains("images has 3 images and labels has 4 labels"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::idx_dataset(images, labels, 2), Contains("label 2 of labels is 2"), fqt::error);
}

TEST_CASE("files that are missing or folders are refused by name") {
    const folder place;
    CHECK_THROWS_WITH_AS(fqt::read_idx("/no/such/file"), Contains("/no/such/file cannot be opened (No such file"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(fqt::read_idx(place.path), Contains("Is a directory"), fqt::error);
}
