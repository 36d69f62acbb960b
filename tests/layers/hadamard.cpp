// SPDX-License-Identifier: BSD-3-Clause
// The Hadamard transform before dX: by itself, and input gradients of one layer against doubles of its weights and h.
#include <doctest/doctest.h>

#include "support/training.hpp"
#include <cmath>
#include <vector>

namespace {

using namespace fqt::layers;
using fqt::hadamard, fqt::nearest, fqt::real, fqt::stochastic, fqt::symmetric, fqt::window;
using numbers = std::vector<float>;

std::size_t at(int i) { return static_cast<std::size_t>(i); }

template <class Q, class Weight = symmetric<8, nearest, fqt::per_channel>>
constexpr fqt::scheme<Weight, symmetric<8>, Q, real, float, float, float, fqt::uniform_edges> scheme_of{};
template <int Bits>
using own = symmetric<Bits, stochastic, fqt::per_sample>;

// Only the second layer has an input gradient, and its h is what the test says.
constexpr auto net = input<3, 5, 4> | conv<8, window{1, 1, 0}> | conv<32, window{3, 2, 1}>;
constexpr fqt::shape in{8, 5, 4}, out{32, 3, 2};
constexpr auto grouped = input<3, 5, 4> | conv<8, window{1, 1, 0}> | conv<32, window{3, 2, 1, 2}>;
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

/// dX of the second layer; `skip` leaves out what channel 5 of h gives to it, whose weights are then 0.
template <const auto& Net, const auto& Scheme>
numbers input_gradient(const numbers& h, int threads = 1, bool skip = false) {
    fqt::network<Net, Scheme> network(fqt::seed{2}, {.batch = samples, .threads = threads});
    const std::span<float> weights = network.parameter("2.weight").value;
    const std::size_t row = weights.size() / at(out.channels);
    if (skip) std::fill_n(weights.begin() + static_cast<std::ptrdiff_t>(5 * row), row, 0.0f);
    numbers dx;
    const auto watch = [&](const fqt::observed_tensor& t) {
        if (t.what != "gradient" || t.layer != "2") return;
        for (int n = 0; n < t.samples; ++n)
            for (int c = 0; c < t.dims.channels; ++c)
                for (int p = 0; p < t.dims.pixels(); ++p) dx.push_back(t.value(n, c, p));
    };
    network.observe(watch);
    network.forward(random_numbers(samples * 3 * in.pixels(), 2), samples);
    network.backward(h);
    return dx;
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

TEST_CASE("threads, and builds, do not change a bit of a transformed dX") {
    const numbers h = gradient(10);
    const numbers by_one = input_gradient<net, scheme_of<hadamard<own<4>>>>(h);
    CHECK(support::bits(by_one) == support::bits(input_gradient<net, scheme_of<hadamard<own<4>>>>(h, 2)));
    digest::hash hash;
    hash.add(by_one);
    CHECK(hash.value() == 12424971040413960829u);
}

TEST_CASE("the first and the last product with eight_bit_edges are not transformed") {
    constexpr fqt::scheme mine{symmetric<8>{}, symmetric<8>{}, hadamard<own<4>>{}, own<4>{}};
    using last = fqt::product_scheme<fqt::placed<std::remove_const_t<decltype(mine)>, false, true>>;
    CHECK(std::same_as<last::input_gradient_quantizer, own<8>>);
}
