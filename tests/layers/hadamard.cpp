// SPDX-License-Identifier: BSD-3-Clause
// The Hadamard transform before dX and dW: by itself, and gradients of one layer against those in floats.
#include <fqt/quant/mean_of.hpp>

#include <doctest/doctest.h>

#include "support/archs.hpp"
#include "support/training.hpp"
#include <algorithm>
#include <cmath>
#include <vector>

namespace {

using namespace fqt::layers;
using fqt::hadamard, fqt::nearest, fqt::real, fqt::stochastic, fqt::symmetric, fqt::window;
using numbers = std::vector<float>;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

template <class Q, class Weight = symmetric<8, nearest, fqt::per_channel>, class IntoDw = real>
constexpr fqt::scheme<Weight, symmetric<8>, Q, IntoDw, float, float, float, fqt::uniform_edges> scheme_of{};
template <int Bits>
using own = symmetric<Bits, stochastic, fqt::per_sample>;

// Only the second layer has an input gradient, and its h is what the test says.
constexpr auto net = input<3, 5, 4> | with<scheme_of<real>>(conv<8, window{1, 1, 0}>) | conv<32, window{3, 2, 1}>;
constexpr fqt::shape in{8, 5, 4}, out{32, 3, 2};
constexpr auto grouped =
    input<3, 5, 4> | with<scheme_of<real>>(conv<8, window{1, 1, 0}>) | conv<32, window{3, 2, 1, 2}>;
constexpr int samples = 6;

numbers random_numbers(int count, std::uint32_t stream) {
    const fqt::random_stream random{11, 0, stream};
    numbers v;
    for (int i = 0; i < count; ++i)
        v.push_back(2 * fqt::uniform32(random.block(0, static_cast<std::uint32_t>(i))[0]) - 1);
    return v;
}
/// h, (n, k, p), with one channel `outlier` times the others.
numbers gradient(float outlier) {
    numbers h = random_numbers(samples * out.size(), 1);
    for (int i = 0; i < samples * out.size(); ++i)
        if (i / out.pixels() % out.channels == 5) h[at(i)] *= outlier;
    return h;
}

/// dX of the second layer, and dW, its input and what was made of h, as (n, channel, pixel); `skip` leaves out what
/// channel 5 of h gives to dX, whose weights are then 0.
struct both {
    numbers dx, dw, x, coded_h;
};
template <const auto& Net, const auto& Scheme>
both gradients(const numbers& h, int threads = 1, bool skip = false) {
    fqt::network<Net, Scheme> network(fqt::seed{2}, {.batch = samples, .threads = threads});
    const std::span<float> weights = network.parameter("2.weight").value;
    const std::size_t row = weights.size() / at(out.channels);
    if (skip) std::fill_n(weights.begin() + static_cast<std::ptrdiff_t>(5 * row), row, 0.0f);
    both seen;
    const auto watch = [&](const fqt::observed_tensor& t) {
        if (t.layer != "2") return;
        numbers* to = t.what == "gradient" ? &seen.dx
            : t.what == "input"            ? &seen.x
            : t.what == "weight_gradient"  ? &seen.coded_h
                                           : nullptr;
        for (int n = 0; to && n < t.samples; ++n)
            for (int c = 0; c < t.dims.channels; ++c)
                for (int p = 0; p < t.dims.pixels(); ++p) to->push_back(t.value(n, c, p));
    };
    network.observe(watch);
    network.forward(random_numbers(samples * 3 * in.pixels(), 2), samples);
    network.backward(h);
    const std::span<const float> dw = network.parameter("2.weight").gradient;
    seen.dw.assign(dw.begin(), dw.end());
    return seen;
}
template <const auto& Net, const auto& Scheme>
numbers input_gradient(const numbers& h, int threads = 1, bool skip = false) {
    return gradients<Net, Scheme>(h, threads, skip).dx;
}

double relative_distance(const numbers& a, const numbers& b) {
    REQUIRE(a.size() == b.size());
    REQUIRE(!b.empty());
    double sum = 0, of_b = 0;
    for (std::size_t i = 0; i < a.size(); ++i)
        sum += std::pow(double{a[i]} - double{b[i]}, 2), of_b += double{b[i]} * double{b[i]};
    return std::sqrt(sum / of_b);
}

} // namespace

TEST_CASE("the transform of 16 values is orthonormal and its own inverse") {
    for (int i = 0; i < 16; ++i) {
        float v[16]{};
        v[i] = 1;
        fqt::hadamard16(v);
        for (int j = 0; j < 16; ++j)
            CHECK(v[j] == (std::popcount(static_cast<unsigned>(i & j)) % 2 == 0 ? 0.25f : -0.25f));
        fqt::hadamard16(v);
        for (int j = 0; j < 16; ++j) CHECK(v[j] == (i == j ? 1.0f : 0.0f));
    }
}

TEST_CASE_TEMPLATE("the transforms of 16 values, of lanes and of rows have the same bits", A, FQT_ARCHS) {
    using values = fqt::simd::f32x16<A>;
    constexpr int row = 21; // one whole line, and one of 5
    const numbers from = random_numbers(16 * row, 3);
    numbers rows(from.size()), again(from.size());
    const fqt::interval range = fqt::hadamard_of_rows<A>(from.data(), row, rows.data());
    for (int c = 0; c < row; ++c) {
        float v[16], of_lanes[16];
        for (int i = 0; i < 16; ++i) v[i] = from[at(i * row + c)];
        fqt::hadamard_of_lanes(values::load(v)).store(of_lanes);
        fqt::hadamard16(v);
        for (int i = 0; i < 16; ++i) CHECK(of_lanes[i] == v[i]);
        for (int i = 0; i < 16; ++i) CHECK(rows[at(i * row + c)] == v[i]);
    }
    CHECK(range.low == *std::min_element(rows.begin(), rows.end()));
    CHECK(range.high == *std::max_element(rows.begin(), rows.end()));
    fqt::hadamard_of_rows<A>(rows.data(), row, again.data());
    for (std::size_t i = 0; i < from.size(); ++i) CHECK(again[i] == doctest::Approx(double{from[i]}).epsilon(1e-5));
}

TEST_CASE("with 8 bits, or float weights, or blocks, transformed dX is near that in floats") {
    const numbers h = gradient(1), floats = input_gradient<net, scheme_of<real>>(h);
    CHECK(relative_distance(input_gradient<net, scheme_of<hadamard<own<8>>>>(h), floats) < 0.015);
    CHECK(relative_distance(input_gradient<net, scheme_of<hadamard<symmetric<8>>>>(h), floats) < 0.015);
    CHECK(relative_distance(input_gradient<net, scheme_of<hadamard<own<8>>, real>>(h), floats) < 0.015);
    CHECK(
        relative_distance(
            input_gradient<net, scheme_of<hadamard<fqt::mxint8<stochastic>>, fqt::int8_tiles<nearest, 16>>>(h), floats)
        < 0.03);
    CHECK(relative_distance(input_gradient<net, scheme_of<hadamard<symmetric<8, stochastic, fqt::per_householder>>>>(h),
                            floats)
          < 0.015);
    CHECK(relative_distance(input_gradient<grouped, scheme_of<hadamard<own<8>>>>(h),
                            input_gradient<grouped, scheme_of<real>>(h))
          < 0.015);
}

TEST_CASE("a channel with large gradients and small weights costs less resolution") {
    // Weights of 0 in channel 5, so that dX is that of the other channels.
    const numbers h = gradient(100), floats = input_gradient<net, scheme_of<real>>(h, 1, true);
    const double plain = relative_distance(input_gradient<net, scheme_of<own<4>>>(h, 1, true), floats);
    const double transformed = relative_distance(input_gradient<net, scheme_of<hadamard<own<4>>>>(h, 1, true), floats);
    MESSAGE("relative distance ", plain, ", transformed ", transformed);
    CHECK(transformed < 0.6 * plain);
}

using weights_by_channel = symmetric<8, nearest, fqt::per_channel>;
template <class Q>
constexpr auto into_both = scheme_of<Q, weights_by_channel, Q>;
template <class Q>
constexpr auto into_dw = scheme_of<real, weights_by_channel, Q>;

TEST_CASE("with 8 bits a transformed dW is near that in floats") {
    const numbers h = gradient(1), floats = gradients<net, scheme_of<real>>(h).dw;
    CHECK(relative_distance(gradients<net, into_both<hadamard<own<8>>>>(h).dw, floats) < 0.015);
    CHECK(relative_distance(gradients<net, into_dw<hadamard<own<8>>>>(h).dw, floats) < 0.015);
    CHECK(relative_distance(gradients<net, into_dw<hadamard<symmetric<8, stochastic, fqt::per_channel>>>>(h).dw, floats)
          < 0.015);
    CHECK(relative_distance(gradients<net, into_dw<hadamard<fqt::mean_of<2, own<8>>>>>(h).dw, floats) < 0.015);
    CHECK(relative_distance(gradients<net, into_dw<hadamard<fqt::mxint8<stochastic>>>>(h).dw, floats) < 0.03);
    CHECK(relative_distance(gradients<net, into_both<fqt::rotated_blocks<4>>>(h).dw, floats) < 0.15);
    CHECK(relative_distance(gradients<grouped, into_both<hadamard<own<8>>>>(h).dw,
                            gradients<grouped, scheme_of<real>>(h).dw)
          < 0.015);
}

TEST_CASE("a transformed dW is the sum of what the codes of h and x stand for") {
    const both seen = gradients<net, into_dw<fqt::rotated_blocks<2>>>(gradient(3));
    numbers sums;
    for (int k = 0; k < out.channels; ++k)
        for (int r = 0; r < 3; ++r)
            for (int s = 0; s < 3; ++s)
                for (int c = 0; c < in.channels; ++c) {
                    double sum = 0;
                    for (int n = 0; n < samples; ++n)
                        for (int i = 0; i < out.height; ++i)
                            for (int j = 0; j < out.width; ++j) {
                                const int y = 2 * i + r - 1, x = 2 * j + s - 1;
                                if (y < 0 || y >= in.height || x < 0 || x >= in.width) continue;
                                sum +=
                                    double{seen.coded_h[at((n * out.channels + k) * out.pixels() + i * out.width + j)]}
                                    * double{seen.x[at((n * in.channels + c) * in.pixels() + y * in.width + x)]};
                            }
                    sums.push_back(static_cast<float>(sum));
                }
    CHECK(relative_distance(seen.dw, sums) < 1e-6);
    CHECK(relative_distance(seen.dw, gradients<net, scheme_of<real>>(gradient(3)).dw) > 0.1);
}

TEST_CASE("one set of transformed codes serves both products") {
    const numbers h = gradient(1);
    const both one = gradients<net, into_both<fqt::rotated_blocks<2>>>(h);
    CHECK(support::bits(one.dx) == support::bits(input_gradient<net, scheme_of<fqt::rotated_blocks<2>>>(h)));
    // Rounding is unbiased: the mean of many dW is near that in floats, and one alone is not.
    const numbers floats = gradients<net, scheme_of<real>>(h).dw;
    const numbers of_many = gradients<net, into_dw<hadamard<fqt::mean_of<64, own<2>>>>>(h).dw;
    CHECK(relative_distance(gradients<net, into_dw<hadamard<own<2>>>>(h).dw, floats) > 0.5);
    CHECK(relative_distance(of_many, floats) < 0.25);
}

TEST_CASE("threads, and builds, do not change a bit of what is transformed") {
    const numbers h = gradient(10);
    const numbers by_one = input_gradient<net, scheme_of<hadamard<own<4>>>>(h);
    CHECK(support::bits(by_one) == support::bits(input_gradient<net, scheme_of<hadamard<own<4>>>>(h, 2)));
    digest::hash hash;
    hash.add(by_one);
    CHECK(hash.value() == 12424971040413960829u);
    const numbers dw = gradients<net, into_both<fqt::rotated_blocks<3>>>(h).dw;
    CHECK(support::bits(dw) == support::bits(gradients<net, into_both<fqt::rotated_blocks<3>>>(h, 2).dw));
    digest::hash of_dw;
    of_dw.add(dw);
    CHECK(of_dw.value() == 18178424822539920916u);
}

TEST_CASE("w8a8_blocks has the bits that it says in both products") {
    const auto has = []<class Bits>(const auto& s, Bits) {
        using scheme = std::remove_cvref_t<decltype(s)>;
        using weight = symmetric<8, fqt::nearest, fqt::per_channel>;
        const bool forward[] = {std::same_as<typename scheme::weight_quantizer, weight>,
                                std::same_as<typename scheme::activation_quantizer, symmetric<8>>};
        const bool backward[] = {std::same_as<typename scheme::input_gradient_quantizer, Bits>,
                                 std::same_as<typename scheme::weight_gradient_quantizer, Bits>};
        return forward[0] && forward[1] && backward[0] && backward[1];
    };
    CHECK(has(fqt::w8a8_blocks<2>, fqt::rotated_blocks<2>{}));
    CHECK(has(fqt::w8a8_blocks<4>, fqt::rotated_blocks<4>{}));
    CHECK(fqt::bits_of<fqt::rotated_blocks<2>> == 2);
    using split = std::remove_cvref_t<decltype(fqt::w8a8_blocks<2, 8>)>;
    CHECK(std::same_as<split::input_gradient_quantizer, fqt::rotated_blocks<2>>);
    CHECK(fqt::bits_of<split::weight_gradient_quantizer> == 8);
}

TEST_CASE("the first and the last product with eight_bit_edges are not transformed") {
    constexpr fqt::scheme mine{symmetric<8>{}, symmetric<8>{}, hadamard<own<4>>{}, own<4>{}};
    using last = fqt::product_scheme<fqt::placed<std::remove_const_t<decltype(mine)>, false, true>>;
    CHECK(std::same_as<last::input_gradient_quantizer, own<8>>);
    constexpr auto blocks = fqt::w8a8_blocks<2>;
    using last_of_blocks = fqt::product_scheme<fqt::placed<std::remove_const_t<decltype(blocks)>, false, true>>;
    using wide = symmetric<8, fqt::stratified, fqt::per_sample>;
    CHECK(std::same_as<last_of_blocks::input_gradient_quantizer, wide>);
    CHECK(std::same_as<last_of_blocks::weight_gradient_quantizer, wide>);
}
