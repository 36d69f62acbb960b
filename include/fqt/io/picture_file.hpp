#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// One picture in a PNG or JPEG file, unpacked by libpng or libjpeg (-lpng -ljpeg). fqt.hpp does not include it.

#include <fqt/core/fail.hpp>
#include <fqt/io/scale_picture.hpp>
#include <fqt/train/source.hpp>

#include <array>
#include <cerrno>
#include <csetjmp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <jpeglib.h> // after <cstdio>, which it needs and does not include
#include <memory>
#include <png.h>
#include <string>
#include <string_view>
#include <vector>

namespace fqt {

/// An unpacked picture.
struct picture {
    picture_size size;
    int channels{};                   ///< 3: red, green and blue; 1: grey
    std::vector<std::uint8_t> pixels; ///< (y, x, channel)
};

namespace detail {

/// 0.299 r + 0.587 g + 0.114 b in 16 bits of fraction, rounded, as libjpeg computes it.
inline std::uint8_t luma_of(const std::uint8_t* rgb) {
    return static_cast<std::uint8_t>((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
}

/// More pixels than this are no picture to learn from, and a damaged or wicked file of a few bytes may claim them.
inline constexpr std::int64_t most_pixels = std::int64_t{1} << 28;

/// A PNG file being read.
class png_file {
public:
    explicit png_file(std::FILE* file) {
        image_.version = PNG_IMAGE_VERSION;
        good_ = png_image_begin_read_from_stdio(&image_, file) != 0;
        image_.flags |= PNG_IMAGE_FLAG_16BIT_sRGB; // as 8 bits are: 16 would be taken for linear light
    }
    ~png_file() { png_image_free(&image_); }
    png_file(const png_file&) = delete;
    png_file& operator=(const png_file&) = delete;

    bool good() const { return good_; }
    const char* problem() const { return image_.message; }
    int height() const { return static_cast<int>(image_.height); }
    int width() const { return static_cast<int>(image_.width); }

    /// Writes the pixels as (y, x, channel); what is transparent is laid over black. libpng only warns of damage in
    /// what it can do without, such as transparency; here that is a failure.
    bool read(bool grey, std::uint8_t* to) {
        // In colour always, since libpng's grey is mixed in linear light, which is no luma.
        std::vector<std::uint8_t> coloured(grey ? 3 * std::size_t{image_.height} * image_.width : 0);
        image_.format = PNG_FORMAT_RGB;
        const png_color black{0, 0, 0};
        if (!png_image_finish_read(&image_, &black, grey ? coloured.data() : to, 0, nullptr)) return false;
        for (std::size_t i = 0; i < coloured.size() / 3; ++i) to[i] = luma_of(coloured.data() + 3 * i);
        return std::string_view(image_.message).find("CRC error") == std::string_view::npos;
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
        if (info_.num_components == 4) std::strcpy(errors_.text.data(), "it has the four inks of CMYK");
        return info_.num_components != 4;
    }

    jpeg_decompress_struct info_{};
    error_state errors_;
    bool good_{};
};

template <class Format>
picture unpack(std::FILE* file, const std::string& path, const char* format, bool grey) {
    const auto refuse = [&](const char* problem) {
        fail("the file %s cannot be read as %s (%s); save it again, in RGB or grey, or remove it", path.c_str(), format,
             problem);
    };
    Format from(file);
    if (!from.good()) refuse(from.problem());
    if (std::int64_t{from.height()} * from.width() > most_pixels)
        fail("the file %s says it is a picture of %d x %d, and it takes at most 2^28 pixels; save a smaller one",
             path.c_str(), from.height(), from.width());
    const shape size{grey ? 1 : 3, from.height(), from.width()};
    check_image(size);
    picture to{
        {size.height, size.width}, size.channels, std::vector<std::uint8_t>(static_cast<std::size_t>(size.size()))};
    if (!from.read(grey, to.pixels.data())) refuse(from.problem());
    return to;
}

} // namespace detail

/// Reads a PNG or JPEG file, whatever its name ends in. What is transparent is laid over black; `grey` gives the luma
/// of coloured pictures, otherwise grey ones get three equal channels. Errors, which name the file: one that cannot be
/// opened, is neither PNG nor JPEG, is damaged or cut short, is in CMYK, or has more than 2^28 pixels.
inline picture read_picture(const std::string& path, bool grey = false) {
    struct closer {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    const std::unique_ptr<std::FILE, closer> file(std::fopen(path.c_str(), "rb"));
    if (!file) fail("the file %s cannot be opened (%s); check the path", path.c_str(), std::strerror(errno));
    std::array<std::uint8_t, 8> begin{};
    const std::size_t got = std::fread(begin.data(), 1, begin.size(), file.get());
    std::rewind(file.get());
    constexpr std::array<std::uint8_t, 8> png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
    if (got == png.size() && begin == png) return detail::unpack<detail::png_file>(file.get(), path, "PNG", grey);
    if (got >= 3 && begin[0] == 0xff && begin[1] == 0xd8 && begin[2] == 0xff)
        return detail::unpack<detail::jpeg_file>(file.get(), path, "JPEG", grey);
    fail("the file %s is neither PNG nor JPEG; convert it, or move it out of the class's folder", path.c_str());
}

} // namespace fqt
