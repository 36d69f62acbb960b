// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/simd/convert.hpp>

#include <doctest/doctest.h>

#include "../support/archs.hpp"
#include "../support/floats.hpp"
#include <algorithm>
#include <cmath>
#include <cstring>

using namespace fqt;

namespace {

/// Calls f with the number of bits and the sign of every kind of code.
template <class F>
void for_codes(F f) {
    const auto both = [&]<int Bits>(std::integral_constant<int, Bits> bits) {
        f(bits, std::true_type{});
        f(bits, std::false_type{});
    };
    both(std::integral_constant<int, 2>{});
    both(std::integral_constant<int, 3>{});
    both(std::integral_constant<int, 4>{});
    both(std::integral_constant<int, 5>{});
    both(std::integral_constant<int, 6>{});
    both(std::integral_constant<int, 7>{});
    both(std::integral_constant<int, 8>{});
    both(std::integral_constant<int, 9>{});
    both(std::integral_constant<int, 16>{});
}

} // namespace

TEST_CASE_TEMPLATE("every 16-bit float is loaded as core/half.hpp reads it", A, FQT_ARCHS) {
    int wrong = 0;
    for (std::uint32_t first = 0; first < 65536; first += lanes) {
        binary16 h[lanes];
        bfloat16 b[lanes];
        for (std::uint32_t i = 0; i < lanes; ++i) h[i].bits = b[i].bits = static_cast<std::uint16_t>(first + i);
        const auto x = test::bits_of(simd::load<A>(h)), y = test::bits_of(simd::load<A>(b));
        for (std::size_t i = 0; i < lanes; ++i) {
            wrong += x[i] != std::bit_cast<std::uint32_t>(to_float(h[i])); // where a signalling NaN is quiet, too
            wrong += y[i] != std::bit_cast<std::uint32_t>(to_float(b[i]));
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("16-bit floats are stored as core/half.hpp rounds them", A, FQT_ARCHS) {
    auto v = test::hard_floats(1 << 20, 2);
    // Around every boundary of binary16 and bfloat16: the code, the tie above it, and their neighbours.
    for (std::uint32_t code = 0; code < 65536; ++code) {
        const auto half = static_cast<std::uint16_t>(code);
        for (const float at : {to_float(binary16{half}), to_float(bfloat16{half})}) {
            const auto bits = std::bit_cast<std::uint32_t>(at);
            for (const std::uint32_t step : {0u, 1u, 0xfffu, 0x1000u, 0x1001u, 0x7fffu, 0x8000u, 0x8001u})
                v.push_back(std::bit_cast<float>(bits + step));
        }
    }
    REQUIRE(v.size() % lanes == 0);
    int wrong = 0;
    for (std::size_t n = 0; n < v.size(); n += lanes) {
        const auto x = simd::load<A>(&v[n]);
        binary16 h[lanes];
        bfloat16 b[lanes];
        float f[lanes];
        simd::store(h, x);
        simd::store(b, x);
        simd::store(f, x);
        for (std::size_t i = 0; i < lanes; ++i) {
            wrong += h[i] != to_binary16(v[n + i]);
            wrong += b[i] != to_bfloat16(v[n + i]);
            wrong += std::bit_cast<std::uint32_t>(f[i]) != std::bit_cast<std::uint32_t>(v[n + i]);
        }
    }
    CHECK(wrong == 0);
}

TEST_CASE("a block of codes takes 16, 8 or 4 bytes") {
    CHECK(simd::code_bytes(16) == 32);
    CHECK(simd::code_bytes(9) == 32);
    CHECK(simd::code_bytes(8) == 16);
    CHECK(simd::code_bytes(5) == 16);
    CHECK(simd::code_bytes(4) == 8);
    CHECK(simd::code_bytes(3) == 8);
    CHECK(simd::code_bytes(2) == 4);
    std::byte block[16]{};
    simd::write_code<4, true>(block, 2, -3);
    simd::write_code<4, true>(block, 10, 5);
    CHECK(block[2] == std::byte{0x5d});
    simd::write_code<2, false>(block + 8, 1, 2);
    simd::write_code<2, false>(block + 8, 5, 3);
    simd::write_code<2, false>(block + 8, 13, 1);
    CHECK(block[9] == std::byte{0x4e});
    CHECK(simd::read_code<2, false>(block + 8, 13) == 1);
    CHECK(simd::read_code<4, true>(block, 2) == -3);
}

TEST_CASE_TEMPLATE("codes come back from memory, as numbers and as bytes", A, FQT_ARCHS) {
    for_codes([](auto bits, auto is_signed) {
        constexpr int Bits = decltype(bits)::value;
        constexpr bool Signed = decltype(is_signed)::value;
        constexpr int least = Signed ? -(1 << (Bits - 1)) : 0, count = 1 << Bits;
        const random_stream stream{5, Bits, Signed};
        int wrong = 0;
        for (std::uint32_t n = 0; n < 256; ++n) {
            float codes[lanes];
            // Every code of up to 8 bits appears in every lane, beside random ones.
            for (std::uint32_t i = 0; i < lanes; ++i) {
                const auto pick = i == n % lanes ? n / lanes * 17 + i : stream.block(n, i)[0] >> 8;
                codes[i] = static_cast<float>(least + static_cast<int>(pick % std::uint32_t{count}));
            }
            std::byte block[64], expected[64];
            std::memset(block, 0x5a, sizeof block);
            std::memset(expected, 0x5a, sizeof expected);
            simd::store_codes<Bits, Signed>(block, simd::load<A>(codes));
            for (int i = 0; i < lanes; ++i) simd::write_code<Bits, Signed>(expected, i, static_cast<int>(codes[i]));
            wrong += std::memcmp(block, expected, sizeof block) != 0;

            const auto numbers = simd::load_codes<A, Bits, Signed>(block);
            for (int i = 0; i < lanes; ++i) {
                wrong += numbers.lane(i) != codes[i];
                wrong += simd::read_code<Bits, Signed>(block, i) != static_cast<int>(codes[i]);
            }
            if constexpr (Bits <= 4) {
                alignas(16) std::byte table[16];
                for (int i = 0; i < 16; ++i) table[i] = static_cast<std::byte>(7 * i + 100);
                const auto found = simd::look_up_codes<A, Bits>(block, table);
                for (int i = 0; i < lanes; ++i)
                    wrong += std::byte{found.lane(i)} != table[simd::read_code<Bits, false>(block, i)];
            }
            if constexpr (Bits <= 8) {
                const auto bytes = simd::load_code_bytes<A, Bits, Signed>(block);
                std::byte stored[lanes];
                bytes.store(stored);
                for (int i = 0; i < lanes; ++i) {
                    const int byte = static_cast<int>(codes[i]) + (Signed ? 128 : 0);
                    wrong += int{bytes.lane(i)} != byte;
                    wrong += std::to_integer<int>(stored[i]) != byte;
                    wrong += simd::u8x16<A>::load(stored).lane(i) != bytes.lane(i);
                }
            }
        }
        CHECK_MESSAGE(wrong == 0, Bits, " bits, signed ", Signed);
    });
}

TEST_CASE_TEMPLATE("storing codes rounds to the nearest, ties to even", A, FQT_ARCHS) {
    for_codes([](auto bits, auto is_signed) {
        constexpr int Bits = decltype(bits)::value;
        constexpr bool Signed = decltype(is_signed)::value;
        constexpr float least = Signed ? -(1 << (Bits - 1)) : 0, most = (1 << (Signed ? Bits - 1 : Bits)) - 1;
        int wrong = 0;
        for (float first : {least, most - 2, 0.0f}) {
            constexpr float beside[] = {0, 0x1p-7f, 0.5f - 0x1p-7f, 0.5f, 0.5f + 0x1p-7f, 1, 1.5f, 2};
            float numbers[lanes];
            for (int i = 0; i < lanes; ++i) numbers[i] = std::clamp(first + beside[i % 8], least, most);
            std::byte block[64];
            simd::store_codes<Bits, Signed>(block, simd::load<A>(numbers));
            for (int i = 0; i < lanes; ++i)
                wrong += simd::read_code<Bits, Signed>(block, i) != static_cast<int>(std::nearbyint(numbers[i]));
        }
        CHECK_MESSAGE(wrong == 0, Bits, " bits, signed ", Signed);
    });
}

TEST_CASE_TEMPLATE("four blocks of codes are stored as one after the other", A, FQT_ARCHS) {
    for_codes([](auto bits, auto is_signed) {
        constexpr int Bits = decltype(bits)::value, bytes = simd::code_bytes(Bits);
        constexpr bool Signed = decltype(is_signed)::value;
        constexpr int codes = 1 << Bits, least = Signed ? -codes / 2 : 0;
        int wrong = 0;
        for (int step : {1, codes / 16 + 3, 5 * codes / 8 + 1})
            for (float fraction : {0.0f, 0.25f, 0.5f, 0.75f}) {
                std::byte together[4 * bytes], apart[4 * bytes];
                simd::f32x16<A> blocks[4];
                for (int b = 0; b < 4; ++b) {
                    float numbers[lanes]; // no two blocks are alike, and the least and the greatest code are there
                    for (int i = 0; i < lanes; ++i) {
                        const int code = least + (i * step + b * 3 + (i == 15) * (codes - 1)) % codes;
                        numbers[i] =
                            std::min(static_cast<float>(code) + fraction, static_cast<float>(least + codes - 1));
                    }
                    blocks[b] = simd::load<A>(numbers);
                    simd::store_codes<Bits, Signed>(apart + b * bytes, blocks[b]);
                    for (int other = 0; other < b; ++other)
                        CHECK(std::memcmp(apart + b * bytes, apart + other * bytes, bytes) != 0);
                }
                simd::store_four_blocks<Bits, Signed>(together, blocks);
                wrong += std::memcmp(together, apart, sizeof together) != 0;
            }
        CHECK_MESSAGE(wrong == 0, Bits, " bits, signed ", Signed);
    });
}

TEST_CASE_TEMPLATE("loading a block of codes reads no byte beyond it", A, FQT_ARCHS) {
    for_codes([](auto bits, auto is_signed) {
        constexpr int Bits = decltype(bits)::value;
        constexpr bool Signed = decltype(is_signed)::value;
        // A heap block of exactly its size: the address sanitizer sees a byte too many.
        std::vector<std::byte> block(static_cast<std::size_t>(simd::code_bytes(Bits)));
        simd::store_codes<Bits, Signed>(block.data(), simd::f32x16<A>(1.0f));
        CHECK(simd::load_codes<A, Bits, Signed>(block.data()).lane(15) == 1.0f);
        if constexpr (Bits <= 8)
            CHECK(simd::load_code_bytes<A, Bits, Signed>(block.data()).lane(0) == (Signed ? 129 : 1));
    });
}
