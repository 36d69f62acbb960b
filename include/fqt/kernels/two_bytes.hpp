#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Products of integers that take two bytes: codes of 9 to 16 bits, and grids whose integers are beyond a byte. Such an
// integer is 256 high + low, both signed bytes, and a product is the sum of up to four products of bytes,
//   x w = 65536 xh wh + 256 (xh wl + xl wh) + xl wl,
// by the same kernels: each of them an exact int32 sum, and these are added in float, from the first to the last, by
// one fma each, which rounds once: the result is exact where each of these sums is a number of 24 bits times its
// factor.
//
// A source of two bytes also has
//   source.template integers<Arch>(pixel, block) -> f32x16
//   source.integer_bytes()                       -> 1 if all of the sample fit a byte, so that high bytes are left out

#include <fqt/kernels/kind.hpp>
#include <fqt/simd/convert.hpp>
#include <fqt/simd/lanes.hpp>

#include <type_traits>

namespace fqt::kernels {

/// The high or the low byte of a source's integers.
template <class Source, bool High>
struct byte_source {
    static constexpr bool is_signed = true;
    const Source& source;

    template <class Arch>
    simd::u8x16<Arch> bytes(int pixel, int block) const {
        const auto integer = source.template integers<Arch>(pixel, block);
        const auto high = floor(integer * (1.0f / 256) + 0.5f);
        return simd::to_bytes((High ? high : integer - high * 256.0f) + 128.0f);
    }
};

/// Calls stage(source, place) for the bytes of a source, of which there are Most or fewer: 0 the low ones, or all there
/// is, and 1 the high ones. Returns how many there are.
template <int Most, class Source, class Stage>
int stage_bytes(const Source& source, Stage&& stage) {
    if constexpr (Most == 2)
        if (source.integer_bytes() == 2) {
            stage(byte_source<Source, false>{source}, 0);
            stage(byte_source<Source, true>{source}, 1);
            return 2;
        }
    stage(source, 0);
    return 1;
}

/// What a product of these two bytes counts for.
constexpr float weight_of_bytes(int first, int second) { return static_cast<float>(1 << (8 * (first + second))); }

/// Forward products and input gradients: the interface of Kernel, whose sums have shape Out.
template <class Kernel, geometry G, shape Out, class Arch, int OperandBytes, int WeightBytes>
struct two_byte_product {
private:
    using floats = simd::f32x16<Arch>;
    // Staged: how many bytes there are, the operands byte by byte, the sums so far.
    static constexpr std::size_t operands_at = 64, sums_at = operands_at + OperandBytes * Kernel::staged_bytes;

public:
    using sums_type = floats;
    static constexpr std::size_t packed_bytes = WeightBytes * Kernel::packed_bytes;
    static constexpr std::size_t staged_bytes = sums_at + sizeof(float) * static_cast<std::size_t>(padded_size(Out));
    static constexpr int parts = WeightBytes * Kernel::parts;

    /// The low bytes of all weights, and behind them the high ones.
    static void pack(const std::int8_t* w, bool is_signed, int part, std::byte* packed) {
        const int byte = part / Kernel::parts;
        Kernel::pack(w + std::ptrdiff_t{byte} * G.weights(), is_signed, part % Kernel::parts,
                     packed + static_cast<std::size_t>(byte) * Kernel::packed_bytes);
    }

    template <class Source>
    static void stage(const Source& source, std::byte* staged) {
        store(staged, stage_bytes<OperandBytes>(source, [&](const auto& of_byte, int byte) {
                  Kernel::stage(of_byte, staged + operands_at + static_cast<std::size_t>(byte) * Kernel::staged_bytes);
              }));
    }
    template <class Source>
    static std::byte* operands_of(const Source& source, std::byte* staged) {
        stage(source, staged);
        return staged;
    }

    template <class Epilogue>
    static void run(std::byte* staged, const std::byte* packed, const Epilogue& epilogue) {
        const int operand_bytes = load<int>(staged);
        auto* so_far = reinterpret_cast<float*>(staged + sums_at);
        for (int x = operand_bytes; x-- > 0;)
            for (int w = WeightBytes; w-- > 0;) {
                const bool first = x == operand_bytes - 1 && w == WeightBytes - 1, last = x + w == 0;
                const float factor = weight_of_bytes(x, w);
                const auto add = [=](int p, int b, auto sums) FQT_INLINE_LAMBDA {
                    float* place = so_far + (std::ptrdiff_t{p} * blocks(Out.channels) + b) * lanes;
                    floats total = first ? floats(0.0f) : floats::load(place);
                    total = fma(as_floats(sums), floats(factor), total);
                    if (last) epilogue(p, b, total);
                    else total.store(place);
                };
                Kernel::run(staged + operands_at + static_cast<std::size_t>(x) * Kernel::staged_bytes,
                            packed + static_cast<std::size_t>(w) * Kernel::packed_bytes, add);
            }
    }
};

/// Weight gradients: the interface of Kernel. Each product of bytes is added to the running gradient, with the sample's
/// scale times what it counts for: sample by sample, high bytes first.
template <class Kernel, int ActivationBytes, int GradientBytes>
struct two_byte_weight_gradient : Kernel {
private:
    static constexpr std::size_t operands_at = 64; // behind how many bytes there are

public:
    using typename Kernel::sample;
    static constexpr std::size_t staged_activation_bytes =
                                     operands_at + ActivationBytes * Kernel::staged_activation_bytes,
                                 staged_gradient_bytes = operands_at + GradientBytes * Kernel::staged_gradient_bytes;

    template <class Source>
    static void stage_activation(const Source& source, bool is_signed, std::byte* to) {
        store(to, stage_bytes<ActivationBytes>(source, [&](const auto& of_byte, int byte) {
                  Kernel::stage_activation(of_byte, is_signed, activation_of(to, byte));
              }));
    }
    template <class Source>
    static void stage_gradient(const Source& source, std::byte* to) {
        store(to, stage_bytes<GradientBytes>(source, [&](const auto& of_byte, int byte) {
                  Kernel::stage_gradient(of_byte, gradient_of(to, byte));
              }));
    }

    static void run(const sample* samples, int count, bool is_signed, bool are_first, float* into) {
        constexpr int products = ActivationBytes * GradientBytes, most = products * Kernel::samples_at_once;
        sample of_bytes[most];
        int found = 0;
        for (int i = 0; i < count; ++i) {
            for (int x = load<int>(samples[i].activation); x-- > 0;)
                for (int h = load<int>(samples[i].gradient); h-- > 0;)
                    of_bytes[found++] = {activation_of(samples[i].activation, x), gradient_of(samples[i].gradient, h),
                                         samples[i].scale * weight_of_bytes(x, h)};
            if (i + 1 < count && found + products <= most) continue;
            Kernel::run(of_bytes, found, is_signed, are_first, into);
            found = 0;
            are_first = false;
        }
    }

private:
    template <class Byte>
    static Byte* activation_of(Byte* staged, int byte) {
        return staged + operands_at + static_cast<std::size_t>(byte) * Kernel::staged_activation_bytes;
    }
    template <class Byte>
    static Byte* gradient_of(Byte* staged, int byte) {
        return staged + operands_at + static_cast<std::size_t>(byte) * Kernel::staged_gradient_bytes;
    }
};

// ---- the kernel of a product, by the bytes of what it multiplies ----

template <class Kernel, geometry G, shape Out, class Arch, int OperandBytes, int WeightBytes>
using product_of_bytes = std::conditional_t<OperandBytes == 1 && WeightBytes == 1, Kernel,
                                            two_byte_product<Kernel, G, Out, Arch, OperandBytes, WeightBytes>>;
template <class Kernel, int ActivationBytes, int GradientBytes>
using weight_gradient_of_bytes = std::conditional_t<ActivationBytes == 1 && GradientBytes == 1, Kernel,
                                                    two_byte_weight_gradient<Kernel, ActivationBytes, GradientBytes>>;

} // namespace fqt::kernels
