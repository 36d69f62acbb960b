#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The forward product of one sample:
//   sums[y][x][k] = sum over r, s, c of w[k][r][s][c] * x[c][y * stride + r - pad][x * stride + s - pad]
//
// Integer sums are exact. A float sum is a chain of fma from 0, operands of the border included (but for rows r that
// are all border, which change no finite sum), in the order
//   r, c, s ascending   for kernels up to five wide,
//   r, s, c ascending   for wider ones (see taps.hpp).

#include <fqt/kernels/correlate.hpp>
#include <fqt/kernels/staging.hpp>

namespace fqt::kernels {

template <geometry G, class Kind, class Arch, std::int64_t Longest = longest_sum>
struct forward_product {
private:
    using product = correlate<forward_correlation(G), Kind, Arch, Longest>;
    using image = image_of<forward_correlation(G), forward_image(G), Kind, Arch, Longest>;

public:
    using sums_type = typename product::sums_type;
    /// Buffers are aligned to 64 bytes.
    static constexpr std::size_t packed_bytes = product::packed_bytes, staged_bytes = image::bytes;

    /// Packs the logical weights [k][r][s][channel of k's group]; is_signed says whether activations will be.
    static void pack(const typename Kind::weight* w, bool is_signed, std::byte* packed) {
        for (int part = 0; part < parts; ++part) pack(w, is_signed, part, packed);
    }
    /// One of `parts` parts of it, which are independent.
    static void pack(const typename Kind::weight* w, bool is_signed, int part, std::byte* packed) {
        product::pack(logical_weights{w}, is_signed, part, packed);
    }
    static constexpr int parts = product::parts;

    /// Copies a sample of shape G.in, padded with zeros.
    template <class Source>
    static void stage(const Source& x, std::byte* staged) {
        image::stage(x, staged);
    }

    /// What run() reads of a sample: the sample itself, if it is stored as it would be staged, or else its copy.
    template <class Source>
    static const std::byte* operands_of(const Source& x, std::byte* staged) {
        // In groups, the last step of a window reads on beyond its pixel, and so beyond the sample.
        constexpr bool as_stored = is_integer<Kind> && G.groups == 1 && image::adds_nothing;
        if constexpr (as_stored && requires { x.stored_bytes(); }) return x.stored_bytes();
        stage(x, staged);
        return staged;
    }

    /// Calls epilogue(pixel, block, sums_type) once for every output pixel and block of 16 outputs; padded lanes are 0.
    /// A kernel may write int32 sums itself, if the epilogue says where it keeps them (keeps_sums).
    template <class Epilogue>
    static void run(const std::byte* staged, const std::byte* packed, const Epilogue& epilogue) {
        product::run(staged, packed, epilogue);
    }

private:
    struct logical_weights {
        const typename Kind::weight* w;
        static constexpr std::ptrdiff_t channels = G.channels_per_group(), output_weights = G.taps() * channels;

        const auto& operator()(int k, int c, int r, int s) const {
            return w[k * output_weights + (r * G.kernel_width + s) * channels + c];
        }
        template <class>
        FQT_INLINE void store(int k, int c, int r, int s, std::byte* to) const {
            const auto* from = &(*this)(k, c, r, s);
            for (int i = 0; i < lanes; ++i, from += output_weights) std::memcpy(to + i * 4, from, 4);
        }
    };
};

} // namespace fqt::kernels
