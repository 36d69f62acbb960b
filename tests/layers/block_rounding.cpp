// SPDX-License-Identifier: BSD-3-Clause
// Block formats: what lies in a block, the scale it gets, and the values next to it, against loops over the formats'
// own values; and the products that run on them.
#include <fqt/fqt.hpp>

#include <doctest/doctest.h>

#include "../support/twin_network.hpp"

namespace {

constexpr fqt::shape dims{48, 5, 7}; // three blocks of 16, 35 pixels
using fqt::block_axis, fqt::per_block, fqt::per_tile;
using best = fqt::arch::best;
using generic = fqt::arch::generic;

/// Values whose size varies from block to block, among them zeros.
std::vector<float> images() {
    std::vector<float> v = twin::random_floats(2 * dims.size(), -1, 1, 5);
    for (std::size_t i = 0; i < v.size(); ++i) {
        v[i] *= std::exp2f(static_cast<float>(i / 97 % 9) - 4);
        if (i % 11 == 0) v[i] = 0;
    }
    return v;
}
float at(const std::vector<float>& v, int n, int c, int p) {
    return v[twin::at((n * dims.channels + c) * dims.pixels() + p)];
}

/// The values that a rounding leaves, [n][p][c].
template <class Q, block_axis Axis, class Arch = best>
std::vector<float> rounded(const std::vector<float>& x, const fqt::grid& tensor, std::uint32_t step = 0) {
    const auto size = twin::at(fqt::padded_size(dims));
    std::vector<float> to(2 * size);
    for (int n = 0; n < 2; ++n)
        fqt::block_rounding<Q, Axis, dims, Arch>::round(fqt::plain<dims>{x.data()}, n, tensor, {3, step, 7},
                                                        static_cast<std::uint32_t>(n), to.data() + twin::at(n) * size);
    return to;
}

/// Magnitudes of e2m1, as the standard lists them.
constexpr double e2m1[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};

/// Nearest to x of +-scale * value; ties to the even entry of the list.
double nearest_of(double x, double scale) {
    if (scale == 0) return 0;
    double best_value = 0, least = 1e300;
    for (int i = 0; i < 8; ++i) {
        const double distance = std::abs(std::abs(x) - e2m1[i] * scale);
        if (distance < least || (distance == least && i % 2 == 0)) least = distance, best_value = e2m1[i] * scale;
    }
    return std::copysign(best_value, x);
}

/// The largest magnitude among the values that share a grid with channel c at pixel p.
template <class InBlock>
double largest(const std::vector<float>& x, int n, InBlock&& in_block) {
    double most = 0;
    for (int c = 0; c < dims.channels; ++c)
        for (int p = 0; p < dims.pixels(); ++p)
            if (in_block(c, p)) most = std::max(most, std::abs(double{at(x, n, c, p)}));
    return most;
}

template <class Q, block_axis Axis, class Same, class Scale>
void check_values(Same&& same_block, Scale&& scale_of, const fqt::grid& tensor) {
    const auto x = images();
    const auto got = rounded<Q, Axis>(x, tensor);
    CHECK(got == rounded<Q, Axis, generic>(x, tensor));
    int wrong = 0;
    for (int n = 0; n < 2; ++n)
        for (int c = 0; c < dims.channels; ++c)
            for (int p = 0; p < dims.pixels(); ++p) {
                const double most = largest(x, n, [&](int d, int q) { return same_block(c, p, d, q); });
                const double expected = nearest_of(double{at(x, n, c, p)}, scale_of(most));
                const double value = double{got[twin::at((n * dims.pixels() + p) * dims.channels + c)]};
                wrong += std::abs(value - expected) > 1e-6 * std::abs(expected);
            }
    CHECK(wrong == 0);
}

} // namespace

TEST_CASE("MXFP4 along channels: 16 of them, with the exponent of the largest less that of 6 for a scale") {
    const auto scale = [](double most) { return most > 0 ? std::exp2(std::floor(std::log2(most)) - 2) : 0.0; };
    using e2m1_shared = fqt::fp4<fqt::nearest, fqt::per_tensor, fqt::full_range, fqt::shared_exponent>;
    check_values<fqt::blocks_of<e2m1_shared, per_block<16>>, block_axis::channels>(
        [](int c, int p, int d, int q) { return p == q && c / 16 == d / 16; }, scale, {});
    SUBCASE("along pixels: 16 of each channel, the last block shorter") {
        check_values<fqt::blocks_of<e2m1_shared, per_block<16>>, block_axis::pixels>(
            [](int c, int p, int d, int q) { return c == d && p / 16 == q / 16; }, scale, {});
    }
    SUBCASE("in tiles, whatever the axis") {
        const auto tile = [](int c, int p, int d, int q) { return c / 16 == d / 16 && p / 16 == q / 16; };
        check_values<fqt::blocks_of<e2m1_shared, per_tile<16>>, block_axis::pixels>(tile, scale, {});
        check_values<fqt::blocks_of<e2m1_shared, per_tile<16>>, block_axis::channels>(tile, scale, {});
    }
}

namespace {
/// A format of the OCP standards: bits behind the first, the exponents of its least normal and of its greatest number.
struct standard_format {
    int mantissa, least, greatest;
    double most;

    /// x to the nearest of them, ties to even, times the block's scale; what is beyond the last one becomes it.
    double nearest(double x, double block) const {
        const double scale = std::exp2(std::floor(std::log2(block)) - greatest), v = std::abs(x) / scale;
        if (v == 0) return 0;
        const double quantum = std::exp2(std::max(std::floor(std::log2(v)), double(least)) - mantissa);
        return std::copysign(std::min(most, std::nearbyint(v / quantum) * quantum) * scale, x);
    }
};

template <class Q>
int wrong_values(const standard_format& format) {
    const auto x = images();
    const auto got = rounded<Q, block_axis::pixels>(x, {});
    int wrong = 0;
    for (int n = 0; n < 2; ++n)
        for (int c = 0; c < dims.channels; ++c)
            for (int p = 0; p < dims.pixels(); ++p) {
                const double most = largest(x, n, [&](int d, int q) { return c == d && p / 32 == q / 32; });
                const double expected = most > 0 ? format.nearest(double{at(x, n, c, p)}, most) : 0;
                wrong += double{got[twin::at((n * dims.pixels() + p) * dims.channels + c)]} != expected;
            }
    return wrong;
}
} // namespace

TEST_CASE("the formats of the microscaling standard have its values") {
    CHECK(wrong_values<fqt::mxfp8_e4m3<>>({3, -6, 8, 448}) == 0);
    CHECK(wrong_values<fqt::mxfp8_e5m2<>>({2, -14, 15, 57344}) == 0);
    CHECK(wrong_values<fqt::mxfp6_e2m3<>>({3, 0, 2, 7.5}) == 0);
    CHECK(wrong_values<fqt::mxfp6_e3m2<>>({2, -2, 4, 28}) == 0);
    CHECK(wrong_values<fqt::mxfp4<>>({1, 0, 2, 6}) == 0);
    CHECK(wrong_values<fqt::mxfp6_e3m2<>>({3, 0, 2, 7.5}) > 0); // it tells them apart
}

TEST_CASE("NVFP4: a scale of e4m3 times one of the tensor, which maps the largest block to 448") {
    using format = fqt::nvfp4<>;
    const auto x = images();
    double most_of_all = 0;
    for (const float v : x) most_of_all = std::max(most_of_all, std::abs(double{v}));
    // In values, not steps: the element's greatest is 6, a step of e2m1 is 1/2.
    const fqt::grid tensor = format::fit({-static_cast<float>(most_of_all), static_cast<float>(most_of_all)}, {});
    const double s = most_of_all / (448 * 6);
    CHECK(double{tensor.step} * 2 == doctest::Approx(s).epsilon(1e-6));
    const auto to_e4m3 = [](double v) { // nearest, ties to even: 3 bits behind the first, steps of 2^-9 at least
        if (v == 0) return 0.0;
        const double quantum = std::exp2(std::max(std::floor(std::log2(v)), -6.0) - 3);
        return std::min(448.0, std::nearbyint(v / quantum) * quantum);
    };
    check_values<format, block_axis::channels>([](int c, int p, int d, int q) { return p == q && c / 16 == d / 16; },
                                               [&](double most) { return to_e4m3(most / 6 / s) * s; }, tensor);
}

TEST_CASE("a stochastic block format is unbiased within its range, and draws anew at every step") {
    using format = fqt::blocks_of<fqt::fp4<fqt::stochastic>, per_block<16>>;
    const auto x = images();
    constexpr int draws = 2000;
    std::vector<double> mean(twin::at(2 * fqt::padded_size(dims)));
    for (int i = 0; i < draws; ++i) {
        const auto v = rounded<format, block_axis::channels>(x, {}, static_cast<std::uint32_t>(i));
        for (std::size_t j = 0; j < v.size(); ++j) mean[j] += double{v[j]} / draws;
    }
    double worst = 0;
    for (int n = 0; n < 2; ++n)
        for (int p = 0; p < dims.pixels(); ++p)
            for (int c = 0; c < dims.channels; ++c) {
                double most = largest(x, n, [&](int d, int q) { return q == p && d / 16 == c / 16; });
                // Gaps are at most a third of the largest; four standard errors and a little.
                const double allowed = most / 3 / 2 / std::sqrt(draws) * 5 + 1e-9;
                const double error =
                    mean[twin::at((n * dims.pixels() + p) * dims.channels + c)] - double{at(x, n, c, p)};
                worst = std::max(worst, std::abs(error) / allowed);
            }
    CHECK(worst < 1);
}

TEST_CASE("weights are quantized once along each contraction") {
    constexpr fqt::geometry g{{32, 4, 4}, 48, 3, 3, 1, 1, 1};
    using format = fqt::mx_block<fqt::fp4<fqt::nearest, fqt::per_tensor, fqt::full_range, fqt::shared_exponent>>;
    auto w = twin::random_floats(g.weights(), -1, 1, 9);
    for (std::size_t i = 0; i < w.size(); ++i) w[i] *= std::exp2f(static_cast<float>(i / 45 % 7));
    for (const bool along_outputs : {false, true}) {
        std::vector<float> got(w.size());
        fqt::block_weight_rounding<format, g>::round(w.data(), along_outputs, {}, {}, 2, got.data());
        int wrong = 0;
        const auto index = [](int k, int tap, int c) { return twin::at((k * 9 + tap) * 32 + c); };
        for (int k = 0; k < 48; ++k)
            for (int tap = 0; tap < 9; ++tap)
                for (int c = 0; c < 32; ++c) {
                    double most = 0;
                    for (int i = 0; i < 32; ++i) {
                        const int other = along_outputs ? k / 32 * 32 + i : i;
                        if (along_outputs && other >= 48) break;
                        most = std::max(most,
                                        std::abs(double{w[along_outputs ? index(other, tap, c) : index(k, tap, i)]}));
                    }
                    const double scale = std::exp2(std::floor(std::log2(most)) - 2);
                    wrong += double{got[index(k, tap, c)]} != nearest_of(double{w[index(k, tap, c)]}, scale);
                }
        CHECK(wrong == 0);
    }
}

namespace {

using namespace fqt::layers;
template <class Q, class H = Q>
using formats = fqt::scheme<Q, Q, H, H, float, float, float, fqt::uniform_edges>;
constexpr formats<fqt::symmetric<8>> plain_codes{};
constexpr formats<fqt::mxfp8_e4m3<>> mx{};
constexpr formats<fqt::nvfp4<>> nv{};

constexpr auto net = input<3, 6, 5> | with<plain_codes>(conv<32>) | relu
    | named<"middle">(conv<64, fqt::window{3, 2, 1}>) | with<plain_codes>(dense<4>);
constexpr int samples = 3;

template <const auto& Scheme>
void check_products() {
    using format = typename std::remove_cvref_t<decltype(Scheme)>::activation_quantizer;
    constexpr fqt::geometry g{{32, 6, 5}, 64, 3, 3, 2, 1, 1};
    fqt::network<net, Scheme> network(fqt::seed{4}, {.batch = samples, .threads = 2});
    twin::recorder seen;
    network.observe(seen);
    const auto pictures = twin::random_floats(samples * 90, -1, 1, 1),
               by_logits = twin::random_floats(samples * 4, -1, 1, 2);
    network.forward(pictures, samples);
    network.backward(by_logits);

    // x and h as they are before they are quantized, and after, along both axes, (pixel, channel).
    const twin::tensor &x = seen.values.at("middle input"), &h = seen.values.at("middle input_gradient");
    const auto quantized = [&]<fqt::shape Dims, block_axis Axis>(const twin::tensor& t) {
        std::vector<float> v(t.v.begin(), t.v.end());
        float most = 0;
        for (const float f : v) most = std::max(most, std::abs(f));
        const auto size = twin::at(fqt::padded_size(Dims));
        std::vector<float> to(samples * size);
        for (int n = 0; n < samples; ++n)
            fqt::block_rounding<format, Axis, Dims, generic>::round(
                fqt::plain<Dims>{v.data()}, n, format::fit({-most, most}, {}), {}, 0, to.data() + twin::at(n) * size);
        return to;
    };
    const auto x_forward = quantized.template operator()<g.in, block_axis::channels>(x);
    const auto x_dw = quantized.template operator()<g.in, block_axis::pixels>(x);
    const auto h_dx = quantized.template operator()<g.out(), block_axis::channels>(h);
    const auto h_dw = quantized.template operator()<g.out(), block_axis::pixels>(h);
    const auto w = network.parameter("middle.weight");
    std::vector<float> w_forward(w.value.size()), w_dx(w.value.size());
    float most = 0;
    for (const float f : w.value) most = std::max(most, std::abs(f));
    const auto tensor = format::fit({-most, most}, {});
    fqt::block_weight_rounding<format, g>::round(w.value.data(), false, tensor, {}, 1, w_forward.data());
    fqt::block_weight_rounding<format, g>::round(w.value.data(), true, tensor, {}, 1, w_dx.data());

    std::vector<double> sums(h.v.size()), dx(x.v.size()), dw(w.value.size());
    h.each([&](int n, int k, int p) {
        const std::size_t out = twin::at((n * 64 + k) * g.out().pixels() + p);
        const std::size_t h_at = twin::at((n * g.out().pixels() + p) * 64 + k);
        for (int tap = 0; tap < 9; ++tap) {
            const int y = p / g.out().width * 2 - 1 + tap / 3, z = p % g.out().width * 2 - 1 + tap % 3;
            if (y < 0 || z < 0 || y >= 6 || z >= 5) continue;
            for (int c = 0; c < 32; ++c) {
                const std::size_t i = twin::at((k * 9 + tap) * 32 + c), at_x = twin::at((n * 30 + y * 5 + z) * 32 + c);
                sums[out] += double{w_forward[i]} * double{x_forward[at_x]};
                dx[twin::at((n * 32 + c) * 30 + y * 5 + z)] += double{w_dx[i]} * double{h_dx[h_at]};
                dw[i] += double{x_dw[at_x]} * double{h_dw[h_at]};
            }
        }
    });
    const auto compare = [](const auto& got, const std::vector<double>& expected) {
        REQUIRE(got.size() == expected.size());
        double scale = 0, worst = 0;
        for (const double v : expected) scale = std::max(scale, std::abs(v));
        for (std::size_t i = 0; i < expected.size(); ++i)
            worst = std::max(worst, std::abs(static_cast<double>(got[i]) - expected[i]));
        CHECK(scale > 0);
        CHECK(worst < 2e-6 * scale);
    };
    compare(seen.values.at("middle sums").v, sums);
    compare(seen.values.at("middle gradient").v, dx);
    compare(w.gradient, dw);
}

} // namespace

TEST_CASE("all three products run on blocks along their own contraction") {
    check_products<mx>();
    SUBCASE("with scales of two levels") { check_products<nv>(); }
}
