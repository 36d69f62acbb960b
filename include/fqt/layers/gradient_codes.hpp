#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// h, the gradient by a product's sums, on its way into the two products of the backward pass: quantized once or twice,
// with one grid per tensor, sample or channel, or used as floats where the scheme says `real`.

#include <fqt/kernels/kind.hpp>
#include <fqt/layers/passes.hpp>
#include <fqt/layers/planner.hpp>

#include <type_traits>

namespace fqt {

/// Where quantizer Q's grids of h lie, and its codes.
template <shape Shape, class Q>
struct gradient_codes {
    using coded = codes<Shape, Q, true>;
    using grid_type = typename quantizer_traits<Q>::grid_type;
    static constexpr bool by_sample = has_granularity<Q, per_sample>, by_channel = has_granularity<Q, per_channel>;
    static constexpr code_limits limits = limits_of(bits_of<Q>, true);
    static constexpr int bits = bits_of<Q>;
    static_assert(!by_channel || is_linear<Q>,
                  "fqt: a quantizer of gradients that is per channel must be linear; use per_sample or per_tensor");

    std::byte* data;
    grid_type* grids;        // per tensor: 1; per sample: one each; per channel: one each
    float *steps, *inverses; // per channel, padded: for lanes

    /// Takes memory for `samples` samples from a carver; with an empty carver it only counts.
    static constexpr gradient_codes carve(carver& memory, int samples) {
        gradient_codes g{};
        const auto n = static_cast<std::size_t>(samples);
        g.data = memory.take<std::byte>(coded::sample_bytes * n);
        g.grids = memory.take<grid_type>(by_sample        ? n
                                             : by_channel ? static_cast<std::size_t>(padded(Shape.channels))
                                                          : 1);
        g.steps = memory.take<float>(by_channel ? static_cast<std::size_t>(padded(Shape.channels)) : 1);
        g.inverses = memory.take<float>(by_channel ? static_cast<std::size_t>(padded(Shape.channels)) : 1);
        return g;
    }

    const grid_type& grid_of(int n) const { return grids[by_sample ? n : 0]; }
    /// The step that is common to sample n's codes; 1 where every channel has its own, or where grids have none.
    float step_of(int n) const {
        if constexpr (by_channel || !is_linear<Q>) return 1.0f;
        else return grid_of(n).step;
    }

    /// Quantizes h: one pass to measure, one to write. Where samples have grids of their own the second pass follows
    /// while the sample is still in cache.
    template <class Arch, class H>
    void encode(const context& c, const H& h, const random_stream& stream, std::byte* shared, const char* layer) {
        bool finite = true;
        auto* of_sample = reinterpret_cast<interval*>(shared);
        if constexpr (by_channel) {
            fit_channels<Arch>(c, h, reinterpret_cast<float*>(shared), layer);
            parallel_for(c.samples, c.threads, [&](int n, int) { write<Arch>(c, h, stream, n); });
        } else {
            parallel_for(c.samples, c.threads, [&](int n, int) {
                const H values = h;
                floats<Arch> greatest(0.0f), poison(0.0f);
                passes::each_block<Shape>([&](int p, int b) __attribute__((always_inline)) {
                    const auto v = values.template load<Arch>(n, p, b);
                    greatest = max(abs(v), greatest);
                    poison = fma(v, floats<Arch>(0.0f), poison);
                });
                const float most =
                    all(poison == floats<Arch>(0.0f)) ? reduce_max(greatest) : std::numeric_limits<float>::infinity();
                of_sample[n] = {-most, most};
                if constexpr (by_sample) {
                    if (!(most < std::numeric_limits<float>::infinity())) return;
                    grids[n] = Q::fit(of_sample[n], limits);
                    write<Arch>(c, h, stream, n);
                }
            });
            for (int n = 0; n < c.samples; ++n)
                finite = finite && of_sample[n].high < std::numeric_limits<float>::infinity();
            if (!finite) passes::refuse_non_finite("a gradient", layer);
            if constexpr (!by_sample) {
                grids[0] = Q::fit(passes::over_samples(c, of_sample), limits);
                parallel_for(c.samples, c.threads, [&](int n, int) { write<Arch>(c, h, stream, n); });
            }
        }
    }

    /// Bytes of shared memory that encode() uses besides its own.
    static constexpr std::size_t encode_bytes(int samples) {
        return static_cast<std::size_t>(samples)
            * (by_channel ? sizeof(float) * static_cast<std::size_t>(padded(Shape.channels)) : sizeof(interval));
    }

private:
    // The codes as a lazy tensor, for kernels and observers.
public:
    static constexpr shape dims = Shape;
    template <class Arch>
    floats<Arch> code(int n, int p, int b) const {
        return coded{data, nullptr, nullptr}.template code<Arch>(n, p, b);
    }
    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        if constexpr (by_channel) return code<Arch>(n, p, b) * floats<Arch>::load(steps + b * lanes);
        else return Q::decode(code<Arch>(n, p, b), grid_of(n));
    }

private:
    template <class Arch, class H>
    void write(const context& c, const H& h, const random_stream& stream, int n) {
        const H values = h;
        const grid_type grid = grid_of(n);
        const coded out{data, nullptr, nullptr};
        passes::each_block_with_draws<Arch, Shape, quantizer_traits<Q>::draws>(
            stream,
            c.first_sample + static_cast<std::uint32_t>(n), [&](int p, int b, auto u) __attribute__((always_inline)) {
                const auto v = values.template load<Arch>(n, p, b);
                const auto q = [&]() __attribute__((always_inline)) {
                    if constexpr (by_channel) {
                        const passes::lane_grid<Arch> g{floats<Arch>::load(steps + b * lanes),
                                                        floats<Arch>::load(inverses + b * lanes)};
                        return Q::encode(v, g, u);
                    } else {
                        return Q::encode(v, grid, u);
                    }
                }
                ();
                simd::store_codes<bits, true>(const_cast<std::byte*>(out.at(n, p, b)),
                                              passes::clamped<Arch>(q, limits));
            });
    }

    template <class Arch, class H>
    void fit_channels(const context& c, const H& h, float* greatest, const char* layer) {
        constexpr int channels = padded(Shape.channels);
        parallel_for(c.samples, c.threads, [&](int n, int) {
            for (int b = 0; b < blocks(Shape.channels); ++b) {
                floats<Arch> most(0.0f), poison(0.0f);
                for (int p = 0; p < Shape.pixels(); ++p) {
                    const auto v = h.template load<Arch>(n, p, b);
                    most = max(abs(v), most);
                    poison = fma(v, floats<Arch>(0.0f), poison);
                }
                where(poison == floats<Arch>(0.0f), most, std::numeric_limits<float>::infinity())
                    .store(greatest + n * channels + b * lanes);
            }
        });
        for (int k = 0; k < channels; ++k) {
            float most = 0;
            for (int n = 0; n < c.samples; ++n) most = std::max(most, greatest[n * channels + k]);
            if (!(most < std::numeric_limits<float>::infinity())) passes::refuse_non_finite("a gradient", layer);
            grids[k] = Q::fit({-most, most}, limits);
            steps[k] = grids[k].step;
            inverses[k] = grids[k].inverse;
        }
    }
};

// ---- sources: how kernels read one sample ----

/// Codes of one sample, as bytes for an integer product or decoded for one in floats.
template <class Codes>
struct code_source {
    static constexpr bool is_signed = Codes::is_signed;
    Codes tensor;
    int n;

    template <class Arch>
    simd::u8x16<Arch> bytes(int p, int b) const {
        return simd::load_code_bytes<Arch, bits_of<typename Codes::quantizer>, Codes::is_signed>(tensor.at(n, p, b));
    }
    template <class Arch>
    floats<Arch> values(int p, int b) const {
        return tensor.template load<Arch>(n, p, b);
    }
};

/// Quantized h of one sample.
template <class Gradient>
struct gradient_source {
    static constexpr bool is_signed = true;
    Gradient tensor;
    int n;

    template <class Arch>
    simd::u8x16<Arch> bytes(int p, int b) const {
        return simd::load_code_bytes<Arch, Gradient::bits, true>(
            typename Gradient::coded{tensor.data, nullptr, nullptr}.at(n, p, b));
    }
    template <class Arch>
    floats<Arch> values(int p, int b) const {
        return tensor.template load<Arch>(n, p, b);
    }
};

/// Any lazy tensor, as floats.
template <class X>
struct lazy_source {
    static constexpr bool is_signed = true;
    X x;
    int n;

    template <class Arch>
    floats<Arch> values(int p, int b) const {
        return x.template load<Arch>(n, p, b);
    }
};

} // namespace fqt
