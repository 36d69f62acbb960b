#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Arrays in NumPy's .npy files (versions 1 to 3): pictures as bytes or floats, labels as integers. Values must be
// little-endian and in C order, which is what numpy.save writes unless told otherwise. As in io/idx.hpp, every way in
// which a file can be wrong is an error that names it.

#include <fqt/core/fail.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/io/idx.hpp>
#include <fqt/train/dataset.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fqt {

/// Types of values that are read; NumPy calls them '|u1', '<i4', '<i8' and '<f4'.
enum class npy_type { u8, i32, i64, f32 };

/// An array from a .npy file, its values little-endian and in C order.
struct npy_array {
    std::string source; ///< the file, for messages
    npy_type type{};
    std::vector<int> extents;
    std::vector<std::uint8_t> bytes; ///< of the values

    /// Number of values.
    std::size_t size() const { return bytes.size() / size_of(type); }
    /// Bytes of one value.
    static constexpr std::size_t size_of(npy_type type) {
        return type == npy_type::u8 ? 1 : type == npy_type::i64 ? 8 : 4;
    }
};

namespace detail {

/// Value i of an array of integers, 0 <= i < size().
inline std::int64_t npy_integer(const npy_array& array, std::size_t i) {
    const std::size_t one = npy_array::size_of(array.type);
    std::uint64_t bits = 0;
    for (std::size_t b = one; b-- > 0;) bits = bits << 8 | array.bytes[i * one + b];
    if (array.type == npy_type::i32) return static_cast<std::int32_t>(static_cast<std::uint32_t>(bits));
    return static_cast<std::int64_t>(bits);
}

/// Value i of an array of floats, 0 <= i < size().
inline float npy_float(const npy_array& array, std::size_t i) {
    const std::uint8_t* b = array.bytes.data() + 4 * i;
    return std::bit_cast<float>(std::uint32_t{b[0]} | std::uint32_t{b[1]} << 8 | std::uint32_t{b[2]} << 16
                                | std::uint32_t{b[3]} << 24);
}

/// What stands after 'key': in a header, a Python dictionary of literals, without leading blanks.
inline std::string_view npy_entry(std::string_view header, std::string_view key, const char* name) {
    for (const char quote : {'\'', '"'}) {
        const std::string word = quote + std::string(key) + quote;
        const std::size_t at = header.find(word);
        if (at == std::string_view::npos) continue;
        const std::size_t colon = header.find_first_not_of(' ', at + word.size());
        if (colon == std::string_view::npos || header[colon] != ':') continue;
        const std::size_t value = header.find_first_not_of(' ', colon + 1);
        if (value != std::string_view::npos) return header.substr(value);
    }
    fail("the header of %s has no '%.*s'; the file is damaged, so save it again", name, static_cast<int>(key.size()),
         key.data());
}

inline npy_type npy_type_of(std::string_view entry, const char* name) {
    const std::size_t end = entry.empty() ? std::string_view::npos : entry.find(entry[0], 1);
    const bool quoted = end != std::string_view::npos && (entry[0] == '\'' || entry[0] == '"');
    const std::string_view word = quoted ? entry.substr(1, end - 1) : entry.substr(0, entry.find_first_of(",}"));
    constexpr std::array<std::pair<std::string_view, npy_type>, 5> known{{{"|u1", npy_type::u8},
                                                                          {"<u1", npy_type::u8},
                                                                          {"<i4", npy_type::i32},
                                                                          {"<i8", npy_type::i64},
                                                                          {"<f4", npy_type::f32}}};
    for (const auto& [text, type] : known)
        if (quoted && text == word) return type;
    fail("%s holds values of NumPy's type %.*s, and only |u1, <i4, <i8 and <f4 are read; "
         "save pictures as array.astype('u1') or ('<f4'), labels as ('<i4')",
         name, static_cast<int>(word.size()), word.data());
}

/// The extents in "(3, 2, 4), ...", and the number of values.
inline std::pair<std::vector<int>, std::uint64_t> npy_extents(std::string_view entry, const char* name) {
    const std::size_t end = entry.find(')');
    if (entry.empty() || entry[0] != '(' || end == std::string_view::npos)
        fail("the shape in the header of %s is not a tuple; the file is damaged, so save it again", name);
    std::vector<int> extents;
    std::uint64_t values = 1;
    for (std::string_view rest = entry.substr(1, end - 1); !rest.empty();) {
        const std::size_t comma = rest.find(',');
        std::string_view digits = rest.substr(0, comma);
        rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
        while (!digits.empty() && digits.front() == ' ') digits.remove_prefix(1);
        while (!digits.empty() && digits.back() == ' ') digits.remove_suffix(1);
        if (digits.empty()) continue; // behind the last comma
        std::uint64_t extent = 0;
        for (const char digit : digits) {
            // Bounded, so that neither this sum, the product below nor a later int overflows.
            if (digit < '0' || digit > '9' || extent > std::uint64_t{1} << 32)
                fail("extent %.*s in the header of %s is no size; the file is damaged, so save it again",
                     static_cast<int>(digits.size()), digits.data(), name);
            extent = extent * 10 + static_cast<std::uint64_t>(digit - '0');
        }
        constexpr std::uint64_t most = std::uint64_t{1} << 40;
        if (extent == 0)
            fail("dimension %zu of %s is 0, so it holds nothing; save an array that is not empty", extents.size(),
                 name);
        if (extent > static_cast<std::uint64_t>(std::numeric_limits<int>::max()) || values > most / extent)
            fail("dimension %zu of %s is %llu, which makes an array of more than 2^40 values; the header is damaged",
                 extents.size(), name, static_cast<unsigned long long>(extent));
        values *= extent;
        extents.push_back(static_cast<int>(extent));
    }
    if (extents.empty()) fail("%s holds a single number and no array; it is a file of another kind", name);
    return {extents, values};
}

/// Pictures (sample, y, x, channel) as (sample, channel, y, x).
template <class Value>
std::vector<Value> channels_to_front(const std::vector<Value>& from, shape image) {
    std::vector<Value> to(from.size());
    const auto channels = static_cast<std::size_t>(image.channels), plane = static_cast<std::size_t>(image.pixels());
    for (std::size_t start = 0; start < from.size(); start += channels * plane)
        for (std::size_t c = 0; c < channels; ++c)
            for (std::size_t p = 0; p < plane; ++p) to[start + c * plane + p] = from[start + p * channels + c];
    return to;
}

} // namespace detail

/// The array in the bytes of a .npy file; `source` names it in messages. Errors: a file of another kind, a version
/// other than 1 to 3, another type of values than npy_type's, Fortran order, an array without values, and a file that
/// is not exactly as long as it says.
inline npy_array parse_npy(std::vector<std::uint8_t> bytes, const std::string& source) {
    const char* name = source.c_str();
    constexpr std::array<std::uint8_t, 6> magic{0x93, 'N', 'U', 'M', 'P', 'Y'};
    if (bytes.size() >= 2 && bytes[0] == 'P' && bytes[1] == 'K')
        fail("%s is a zip archive, such as numpy.savez writes, and a .npy file was expected; unpack it", name);
    if (bytes.size() < 10)
        fail("%s has %zu bytes, and a .npy file has at least 10; the file is cut short, so save it again", name,
             bytes.size());
    if (std::memcmp(bytes.data(), magic.data(), magic.size()) != 0)
        fail("%s does not begin as a .npy file does; it is a file of another kind", name);
    const unsigned version = bytes[6];
    if (version < 1 || version > 3)
        fail("%s is a .npy file of version %u, and only 1 to 3 are read; save it by numpy.save", name, version);
    const std::size_t start = version == 1 ? 10 : 12;
    std::size_t length = 0;
    for (std::size_t b = start; b-- > 8;) length = length << 8 | (b < bytes.size() ? bytes[b] : 0u);
    if (bytes.size() < start || bytes.size() - start < length)
        fail("%s has %zu bytes, and its header alone %zu; the file is cut short, so save it again", name, bytes.size(),
             start + length);

    const std::string header(bytes.begin() + static_cast<std::ptrdiff_t>(start),
                             bytes.begin() + static_cast<std::ptrdiff_t>(start + length));
    npy_array array{source, detail::npy_type_of(detail::npy_entry(header, "descr", name), name), {}, {}};
    if (!detail::npy_entry(header, "fortran_order", name).starts_with("False"))
        fail("%s is in Fortran order, and only C order is read; save numpy.ascontiguousarray(array)", name);
    const auto [extents, values] = detail::npy_extents(detail::npy_entry(header, "shape", name), name);
    const std::uint64_t found = bytes.size() - start - length, expected = values * npy_array::size_of(array.type);
    if (found != expected)
        fail("%s has %llu bytes of values, and its header announces %llu; the file is %s, so save it again", name,
             static_cast<unsigned long long>(found), static_cast<unsigned long long>(expected),
             found < expected ? "cut short" : "too long");
    bytes.erase(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(start + length));
    array.extents = extents;
    array.bytes = std::move(bytes);
    return array;
}

/// Reads a .npy file. Errors: those of read_file and parse_npy.
inline npy_array read_npy(const std::string& path) { return parse_npy(read_file(path), path); }

struct npy_options {
    /// Four-dimensional pictures are (sample, y, x, channel), or (sample, channel, y, x). Unset: the second, but where
    /// the extents look like the first (height and width equal, then 1 or 3) it must be said.
    std::optional<bool> channels_last{};
    float_range range{}; ///< of float pictures: what becomes 0 and 255
    std::vector<std::string> class_names{};
};

/// A data set from pictures and labels, with the scale measured from the pictures. Pictures: |u1 or <f4, (sample, y, x)
/// or four-dimensional, see npy_options. Labels: |u1, <i4 or <i8, (sample) or (sample, 1), from 0 to classes - 1.
/// Errors, each naming the file: other types or dimensions, channels that may be first or last, pictures and labels
/// that are not equally many, floats outside the range, labels that are no class.
inline dataset npy_dataset(npy_array images, const npy_array& labels, int classes, npy_options options = {}) {
    const char *image_file = images.source.c_str(), *label_file = labels.source.c_str();
    const std::vector<int>&e = images.extents, &l = labels.extents;
    if (images.type != npy_type::u8 && images.type != npy_type::f32)
        fail("%s was given as pictures and holds integers of %zu bytes; save it as array.astype('u1') or ('<f4')",
             image_file, npy_array::size_of(images.type));
    if (e.size() != 3 && e.size() != 4)
        fail("%s was given as pictures and has %zu dimensions; "
             "pictures have 3 (sample, y, x) or 4 (sample, channel, y, x)",
             image_file, e.size());
    if (labels.type == npy_type::f32)
        fail("%s was given as labels and holds floats; save it as array.astype('<i4')", label_file);
    if (l.size() != 1 && !(l.size() == 2 && l[1] == 1))
        fail("%s was given as labels and has %zu dimensions, where labels have 1; "
             "are the two files in each other's place?",
             label_file, l.size());
    if (e[0] != l[0])
        fail("%s has %d pictures and %s has %d labels; give files that belong together", image_file, e[0], label_file,
             l[0]);
    if (e.size() == 4 && !options.channels_last && e[1] == e[2] && e[1] > 3 && (e[3] == 1 || e[3] == 3))
        fail("%s is %d x %d x %d x %d: its channels seem to be last; set channels_last = true, or false if they are "
             "first",
             image_file, e[0], e[1], e[2], e[3]);

    const bool last = e.size() == 4 && options.channels_last.value_or(false);
    const shape image = e.size() == 3 ? shape{1, e[1], e[2]} : last ? shape{e[3], e[1], e[2]} : shape{e[1], e[2], e[3]};
    check_image(image);
    check_classes(classes, label_file);
    std::vector<class_label> classes_of(labels.size());
    for (std::size_t n = 0; n < classes_of.size(); ++n) {
        const std::int64_t label = detail::npy_integer(labels, n);
        if (label < 0 || label >= classes)
            fail("label %zu of %s is %lld, and there are %d classes; labels must be 0 to %d, so give the right number "
                 "of classes, or the right file",
                 n, label_file, static_cast<long long>(label), classes, classes - 1);
        classes_of[n] = static_cast<class_label>(label);
    }

    dataset data;
    if (images.type == npy_type::u8) {
        data = {image, classes, std::move(images.bytes), std::move(classes_of), {}, {}};
        if (last) data.pixels = detail::channels_to_front(data.pixels, image);
        data.scale = measure_scale(data);
    } else {
        std::vector<float> floats(images.size());
        for (std::size_t i = 0; i < floats.size(); ++i) floats[i] = detail::npy_float(images, i);
        if (last) floats = detail::channels_to_front(floats, image);
        try {
            data = dataset_from_floats(image, classes, floats, std::move(classes_of), options.range);
        } catch (const error& what) {
            fail("the pictures of %s are refused: %s", image_file, what.what() + std::strlen("fqt: "));
        }
    }
    data.class_names = std::move(options.class_names);
    data.check();
    return data;
}

} // namespace fqt
