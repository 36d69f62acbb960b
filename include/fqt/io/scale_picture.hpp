#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Pictures of any size brought to one size: the largest part about the middle that has the right proportions, averaged
// over areas. In integers, rounded once, so that the bits are the same everywhere.

#include <fqt/core/shape.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fqt {

struct picture_size {
    int height{}, width{};
    friend bool operator==(const picture_size&, const picture_size&) = default;
};

namespace detail {

/// A part of a picture's rows, or of its columns.
struct picture_part {
    int start{}, size{};
};

/// The largest part of `size` pixels, about their middle, of which `other` pixels make to : other_to.
inline picture_part middle_part(int size, int other, int to, int other_to) {
    const std::int64_t wanted = std::int64_t{other} * to / other_to;
    const int part = static_cast<int>(std::clamp<std::int64_t>(wanted, 1, size));
    return {(size - part) / 2, part};
}

/// What interval and pixel share, where `size` pixels are cut into `count` equal intervals: in units of 1/count pixel,
/// so that an interval is `size` long.
struct interval_share {
    std::size_t interval, pixel;
    std::uint64_t length;
};

inline std::vector<interval_share> interval_shares(picture_part part, int count) {
    std::vector<interval_share> shares;
    for (std::int64_t interval = 0, pixel = 0, at = 0; interval < count;) {
        const std::int64_t end_of_interval = (interval + 1) * part.size, end_of_pixel = (pixel + 1) * count;
        const std::int64_t end = std::min(end_of_interval, end_of_pixel);
        shares.push_back({static_cast<std::size_t>(interval), static_cast<std::size_t>(part.start + pixel),
                          static_cast<std::uint64_t>(end - at)});
        interval += end == end_of_interval;
        pixel += end == end_of_pixel;
        at = end;
    }
    return shares;
}

} // namespace detail

/// Writes the middle of a picture, (y, x, channel) of the size `from`, as `result`, (channel, y, x) of the shape `to`:
/// the largest part that has its proportions. Each pixel is the mean of the area that it covers, rounded to the
/// nearest, halves up. Sides are at least 1, pixels fewer than 2^31. What has the size already stays as it is, and what
/// is smaller gets coarse pixels.
inline void scale_picture(std::span<const std::uint8_t> pixels, picture_size from, shape to,
                          std::span<std::uint8_t> result) {
    const auto part_of_rows = detail::middle_part(from.height, from.width, to.height, to.width);
    const auto part_of_columns = detail::middle_part(from.width, from.height, to.width, to.height);
    const auto rows = detail::interval_shares(part_of_rows, to.height);
    const auto columns = detail::interval_shares(part_of_columns, to.width);
    const auto area = static_cast<std::uint64_t>(part_of_rows.size) * static_cast<std::uint64_t>(part_of_columns.size);
    const auto channels = static_cast<std::size_t>(to.channels), width = static_cast<std::size_t>(to.width);
    const std::size_t plane = static_cast<std::size_t>(to.height) * width;
    std::vector<std::uint64_t> sums(width * channels);
    for (auto row = rows.begin(); row != rows.end();) {
        const std::size_t y = row->interval;
        std::fill(sums.begin(), sums.end(), 0);
        for (; row != rows.end() && row->interval == y; ++row) {
            const auto line = pixels.subspan(row->pixel * static_cast<std::size_t>(from.width) * channels);
            for (const auto& [x, column, length] : columns)
                for (std::size_t c = 0; c < channels; ++c)
                    sums[x * channels + c] += row->length * length * line[column * channels + c];
        }
        for (std::size_t c = 0; c < channels; ++c)
            for (std::size_t x = 0; x < width; ++x)
                result[c * plane + y * width + x] =
                    static_cast<std::uint8_t>((sums[x * channels + c] + area / 2) / area);
    }
}

} // namespace fqt
