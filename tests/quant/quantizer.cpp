// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/core/random.hpp>
#include <fqt/layers/passes.hpp>
#include <fqt/network/network.hpp>
#include <fqt/quant/quantizer.hpp>
#include <fqt/quant/scheme.hpp>
#include <fqt/train/loss.hpp>
#include <fqt/train/optimizer.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace {

template <class Arch>
using f32 = fqt::simd::f32x16<Arch>;
using generic = fqt::arch::generic;
constexpr int lanes = fqt::lanes;

/// The code of x as the library stores it: clamped to the limits.
template <class Q>
float code(float x, fqt::grid g, fqt::code_limits limits, float u = 0.5f) {
    return fqt::passes::clamped<generic>(Q::encode(f32<generic>(x), g, f32<generic>(u)), limits).lane(0);
}
template <class Q>
float value(float q, fqt::grid g) {
    return f32<generic>(Q::decode(f32<generic>(q), g)).lane(0);
}

/// The mean stored code of x over all 65536 uniform numbers.
template <class Q>
double mean_code(float x, fqt::grid g, fqt::code_limits limits) {
    using best = fqt::arch::best;
    double sum = 0;
    for (std::uint32_t k = 0; k < 65536; k += lanes) {
        float u[lanes], q[lanes];
        for (std::uint32_t i = 0; i < lanes; ++i) u[i] = fqt::uniform16(k + i);
        fqt::passes::clamped<best>(Q::encode(f32<best>(x), g, f32<best>::load(u)), limits).store(q);
        for (const float v : q) sum += double{v};
    }
    return sum / 65536;
}

const float least = fqt::uniform16(0), greatest = fqt::uniform16(65535);
constexpr float scales[] = {1.0f, 3.7f, 1e-3f, 6.1e4f, 0x1p-100f, 1e30f};

/// Calls f for symmetric<2, R> to symmetric<8, R> and some of two bytes, signed and unsigned, fitted to tensors of
/// several magnitudes.
template <class R, class F>
void for_every_grid(F&& f) {
    [&]<int... Bits>(std::integer_sequence<int, Bits...>) {
        const auto each = [&]<class Q>(Q) {
            for (const bool is_signed : {true, false})
                for (const float m : scales) {
                    const fqt::code_limits limits = fqt::limits_of(Q::bits, is_signed);
                    f(Q{}, Q::fit({is_signed ? -m : 0.0f, m}, limits), limits, m);
                }
        };
        (each(fqt::symmetric<Bits, R>{}), ...);
    }
    (std::integer_sequence<int, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16>{});
}

/// Whether decode(q) is encoded as q, for every code.
template <class R>
bool grid_points_stay() {
    bool all = true;
    for_every_grid<R>([&]<class Q>(Q, fqt::grid g, fqt::code_limits limits, float) {
        for (int q = limits.low; q <= limits.high; ++q)
            all = all && code<Q>(value<Q>(static_cast<float>(q), g), g, limits) == static_cast<float>(q);
    });
    return all;
}

/// Nothing but what the concept asks for.
struct minimal {
    static float fit(fqt::interval range, fqt::code_limits limits) {
        return range.magnitude() > 0 ? range.magnitude() / static_cast<float>(limits.high) : 1.0f;
    }
    static auto encode(auto x, float step, auto u) { return floor(x * (1 / step) + u); }
    static auto decode(auto q, float step) { return q * step; }
};
struct no_decode {
    static float fit(fqt::interval, fqt::code_limits) { return 1; }
    static auto encode(auto x, float, auto) { return x; }
};

using namespace fqt::layers;
constexpr auto spec = input<1, 6, 6> | conv<4> | batch_norm<> | relu | global_avg_pool | dense<2>;
constexpr fqt::scheme all_minimal{
    .weight = minimal{}, .activation = minimal{}, .input_gradient = minimal{}, .weight_gradient = minimal{}};

} // namespace

static_assert(fqt::limits_of(8, true) == fqt::code_limits{-127, 127}
              && fqt::limits_of(8, false) == fqt::code_limits{0, 255});
static_assert(fqt::limits_of(4, true) == fqt::code_limits{-7, 7}
              && fqt::limits_of(4, false) == fqt::code_limits{0, 15});
static_assert(fqt::limits_of(2, true) == fqt::code_limits{-1, 1} && fqt::limits_of(2, false) == fqt::code_limits{0, 3});

static_assert(fqt::limits_of(16, true) == fqt::code_limits{-32639, 32639}
              && fqt::limits_of(16, false) == fqt::code_limits{0, 32639}
              && fqt::limits_of(9, false) == fqt::code_limits{0, 511}
              && fqt::limits_of(32, true) == fqt::code_limits{});

static_assert(fqt::quantizer<fqt::symmetric<4>> && fqt::quantizer<fqt::real> && fqt::quantizer<minimal>);
static_assert(!fqt::quantizer<no_decode> && !fqt::quantizer<int>);
static_assert(fqt::bits_of<minimal> == 8 && !fqt::is_linear<minimal> && fqt::quantizer_traits<minimal>::draws);
static_assert(
    fqt::has_granularity<
        minimal,
        fqt::per_tensor> && fqt::has_granularity<fqt::symmetric<2, fqt::nearest, fqt::per_sample>, fqt::per_sample>);

// Edges have at least eight bits.
template <int Bits>
using at_edges = fqt::product_scheme<
    fqt::placed<fqt::scheme<fqt::symmetric<Bits>, fqt::symmetric<Bits>, fqt::symmetric<Bits>>, true, false>>;
static_assert(
    std::same_as<at_edges<4>::weight_quantizer,
                 fqt::symmetric<8>> && std::same_as<at_edges<12>::input_gradient_quantizer, fqt::symmetric<12>>);

using mean_at_edges = fqt::product_scheme<
    fqt::placed<fqt::scheme<fqt::symmetric<8>, fqt::symmetric<8>, fqt::symmetric<2, fqt::stochastic>,
                            fqt::mean_of<4, fqt::symmetric<2, fqt::stochastic>>>,
                true, false>>;
static_assert(std::same_as<mean_at_edges::weight_gradient_quantizer, fqt::symmetric<8, fqt::stochastic>>);

TEST_CASE("every grid point of 2 to 16 bits, signed and unsigned, keeps its code") {
    CHECK(grid_points_stay<fqt::nearest>());
    CHECK(grid_points_stay<fqt::stochastic>());
    // The largest magnitude times the inverse of the step is often the last float below the greatest code.
    CHECK(grid_points_stay<fqt::toward_zero>());
    CHECK(grid_points_stay<fqt::downward>());
}

TEST_CASE("the greatest code stands for the largest magnitude to the last place") {
    for_every_grid<fqt::nearest>([]<class Q>(Q, fqt::grid g, fqt::code_limits limits, float m) {
        const float top = value<Q>(static_cast<float>(limits.high), g);
        CHECK((top == m || top == std::nextafter(m, 0.0f) || top == std::nextafter(m, 2 * m)));
    });
}

TEST_CASE("nearest errs by half a step at most, the other roundings by less than one") {
    const auto worst = []<class R>(R, bool upward) {
        double most = 0;
        for_every_grid<R>([&]<class Q>(Q, fqt::grid g, fqt::code_limits limits, float m) {
            for (int i = limits.low < 0 ? -999 : 0; i <= 999; ++i) {
                const float x = m * (static_cast<float>(i) / 999);
                for (const float u : {least, 0.3f, greatest}) {
                    const double error = (double{value<Q>(code<Q>(x, g, limits, u), g)} - double{x}) / double{g.step};
                    // Places on the grid are floats: of many steps the last bits show.
                    most = std::max(most, (upward ? error : std::abs(error)) - limits.high * 0x1p-21);
                }
            }
        });
        return most;
    };
    CHECK(worst(fqt::nearest{}, false) <= 0.5);
    CHECK(worst(fqt::stochastic{}, false) < 1);
    CHECK(worst(fqt::toward_zero{}, false) < 1);
    CHECK(worst(fqt::downward{}, true) < 1e-6);
}

TEST_CASE("the extreme uniform numbers at both extreme codes, and values far outside, stay inside the limits") {
    for_every_grid<fqt::stochastic>([]<class Q>(Q, fqt::grid g, fqt::code_limits limits, float m) {
        const auto low = static_cast<float>(limits.low), high = static_cast<float>(limits.high);
        for (const float u : {least, greatest}) {
            const float top = code<Q>(m, g, limits, u), bottom = code<Q>(limits.low < 0 ? -m : 0.0f, g, limits, u);
            CHECK(
                (top == high || top == high - 1)); // the largest magnitude may lie a last place below the greatest code
            CHECK((bottom == low || bottom == low + 1));
            CHECK(code<Q>(m * 4, g, limits, u) == high);
            CHECK(code<Q>(-m * 4, g, limits, u) == low);
            CHECK(code<Q>(std::numeric_limits<float>::max(), g, limits, u) == high);
        }
    });
}

TEST_CASE("the mean code of stochastic rounding over all uniform numbers is the value's place on the grid") {
    for (const bool is_signed : {true, false}) {
        using quantizer = fqt::symmetric<4, fqt::stochastic>;
        const fqt::code_limits limits = fqt::limits_of(4, is_signed);
        const fqt::grid g = fqt::grid_of(0x1p-3f); // so that place times step is exact
        for (int q = limits.low; q < limits.high; ++q)
            for (const float fraction : {0x1p-16f, 1.0f / 3, 0.5f, 1 - 0x1p-16f}) {
                const float place = static_cast<float>(q) + fraction;
                CHECK(std::abs(mean_code<quantizer>(place * g.step, g, limits) - double{place}) <= 0x1p-17);
            }
    }
    using quantizer = fqt::symmetric<8, fqt::stochastic>;
    const fqt::code_limits limits = fqt::limits_of(8, true);
    const fqt::grid g = quantizer::fit({-3.7f, 3.7f}, limits);
    for (const float x : {3.69f, 1.234f, 0.001f, -0.001f, -1.234f, -3.69f})
        CHECK(std::abs(mean_code<quantizer>(x, g, limits) - double{x} / double{g.step}) <= 0x1p-17 + 127 * 0x1p-22);
}

TEST_CASE("a tensor of zeros has codes of zero, and one too small for a step counts as zeros") {
    for (const float m : {0.0f, 0x1p-149f, 1e-40f, 0x1p-126f}) {
        for (const bool is_signed : {true, false}) {
            const fqt::code_limits limits = fqt::limits_of(4, is_signed);
            const fqt::grid g = fqt::symmetric<4>::fit({is_signed ? -m : 0.0f, m}, limits);
            CHECK(g.step == 0);
            CHECK(g.inverse == 0);
            for (const float x : {0.0f, m, -m})
                for (const float u : {least, greatest}) {
                    CHECK(code<fqt::symmetric<4>>(x, g, limits, u) == 0);
                    CHECK(code<fqt::symmetric<4, fqt::stochastic>>(x, g, limits, u) == 0);
                    CHECK(value<fqt::symmetric<4>>(0, g) == 0);
                }
        }
    }
    // The least step is the least normal number, whose inverse is finite.
    const fqt::grid smallest = fqt::symmetric<2>::fit({-0x1p-126f, 0x1p-126f}, fqt::limits_of(2, true));
    CHECK(smallest.step == 0x1p-126f);
    CHECK(smallest.inverse == 0x1p126f);
}

TEST_CASE("a constant tensor has the greatest code everywhere and comes back to the last place") {
    for (const float c : {0.1f, 1.0f, 255.0f, 1e-20f})
        for (const float sign : {1.0f, -1.0f}) {
            const float x = sign * c;
            const fqt::code_limits limits = fqt::limits_of(8, true);
            const fqt::grid g = fqt::symmetric<8>::fit({std::min(x, 0.0f), std::max(x, 0.0f)}, limits);
            CHECK(code<fqt::symmetric<8>>(x, g, limits) == sign * 127);
            CHECK(value<fqt::symmetric<8>>(sign * 127, g) == doctest::Approx(x).epsilon(1e-7));
        }
}

TEST_CASE("a grid for each channel encodes lanes by their own steps") {
    using quantizer = fqt::symmetric<8, fqt::nearest, fqt::per_channel>;
    float x[lanes], step[lanes], inverse[lanes], q[lanes];
    for (int i = 0; i < lanes; ++i) {
        x[i] = static_cast<float>(i - 8);
        step[i] = std::ldexp(1.0f, i % 4 - 2);
        inverse[i] = 1 / step[i];
    }
    const fqt::passes::lane_grid<generic> g{f32<generic>::load(step), f32<generic>::load(inverse)};
    f32<generic>(quantizer::encode(f32<generic>::load(x), g, f32<generic>(0.5f))).store(q);
    for (int i = 0; i < lanes; ++i) CHECK(q[i] == std::nearbyint(x[i] / step[i]));
}

TEST_CASE("real changes nothing") {
    for (const float x : {-0.0f, 0x1p-149f, 0.1f, -3e38f}) {
        const fqt::grid g = fqt::real::fit({-1, 1}, {});
        CHECK(f32<generic>(fqt::real::decode(fqt::real::encode(f32<generic>(x), g, f32<generic>(0.5f)), g)).lane(0)
              == x);
    }
}

TEST_CASE("a user's quantizer of fit, encode and decode alone trains a network") {
    constexpr int samples = 16;
    fqt::network<spec, all_minimal> net(fqt::seed{1}, {.batch = samples, .threads = 1});
    fqt::sgd optimizer(net, {.momentum = 0.9f});
    // Class 1 has a bright column.
    std::vector<float> images(samples * 36), gradient(samples * 2);
    std::vector<fqt::class_label> labels(samples);
    for (int n = 0; n < samples; ++n) {
        labels[static_cast<std::size_t>(n)] = static_cast<fqt::class_label>(n % 2);
        for (int p = 0; p < 36; ++p)
            images[static_cast<std::size_t>(n * 36 + p)] =
                0.02f * static_cast<float>((n * 7 + p * 5) % 11) + (n % 2 == 1 && p % 6 == n % 6 ? 1.0f : 0.0f);
    }
    std::vector<float> losses;
    float greatest_code = 0;
    bool whole = true;
    auto watch = [&](const fqt::observed_tensor& t) {
        if (t.what != "input" && t.what != "weight_gradient" && t.what != "input_gradient") return;
        for (int n = 0; n < t.samples; ++n)
            for (int c = 0; c < t.dims.channels; ++c)
                for (int p = 0; p < t.dims.pixels(); ++p) {
                    const float q = t.code(n, c, p);
                    whole = whole && q == std::nearbyint(q);
                    greatest_code = std::max(greatest_code, std::abs(q));
                }
    };
    net.observe(watch);
    for (int step = 0; step < 30; ++step) {
        const auto loss = fqt::cross_entropy(net.forward(images, samples), labels, gradient);
        net.backward(loss.gradient);
        optimizer.step(0.05f);
        losses.push_back(loss.value);
        if (step == 1) net.stop_observing();
    }
    CHECK(losses.front() > 0.4f);
    CHECK(losses.back() < 0.3f);
    CHECK(whole);
    CHECK(greatest_code > 100);
    CHECK(greatest_code <= 255);
}
