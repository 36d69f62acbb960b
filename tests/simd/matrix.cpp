// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/simd/matrix.hpp>

#include <doctest/doctest.h>

#include "../support/archs.hpp"
#include <array>
#include <vector>

using namespace fqt;

namespace {

/// Bytes without structure, or the largest of either sign.
std::vector<std::byte> codes(std::size_t count, std::uint32_t seed) {
    std::vector<std::byte> all(count);
    for (std::size_t i = 0; i < count; ++i) {
        seed = seed * 1664525u + 1013904223u;
        constexpr std::byte extremes[] = {std::byte{0x80}, std::byte{0x7f}, std::byte{0xff}, std::byte{0}};
        all[i] = seed >> 30 == 0 ? extremes[seed >> 28 & 3] : std::byte(seed >> 20 & 255);
    }
    return all;
}

template <class T>
std::int64_t code(std::byte b) {
    return static_cast<T>(std::to_integer<std::uint8_t>(b));
}

/// Four products of two by two matrices, each added twice to what `start` repeats, against the definition.
template <class Arch, int Rows, int Codes, class A>
void check() {
    using B = std::conditional_t<std::is_signed_v<A>, std::uint8_t, std::int8_t>;
    constexpr int a_stride = 80, b_stride = 192;
    const auto a = codes(32 * a_stride, 1), b = codes(32 * b_stride, 2), start = codes(64, 3);
    std::array<std::byte, 4 * 16 * 64> sums;
    sums.fill(std::byte{77});
    {
        simd::matrix_registers<typename Arch::matrices, Rows, Codes> m;
        m.template repeat<0>(start.data());
        m.template repeat<1>(start.data());
        m.template zero<2>();
        m.template zero<3>();
        m.template load<4>(a.data(), a_stride);
        m.template load<5>(a.data() + 16 * a_stride, a_stride);
        m.template load<6>(b.data(), b_stride);
        m.template load<7>(b.data() + 16 * b_stride, b_stride);
        for (int twice = 0; twice < 2; ++twice) {
            if (twice == 1) { // sums may be put aside in between
                m.template store<0>(sums.data());
                m.template zero<0>();
                m.template load_sums<0>(sums.data());
            }
            m.template multiply_add<0, 4, 6, A>();
            m.template multiply_add<1, 4, 7, A>();
            m.template multiply_add<2, 5, 6, A>();
            m.template multiply_add<3, 5, 7, A>();
        }
        m.template store<0>(sums.data());
        m.template store<1>(sums.data() + 1024);
        m.template store<2>(sums.data() + 2048);
        m.template store<3>(sums.data() + 3072);
    }
    bool right = true;
    for (int i = 0; i < 4; ++i)
        for (int row = 0; row < 16; ++row)
            for (int lane = 0; lane < lanes; ++lane) {
                std::uint32_t sum, expected = 0x4d4d4d4d; // behind the rows nothing is written
                std::memcpy(&sum, sums.data() + i * 1024 + row * 64 + lane * 4, sizeof sum);
                if (row < Rows) {
                    expected = 0;
                    if (i < 2) std::memcpy(&expected, start.data() + lane * 4, sizeof expected);
                    for (int k = 0; k < Codes; ++k) {
                        const auto x = code<A>(a[static_cast<std::size_t>((i / 2 * 16 + row) * a_stride + k)]);
                        const auto y =
                            code<B>(b[static_cast<std::size_t>((i % 2 * 16 + k / 4) * b_stride + lane * 4 + k % 4)]);
                        expected += static_cast<std::uint32_t>(2 * x * y);
                    }
                }
                right = right && sum == expected;
            }
    CHECK(right);
}

} // namespace

TEST_CASE_TEMPLATE("a product of matrices is the sum of products of their codes modulo 2^32", A,
                   FQT_ARCHS_WITH_MATRICES) {
    check<A, 16, 64, std::uint8_t>();
    check<A, 16, 64, std::int8_t>();
    check<A, 7, 48, std::uint8_t>();
    check<A, 4, 36, std::int8_t>();
    check<A, 1, 4, std::uint8_t>();
}

TEST_CASE_TEMPLATE("words are transposed to rows that are apart, and nothing between them is written", A,
                   FQT_ARCHS_WITH_MATRICES) {
    constexpr int stride = 80;
    const auto words = codes(16 * 64, 5);
    std::vector<std::byte> to(16 * stride, std::byte{77}), expected = to;
    for (std::size_t i = 0; i < 16; ++i)
        for (std::size_t j = 0; j < 16; ++j)
            std::memcpy(expected.data() + i * stride + j * 4, words.data() + (j * 16 + i) * 4, 4);
    simd::transpose_words(A{}, words.data(), to.data(), stride);
    CHECK(to == expected);
}
