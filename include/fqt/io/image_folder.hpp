#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Pictures in PNG or JPEG files, one folder a class, unpacked by libpng and libjpeg. A header of its own, which fqt.hpp
// does not include, so that a program which reads no such files need not link them (-lpng -ljpeg).

#include <fqt/core/fail.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/train/dataset.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <jpeglib.h> // after <cstdio>, which it needs and does not include
#include <memory>
#include <png.h>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

namespace fqt {

struct image_folder_options {
    bool grey = false; ///< one channel, the luma of coloured pictures; otherwise red, green and blue
};

namespace detail {

/// A PNG file being read.
class png_file {
public:
    explicit png_file(std::FILE* file) {
        image_.version = PNG_IMAGE_VERSION;
        good_ = png_image_begin_read_from_stdio(&image_, file) != 0;
    }
    ~png_file() { png_image_free(&image_); }
    png_file(const png_file&) = delete;
    png_file& operator=(const png_file&) = delete;

    bool good() const { return good_; }
    const char* problem() const { return image_.message; }
    int height() const { return static_cast<int>(image_.height); }
    int width() const { return static_cast<int>(image_.width); }

    /// Writes the pixels as (y, x, channel); what is transparent is laid over black.
    bool read(bool grey, std::uint8_t* to) {
        image_.format = grey ? PNG_FORMAT_GRAY : PNG_FORMAT_RGB;
        const png_color black{0, 0, 0};
        return png_image_finish_read(&image_, &black, to, 0, nullptr) != 0;
    }

private:
    png_image image_{};
    bool good_{};
};

/// A JPEG file being read. libjpeg leaves a file that is bad by longjmp, so functions with setjmp have no objects
/// whose destructors would be passed over.
class jpeg_file {
public:
    explicit jpeg_file(std::FILE* file) { good_ = begin(file); }
    ~jpeg_file() { jpeg_destroy_decompress(&info_); }
    jpeg_file(const jpeg_file&) = delete;
    jpeg_file& operator=(const jpeg_file&) = delete;

    bool good() const { return good_; }
    const char* problem() const { return errors_.text.data(); }
    int height() const { return static_cast<int>(info_.image_height); }
    int width() const { return static_cast<int>(info_.image_width); }

    /// Writes the pixels as (y, x, channel). libjpeg only warns of data that ends too early; here a warning is a
    /// failure.
    bool read(bool grey, std::uint8_t* to) {
        if (setjmp(errors_.back)) return false;
        info_.out_color_space = grey ? JCS_GRAYSCALE : JCS_RGB;
        jpeg_start_decompress(&info_);
        while (info_.output_scanline < info_.output_height) {
            JSAMPROW row = to
                + std::size_t{info_.output_scanline} * info_.output_width
                    * static_cast<std::size_t>(info_.output_components);
            jpeg_read_scanlines(&info_, &row, 1);
        }
        jpeg_finish_decompress(&info_);
        return errors_.base.num_warnings == 0;
    }

private:
    struct error_state {
        jpeg_error_mgr base{}; // first, so that a pointer to it is one to this
        std::jmp_buf back{};
        std::array<char, JMSG_LENGTH_MAX> text{};
    };

    bool begin(std::FILE* file) {
        info_.err = jpeg_std_error(&errors_.base);
        errors_.base.error_exit = [](j_common_ptr info) {
            auto* errors = reinterpret_cast<error_state*>(info->err);
            info->err->format_message(info, errors->text.data());
            std::longjmp(errors->back, 1);
        };
        errors_.base.emit_message = [](j_common_ptr info, int level) {
            if (level < 0 && info->err->num_warnings++ == 0)
                info->err->format_message(info, reinterpret_cast<error_state*>(info->err)->text.data());
        };
        if (setjmp(errors_.back)) return false;
        jpeg_create_decompress(&info_);
        jpeg_stdio_src(&info_, file);
        jpeg_read_header(&info_, TRUE);
        return true;
    }

    jpeg_decompress_struct info_{};
    error_state errors_;
    bool good_{};
};

/// What becomes a data set, picture by picture.
struct image_gatherer {
    bool grey{};
    dataset data{};
    std::string first{}; ///< file, whose size all others must have
    std::vector<std::uint8_t> interleaved{};

    /// Appends one picture of the class `label`.
    void add(const std::string& path, std::size_t label) {
        struct closer {
            void operator()(std::FILE* file) const { std::fclose(file); }
        };
        const std::unique_ptr<std::FILE, closer> file(std::fopen(path.c_str(), "rb"));
        if (!file) fail("the file %s cannot be opened (%s); check the path", path.c_str(), std::strerror(errno));
        std::array<std::uint8_t, 8> begin{};
        const std::size_t got = std::fread(begin.data(), 1, begin.size(), file.get());
        std::rewind(file.get());
        constexpr std::array<std::uint8_t, 8> png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
        if (got == png.size() && begin == png) unpack<png_file>(file.get(), path, "PNG");
        else if (got >= 3 && begin[0] == 0xff && begin[1] == 0xd8 && begin[2] == 0xff)
            unpack<jpeg_file>(file.get(), path, "JPEG");
        else
            fail("the file %s is neither PNG nor JPEG; convert it, or move it out of the class's folder", path.c_str());
        data.labels.push_back(static_cast<class_label>(label));
    }

private:
    template <class Format>
    void unpack(std::FILE* file, const std::string& path, const char* format) {
        Format picture(file);
        if (!picture.good()) refuse(path, format, picture.problem());
        const shape size{grey ? 1 : 3, picture.height(), picture.width()};
        check_image(size);
        if (first.empty()) {
            first = path;
            data.image = size;
        } else if (size != data.image) {
            fail("%s is a picture of %d x %d and %s one of %d x %d (height, width); "
                 "all must be of one size, so scale or crop them beforehand",
                 first.c_str(), data.image.height, data.image.width, path.c_str(), size.height, size.width);
        }
        interleaved.resize(static_cast<std::size_t>(size.size()));
        if (!picture.read(grey, interleaved.data())) refuse(path, format, picture.problem());
        const auto channels = static_cast<std::size_t>(size.channels);
        for (std::size_t c = 0; c < channels; ++c)
            for (std::size_t i = c; i < interleaved.size(); i += channels) data.pixels.push_back(interleaved[i]);
    }

    [[noreturn]] static void refuse(const std::string& path, const char* format, const char* problem) {
        fail("the file %s cannot be read as %s (%s); it is damaged, so save it again or remove it", path.c_str(),
             format, problem);
    }
};

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

/// A data set from a folder in which each folder is a class and holds its pictures, PNG or JPEG whatever their names
/// end in. Classes are numbered, and pictures ordered, by the bytes of their names; the names of folders become class
/// names. Files beside the folders, and names that begin with a dot, are not read. Carries the scale measured from it.
/// Errors, each naming the file or folder: a folder that cannot be read; none or more than most_classes in it; a class
/// without pictures, or with a folder in it; a file that is neither PNG nor JPEG, or is damaged; pictures of two sizes.
inline dataset image_folder(const std::string& folder, image_folder_options options = {}) {
    detail::image_gatherer gathered{.grey = options.grey};
    dataset& data = gathered.data;
    for (const auto& place : detail::sorted_entries(folder)) {
        if (!std::filesystem::is_directory(place)) continue;
        check_classes(static_cast<int>(data.class_names.size()) + 1, folder.c_str());
        const std::vector<std::filesystem::path> files = detail::sorted_entries(place);
        if (files.empty())
            fail("the folder %s has no pictures, and each folder in %s is a class; add some, or remove it",
                 place.c_str(), folder.c_str());
        for (const auto& file : files) {
            if (std::filesystem::is_directory(file))
                fail("the folder %s lies in that of a class, which holds pictures alone; "
                     "give the folder in which the classes lie",
                     file.c_str());
            gathered.add(file.native(), data.class_names.size());
        }
        data.class_names.push_back(place.filename().native());
    }
    if (data.class_names.empty())
        fail("the folder %s has no folders in it; make one for each class, and put the class's pictures into it",
             folder.c_str());
    data.classes = static_cast<int>(data.class_names.size());
    data.scale = measure_scale(data);
    return std::move(gathered.data);
}

} // namespace fqt
