// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/core/random.hpp>
#include <fqt/quant/block_scaled.hpp>
#include <fqt/quant/dorefa.hpp>
#include <fqt/quant/power_of_two.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace {

using lanes16 = fqt::simd::f32x16<fqt::arch::best>;
template <int Bits>
using four_levels = fqt::block_scaled<fqt::dorefa_levels<Bits, fqt::stochastic, fqt::per_sample>>;
template <int Bits>
using symmetric = fqt::block_scaled<fqt::symmetric<Bits, fqt::stochastic, fqt::per_sample>>;

// Integers of two bytes leave no room for a scale.
static_assert(fqt::detail::greatest_of<fqt::dorefa_levels<8>>() == 0
              && fqt::detail::greatest_of<fqt::symmetric<9>>() == 0);

float uniform(std::uint32_t i) { return fqt::uniform32(fqt::random_stream{7, 0, 0}.block(i, 0)[0]); }

/// A block of values of magnitude up to `most`, the first of them `most`.
std::vector<float> block(float most, std::uint32_t number) {
    std::vector<float> v(16);
    for (std::uint32_t i = 0; i < 16; ++i) v[i] = most * (2 * uniform(16 * number + i) - 1);
    v[0] = most;
    return v;
}

/// integer * scale of one rounding of a block, as the library stores it.
template <class Q>
std::vector<float> integers(const std::vector<float>& v, const auto& grid, std::uint32_t draw, float* scale = nullptr) {
    using traits = fqt::quantizer_traits<Q>;
    constexpr fqt::code_limits limits = traits::limits(true);
    const auto x = lanes16::load(v.data());
    const float s = Q::scale_of(x, grid);
    std::vector<float> u(16), result(16);
    for (std::uint32_t i = 0; i < 16; ++i) u[i] = uniform(1000000 + 16 * draw + i);
    auto q = Q::encode(x * lanes16(1 / s), grid, lanes16::load(u.data()));
    q = min(max(q, lanes16(static_cast<float>(limits.low))), lanes16(static_cast<float>(limits.high)));
    (traits::integer(q, grid) * lanes16(s)).store(result.data());
    if (scale) *scale = s;
    return result;
}

template <class F>
void for_every(F&& f) {
    f(four_levels<2>{}), f(four_levels<3>{}), f(symmetric<2>{}), f(symmetric<3>{}), f(symmetric<4>{});
    f(symmetric<8>{}), f(fqt::block_scaled<fqt::power_of_two<4, fqt::stochastic, fqt::per_sample>>{});
}

} // namespace

TEST_CASE("scales are the least whole number that suffices") {
    using Q = four_levels<2>;
    CHECK(Q::greatest_scale == 42);
    const auto grid = Q::fit({-126, 126}, fqt::quantizer_traits<Q>::limits(true)); // values are integers
    const auto scale = [&](float most) { return Q::scale_of(lanes16(-most), grid); };
    for (float s = 1; s <= 42; ++s) {
        CHECK(scale(3 * s) == s);
        CHECK(scale(std::nextafter(3 * s - 3, 1e9f)) == s);
    }
    for (const float small : {0.0f, 1e-30f, 0.5f}) CHECK(scale(small) == 1);
    CHECK(scale(150) == 42);
}

TEST_CASE("integers reach as far as a byte allows, and no block is clipped") {
    for_every([]<class Q>(Q) {
        constexpr fqt::code_limits limits = fqt::quantizer_traits<Q>::limits(true);
        const auto grid = Q::fit({-8, 8}, limits);
        CHECK(Q::greatest * Q::greatest_scale <= 127);
        CHECK(Q::greatest * (Q::greatest_scale + 1) > 127); // no scale is left out
        for (std::uint32_t n = 0; n < 300; ++n) {
            const float most = 8 * std::exp2(-static_cast<float>(n) / 40);
            const std::vector<float> v = block(most, n);
            float scale = 0;
            const std::vector<float> got = integers<Q>(v, grid, n, &scale);
            const double gap = 2 * double{grid.step} * double{scale};
            for (std::size_t i = 0; i < 16; ++i) {
                CHECK(std::abs(got[i]) <= 127);
                CHECK(std::abs(double{got[i]} * double{grid.step} - double{v[i]}) < gap * 1.0001);
            }
            // No coarser than it must be.
            if (scale > 1) CHECK(most > 8.0f / Q::greatest_scale * (scale - 1) * 0.9999f);
        }
    });
}

TEST_CASE("rounding a block is unbiased") {
    for_every([]<class Q>(Q) {
        const auto grid = Q::fit({-8, 8}, fqt::quantizer_traits<Q>::limits(true));
        for (const float most : {8.0f, 1.7f, 0.3f}) {
            const std::vector<float> v = block(most, 3);
            std::vector<double> sum(16);
            constexpr int draws = 4000;
            float scale = 0;
            for (std::uint32_t d = 0; d < draws; ++d) {
                const std::vector<float> got = integers<Q>(v, grid, d, &scale);
                for (std::size_t i = 0; i < 16; ++i) sum[i] += double{got[i]} * double{grid.step};
            }
            // Levels are at most two steps apart, so the deviation of one rounding is a step at most.
            const double deviation = double{grid.step} * double{scale} / std::sqrt(double{draws});
            for (std::size_t i = 0; i < 16; ++i) CHECK(std::abs(sum[i] / draws - double{v[i]}) < 4 * deviation);
        }
    });
}

TEST_CASE("zeros have a grid, and values beyond the range end with it") {
    using Q = four_levels<2>;
    const auto nothing = Q::fit({0, 0}, fqt::quantizer_traits<Q>::limits(true));
    for (const float i : integers<Q>(std::vector<float>(16), nothing, 0)) CHECK(double{i} * double{nothing.step} == 0);
    const auto grid = Q::fit({-1, 1}, fqt::quantizer_traits<Q>::limits(true));
    CHECK(integers<Q>(std::vector<float>(16, 5.0f), grid, 0) == std::vector<float>(16, 126.0f));
    CHECK(integers<Q>(std::vector<float>(16, -5.0f), grid, 0) == std::vector<float>(16, -126.0f));
}
