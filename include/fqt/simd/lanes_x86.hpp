#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Sixteen lanes in one AVX-512 register or two AVX2 registers. The classes are written once, over the `part`s of a
// value. Include lanes.hpp, which explains the types.

#include <fqt/simd/lanes_generic.hpp>
#include <fqt/simd/registers_x86.hpp>

#include <utility>

#if defined(FQT_HAS_AVX2)

// g++ 12 warns of what its own AVX-512 intrinsics leave undefined on purpose (its bug 105593).
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif

namespace fqt::simd {

namespace detail {

/// The registers of one value. Nothing here loops: compilers keep an array in registers only without a loop over it.
template <class Batch>
struct held {
    using batch = Batch;
    using element = typename Batch::value_type;
    static constexpr int width = static_cast<int>(Batch::size), parts = lanes / width;
    Batch part[parts];

    FQT_INLINE void fill(element v) {
        part[0] = Batch(v);
        if constexpr (parts > 1) part[1] = Batch(v);
    }
    FQT_INLINE void fetch(const element* from) {
        part[0] = Batch::load_unaligned(from);
        if constexpr (parts > 1) part[1] = Batch::load_unaligned(from + width);
    }
    FQT_INLINE void store(element* to) const {
        part[0].store_unaligned(to);
        if constexpr (parts > 1) part[1].store_unaligned(to + width);
    }
    element lane(int i) const { return part[i / width].get(static_cast<std::size_t>(i % width)); }
};

/// Calls f on each part of the operands.
template <class Out, class F, class... In>
FQT_INLINE Out by_parts(F f, const In&... in) {
    Out out;
    out.part[0] = f(in.part[0]...);
    if constexpr (Out::parts > 1) out.part[1] = f(in.part[1]...);
    return out;
}

} // namespace detail

template <class Registers>
class mask_lanes {
    using isa = detail::isa<Registers>;
    using f32 = f32_lanes<Registers>;

public:
    using batch = typename isa::mask;
    static constexpr int parts = lanes / static_cast<int>(batch::size), width = static_cast<int>(batch::size);
    batch part[parts];

    FQT_INLINE static mask_lanes first(int n) {
        mask_lanes m;
        m.part[0] = isa::first(n);
        if constexpr (parts > 1) m.part[1] = isa::first(n - width);
        return m;
    }
    bool lane(int i) const { return (bits() >> i & 1) != 0; }
    FQT_INLINE unsigned bits() const {
        unsigned b = isa::bits(part[0]);
        if constexpr (parts > 1) b |= isa::bits(part[1]) << width;
        return b;
    }
    FQT_INLINE friend mask_lanes operator&(mask_lanes a, mask_lanes b) {
        return detail::by_parts<mask_lanes>([](batch x, batch y) -> batch { return x & y; }, a, b);
    }
    FQT_INLINE friend mask_lanes operator|(mask_lanes a, mask_lanes b) {
        return detail::by_parts<mask_lanes>([](batch x, batch y) -> batch { return x | y; }, a, b);
    }
    FQT_INLINE friend mask_lanes operator!(mask_lanes a) {
        return detail::by_parts<mask_lanes>([](batch x) -> batch { return !x; }, a);
    }
    FQT_INLINE friend bool any(mask_lanes m) { return m.bits() != 0; }
    FQT_INLINE friend bool all(mask_lanes m) { return m.bits() == 0xffff; }
    // Found through the mask alone: neither value names the lanes.
    FQT_INLINE friend f32 where(mask_lanes m, float a, float b) { return where(m, f32(a), f32(b)); }
};

template <class Registers>
class f32_lanes : public detail::held<typename detail::isa<Registers>::f32> {
    using isa = detail::isa<Registers>;

public:
    using mask = mask_lanes<Registers>;
    using batch = typename isa::f32;
    using detail::held<batch>::part, detail::held<batch>::parts, detail::held<batch>::width;

    f32_lanes() = default;
    FQT_INLINE f32_lanes(float v) { this->fill(v); }
    FQT_INLINE static f32_lanes zero() { return 0.0f; }
    FQT_INLINE static f32_lanes load(const float* from) {
        f32_lanes r;
        r.fetch(from);
        return r;
    }
    FQT_INLINE static mask first(int n) { return mask::first(n); }

    FQT_INLINE friend f32_lanes operator+(f32_lanes a, f32_lanes b) {
        return each([](batch x, batch y) -> batch { return x + y; }, a, b);
    }
    FQT_INLINE friend f32_lanes operator-(f32_lanes a, f32_lanes b) {
        return each([](batch x, batch y) -> batch { return x - y; }, a, b);
    }
    FQT_INLINE friend f32_lanes operator*(f32_lanes a, f32_lanes b) {
        return each([](batch x, batch y) -> batch { return isa::hidden(x * y); }, a, b);
    }
    FQT_INLINE friend f32_lanes operator/(f32_lanes a, f32_lanes b) {
        return each([](batch x, batch y) -> batch { return x / y; }, a, b);
    }
    FQT_INLINE friend f32_lanes operator-(f32_lanes a) {
        return each([](batch x) -> batch { return isa::negative(x); }, a);
    }
    FQT_INLINE f32_lanes& operator+=(f32_lanes b) { return *this = *this + b; }
    FQT_INLINE f32_lanes& operator-=(f32_lanes b) { return *this = *this - b; }
    FQT_INLINE f32_lanes& operator*=(f32_lanes b) { return *this = *this * b; }
    FQT_INLINE f32_lanes& operator/=(f32_lanes b) { return *this = *this / b; }

    FQT_INLINE friend mask operator<(f32_lanes a, f32_lanes b) {
        return test([](batch x, batch y) { return x < y; }, a, b);
    }
    FQT_INLINE friend mask operator<=(f32_lanes a, f32_lanes b) {
        return test([](batch x, batch y) { return x <= y; }, a, b);
    }
    FQT_INLINE friend mask operator>(f32_lanes a, f32_lanes b) { return b < a; }
    FQT_INLINE friend mask operator>=(f32_lanes a, f32_lanes b) { return b <= a; }
    FQT_INLINE friend mask operator==(f32_lanes a, f32_lanes b) {
        return test([](batch x, batch y) { return x == y; }, a, b);
    }
    // xsimd's != is false where a NaN is.
    FQT_INLINE friend mask operator!=(f32_lanes a, f32_lanes b) { return !(a == b); }

    FQT_INLINE friend f32_lanes product(f32_lanes a, f32_lanes b) { return a * b; }
    FQT_INLINE friend f32_lanes fma(f32_lanes a, f32_lanes b, f32_lanes c) {
        return each([](batch x, batch y, batch z) -> batch { return isa::fma(x, y, z); }, a, b, c);
    }
    FQT_INLINE friend f32_lanes max(f32_lanes a, f32_lanes b) {
        return each([](batch x, batch y) -> batch { return xsimd::max(x, y); }, a, b);
    }
    FQT_INLINE friend f32_lanes min(f32_lanes a, f32_lanes b) {
        return each([](batch x, batch y) -> batch { return xsimd::min(x, y); }, a, b);
    }
    FQT_INLINE friend f32_lanes abs(f32_lanes a) {
        return each([](batch x) -> batch { return xsimd::abs(x); }, a);
    }
    FQT_INLINE friend f32_lanes floor(f32_lanes a) {
        return each([](batch x) -> batch { return xsimd::floor(x); }, a);
    }
    FQT_INLINE friend f32_lanes rint(f32_lanes a) {
        return each([](batch x) -> batch { return xsimd::nearbyint(x); }, a);
    }
    FQT_INLINE friend f32_lanes sqrt(f32_lanes a) {
        return each([](batch x) -> batch { return xsimd::sqrt(x); }, a);
    }
    FQT_INLINE friend f32_lanes where(mask m, f32_lanes a, f32_lanes b) {
        return each([](typename mask::batch c, batch x, batch y) -> batch { return xsimd::select(c, x, y); }, m, a, b);
    }
    FQT_INLINE friend mask is_finite(f32_lanes a) { return abs(a) <= std::numeric_limits<float>::max(); }
    FQT_INLINE friend float reduce_max(f32_lanes a) {
        return reduce(a, [](auto x, auto y) { return xsimd::max(x, y); });
    }
    FQT_INLINE friend float reduce_min(f32_lanes a) {
        return reduce(a, [](auto x, auto y) { return xsimd::min(x, y); });
    }

private:
    template <class F, class... In>
    FQT_INLINE static f32_lanes each(F f, const In&... in) {
        return detail::by_parts<f32_lanes>(f, in...);
    }
    template <class F>
    FQT_INLINE static mask test(F f, const f32_lanes& a, const f32_lanes& b) {
        return detail::by_parts<mask>(f, a, b);
    }
    // Halves first, then quarters, down to two lanes.
    template <class F>
    FQT_INLINE static float reduce(f32_lanes a, F f) {
        using eight = xsimd::batch<float, xsimd::avx2>;
        using four = xsimd::batch<float, xsimd::sse4_2>;
        eight low, high;
        if constexpr (parts == 2) {
            low = a.part[0];
            high = a.part[1];
        }
#if defined(FQT_HAS_AVX512)
        if constexpr (parts == 1) {
            low = _mm512_castps512_ps256(a.part[0]);
            high = _mm512_extractf32x8_ps(a.part[0], 1);
        }
#endif
        const eight e = f(low, high);
        const four q = f(four(_mm256_castps256_ps128(e)), four(_mm256_extractf128_ps(e, 1)));
        const four two = f(q, four(_mm_movehl_ps(q, q)));
        return _mm_cvtss_f32(f(two, four(_mm_movehdup_ps(two))));
    }
};

template <int N, class Registers>
FQT_INLINE f32_lanes<Registers> swapped(f32_lanes<Registers> a) {
    using values = f32_lanes<Registers>;
    if constexpr (N == values::width) {
        std::swap(a.part[0], a.part[1]);
        return a;
    } else {
        return detail::by_parts<values>([](auto x) { return detail::isa<Registers>::template swapped<N>(x); }, a);
    }
}

template <class Registers>
class i32_lanes : public detail::held<typename detail::isa<Registers>::i32> {
    using isa = detail::isa<Registers>;

public:
    using batch = typename isa::i32;

    i32_lanes() = default;
    FQT_INLINE i32_lanes(std::int32_t v) { this->fill(v); }
    FQT_INLINE static i32_lanes zero() { return 0; }
    FQT_INLINE static i32_lanes load(const std::int32_t* from) {
        i32_lanes r;
        r.fetch(from);
        return r;
    }
    FQT_INLINE f32_lanes<Registers> to_float() const {
        return detail::by_parts<f32_lanes<Registers>>([](batch x) { return isa::to_float(x); }, *this);
    }
    FQT_INLINE friend i32_lanes operator+(i32_lanes a, i32_lanes b) {
        return detail::by_parts<i32_lanes>([](batch x, batch y) -> batch { return x + y; }, a, b);
    }
    FQT_INLINE friend i32_lanes operator-(i32_lanes a, i32_lanes b) {
        return detail::by_parts<i32_lanes>([](batch x, batch y) -> batch { return x - y; }, a, b);
    }
};

template <class Registers>
FQT_INLINE i32_lanes<Registers> to_i32(f32_lanes<Registers> a) {
    return detail::by_parts<i32_lanes<Registers>>([](auto x) { return detail::isa<Registers>::to_i32(x); }, a);
}

template <class Registers>
class u32_lanes : public detail::held<typename detail::isa<Registers>::u32> {
    using isa = detail::isa<Registers>;

public:
    using batch = typename isa::u32;
    using detail::held<batch>::part, detail::held<batch>::parts, detail::held<batch>::width;

    u32_lanes() = default;
    FQT_INLINE u32_lanes(std::uint32_t v) { this->fill(v); }
    FQT_INLINE static u32_lanes ramp(std::uint32_t first, std::uint32_t step) {
        u32_lanes r;
        r.part[0] = isa::multiply(isa::counting(), batch(step)) + batch(first);
        if constexpr (parts > 1) r.part[1] = r.part[0] + batch(step * std::uint32_t{width});
        return r;
    }
    FQT_INLINE static u32_lanes load(const std::uint32_t* from) {
        u32_lanes r;
        r.fetch(from);
        return r;
    }

    FQT_INLINE friend u32_lanes operator+(u32_lanes a, u32_lanes b) {
        return each([](batch x, batch y) -> batch { return x + y; }, a, b);
    }
    FQT_INLINE friend u32_lanes operator^(u32_lanes a, u32_lanes b) {
        return each([](batch x, batch y) -> batch { return x ^ y; }, a, b);
    }
    FQT_INLINE friend u32_lanes operator&(u32_lanes a, u32_lanes b) {
        return each([](batch x, batch y) -> batch { return x & y; }, a, b);
    }
    FQT_INLINE friend u32_lanes operator|(u32_lanes a, u32_lanes b) {
        return each([](batch x, batch y) -> batch { return x | y; }, a, b);
    }
    FQT_INLINE friend u32_lanes operator<<(u32_lanes a, int n) {
        return each([n](batch x) -> batch { return x << n; }, a);
    }
    FQT_INLINE friend u32_lanes operator>>(u32_lanes a, int n) {
        return each([n](batch x) -> batch { return x >> n; }, a);
    }
    FQT_INLINE friend wide_product<u32_lanes> mul_hi_lo(u32_lanes a, std::uint32_t b) {
        wide_product<u32_lanes> r;
        const auto p = isa::mul_hi_lo(a.part[0], batch(b));
        r.high.part[0] = p.high;
        r.low.part[0] = p.low;
        if constexpr (parts > 1) {
            const auto q = isa::mul_hi_lo(a.part[1], batch(b));
            r.high.part[1] = q.high;
            r.low.part[1] = q.low;
        }
        return r;
    }
    FQT_INLINE friend f32_lanes<Registers> as_float(u32_lanes a) {
        return detail::by_parts<f32_lanes<Registers>>([](batch x) { return isa::as_float(x); }, a);
    }

private:
    template <class F, class... In>
    FQT_INLINE static u32_lanes each(F f, const In&... in) {
        return detail::by_parts<u32_lanes>(f, in...);
    }
};

template <class Registers>
FQT_INLINE u32_lanes<Registers> as_bits(f32_lanes<Registers> a) {
    return detail::by_parts<u32_lanes<Registers>>([](auto x) { return detail::isa<Registers>::as_bits(x); }, a);
}

template <class Registers>
class f64_lanes {
    using isa = detail::isa<Registers>;
    using f32 = f32_lanes<Registers>;

public:
    using batch = typename isa::f64;
    static constexpr int parts = lanes / static_cast<int>(batch::size), width = static_cast<int>(batch::size);
    batch part[parts];

    FQT_INLINE static f64_lanes zero() {
        f64_lanes r;
        r.each([](batch& x, int) { x = batch(0.0); });
        return r;
    }
    FQT_INLINE static f64_lanes load(const double* from) {
        f64_lanes r;
        r.each([from](batch& x, int i) { x = batch::load_unaligned(from + i * width); });
        return r;
    }
    FQT_INLINE void store(double* to) const {
        part[0].store_unaligned(to);
        part[1].store_unaligned(to + width);
        if constexpr (parts > 2) {
            part[2].store_unaligned(to + 2 * width);
            part[3].store_unaligned(to + 3 * width);
        }
    }
    double lane(int i) const { return part[i / width].get(static_cast<std::size_t>(i % width)); }

    FQT_INLINE void add(f32 x) {
        part[0] += isa::low(x.part[0]);
        part[1] += isa::high(x.part[0]);
        if constexpr (parts > 2) {
            part[2] += isa::low(x.part[1]);
            part[3] += isa::high(x.part[1]);
        }
    }
    // A double holds the product of two floats exactly, so fusing changes nothing.
    FQT_INLINE void add_product(f32 a, f32 b) {
        part[0] = isa::fma(isa::low(a.part[0]), isa::low(b.part[0]), part[0]);
        part[1] = isa::fma(isa::high(a.part[0]), isa::high(b.part[0]), part[1]);
        if constexpr (parts > 2) {
            part[2] = isa::fma(isa::low(a.part[1]), isa::low(b.part[1]), part[2]);
            part[3] = isa::fma(isa::high(a.part[1]), isa::high(b.part[1]), part[3]);
        }
    }
    FQT_INLINE f64_lanes& operator+=(const f64_lanes& b) {
        each([&b](batch& x, int i) { x += b.part[i]; });
        return *this;
    }

private:
    template <class F>
    FQT_INLINE void each(F f) {
        f(part[0], 0);
        f(part[1], 1);
        if constexpr (parts > 2) {
            f(part[2], 2);
            f(part[3], 3);
        }
    }
};

} // namespace fqt::simd

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

#endif
