#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Samples, sources and comparisons that the tests of the three products share.

#include <fqt/kernels/reference.hpp>
#include <fqt/simd/convert.hpp>

#include <doctest/doctest.h>

#include "support/archs.hpp"
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <iterator>
#include <limits>
#include <memory>
#include <tuple>
#include <utility>
#include <vector>

namespace fqt::test {

/// f(Arch{}) for every instruction set of this build, or for the best one alone.
template <bool All = true, class F>
void for_each_arch(F f) {
    if constexpr (All) std::apply([&](auto... arch) { (f(arch), ...); }, std::tuple<FQT_ARCHS>{});
    else f(arch::best{});
}

/// A sequence without structure, the same everywhere.
class sequence {
public:
    explicit sequence(std::uint32_t seed) : state(seed * 2654435761u + 12345u) {}
    std::uint32_t next() {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        return state;
    }
    int between(int low, int high) {
        return low + static_cast<int>((next() >> 8) % static_cast<std::uint32_t>(high - low + 1));
    }

private:
    std::uint32_t state;
};

inline std::vector<int> random_codes(int count, int low, int high, std::uint32_t seed) {
    sequence s(seed);
    std::vector<int> codes(static_cast<std::size_t>(count));
    for (int& c : codes) c = s.between(low, high);
    return codes;
}
/// Floats with full mantissas, so that another order of fma would show.
inline std::vector<float> random_floats(int count, std::uint32_t seed) {
    sequence s(seed);
    std::vector<float> values(static_cast<std::size_t>(count));
    for (float& v : values) v = static_cast<float>(s.between(-8388607, 8388607)) * 0x1p-23f;
    return values;
}

/// A logical sample [y][x][channel] as kernels read one. Lanes beyond the channels hold what a kernel must not use.
struct code_source {
    const std::vector<int>& codes;
    int channels;
    bool is_signed;

    template <class Arch>
    simd::u8x16<Arch> bytes(int pixel, int block) const {
        std::byte b[lanes];
        for (int i = 0; i < lanes; ++i) {
            const int c = block * lanes + i;
            b[i] = std::byte(
                c < channels ? codes[static_cast<std::size_t>(pixel * channels + c)] + (is_signed ? 128 : 0) : 77);
        }
        return simd::u8x16<Arch>::load(b);
    }
};
struct float_source {
    const std::vector<float>& floats;
    int channels;

    template <class Arch>
    simd::f32x16<Arch> values(int pixel, int block) const {
        float v[lanes];
        for (int i = 0; i < lanes; ++i) {
            const int c = block * lanes + i;
            v[i] = c < channels ? floats[static_cast<std::size_t>(pixel * channels + c)] : 77.0f;
        }
        return simd::f32x16<Arch>::load(v);
    }
};

/// Memory at 64 bytes, filled with rubbish, NaN to a float: a kernel that computes with what it did not write is seen.
class buffer {
public:
    explicit buffer(std::size_t bytes) : memory(static_cast<std::byte*>(std::aligned_alloc(64, bytes)), &std::free) {
        for (std::size_t i = 0; i < bytes; ++i) memory.get()[i] = std::byte{0xff};
    }
    operator std::byte*() const { return memory.get(); }

private:
    std::unique_ptr<std::byte, void (*)(void*)> memory;
};

/// An epilogue that writes logical sums [pixel][channel] and insists that each comes once and padded lanes are 0.
template <class T>
struct collect {
    int channels;
    std::vector<T> sums;
    std::vector<int> visits;
    bool padding_is_zero = true;

    explicit collect(shape s)
        : channels(s.channels), sums(static_cast<std::size_t>(s.size())),
          visits(static_cast<std::size_t>(s.pixels() * blocks(s.channels))) {}

    template <class Sums>
    void operator()(int pixel, int block, const Sums& v) {
        ++visits[static_cast<std::size_t>(pixel * blocks(channels) + block)];
        for (int i = 0; i < lanes; ++i) {
            const int c = block * lanes + i;
            const auto value = v.lane(i);
            if (c < channels) sums[static_cast<std::size_t>(pixel * channels + c)] = static_cast<T>(value);
            else padding_is_zero = padding_is_zero && value == 0;
        }
    }
    bool complete() const {
        for (int n : visits)
            if (n != 1) return false;
        return padding_is_zero;
    }
};

/// What sums hold before the first sample of a group, which does not read them: it would stay in any sum.
inline constexpr float rubbish = std::numeric_limits<float>::quiet_NaN();

/// The sums of one group as the logical gradient; false if not all of it is finite.
template <class Product>
bool unpack(const std::vector<float>& sums, std::vector<float>& dw) {
    const std::vector<float> factor(std::size_t{Product::outputs} + lanes, 1.0f);
    bool finite = true;
    for (int block = 0; block < blocks(Product::outputs); ++block)
        finite = Product::unpack(sums.data(), 1, factor.data(), block, dw.data()) && finite;
    return finite;
}

/// Codes to try: random ones, and the largest of either sign everywhere, where a sum that saturates would show.
struct code_case {
    bool is_signed;
    int low, high; // of activations or h
    int weight_low, weight_high;
};
inline constexpr code_case code_cases[] = {
    {false, 0, 255, -127, 127},    {true, -127, 127, -127, 127}, {false, 255, 255, 127, 127},
    {false, 255, 255, -127, -127}, {true, -127, -127, 127, 127}, {true, -127, -127, -127, -127},
};

/// What each geometry stands for is in its line. Each costs a second of compile time: the first few are tried on every
/// instruction set of the build, the others on the best one; programs built for less cover the rest.
inline constexpr geometry geometries[] = {
    geometry_of({16, 7, 5}, 16, {3, 1, 1}), // odd sizes
    geometry_of({5, 6, 9}, 32, {3, 2, 1}),  // stride 2, a narrow first layer
    geometry_of_dense({20, 4, 3}, 10),
    geometry_of({3, 13, 16}, 17, {7, 2, 3}), // wider than a row of taps; a block that is nearly empty
    geometry_of({17, 9, 6}, 48, {3, 2, 0}),  // stride 2, pixels that no tap reaches
    geometry_of({32, 6, 18}, 20, {1, 1, 0}), // 1x1; a tile and a remainder
    geometry_of({16, 5, 5}, 32, {1, 2, 0}),  // 1x1 at stride 2: a shortcut
    geometry_of({1, 12, 11}, 6, {5, 1, 2}),  // one channel
    geometry_of({4, 4, 4}, 16, {2, 2, 0}),   // even kernel
    geometry_of({2, 11, 12}, 5, {9, 1, 4}),  // kernel larger than 8
    geometry_of({16, 1, 1}, 16, {3, 1, 1}),  // an image smaller than its kernel
    geometry_of({12, 2, 2}, 100, {3, 3, 1}), // stride 3
    geometry_of({16, 8, 7}, 16, {3, 3, 0}),  // pixels that no window reaches, at the end
};
inline constexpr int geometries_on_every_arch = 3, geometries_in_floats = 4;

/// f(std::integral_constant<int, I>) for every geometry of a list: the constant makes it a template argument.
template <auto& List, class F, int... I>
void for_each_index(F f, std::integer_sequence<int, I...>) {
    (f(std::integral_constant<int, I>{}), ...);
}
template <auto& List, class F>
void for_each_geometry(F f) {
    for_each_index<List>(
        [&](auto i) {
            constexpr geometry g = List[i];
            CAPTURE(g.in.channels);
            CAPTURE(g.in.height);
            CAPTURE(g.in.width);
            CAPTURE(g.outputs);
            CAPTURE(g.kernel_height);
            f(i);
        },
        std::make_integer_sequence<int, static_cast<int>(std::size(List))>{});
}

} // namespace fqt::test
