#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The padded copy of a sample that forward products and input gradients read, so that every window lies inside it:
// [y][x][channel], or for depthwise ones, whose blocks of 16 channels never meet, [block][y][x][16]. A source gives the
// sample in blocks of 16 lanes:
//   integer kind: source.template bytes<Arch>(pixel, block) -> u8x16, a signed code with 128 added; source.is_signed;
//                 and, where the sample lies in memory as bytes() gives it, block by block, source.stored_bytes()
//   real kind:    source.template values<Arch>(pixel, block) -> f32x16

#include <fqt/kernels/kind.hpp>
#include <fqt/kernels/taps.hpp>
#include <fqt/simd/convert.hpp>

#include <algorithm>
#include <cstring>

namespace fqt::kernels {

/// The code of zero as it is stored: signed codes have 128 added, or another bias.
constexpr std::byte zero_code(bool is_signed, int bias = 128) { return std::byte(is_signed ? bias : 0); }

/// 16 lanes of a source, and how they are written.
template <class Kind, class Arch, class Source>
FQT_INLINE auto lanes_of(const Source& source, int pixel, int block) {
    if constexpr (!is_integer<Kind>) return source.template values<Arch>(pixel, block);
    else if constexpr (Kind::bias == 128) return source.template bytes<Arch>(pixel, block);
    else return less(source.template bytes<Arch>(pixel, block), source.is_signed ? 128 - Kind::bias : 0);
}
template <class Kind, class Source>
constexpr std::byte border_of(const Source& source) {
    if constexpr (is_integer<Kind>) return zero_code(source.is_signed, Kind::bias);
    else return std::byte{0};
}

/// Whether the rows of a source are what is staged of S: unsigned bytes, and no lanes that a staged pixel leaves out.
template <staged_shape S, class Kind, class Source>
inline constexpr bool copies_rows = requires(const Source& source) {
    requires is_integer<Kind>;
    requires S.inner.channels % lanes == 0;
    source.stored_bytes();
};

template <staged_shape S, class Kind, class Arch, bool ByBlock = false>
struct staged_image {
private:
    using operand = typename Kind::operand;
    static constexpr int planes = ByBlock ? blocks(S.inner.channels) : 1,
                         plane_blocks = blocks(S.inner.channels) / planes;
    static constexpr int pixel_bytes =
        (ByBlock ? lanes : staged_channels<Kind>(S.inner.channels)) * static_cast<int>(sizeof(operand));
    static constexpr int block_bytes = lanes * static_cast<int>(sizeof(operand));
    static constexpr std::ptrdiff_t row_bytes = std::ptrdiff_t{S.width()} * pixel_bytes;

public:
    /// Whether a staged sample of whole blocks is no more than its pixels in their order.
    static constexpr bool adds_nothing = S.pixels() == S.inner.pixels() && S.inner.channels % lanes == 0;
    // Whole blocks are written even where a pixel is narrower: the next pixel overwrites the excess, the last one needs
    // a block more. Depthwise products read a group of pixels at each.
    static constexpr std::size_t bytes =
        whole_lines(planes * S.height() * row_bytes + (ByBlock ? vector_bytes : block_bytes));

    template <class Source>
    static void stage(const Source& source, std::byte* staged) {
        const std::byte border = border_of<Kind>(source);
        std::byte* to = staged;
        for (int plane = 0; plane < planes; ++plane) to = stage_plane(source, plane * plane_blocks, border, to);
        if constexpr (ByBlock) fill(to, vector_bytes, border); // read at the end, and multiplied by zero
    }

private:
    template <class Source>
    static std::byte* stage_plane(const Source& source, int first_block, std::byte border, std::byte* to) {
        to = fill(to, S.top * row_bytes, border);
        for (int y = 0, pixel = 0; y < S.inner.height; ++y) {
            to = fill(to, S.left * pixel_bytes, border);
            if constexpr (copies_rows<S, Kind, Source> && !ByBlock) {
                constexpr int inner_bytes = S.inner.width * pixel_bytes;
                std::memcpy(to, source.stored_bytes() + y * inner_bytes, inner_bytes);
                to += inner_bytes;
            } else {
                for (int x = 0; x < S.inner.width; ++x, ++pixel, to += pixel_bytes)
                    for (int block = 0; block < plane_blocks; ++block) {
                        const auto v = lanes_of<Kind, Arch>(source, pixel, first_block + block);
                        if constexpr (is_integer<Kind>) v.store(to + block * block_bytes);
                        else v.store(reinterpret_cast<float*>(to + block * block_bytes));
                    }
            }
            to = fill(to, S.right * pixel_bytes, border);
        }
        return fill(to, S.bottom * row_bytes, border);
    }
    static std::byte* fill(std::byte* to, std::ptrdiff_t count, std::byte value) {
        std::memset(to, static_cast<int>(value), static_cast<std::size_t>(count));
        return to + count;
    }
};

/// A copy for each of `Taps` columns of a window of stride 1, shifted by it, as far as there are sites:
/// [column of the window][y][x of the site][channel]. So one distance lies between the operands of all sites.
template <staged_shape S, int Taps, class Kind, class Arch>
struct staged_columns {
private:
    static constexpr int pixel_bytes = staged_channels<Kind>(S.inner.channels), sites = S.width() - Taps + 1;
    static constexpr std::ptrdiff_t row_bytes = std::ptrdiff_t{sites} * pixel_bytes,
                                    column_bytes = S.height() * row_bytes;
    static_assert(is_integer<Kind> && sites > 0 && pixel_bytes == blocks(S.inner.channels) * lanes);

public:
    static constexpr bool adds_nothing = Taps == 1 && S.pixels() == S.inner.pixels() && S.inner.channels % lanes == 0;
    static constexpr std::size_t bytes = whole_lines(Taps * column_bytes + S.width() * pixel_bytes);

    template <class Source>
    static void stage(const Source& source, std::byte* staged) {
        const int border = static_cast<int>(border_of<Kind>(source));
        for (int u = 0; u < Taps; ++u) {
            std::byte* column = staged + u * column_bytes;
            std::memset(column, border, S.top * row_bytes);
            std::memset(column + column_bytes - S.bottom * row_bytes, border, S.bottom * row_bytes);
        }
        // Behind the copies, a row with its borders, of which each takes a part.
        std::byte* const row = staged + Taps * column_bytes;
        std::memset(row, border, S.width() * pixel_bytes);
        for (int y = 0; y < S.inner.height; ++y) {
            std::byte* to = row + S.left * pixel_bytes;
            if constexpr (copies_rows<S, Kind, Source>) {
                constexpr int inner_bytes = S.inner.width * pixel_bytes;
                std::memcpy(to, source.stored_bytes() + y * inner_bytes, inner_bytes);
            } else {
                for (int x = 0; x < S.inner.width; ++x)
                    for (int block = 0; block < blocks(S.inner.channels); ++block, to += lanes)
                        lanes_of<Kind, Arch>(source, y * S.inner.width + x, block).store(to);
            }
            for (int u = 0; u < Taps; ++u)
                std::memcpy(staged + u * column_bytes + (S.top + y) * row_bytes, row + u * pixel_bytes, row_bytes);
        }
    }
};

} // namespace fqt::kernels
