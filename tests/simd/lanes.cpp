// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/simd/lanes.hpp>

#include <doctest/doctest.h>

#include "../support/archs.hpp"
#include "../support/floats.hpp"
#include <numeric>

using namespace fqt;
using test::bits_of;

namespace {

using reference = simd::f32x16<arch::generic>;

/// Pairs of every kind with every kind: the second operand walks through the list at another pace.
template <class F>
void for_pairs(F f) {
    const auto v = test::hard_floats(8192, 1);
    const std::size_t blocks_of_16 = v.size() / lanes;
    for (std::size_t i = 0; i < blocks_of_16; ++i) {
        std::array<float, lanes> b;
        for (std::size_t j = 0; j < b.size(); ++j) b[j] = v[(i * 37 + j * 1009 + 5) % v.size()];
        f(v.data() + i * lanes, b.data());
    }
}

/// NaNs of operations carry any sign and payload in C++; lanes compare as equal where both are NaN.
template <class A, class B>
bool same(const A& a, const B& b) {
    const auto x = bits_of(a), y = bits_of(b);
    for (std::size_t i = 0; i < x.size(); ++i) {
        const bool both_nan = (x[i] & 0x7fffffffu) > 0x7f800000u && (y[i] & 0x7fffffffu) > 0x7f800000u;
        if (x[i] != y[i] && !both_nan) return false;
    }
    return true;
}

struct counting : arch::best {};
static_assert(std::is_same_v<simd::f32x16<counting>, simd::f32x16<arch::best>>);

/// A rule as users write it: for lanes and for a float.
constexpr auto rule = [](auto x) {
    using simd::abs, simd::floor, simd::fma, simd::min, simd::where;
    return where(x > 0.0f, min(fma(x, x, x), x), abs(floor(x)));
};

} // namespace

TEST_CASE_TEMPLATE("arithmetic has the same bits on every instruction set", A, FQT_ARCHS) {
    using lanes_t = simd::f32x16<A>;
    int wrong = 0;
    for_pairs([&](const float* p, const float* q) {
        const auto a = lanes_t::load(p), b = lanes_t::load(q), c = lanes_t::load(p) * 0.75f;
        const auto x = reference::load(p), y = reference::load(q), z = reference::load(p) * 0.75f;
        wrong += !same(a + b, x + y) + !same(a - b, x - y) + !same(a * b, x * y) + !same(a / b, x / y);
        wrong += !same(fma(a, b, c), fma(x, y, z)) + !same(sqrt(a), sqrt(x)) + !same(product(a, b), product(x, y));
        wrong += !same(1.5f - a, 1.5f - x) + !same(2.0f * a + 1.0f, 2.0f * x + 1.0f) + !same(1.0f / a, 1.0f / x);
        auto u = a;
        auto v = x;
        u += b, u *= 0.5f, u -= 3.0f, u /= b;
        v += y, v *= 0.5f, v -= 3.0f, v /= y;
        wrong += !same(u, v);
    });
    CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("selections agree in every bit, NaN and the sign of zero included", A, FQT_ARCHS) {
    using lanes_t = simd::f32x16<A>;
    int wrong = 0;
    const auto differ = [](auto a, auto b) { return bits_of(a) != bits_of(b); };
    for_pairs([&](const float* p, const float* q) {
        const auto a = lanes_t::load(p), b = lanes_t::load(q);
        const auto x = reference::load(p), y = reference::load(q);
        wrong += differ(a, x) + differ(-a, -x) + differ(abs(a), abs(x));
        wrong += differ(max(a, b), max(x, y)) + differ(min(a, b), min(x, y));
        wrong += differ(max(a, 0.0f), max(x, 0.0f)) + differ(min(0.0f, a), min(0.0f, x));
        wrong += differ(max(a, -a), max(x, -x)) + differ(where(a < b, a, b), where(x < y, x, y));
        wrong += differ(where(a > 0.0f, 1.0f, b), where(x > 0.0f, 1.0f, y));
        wrong += differ(where(a >= b, 1.0f, -0.0f), where(x >= y, 1.0f, -0.0f));
        wrong += std::bit_cast<std::uint32_t>(reduce_max(a)) != std::bit_cast<std::uint32_t>(reduce_max(x));
        wrong += std::bit_cast<std::uint32_t>(reduce_min(b)) != std::bit_cast<std::uint32_t>(reduce_min(y));
        wrong += differ(as_float(as_bits(a)), x);
        wrong += differ(swapped<1>(a), swapped<1>(x)) + differ(swapped<2>(a), swapped<2>(x));
        wrong += differ(swapped<4>(a), swapped<4>(x)) + differ(swapped<8>(a), swapped<8>(x));
    });
    CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("comparisons and masks agree", A, FQT_ARCHS) {
    using lanes_t = simd::f32x16<A>;
    int wrong = 0;
    for_pairs([&](const float* p, const float* q) {
        const auto a = lanes_t::load(p), b = lanes_t::load(q);
        const auto x = reference::load(p), y = reference::load(q);
        wrong += ((a < b).bits() != (x < y).bits()) + ((a <= b).bits() != (x <= y).bits());
        wrong += ((a > b).bits() != (x > y).bits()) + ((a >= b).bits() != (x >= y).bits());
        wrong += ((a == b).bits() != (x == y).bits()) + ((a != b).bits() != (x != y).bits());
        wrong += is_finite(a).bits() != is_finite(x).bits();
        wrong += ((a < b) & !(b > 0.0f)).bits() != ((x < y) & !(y > 0.0f)).bits();
        wrong += ((a < b) | (b == a)).bits() != ((x < y) | (y == x)).bits();
        wrong += (any(a < b) != any(x < y)) + (all(a <= a) != all(x <= x)) + (all(a < b) != all(x < y));
    });
    CHECK(wrong == 0);
    for (int n = 0; n <= lanes; ++n) {
        const auto m = simd::mask16<A>::first(n);
        CHECK(m.bits() == (1u << n) - 1);
        CHECK(lanes_t::first(n).bits() == m.bits());
        CHECK(any(m) == (n > 0));
        CHECK(all(m) == (n == lanes));
        CHECK((!m).bits() == (0xffffu & ~m.bits()));
        if (n < lanes) CHECK_FALSE(m.lane(n));
        if (n > 0) CHECK(m.lane(n - 1));
    }
}

TEST_CASE_TEMPLATE("rounding to an integer breaks ties to even and keeps the sign of zero", A, FQT_ARCHS) {
    using lanes_t = simd::f32x16<A>;
    CHECK(lanes_t(2.5f).lane(3) == 2.5f);
    CHECK(rint(lanes_t(2.5f)).lane(15) == 2.0f);
    CHECK(rint(lanes_t(-3.5f)).lane(0) == -4.0f);
    CHECK(std::signbit(rint(lanes_t(-0.25f)).lane(7)));
    CHECK(to_i32(lanes_t(2.5f)).lane(15) == 2);
    CHECK(to_i32(lanes_t(-1.5f)).lane(9) == -2);
    int wrong = 0;
    for_pairs([&](const float* p, const float*) {
        const auto a = lanes_t::load(p);
        const auto x = reference::load(p);
        wrong += !same(floor(a), floor(x)) + !same(rint(a), rint(x));
        std::array<std::int32_t, lanes> i, j;
        to_i32(a).store(i.data());
        to_i32(x).store(j.data());
        wrong += i != j;
    });
    CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("a product is rounded before a sum unless fma is written", A, FQT_ARCHS) {
    using lanes_t = simd::f32x16<A>;
    // (1 + 2^-12)^2 - 1 is 2^-11 + 2^-24; the product alone rounds its last bit away. The compiler must not know it, or
    // it computes the product itself.
    float value = 1.0f + 0x1p-12f;
    asm volatile("" : "+m"(value));
    const auto x = lanes_t(value);
    CHECK(fma(x, x, lanes_t(-1.0f)).lane(5) == 0x1p-11f + 0x1p-24f);
    const auto p = x * x;
    const auto across_statements = p + lanes_t(-1.0f);
    CHECK((x * x - 1.0f).lane(5) == 0x1p-11f);
    CHECK((-1.0f + x * x).lane(11) == 0x1p-11f);
    CHECK((1.0f - x * x).lane(2) == -0x1p-11f);
    CHECK(across_statements.lane(0) == 0x1p-11f);
    auto sum = lanes_t(-1.0f);
    sum += x * x;
    CHECK(sum.lane(8) == 0x1p-11f);
}

TEST_CASE_TEMPLATE("32-bit integers agree with plain C++", A, FQT_ARCHS) {
    const random_stream stream{9, 0, 0};
    for (std::uint32_t n = 0; n < 200; ++n) {
        std::array<std::uint32_t, lanes> a, b, r, s;
        for (std::uint32_t i = 0; i < lanes; ++i) {
            a[i] = stream.block(n, i)[0] >> (n % 24);
            b[i] = stream.block(n, i)[1];
        }
        const auto x = simd::u32x16<A>::load(a.data()), y = simd::u32x16<A>::load(b.data());
        const auto check = [&](auto got, auto expected) {
            got.store(r.data());
            for (std::size_t i = 0; i < r.size(); ++i) s[i] = expected(a[i], b[i]);
            CHECK(r == s);
        };
        check(x + y, [](auto p, auto q) { return p + q; });
        check(x ^ y, [](auto p, auto q) { return p ^ q; });
        check(x & y, [](auto p, auto q) { return p & q; });
        check(x | y, [](auto p, auto q) { return p | q; });
        check(x << 7, [](auto p, auto) { return p << 7; });
        check(y >> 13, [](auto, auto q) { return q >> 13; });
        const auto w = mul_hi_lo(y, 0xD2511F53u);
        check(w.high, [](auto, auto q) { return static_cast<std::uint32_t>((std::uint64_t{q} * 0xD2511F53u) >> 32); });
        check(w.low, [](auto, auto q) { return q * 0xD2511F53u; });

        std::array<std::int32_t, lanes> c, d, t;
        std::array<float, lanes> f;
        for (std::size_t i = 0; i < c.size(); ++i) {
            c[i] = static_cast<std::int32_t>(a[i]);
            d[i] = static_cast<std::int32_t>(b[i]);
        }
        const auto u = simd::i32x16<A>::load(c.data()), v = simd::i32x16<A>::load(d.data());
        (u + v).store(t.data());
        for (std::size_t i = 0; i < t.size(); ++i) CHECK(t[i] == static_cast<std::int32_t>(a[i] + b[i]));
        (u - v).store(t.data());
        for (std::size_t i = 0; i < t.size(); ++i) CHECK(t[i] == static_cast<std::int32_t>(a[i] - b[i]));
        v.to_float().store(f.data());
        for (std::size_t i = 0; i < f.size(); ++i) CHECK(f[i] == static_cast<float>(d[i]));
    }
    CHECK(simd::i32x16<A>(-7).lane(15) == -7);
    const auto ramp = simd::u32x16<A>::ramp(0xfffffff0u, 3);
    for (int i = 0; i < lanes; ++i) CHECK(ramp.lane(i) == 0xfffffff0u + 3u * static_cast<std::uint32_t>(i));
}

TEST_CASE_TEMPLATE("sums in double add each lane and each product exactly once", A, FQT_ARCHS) {
    const auto v = test::ordinary_floats(4096, 100.0f, 3);
    auto sums = simd::f64x16<A>::zero(), products = simd::f64x16<A>::zero();
    std::array<double, lanes> s{}, p{}, got;
    for (std::size_t i = 0; i + lanes < v.size(); i += lanes) {
        const auto a = simd::f32x16<A>::load(&v[i]), b = simd::f32x16<A>::load(&v[i + 1]);
        sums.add(a);
        products.add_product(a, b);
        for (std::size_t j = 0; j < s.size(); ++j) {
            s[j] += static_cast<double>(v[i + j]);
            p[j] += product(static_cast<double>(v[i + j]), static_cast<double>(v[i + j + 1]));
        }
    }
    sums.store(got.data());
    CHECK(got == s);
    products.store(got.data());
    CHECK(got == p);
    CHECK(products.lane(13) == p[13]);
    sums += simd::f64x16<A>::load(p.data());
    for (std::size_t j = 0; j < s.size(); ++j) CHECK(sums.lane(static_cast<int>(j)) == s[j] + p[j]);
}

TEST_CASE_TEMPLATE("one rule serves lanes and a plain float", A, FQT_ARCHS) {
    const auto v = test::ordinary_floats(16 * 64, 4.0f, 4);
    for (std::size_t i = 0; i < v.size(); i += lanes) {
        const auto y = rule(simd::f32x16<A>::load(&v[i]));
        for (int j = 0; j < lanes; ++j) CHECK(y.lane(j) == rule(v[i + static_cast<std::size_t>(j)]));
    }
    CHECK(simd::f32x16<A>::zero().lane(4) == 0.0f);
    CHECK(simd::max(1.0f, 2.0f) == 2.0f);
    CHECK(simd::rint(2.5f) == 2.0f);
    CHECK(simd::sqrt(9.0f) == 3.0f);
    CHECK(simd::to_i32(3.5f) == 4);
}
