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
#include <string_view>
#include <sys/stat.h>
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
    /// Grey of 16 bits, without a word on how bright its numbers are.
    std::string png16(const std::string& name, std::vector<std::uint16_t> row) const {
        std::FILE* file = std::fopen((path + "/" + name).c_str(), "wb");
        REQUIRE(file);
        png_structp to = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
        png_infop info = png_create_info_struct(to);
        png_init_io(to, file);
        png_set_IHDR(to, info, static_cast<png_uint_32>(row.size()), 1, 16, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE,
                     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
        png_write_info(to, info);
        png_set_swap(to);
        png_write_row(to, reinterpret_cast<png_bytep>(row.data()));
        png_write_end(to, info);
        png_destroy_write_struct(&to, &info);
        std::fclose(file);
        return path + "/" + name;
    }
    /// A pixel of each colour of a palette, (r, g, b, a).
    std::string png_palette(const std::string& name, const bytes& palette) const {
        png_image image{};
        image.version = PNG_IMAGE_VERSION;
        image.height = 1;
        image.width = image.colormap_entries = static_cast<png_uint_32>(palette.size() / 4);
        image.format = PNG_FORMAT_RGBA_COLORMAP;
        bytes pixels;
        for (std::uint8_t i = 0; i < palette.size() / 4; ++i) pixels.push_back(i);
        REQUIRE(png_image_write_to_file(&image, (path + "/" + name).c_str(), 0, pixels.data(), 0, palette.data()));
        return path + "/" + name;
    }
    std::string jpeg(const std::string& name, int height, int width, bytes pixels, int channels = 3) const {
        std::FILE* file = std::fopen((path + "/" + name).c_str(), "wb");
        REQUIRE(file);
        jpeg_compress_struct info{};
        jpeg_error_mgr errors{};
        info.err = jpeg_std_error(&errors);
        jpeg_create_compress(&info);
        jpeg_stdio_dest(&info, file);
        info.image_height = static_cast<JDIMENSION>(height);
        info.image_width = static_cast<JDIMENSION>(width);
        info.input_components = channels;
        info.in_color_space = channels == 1 ? JCS_GRAYSCALE : channels == 3 ? JCS_RGB : JCS_CMYK;
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
    place.jpeg("a/3.jpg", 8, 8, bytes(64, 77), 1);
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

TEST_CASE("the grey of a colour is its luma, in PNG as in JPEG files") {
    const classes place;
    place.make("a");
    place.png("a/1.png", 8, 8, plain(255, 0, 0));
    place.png("a/2.png", 8, 8, plain(0, 255, 0));
    place.png("a/3.png", 8, 8, plain(0, 0, 255));
    place.jpeg("a/4.jpg", 8, 8, plain(255, 0, 0));
    place.jpeg("a/5.jpg", 8, 8, plain(0, 255, 0));
    place.jpeg("a/6.jpg", 8, 8, plain(0, 0, 255));
    const fqt::dataset grey = fqt::image_folder(place.path, {.grey = true});
    const int luma[] = {76, 150, 29};
    for (int i = 0; i < 3; ++i) {
        CHECK(grey.pixels_of(i)[0] == luma[i]);
        CHECK(std::abs(grey.pixels_of(3 + i)[0] - luma[i]) <= 1);
    }
}

TEST_CASE("PNG files of 16 bits keep the upper ones") {
    const classes place;
    place.make("a");
    place.png16("a/1.png", {0, 0x4040, 0x8080, 0xffff});
    CHECK(fqt::image_folder(place.path, {.grey = true}).pixels == bytes{0, 64, 128, 255});
    CHECK(fqt::image_folder(place.path).pixels_of(0)[2] == 128);
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
    std::filesystem::remove(place.path + "/a/b");
    std::filesystem::create_symlink("b", place.path + "/a/b"); // to itself
    place.refuses("/a/b in the folder of a class is no file");
    std::filesystem::remove(place.path + "/a/b");
    REQUIRE(mkfifo((place.path + "/a/b").c_str(), 0600) == 0);
    place.refuses("/a/b in the folder of a class is no file");
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

TEST_CASE("what libpng and libjpeg would leave out, or not decode, is refused by name") {
    const classes place;
    place.make("a");
    const bytes palette = fqt::read_file(place.png_palette("a/1.png", {200, 100, 50, 255, 10, 20, 30, 0}));
    CHECK(fqt::image_folder(place.path).pixels == bytes{200, 0, 100, 0, 50, 0});
    const std::string_view chunk = "tRNS"; // damaged, it would be taken for opaque
    const auto at = std::search(palette.begin(), palette.end(), chunk.begin(), chunk.end()) - palette.begin();
    REQUIRE(at < std::ssize(palette));
    place.write("a/1.png", changed(palette, [&](bytes& f) { f[static_cast<std::size_t>(at) + 4] ^= 1u; }));
    place.refuses("a/1.png cannot be read as PNG (tRNS: CRC error)");

    place.jpeg("a/1.png", 8, 8, bytes(256, 9), 4);
    place.refuses("a/1.png cannot be read as JPEG (it has the four inks of CMYK); save it again, in RGB or grey");

    // 26000 x 27000, which would take gigabytes before it turned out to be damaged.
    const bytes small = fqt::read_file(place.jpeg("a/1.png", 8, 8, plain(1, 2, 3)));
    const bytes frame = {0xff, 0xc0, 0, 17, 8, 0, 8, 0, 8};
    const auto size = std::search(small.begin(), small.end(), frame.begin(), frame.end()) - small.begin() + 5;
    REQUIRE(size < std::ssize(small));
    place.write("a/1.png", changed(small, [&](bytes& f) {
                    const bytes huge = {26000 >> 8, 26000 & 255, 27000 >> 8, 27000 & 255};
                    std::copy(huge.begin(), huge.end(), f.begin() + size);
                }));
    place.refuses("a/1.png says it is a picture of 26000 x 27000");
}
