// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/io/idx.hpp>
#include <fqt/io/image_folder.hpp>
#include <fqt/train/batches.hpp>

#include <doctest/doctest.h>

#include "files.hpp"
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

using doctest::Approx;
using doctest::Contains;
using fqt_test::bytes, fqt_test::changed, fqt_test::folder, fqt_test::labels_of;

namespace {

/// A folder of folders of pictures.
struct classes : folder {
    std::string make(const std::string& name) const {
        std::filesystem::create_directories(path + "/" + name);
        return path + "/" + name;
    }
    /// Pixels are (y, x, channel).
    std::string png(const std::string& name, int height, int width, const bytes& pixels,
                    png_uint_32 format = PNG_FORMAT_RGB) const {
        png_image image{};
        image.version = PNG_IMAGE_VERSION;
        image.height = static_cast<png_uint_32>(height);
        image.width = static_cast<png_uint_32>(width);
        image.format = format;
        REQUIRE(pixels.size() == PNG_IMAGE_SIZE(image));
        REQUIRE(png_image_write_to_file(&image, (path + "/" + name).c_str(), 0, pixels.data(), 0, nullptr));
        return path + "/" + name;
    }
    std::string jpeg(const std::string& name, int height, int width, bytes pixels, bool grey = false) const {
        std::FILE* file = std::fopen((path + "/" + name).c_str(), "wb");
        REQUIRE(file);
        jpeg_compress_struct info{};
        jpeg_error_mgr errors{};
        info.err = jpeg_std_error(&errors);
        jpeg_create_compress(&info);
        jpeg_stdio_dest(&info, file);
        info.image_height = static_cast<JDIMENSION>(height);
        info.image_width = static_cast<JDIMENSION>(width);
        info.input_components = grey ? 1 : 3;
        info.in_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
        jpeg_set_defaults(&info);
        jpeg_set_quality(&info, 100, TRUE);
        jpeg_start_compress(&info, TRUE);
        const std::size_t row = pixels.size() / static_cast<std::size_t>(height);
        while (info.next_scanline < info.image_height) {
            JSAMPROW now = pixels.data() + info.next_scanline * row;
            jpeg_write_scanlines(&info, &now, 1);
        }
        jpeg_finish_compress(&info);
        jpeg_destroy_compress(&info);
        std::fclose(file);
        return path + "/" + name;
    }
    void refuses(const std::string& what) const {
        CHECK_THROWS_WITH_AS(fqt::image_folder(path), Contains(what.c_str()), fqt::error);
    }
};

/// The colour (r, g, b) in all of 8 x 8 pixels.
bytes plain(std::uint8_t r, std::uint8_t g, std::uint8_t b) {
    bytes pixels;
    for (int i = 0; i < 64; ++i) pixels.insert(pixels.end(), {r, g, b});
    return pixels;
}

const bytes six = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18}; // 2 x 3 pixels

} // namespace

TEST_CASE("folders are classes and files pictures, both in the order of their names") {
    const classes place;
    for (const char* name : {"zebra", "ant", ".hidden"}) place.make(name);
    place.png("zebra/b.png", 2, 3, bytes(18, 200));
    place.png("zebra/a.png", 2, 3, six);
    place.png("ant/named.wrongly", 2, 3, bytes(18, 7));
    place.write("readme.txt", {'h', 'i'});
    place.write("ant/.listing", {'h', 'i'});
    const fqt::dataset data = fqt::image_folder(place.path);
    data.check();
    CHECK(data.image == fqt::shape{3, 2, 3});
    CHECK(data.classes == 2);
    CHECK(data.class_names == std::vector<std::string>{"ant", "zebra"});
    CHECK(data.labels == labels_of{0, 1, 1});
    const auto second = data.pixels_of(1);
    CHECK(bytes(second.begin(), second.end()) == bytes{1, 4, 7, 10, 13, 16, 2, 5, 8, 11, 14, 17, 3, 6, 9, 12, 15, 18});
    CHECK(data.pixels_of(0)[17] == 7);
    CHECK(data.pixels_of(2)[0] == 200);
    CHECK(data.scale.mean[0] == Approx((7 + 8.5 + 200) / 3 / 255));
}

TEST_CASE("grey and transparent pictures become coloured ones, and coloured ones grey") {
    const classes place;
    place.make("a");
    place.png("a/1.png", 1, 2, {5, 250}, PNG_FORMAT_GRAY);
    place.png("a/2.png", 1, 2, {10, 20, 30, 255, 10, 20, 30, 0}, PNG_FORMAT_RGBA);
    place.png("a/3.png", 1, 2, {0, 0, 0, 255, 255, 255});
    const fqt::dataset coloured = fqt::image_folder(place.path);
    CHECK(coloured.pixels == bytes{5, 250, 5, 250, 5, 250, 10, 0, 20, 0, 30, 0, 0, 255, 0, 255, 0, 255});
    const fqt::dataset grey = fqt::image_folder(place.path, {.grey = true});
    CHECK(grey.image == fqt::shape{1, 1, 2});
    CHECK(grey.pixels_of(0)[1] == 250);
    CHECK(grey.pixels_of(2)[0] == 0);
    CHECK(grey.pixels_of(2)[1] == 255);
}

TEST_CASE("JPEG files are read beside PNG files, coloured and grey") {
    const classes place;
    place.make("a");
    place.png("a/1.png", 8, 8, plain(200, 100, 50));
    place.jpeg("a/2.jpg", 8, 8, plain(200, 100, 50));
    place.jpeg("a/3.jpg", 8, 8, bytes(64, 77), true);
    const fqt::dataset data = fqt::image_folder(place.path);
    CHECK(data.size() == 3);
    for (std::size_t i = 0; i < 192; ++i) {
        const int colour[] = {200, 100, 50};
        CHECK(data.pixels_of(0)[i] == colour[i / 64]);
        CHECK(std::abs(data.pixels_of(1)[i] - colour[i / 64]) <= 2);
        CHECK(data.pixels_of(2)[i] == 77);
    }
    const fqt::dataset grey = fqt::image_folder(place.path, {.grey = true});
    CHECK(std::abs(grey.pixels_of(1)[9] - 124) <= 1); // 0.299 200 + 0.587 100 + 0.114 50
    CHECK(grey.pixels_of(2)[9] == 77);
}

TEST_CASE("folders without classes or pictures are refused by name") {
    const classes place;
    CHECK_THROWS_WITH_AS(fqt::image_folder("/no/such/folder"), Contains("/no/such/folder cannot be read (No such file"),
                         fqt::error);
    place.refuses(place.path + " has no folders in it");
    place.png("1.png", 2, 3, six);
    place.refuses("has no folders in it; make one for each class");
    place.make("a");
    place.refuses("/a has no pictures");
    place.make("a/b");
    place.refuses("/a/b lies in that of a class");
}

TEST_CASE("folders may be more than a byte counts") {
    const classes many;
    for (int k = 100; k < 400; ++k) {
        const std::string name = "class" + std::to_string(k);
        many.make(name);
        many.png(name + "/1.png", 1, 1, {0, 0, 0});
    }
    const fqt::dataset data = fqt::image_folder(many.path);
    CHECK(data.classes == 300);
    CHECK(data.class_names[299] == "class399");
    CHECK(data.labels[299] == 299);
}

TEST_CASE("pictures of two sizes are refused with both files and sizes") {
    const classes place;
    place.make("a");
    place.make("b");
    place.png("a/1.png", 2, 3, six);
    place.png("b/2.png", 3, 2, six);
    place.refuses("a/1.png is a picture of 2 x 3 and ");
    place.refuses("b/2.png one of 3 x 2 (height, width); all must be of one size, or be scaled to one "
                  "(image_folder_options::size");
}

TEST_CASE("pictures of all sizes become one size where it is given") {
    const classes place;
    place.make("a");
    place.make("b");
    place.png("a/1.png", 2, 3, six); // its first two columns
    place.png("b/2.png", 1, 1, {7, 8, 9});
    place.jpeg("b/3.jpg", 8, 8, plain(200, 100, 50));
    const fqt::dataset data = fqt::image_folder(place.path, {.size = {1, 1}});
    CHECK(data.image == fqt::shape{3, 1, 1});
    CHECK(data.size() == 3);
    const auto first = data.pixels_of(0);
    CHECK(bytes(first.begin(), first.end()) == bytes{7, 8, 9}); // of 1 4 10 13 and so on, halves up
    CHECK(data.pixels_of(1)[2] == 9);
    CHECK(std::abs(data.pixels_of(2)[0] - 200) <= 2);
    CHECK(fqt::image_folder(place.path, {.grey = true, .size = {4, 6}}).image == fqt::shape{1, 4, 6});
    CHECK_THROWS_WITH_AS(fqt::image_folder(place.path, {.size = {4, 0}}),
                         Contains("an image of 3 x 4 x 0 (channels, height, width) is not possible"), fqt::error);
}

TEST_CASE("pictures that stay in their files are the same ones, batch by batch") {
    const classes place;
    place.make("a");
    place.make("b");
    for (int i = 0; i < 5; ++i) {
        const std::string name = (i % 2 == 0 ? "a/" : "b/") + std::to_string(i) + ".png";
        place.png(name, 2 + i, 3, bytes(static_cast<std::size_t>(9 * (2 + i)), static_cast<std::uint8_t>(40 * i)));
    }
    fqt::image_files files(place.path, {.size = {2, 2}});
    const fqt::dataset data = fqt::image_folder(place.path, {.size = {2, 2}});
    CHECK(files.size() == 5);
    CHECK(files.classes == 2);
    CHECK(files.class_names == data.class_names);
    CHECK(fqt::measure_scale(files) == data.scale);
    files.scale = data.scale;
    fqt::batches of_files(files, {.size = 2, .threads = 2, .ahead = true}), of_data(data, {.size = 2});
    for (int n = 0; n < 3; ++n) {
        const auto one = of_files.next(), other = of_data.next();
        REQUIRE(one);
        REQUIRE(other);
        CHECK(std::ranges::equal(one->images, other->images));
        CHECK(std::ranges::equal(one->labels, other->labels));
    }
    CHECK(!of_files.next());
    std::filesystem::remove(place.path + "/b/3.png"); // while it is in use
    of_files.start(1);
    CHECK_THROWS_WITH_AS(
        [&] {
            while (of_files.next()) {}
        }(),
        Contains("b/3.png cannot be opened"), fqt::error);
}

TEST_CASE("files that are no pictures, or damaged ones, are refused by name") {
    const classes place;
    place.make("a");
    place.write("a/1.gif", {'G', 'I', 'F', '8', '9', 'a', 0, 0, 0});
    place.refuses("a/1.gif is neither PNG nor JPEG");
    place.write("a/1.gif", {});
    place.refuses("a/1.gif is neither PNG nor JPEG");
    std::filesystem::remove(place.path + "/a/1.gif");

    bytes noise(3 * 64 * 64);
    std::uint32_t state = 1;
    for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
    const bytes png = fqt::read_file(place.png("a/1.png", 64, 64, noise));
    const bytes jpeg = fqt::read_file(place.jpeg("a/1.png", 64, 64, noise)); // by content, not by name
    CHECK(fqt::image_folder(place.path).size() == 1);
    for (const std::size_t size : {std::size_t{8}, std::size_t{20}, png.size() / 2}) {
        place.write("a/1.png", changed(png, [&](bytes& f) { f.resize(size); }));
        place.refuses("a/1.png cannot be read as PNG (");
    }
    place.write("a/1.png", changed(png, [](bytes& f) { f[f.size() / 2] ^= 1u; }));
    place.refuses("a/1.png cannot be read as PNG (");
    for (const std::size_t size : {std::size_t{3}, std::size_t{100}, jpeg.size() / 2, jpeg.size() - 40}) {
        place.write("a/1.png", changed(jpeg, [&](bytes& f) { f.resize(size); }));
        place.refuses("a/1.png cannot be read as JPEG (");
    }
}
