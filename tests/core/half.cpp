// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/core/half.hpp>

#include <doctest/doctest.h>

#include "support/floats.hpp"
#include <cmath>
#include <cstdint>

using fqt::bfloat16, fqt::binary16, fqt::to_bfloat16, fqt::to_binary16, fqt::to_float;

namespace {

/// A 16-bit format by its definition, in long double.
struct format {
    int mantissa_bits, bias;
    int exponent_bits() const { return 15 - mantissa_bits; }

    bool is_nan(std::uint16_t code) const { return (code & 0x7fff) > ((1 << exponent_bits()) - 1) << mantissa_bits; }
    long double value(std::uint16_t code) const {
        const int greatest = (1 << exponent_bits()) - 1, exponent = code >> mantissa_bits & greatest;
        const int mantissa = (code & ((1 << mantissa_bits) - 1)) + (exponent > 0 ? 1 << mantissa_bits : 0);
        const int power = std::max(exponent, 1) - bias - mantissa_bits;
        const long double finite = std::ldexp(static_cast<long double>(mantissa), power);
        const long double magnitude = exponent == greatest ? INFINITY : finite;
        return code & 0x8000 ? -magnitude : magnitude;
    }
    /// The code nearest to v, of two the even one; from half a step beyond the greatest on, infinity.
    std::uint16_t nearest(float v) const {
        const int sign = std::signbit(v) ? 0x8000 : 0, infinity = ((1 << exponent_bits()) - 1) << mantissa_bits;
        if (v == 0 || std::isinf(v)) return static_cast<std::uint16_t>(sign | (v == 0 ? 0 : infinity));
        const long double magnitude = std::fabs(static_cast<long double>(v));
        const int least = 1 - bias - mantissa_bits, exponent = std::max(std::ilogb(magnitude) - mantissa_bits, least);
        const auto units = static_cast<int>(std::nearbyint(std::ldexp(magnitude, -exponent)));
        // A unit more than the mantissa holds carries into the exponent, up to infinity.
        const int code = exponent == least ? units : ((exponent - least) << mantissa_bits) + units;
        return static_cast<std::uint16_t>(sign | std::min(code, infinity));
    }
};
constexpr format half{10, 15}, brain{7, 127};

template <class T, class Convert>
void check_codes(const format& f, Convert convert) {
    int wrong_value = 0, wrong_trip = 0, wrong_nan = 0;
    for (int i = 0; i < 65536; ++i) {
        const auto code = static_cast<std::uint16_t>(i);
        const float v = to_float(T{code});
        if (f.is_nan(code)) {
            // The code again, made quiet.
            wrong_nan += !std::isnan(v) || convert(v).bits != (code | 1 << (f.mantissa_bits - 1));
        } else {
            wrong_value += static_cast<long double>(v) != f.value(code) || std::signbit(v) != (code >= 0x8000);
            wrong_trip += convert(v).bits != code;
        }
    }
    CHECK(wrong_value == 0);
    CHECK(wrong_trip == 0);
    CHECK(wrong_nan == 0);
}

template <class Convert>
int wrong_conversions(const format& f, Convert convert) {
    int wrong = 0;
    for (const float v : fqt::test::hard_floats(300000, 11)) {
        const std::uint16_t code = convert(v).bits;
        wrong += std::isnan(v) ? !f.is_nan(code) || (code >= 0x8000) != std::signbit(v) : code != f.nearest(v);
    }
    return wrong;
}

static_assert(to_float(to_binary16(-1.5f)) == -1.5f && to_float(to_bfloat16(0x1p100f)) == 0x1p100f);

} // namespace

TEST_CASE("every binary16 code has its value and comes back from it") { check_codes<binary16>(half, to_binary16); }
TEST_CASE("every bfloat16 code has its value and comes back from it") { check_codes<bfloat16>(brain, to_bfloat16); }

TEST_CASE("a float becomes the nearest binary16, ties to even") { CHECK(wrong_conversions(half, to_binary16) == 0); }
TEST_CASE("a float becomes the nearest bfloat16, ties to even") { CHECK(wrong_conversions(brain, to_bfloat16) == 0); }

TEST_CASE("the middle between any two neighbouring codes goes to the even one, and what is beside it to the nearer") {
    const auto wrong = [](const format& f, auto convert) {
        int count = 0;
        for (int i = 0; i + 1 < ((1 << f.exponent_bits()) - 1) << f.mantissa_bits; ++i) {
            const auto code = static_cast<std::uint16_t>(i), next = static_cast<std::uint16_t>(i + 1);
            const auto middle = static_cast<float>((f.value(code) + f.value(next)) / 2); // exact
            count += convert(middle).bits != (i % 2 == 0 ? code : next);
            count += convert(std::nextafter(middle, 0.0f)).bits != code;
            count += convert(std::nextafter(middle, INFINITY)).bits != next;
            count += convert(-middle).bits != ((i % 2 == 0 ? code : next) | 0x8000);
        }
        return count;
    };
    CHECK(wrong(half, to_binary16) == 0);
    CHECK(wrong(brain, to_bfloat16) == 0);
}

TEST_CASE("what exceeds a format becomes infinity from half a step beyond its greatest number on") {
    CHECK(to_float(to_binary16(65519.996f)) == 65504);
    CHECK(to_float(to_binary16(65520.0f)) == INFINITY);
    CHECK(to_float(to_bfloat16(0x1.fep127f)) == 0x1.fep127f);
    CHECK(to_float(to_bfloat16(0x1.fefffep127f)) == 0x1.fep127f);
    CHECK(to_float(to_bfloat16(0x1.ffp127f)) == INFINITY);
    CHECK(to_float(to_bfloat16(-3.4e38f)) == -INFINITY);
}
