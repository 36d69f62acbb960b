#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The input gradient of one sample:
//   dx[y][x][c] = sum over k, r, s of w[k][r][s][c] * h[k][(y + pad - r) / stride][(x + pad - s) / stride]
// over the r and s for which the divisions leave no remainder: one correlation for each phase of y and x.
//
// Integer sums are exact. A float sum is a chain of fma from 0, operands of the border included (but for rows r that
// are all border, which change no finite sum), over the taps of its phase, in the order (see taps.hpp)
//   r descending, k ascending, s descending   where a phase is up to five taps wide,
//   r descending, s descending, k ascending   where it is wider.
// For a dense layer, whose one tap each input meets once, both are: k ascending.

#include <fqt/kernels/correlate.hpp>
#include <fqt/kernels/staging.hpp>
#include <fqt/simd/transpose.hpp>

#include <array>

namespace fqt::kernels {

template <geometry G, class Kind, class Arch, std::int64_t Longest = longest_sum>
struct input_gradient_product {
private:
    static constexpr bool dense = is_dense(G);
    static constexpr int phases = dense ? 1 : G.stride;
    static constexpr int input_blocks = blocks(G.in.channels);
    using image = image_of<input_gradient_correlation(G, 0, 0), input_gradient_image(G), Kind, Arch, Longest>;
    template <int Phase>
    using product = correlate<input_gradient_correlation(G, Phase / phases, Phase % phases), Kind, Arch, Longest>;

    // Where each phase's packed weights begin; the last entry is the end.
    static constexpr auto offsets = [] {
        std::array<std::size_t, phases * phases + 1> at{};
        unroll<phases * phases>([&](auto i) { at[i + 1] = at[i] + product<i>::packed_bytes; });
        return at;
    }();
    // Phases differ in length, and one type of sums serves all.
    static constexpr bool all_integer = [] {
        bool all = true;
        unroll<phases * phases>(
            [&](auto i) { all = all && std::is_same_v<typename product<i>::sums_type, simd::i32x16<Arch>>; });
        return all;
    }();

public:
    /// int32 sums; float ones for the real kind and where int32 could overflow.
    using sums_type = std::conditional_t<all_integer, simd::i32x16<Arch>, simd::f32x16<Arch>>;
    /// Buffers are aligned to 64 bytes.
    static constexpr std::size_t packed_bytes = offsets.back(), staged_bytes = image::bytes;

    /// Packs the logical forward weights [k][r][s][channel of k's group]; is_signed says whether h will be.
    static void pack(const typename Kind::weight* w, bool is_signed, std::byte* packed) {
        for (int part = 0; part < parts; ++part) pack(w, is_signed, part, packed);
    }
    /// One of `parts` parts of it, which are independent.
    static void pack(const typename Kind::weight* w, bool is_signed, int part, std::byte* packed) {
        unroll<phases * phases>([&](auto i) {
            if (part >= 0 && part < product<i>::parts)
                product<i>::pack(weights_of_phase<i>{w}, is_signed, part, packed + offsets[i]);
            part -= product<i>::parts;
        });
    }
    static constexpr int parts = [] {
        int sum = 0;
        unroll<phases * phases>([&](auto i) { sum += product<i>::parts; });
        return sum;
    }();

    /// Copies a sample of h, of shape G.out(), padded with zeros.
    template <class Source>
    static void stage(const Source& h, std::byte* staged) {
        image::stage(h, staged);
    }

    /// Calls epilogue(pixel, block, sums_type) once for every input pixel and block of 16 channels; padded lanes are 0.
    template <class Epilogue>
    static void run(const std::byte* staged, const std::byte* packed, const Epilogue& epilogue) {
        unroll<phases * phases>(
            [&](auto i) { product<i>::run(staged, packed + offsets[i], of_any_phase<Epilogue>{epilogue}); });
    }

private:
    template <class Epilogue>
    struct of_any_phase {
        static constexpr bool is_long = kernels::is_long<Epilogue>;
        Epilogue epilogue;

        FQT_INLINE void operator()(int pixel, int block, const auto& sums) const {
            // A dense layer's blocks count through all its input pixels.
            if constexpr (dense) {
                pixel = block / input_blocks;
                block %= input_blocks;
            }
            if constexpr (std::is_convertible_v<decltype(sums), sums_type>) epilogue(pixel, block, sums);
            else epilogue(pixel, block, sums.to_float());
        }
    };

    /// Weights as the correlation of phase I counts them: its outputs are channels c, its channels outputs k.
    template <int I>
    struct weights_of_phase {
        using weight = typename Kind::weight;
        static constexpr int channels = G.channels_per_group(), output_weights = G.taps() * channels,
                             last_r = phase_of(G.in.height, G.kernel_height, G.stride, G.pad, I / phases).last_tap,
                             last_s = phase_of(G.in.width, G.kernel_width, G.stride, G.pad, I % phases).last_tap;
        const weight* w;

        weight operator()(int c, int group_k, int t, int u) const {
            if (dense && c % padded(channels) >= channels) return {};
            return *at(c, group_k, t, u);
        }
        template <class ForArch>
        FQT_INLINE void store(int c, int k, int t, int u, std::byte* to) const {
            if constexpr (!dense || channels % lanes == 0) {
                const auto* from = reinterpret_cast<const std::byte*>(at(c, k, t, u));
                simd::store_transposed<output_weights>(typename ForArch::registers{}, from, to);
            } else {
                for (int i = 0; i < lanes; ++i)
                    for (int j = 0; j < Kind::group; ++j) *to++ = std::byte((*this)(c + i, k + j, t, u));
            }
        }

    private:
        const weight* at(int c, int group_k, int t, int u) const {
            if constexpr (dense) { // outputs count through all input pixels
                const int pixel = c / padded(channels);
                return w + std::ptrdiff_t{group_k} * output_weights + pixel * channels + c % padded(channels);
            } else {
                const int k = c / channels * G.outputs_per_group() + group_k;
                const int tap = (last_r - t * G.stride) * G.kernel_width + last_s - u * G.stride;
                return w + std::ptrdiff_t{k} * output_weights + tap * channels + c % channels;
            }
        }
    };
};

} // namespace fqt::kernels
