#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The loops of the library: each evaluates a lazy tensor once over a batch and stores codes, values or sums of it.
// Samples are independent and run on threads; what is summed over samples is written per sample and added in order.
// Within a sample the order is octets of 8 pixels, blocks of 16 channels, pixels: one draw of random bits serves an
// octet. Codes for which nothing is drawn are stored in the order of memory, four blocks at a time.

#include <fqt/core/fail.hpp>
#include <fqt/kernels/unroll.hpp>
#include <fqt/layers/context.hpp>
#include <fqt/layers/lazy.hpp>
#include <fqt/simd/random_lanes.hpp>

#include <algorithm>
#include <cmath>
#include <span>

namespace fqt::passes {

/// Where the octet of pixels that begins at `first` ends.
template <shape Shape>
constexpr int end_of_octet(int first) {
    if constexpr (Shape.pixels() % 8 == 0) return first + 8;
    else return std::min(first + 8, Shape.pixels());
}

// These loops are inlined, and `visit` captures copies or locals: then a tensor's pointers stay in registers, though
// codes are bytes and a byte store may alias anything in memory. Functions that loop over a sample are `flatten`:
// whatever they call is inlined, too, the tensors' loads and the rules of quantizers and layers.

/// Calls visit(pixel, block) for every block of a sample.
template <shape Shape, class Visit>
FQT_INLINE void each_block(Visit&& visit) {
    for (int first = 0; first < Shape.pixels(); first += 8)
        for (int b = 0; b < blocks(Shape.channels); ++b)
            for (int p = first; p < end_of_octet<Shape>(first); ++p) visit(p, b);
}

/// The same with the uniform numbers of a quantizer's rounding: visit(pixel, block, u); u is 0 where it draws none.
template <class Arch, shape Shape, class Traits, class Visit>
FQT_INLINE void each_block_with_draws(const random_stream& stream, std::uint32_t sample, Visit&& visit) {
    if constexpr (!Traits::draws) {
        each_block<Shape>([&](int p, int b) FQT_INLINE_LAMBDA { visit(p, b, floats<Arch>(0.0f)); });
    } else if constexpr (Traits::stratifies) {
        constexpr int octets = (Shape.pixels() + 7) / 8; // which have random bits as else pixels have
        for (int first = 0; first < octets; first += 8)
            for (int b = 0; b < blocks(Shape.channels); ++b) {
                const simd::octet_bits<Arch> bits(stream, sample, b * lanes, first / 8, octets);
                for (int octet = first; octet < std::min(first + 8, octets); ++octet) {
                    const auto of_octet = bits.bits(octet - first);
                    for (int p = 8 * octet; p < end_of_octet<Shape>(8 * octet); ++p)
                        visit(p, b, simd::octet_bits<Arch>::stratified(of_octet, p - 8 * octet));
                }
            }
    } else {
        for (int first = 0; first < Shape.pixels(); first += 8)
            for (int b = 0; b < blocks(Shape.channels); ++b) {
                const simd::octet_bits<Arch> bits(stream, sample, b * lanes, first / 8, Shape.pixels());
                const int end = end_of_octet<Shape>(first);
                for (int p = first; p < end; ++p) visit(p, b, bits.uniform(p - first));
            }
    }
}

// ---- measuring ----

/// Refuses NaN and infinity, which would otherwise spread through every later step.
[[noreturn]] inline void refuse_non_finite(const char* what, const char* layer) {
    fail("%s of layer '%s' is not finite (NaN or infinity); lower the learning rate, or check the input and the loss",
         what, layer);
}

[[noreturn]] inline void refuse_too_large(const char* what, const char* layer) {
    fail("%s of layer '%s' is too large: its square is beyond single precision; scale the input, or lower the learning "
         "rate",
         what, layer);
}

[[noreturn]] inline void refuse_without_range(const char* layer) {
    fail("layer '%s' has no range yet, so it cannot be evaluated; train at least one step or load a trained state",
         layer);
}
[[noreturn]] inline void refuse_learnt_range(const char* of, const char* layer, float range) {
    fail(
        "the learnt range of %s of layer '%s' is %g, so it cannot be evaluated; lower its rate, or train another step, "
        "which begins it anew",
        of, layer, double{range});
}

/// Whether no number is NaN or infinite: 0 * x is then always 0.
template <class Arch>
bool all_finite(std::span<const float> values) {
    floats<Arch> poison(0.0f);
    std::size_t i = 0;
    for (; i + lanes <= values.size(); i += lanes)
        poison = fma(floats<Arch>::load(values.data() + i), floats<Arch>(0.0f), poison);
    bool finite = all(poison == floats<Arch>(0.0f));
    for (; i < values.size(); ++i) finite = finite && std::isfinite(values[i]);
    return finite;
}

// ---- activations ----

/// A grid whose step or inverse are lanes: one grid per channel.
template <class Arch>
struct lane_grid {
    floats<Arch> step, inverse;
};

template <class Arch>
floats<Arch> clamped(floats<Arch> q, code_limits limits) {
    return min(max(q, floats<Arch>(static_cast<float>(limits.low))), floats<Arch>(static_cast<float>(limits.high)));
}

/// Stores the codes of sample n of x by `grid` at `data`, and returns the largest magnitude that a stored code stands
/// for.
template <class Arch, class Codes, class X, class Grid>
[[gnu::flatten]] float encode_sample(const context& c, const X& x, const Grid& grid, const random_stream& stream,
                                     std::byte* data, int n) {
    using quantizer = typename Codes::quantizer;
    using traits = quantizer_traits<quantizer>;
    constexpr code_limits limits = traits::limits(Codes::is_signed);
    const X values = x;
    const Grid own_grid = grid;
    const Codes out{data, nullptr, nullptr};
    floats<Arch> greatest(0.0f);
    const auto code = [&](int p, int b, auto u) FQT_INLINE_LAMBDA {
        const auto v = values.template load<Arch>(n, p, b);
        if constexpr (rounds_when_stored<quantizer>) {
            const auto q = clamped<Arch>(quantizer::in_steps(v, own_grid), limits);
            greatest = max(greatest, Codes::is_signed ? abs(q) : q);
            return q;
        } else {
            const auto q = clamped<Arch>(quantizer::encode(v, own_grid, u), limits);
            greatest = max(greatest, abs(quantizer::decode(q, own_grid)));
            return q;
        }
    };
    const auto place = [&](int p, int b) FQT_INLINE_LAMBDA { return const_cast<std::byte*>(out.at(n, p, b)); };
    constexpr bool is_signed = traits::stored_signed(Codes::is_signed);
    constexpr int of_pixel = blocks(X::dims.channels), count = X::dims.pixels() * of_pixel;
    if constexpr (is_real<quantizer>) {
        each_block<X::dims>([&](int p, int b) FQT_INLINE_LAMBDA {
            const auto v = values.template load<Arch>(n, p, b);
            v.store(reinterpret_cast<float*>(place(p, b)));
            greatest = max(greatest, abs(v));
        });
    } else if constexpr (!traits::draws && count % 4 == 0) {
        std::byte* to = place(0, 0);
        for (int i = 0; i < count; i += 4, to += 4 * simd::code_bytes(traits::stored_bits)) {
            floats<Arch> q[4];
            kernels::unroll<4>([&](auto j) FQT_INLINE_LAMBDA {
                q[j] = code((i + j) / of_pixel, (i + j) % of_pixel, floats<Arch>(0.0f));
            });
            simd::store_four_blocks<traits::stored_bits, is_signed>(to, q);
        }
    } else {
        each_block_with_draws<Arch, X::dims, traits>(
            stream, c.first_sample + static_cast<std::uint32_t>(n), [&](int p, int b, auto u) FQT_INLINE_LAMBDA {
                simd::store_codes<traits::stored_bits, is_signed>(place(p, b), code(p, b, u));
            });
    }
    const float most = reduce_max(greatest);
    if constexpr (rounds_when_stored<quantizer>) return quantizer::decode(simd::rint(most), own_grid);
    else return most;
}

/// Stores x as plain values of type T.
template <class Arch, class T, class X>
void store(const context& c, const X& x, T* data) {
    parallel_for(
        c.samples, c.threads, [&](int n, int) __attribute__((flatten)) {
            const X values = x;
            T* const out = data;
            each_block<X::dims>([&](int p, int b) FQT_INLINE_LAMBDA {
                simd::store(out + offset_of(X::dims, n, p, b), values.template load<Arch>(n, p, b));
            });
        });
}

// ---- sums over the batch ----

/// First and second moments, and extremes, of each channel: arrays of padded(channels).
struct moments {
    double *sum, *square;
    float *low, *high;
};

/// Bytes of `context::shared` that moments of one sample take.
constexpr std::size_t moment_bytes(int channels) {
    return static_cast<std::size_t>(padded(channels)) * (2 * sizeof(double) + 2 * sizeof(float));
}

/// Blocks of channels that a sum over pixels takes together: they share cache lines, and their sums do not wait for
/// each other. It does not matter for bits, since every channel has sums of its own.
template <shape Shape>
inline constexpr int blocks_together = blocks(Shape.channels) % 4 == 0 ? 4
    : blocks(Shape.channels) % 2 == 0                                  ? 2
                                                                       : 1;

/// Per-sample moments at `place`, in the units of x: each channel's pixels in order, in double.
template <class Arch, class X>
[[gnu::flatten]] void moments_of_sample(const X& x, int n, std::byte* place) {
    constexpr int channels = padded(X::dims.channels), together = blocks_together<X::dims>;
    auto* sums = reinterpret_cast<double*>(place);
    auto* extremes = reinterpret_cast<float*>(sums + 2 * channels);
    for (int first = 0; first < blocks(X::dims.channels); first += together) {
        simd::f64x16<Arch> sum[together], square[together];
        floats<Arch> low[together], high[together];
        kernels::unroll<together>([&](auto i) FQT_INLINE_LAMBDA {
            sum[i] = square[i] = simd::f64x16<Arch>::zero();
            low[i] = high[i] = units_of<Arch>(x, n, 0, first + i);
        });
        for (int p = 0; p < X::dims.pixels(); ++p)
            kernels::unroll<together>([&](auto i) FQT_INLINE_LAMBDA {
                const auto u = units_of<Arch>(x, n, p, first + i);
                sum[i].add(u);
                square[i].add_product(u, u);
                low[i] = min(u, low[i]);
                high[i] = max(u, high[i]);
            });
        kernels::unroll<together>([&](auto i) FQT_INLINE_LAMBDA {
            const int channel = (first + i) * lanes;
            sum[i].store(sums + channel);
            square[i].store(sums + channels + channel);
            low[i].store(extremes + channel);
            high[i].store(extremes + channels + channel);
        });
    }
}

/// Adds the samples' moments in order.
inline void add_moments(int samples, int padded_channels, const std::byte* places, moments total) {
    for (int n = 0; n < samples; ++n) {
        const auto* sums =
            reinterpret_cast<const double*>(places + static_cast<std::size_t>(n) * moment_bytes(padded_channels));
        const auto* extremes = reinterpret_cast<const float*>(sums + 2 * padded_channels);
        for (int c = 0; c < padded_channels; ++c) {
            total.sum[c] = n ? total.sum[c] + sums[c] : sums[c];
            total.square[c] = n ? total.square[c] + sums[padded_channels + c] : sums[padded_channels + c];
            total.low[c] = n ? std::min(total.low[c], extremes[c]) : extremes[c];
            total.high[c] = n ? std::max(total.high[c], extremes[padded_channels + c]) : extremes[padded_channels + c];
        }
    }
}

/// Bytes of `context::shared` that `reduce` takes for one sample.
constexpr std::size_t reduce_bytes(int channels, int sums = 2) {
    return static_cast<std::size_t>(padded(channels)) * static_cast<std::size_t>(sums) * sizeof(double);
}

/// `Sums` sums over the batch, per channel: add(sum, n, p, b) adds to each sum[s] what block b of a pixel gives to it.
/// Results in sums[s * padded + channel].
template <class Arch, shape Shape, int Sums, class Add>
void reduce(const context& c, std::byte* shared, double* sums, const Add& add) {
    constexpr int channels = padded(Shape.channels);
    constexpr int together = Sums > 2 ? std::min(2, blocks_together<Shape>) : blocks_together<Shape>;
    auto* partial = reinterpret_cast<double*>(shared);
    parallel_for(
        c.samples, c.threads, [&](int n, int) __attribute__((flatten)) {
            double* of_sample = partial + static_cast<std::size_t>(n) * Sums * static_cast<std::size_t>(channels);
            const Add own = add;
            for (int first = 0; first < blocks(Shape.channels); first += together) {
                simd::f64x16<Arch> sum[together][Sums];
                kernels::unroll<together * Sums>(
                    [&](auto i) FQT_INLINE_LAMBDA { sum[i / Sums][i % Sums] = simd::f64x16<Arch>::zero(); });
                for (int p = 0; p < Shape.pixels(); ++p)
                    kernels::unroll<together>([&](auto i) FQT_INLINE_LAMBDA { own(sum[i], n, p, first + i); });
                kernels::unroll<together * Sums>([&](auto i) FQT_INLINE_LAMBDA {
                    sum[i / Sums][i % Sums].store(of_sample + i % Sums * channels + (first + i / Sums) * lanes);
                });
            }
        });
    std::fill_n(sums, Sums * channels, 0.0);
    for (int n = 0; n < c.samples; ++n, partial += Sums * channels)
        for (int i = 0; i < Sums * channels; ++i) sums[i] += partial[i];
}

/// The sums of g and of g times the units of x: what batch normalization needs.
template <class Arch, class X, class G>
void reduce_gradient(const context& c, const X& x, const G& g, std::byte* shared, double* sums) {
    reduce<Arch, G::dims, 2>(c, shared, sums, [x, g](auto& sum, int n, int p, int b) FQT_INLINE_LAMBDA {
        const auto v = g.template load<Arch>(n, p, b);
        sum[0].add(v);
        sum[1].add_product(v, units_of<Arch>(x, n, p, b));
    });
}

} // namespace fqt::passes
