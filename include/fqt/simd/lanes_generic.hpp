#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// One lane and sixteen of them in plain C++: the specification that lanes_x86.hpp equals bit for bit, and the version
// for processors without AVX2. Include lanes.hpp, which explains the types.

#include <fqt/core/floating_point.hpp>
#include <fqt/core/inline.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/simd/arch.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

namespace fqt::simd {

// ---- one lane ----

/// a * b + c, rounded once.
FQT_INLINE float fma(float a, float b, float c) { return std::fma(a, b, c); }
/// b where a is not greater: so of two zeros, and of a number and a NaN, always b. Equal to the instruction of x86.
FQT_INLINE float max(float a, float b) { return a > b ? a : b; }
/// b where a is not less.
FQT_INLINE float min(float a, float b) { return a < b ? a : b; }
FQT_INLINE float abs(float x) { return std::fabs(x); }
FQT_INLINE float floor(float x) { return std::floor(x); }
/// To an integer, ties to even.
FQT_INLINE float rint(float x) { return std::nearbyint(x); }
FQT_INLINE float sqrt(float x) { return std::sqrt(x); }
FQT_INLINE float where(bool mask, float a, float b) { return mask ? a : b; }
FQT_INLINE bool is_finite(float x) { return std::fabs(x) <= std::numeric_limits<float>::max(); }
FQT_INLINE bool any(bool mask) { return mask; }
FQT_INLINE bool all(bool mask) { return mask; }
/// To an integer, ties to even; what int32 cannot hold becomes its least value, as on x86.
FQT_INLINE std::int32_t to_i32(float x) {
    return x >= -0x1p31f && x < 0x1p31f ? static_cast<std::int32_t>(rint(x)) : std::numeric_limits<std::int32_t>::min();
}

/// The two halves of a 64-bit product.
template <class Word>
struct wide_product {
    Word high, low;
};
FQT_INLINE wide_product<std::uint32_t> mul_hi_lo(std::uint32_t a, std::uint32_t b) {
    const std::uint64_t p = std::uint64_t{a} * b;
    return {static_cast<std::uint32_t>(p >> 32), static_cast<std::uint32_t>(p)};
}

using fqt::product;

// ---- sixteen lanes ----

template <class Registers>
class mask_lanes;
template <class Registers>
class f32_lanes;
template <class Registers>
class i32_lanes;
template <class Registers>
class u32_lanes;
template <class Registers>
class f64_lanes;

template <>
class mask_lanes<arch::generic> {
public:
    bool part[lanes];

    /// The lanes 0 to n - 1, 0 <= n <= 16.
    static mask_lanes first(int n) {
        mask_lanes m;
        for (int i = 0; i < lanes; ++i) m.part[i] = i < n;
        return m;
    }
    bool lane(int i) const { return part[i]; }
    /// Lane i as bit i.
    unsigned bits() const {
        unsigned b = 0;
        for (int i = 0; i < lanes; ++i) b |= unsigned{part[i]} << i;
        return b;
    }
    friend mask_lanes operator&(mask_lanes a, mask_lanes b) {
        for (int i = 0; i < lanes; ++i) a.part[i] = a.part[i] && b.part[i];
        return a;
    }
    friend mask_lanes operator|(mask_lanes a, mask_lanes b) {
        for (int i = 0; i < lanes; ++i) a.part[i] = a.part[i] || b.part[i];
        return a;
    }
    friend mask_lanes operator!(mask_lanes a) {
        for (bool& v : a.part) v = !v;
        return a;
    }
    friend bool any(mask_lanes m) { return m.bits() != 0; }
    friend bool all(mask_lanes m) { return m.bits() == 0xffff; }
    // Found through the mask alone: neither value names the lanes.
    friend f32_lanes<arch::generic> where(mask_lanes m, float a, float b);
};

template <>
class f32_lanes<arch::generic> {
public:
    using mask = mask_lanes<arch::generic>;
    float part[lanes];

    f32_lanes() = default;
    f32_lanes(float v) {
        for (float& x : part) x = v;
    }
    static f32_lanes zero() { return 0.0f; }
    static f32_lanes load(const float* from) {
        return each([&](int i) { return from[i]; });
    }
    void store(float* to) const {
        for (int i = 0; i < lanes; ++i) to[i] = part[i];
    }
    float lane(int i) const { return part[i]; }
    static mask first(int n) { return mask::first(n); }

    friend f32_lanes operator+(f32_lanes a, f32_lanes b) {
        return each([&](int i) { return a.part[i] + b.part[i]; });
    }
    friend f32_lanes operator-(f32_lanes a, f32_lanes b) {
        return each([&](int i) { return a.part[i] - b.part[i]; });
    }
    friend f32_lanes operator*(f32_lanes a, f32_lanes b) {
        return each([&](int i) { return fqt::product(a.part[i], b.part[i]); });
    }
    friend f32_lanes operator/(f32_lanes a, f32_lanes b) {
        return each([&](int i) { return a.part[i] / b.part[i]; });
    }
    friend f32_lanes operator-(f32_lanes a) {
        return each([&](int i) { return -a.part[i]; });
    }
    f32_lanes& operator+=(f32_lanes b) { return *this = *this + b; }
    f32_lanes& operator-=(f32_lanes b) { return *this = *this - b; }
    f32_lanes& operator*=(f32_lanes b) { return *this = *this * b; }
    f32_lanes& operator/=(f32_lanes b) { return *this = *this / b; }

    friend mask operator<(f32_lanes a, f32_lanes b) {
        return test([&](int i) { return a.part[i] < b.part[i]; });
    }
    friend mask operator<=(f32_lanes a, f32_lanes b) {
        return test([&](int i) { return a.part[i] <= b.part[i]; });
    }
    friend mask operator>(f32_lanes a, f32_lanes b) {
        return test([&](int i) { return a.part[i] > b.part[i]; });
    }
    friend mask operator>=(f32_lanes a, f32_lanes b) {
        return test([&](int i) { return a.part[i] >= b.part[i]; });
    }
    friend mask operator==(f32_lanes a, f32_lanes b) {
        return test([&](int i) { return a.part[i] == b.part[i]; });
    }
    friend mask operator!=(f32_lanes a, f32_lanes b) {
        return test([&](int i) { return a.part[i] != b.part[i]; });
    }

    friend f32_lanes product(f32_lanes a, f32_lanes b) { return a * b; }
    friend f32_lanes fma(f32_lanes a, f32_lanes b, f32_lanes c) {
        return each([&](int i) { return std::fma(a.part[i], b.part[i], c.part[i]); });
    }
    friend f32_lanes max(f32_lanes a, f32_lanes b) {
        return each([&](int i) { return simd::max(a.part[i], b.part[i]); });
    }
    friend f32_lanes min(f32_lanes a, f32_lanes b) {
        return each([&](int i) { return simd::min(a.part[i], b.part[i]); });
    }
    friend f32_lanes abs(f32_lanes a) {
        return each([&](int i) { return simd::abs(a.part[i]); });
    }
    friend f32_lanes floor(f32_lanes a) {
        return each([&](int i) { return simd::floor(a.part[i]); });
    }
    friend f32_lanes rint(f32_lanes a) {
        return each([&](int i) { return simd::rint(a.part[i]); });
    }
    friend f32_lanes sqrt(f32_lanes a) {
        return each([&](int i) { return simd::sqrt(a.part[i]); });
    }
    friend f32_lanes where(mask m, f32_lanes a, f32_lanes b) {
        return each([&](int i) { return m.part[i] ? a.part[i] : b.part[i]; });
    }
    friend mask is_finite(f32_lanes a) {
        return test([&](int i) { return simd::is_finite(a.part[i]); });
    }
    // Halves are compared first, then quarters: the order of vector registers, which matters for zeros of two signs.
    friend float reduce_max(f32_lanes a) {
        for (int n = lanes / 2; n > 0; n /= 2)
            for (int i = 0; i < n; ++i) a.part[i] = simd::max(a.part[i], a.part[i + n]);
        return a.part[0];
    }
    friend float reduce_min(f32_lanes a) {
        for (int n = lanes / 2; n > 0; n /= 2)
            for (int i = 0; i < n; ++i) a.part[i] = simd::min(a.part[i], a.part[i + n]);
        return a.part[0];
    }

private:
    template <class F>
    static f32_lanes each(F f) {
        f32_lanes r;
        for (int i = 0; i < lanes; ++i) r.part[i] = f(i);
        return r;
    }
    template <class F>
    static mask test(F f) {
        mask m;
        for (int i = 0; i < lanes; ++i) m.part[i] = f(i);
        return m;
    }
};

/// Lane i gets lane i ^ N, N = 1, 2, 4 or 8.
template <int N>
inline f32_lanes<arch::generic> swapped(f32_lanes<arch::generic> a) {
    f32_lanes<arch::generic> r;
    for (int i = 0; i < lanes; ++i) r.part[i] = a.part[i ^ N];
    return r;
}

inline f32_lanes<arch::generic> where(mask_lanes<arch::generic> m, float a, float b) {
    return where(m, f32_lanes<arch::generic>(a), f32_lanes<arch::generic>(b));
}

template <>
class i32_lanes<arch::generic> {
public:
    std::int32_t part[lanes];

    i32_lanes() = default;
    i32_lanes(std::int32_t v) {
        for (auto& x : part) x = v;
    }
    static i32_lanes zero() { return 0; }
    static i32_lanes load(const std::int32_t* from) {
        i32_lanes r;
        for (int i = 0; i < lanes; ++i) r.part[i] = from[i];
        return r;
    }
    void store(std::int32_t* to) const {
        for (int i = 0; i < lanes; ++i) to[i] = part[i];
    }
    std::int32_t lane(int i) const { return part[i]; }
    f32_lanes<arch::generic> to_float() const {
        f32_lanes<arch::generic> r;
        for (int i = 0; i < lanes; ++i) r.part[i] = static_cast<float>(part[i]);
        return r;
    }
    // Sums wrap, as registers do.
    friend i32_lanes operator+(i32_lanes a, i32_lanes b) {
        for (int i = 0; i < lanes; ++i) a.part[i] = signed_of(unsigned_of(a.part[i]) + unsigned_of(b.part[i]));
        return a;
    }
    friend i32_lanes operator-(i32_lanes a, i32_lanes b) {
        for (int i = 0; i < lanes; ++i) a.part[i] = signed_of(unsigned_of(a.part[i]) - unsigned_of(b.part[i]));
        return a;
    }

private:
    static std::uint32_t unsigned_of(std::int32_t v) { return static_cast<std::uint32_t>(v); }
    static std::int32_t signed_of(std::uint32_t v) { return static_cast<std::int32_t>(v); }
};

inline i32_lanes<arch::generic> to_i32(f32_lanes<arch::generic> x) {
    i32_lanes<arch::generic> r;
    for (int i = 0; i < lanes; ++i) r.part[i] = to_i32(x.part[i]);
    return r;
}

template <>
class u32_lanes<arch::generic> {
public:
    std::uint32_t part[lanes];

    u32_lanes() = default;
    u32_lanes(std::uint32_t v) {
        for (auto& x : part) x = v;
    }
    /// first, first + step, first + 2 * step, ...
    static u32_lanes ramp(std::uint32_t first, std::uint32_t step) {
        return each([&](std::uint32_t i) { return first + i * step; });
    }
    static u32_lanes load(const std::uint32_t* from) {
        return each([&](std::uint32_t i) { return from[i]; });
    }
    void store(std::uint32_t* to) const {
        for (int i = 0; i < lanes; ++i) to[i] = part[i];
    }
    std::uint32_t lane(int i) const { return part[i]; }

    friend u32_lanes operator+(u32_lanes a, u32_lanes b) {
        return each([&](std::uint32_t i) { return a.part[i] + b.part[i]; });
    }
    friend u32_lanes operator^(u32_lanes a, u32_lanes b) {
        return each([&](std::uint32_t i) { return a.part[i] ^ b.part[i]; });
    }
    friend u32_lanes operator&(u32_lanes a, u32_lanes b) {
        return each([&](std::uint32_t i) { return a.part[i] & b.part[i]; });
    }
    friend u32_lanes operator|(u32_lanes a, u32_lanes b) {
        return each([&](std::uint32_t i) { return a.part[i] | b.part[i]; });
    }
    friend u32_lanes operator<<(u32_lanes a, int n) {
        return each([&](std::uint32_t i) { return a.part[i] << n; });
    }
    friend u32_lanes operator>>(u32_lanes a, int n) {
        return each([&](std::uint32_t i) { return a.part[i] >> n; });
    }

    friend wide_product<u32_lanes> mul_hi_lo(u32_lanes a, std::uint32_t b) {
        return {each([&](std::uint32_t i) { return simd::mul_hi_lo(a.part[i], b).high; }),
                each([&](std::uint32_t i) { return a.part[i] * b; })};
    }
    /// The floats that have these bits.
    friend f32_lanes<arch::generic> as_float(u32_lanes a) { return std::bit_cast<f32_lanes<arch::generic>>(a); }

private:
    template <class F>
    static u32_lanes each(F f) {
        u32_lanes r;
        for (std::uint32_t i = 0; i < lanes; ++i) r.part[i] = f(i);
        return r;
    }
};

inline u32_lanes<arch::generic> as_bits(f32_lanes<arch::generic> a) {
    return std::bit_cast<u32_lanes<arch::generic>>(a);
}

template <>
class f64_lanes<arch::generic> {
public:
    double part[lanes];

    static f64_lanes zero() { return {}; }
    static f64_lanes load(const double* from) {
        f64_lanes r;
        for (int i = 0; i < lanes; ++i) r.part[i] = from[i];
        return r;
    }
    void store(double* to) const {
        for (int i = 0; i < lanes; ++i) to[i] = part[i];
    }
    double lane(int i) const { return part[i]; }

    void add(f32_lanes<arch::generic> x) {
        for (int i = 0; i < lanes; ++i) part[i] += static_cast<double>(x.part[i]);
    }
    // A double holds the product of two floats exactly, so fusing changes nothing.
    void add_product(f32_lanes<arch::generic> a, f32_lanes<arch::generic> b) {
        for (int i = 0; i < lanes; ++i) part[i] += static_cast<double>(a.part[i]) * static_cast<double>(b.part[i]);
    }
    f64_lanes& operator+=(f64_lanes b) {
        for (int i = 0; i < lanes; ++i) part[i] += b.part[i];
        return *this;
    }
};

} // namespace fqt::simd
