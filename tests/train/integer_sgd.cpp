// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/io/checkpoint.hpp>
#include <fqt/network/network.hpp>
#include <fqt/quant/power_of_two.hpp>
#include <fqt/train/integer_sgd.hpp>

#include <doctest/doctest.h>

#include "../io/files.hpp"
#include "support/training.hpp"
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace {

using doctest::Contains;

/// Two weight tensors and a bias that are just vectors. The first has several chunks of the optimizer's loops.
struct vectors {
    std::vector<float> a = std::vector<float>(9001), b = std::vector<float>(12), bias = std::vector<float>(5);
    std::vector<float> ga = a, gb = b, gbias = bias;
    std::uint32_t now = 3;
    int team = 1;

    vectors() {
        draw(1);
        for (std::size_t i = 0; i < a.size(); ++i) a[i] = at(10, i) * 1.5f;
        for (std::size_t i = 0; i < b.size(); ++i) b[i] = at(11, i) * 0.3f;
    }
    /// Gradients anew: of many magnitudes, multiples of 2^-30.
    void draw(std::uint32_t stream) {
        for (std::size_t i = 0; i < ga.size(); ++i) ga[i] = std::ldexp(at(stream, i), -static_cast<int>(i % 12));
        for (std::size_t i = 0; i < gb.size(); ++i) gb[i] = at(stream + 100, i) * 300;
        for (std::size_t i = 0; i < gbias.size(); ++i) gbias[i] = at(stream + 200, i);
    }
    /// In (-1, 1), on a grid of 2^-15.
    static float at(std::uint32_t stream, std::size_t i) {
        return 2 * fqt::uniform16(fqt::random_stream{5, 0, stream}.block(0, static_cast<std::uint32_t>(i))[0] >> 16)
            - 1;
    }
    template <class F>
    void each_parameter(F&& f) {
        constexpr auto weight = fqt::parameter_kind::weight;
        const auto size = [](const std::vector<float>& v) { return static_cast<int>(v.size()); };
        f(fqt::parameter{fqt::path{} / "a" / "weight", weight, a, ga, {size(a), 1, 1, 1}});
        f(fqt::parameter{fqt::path{} / "a" / "bias", fqt::parameter_kind::bias, bias, gbias, {size(bias), 1, 1, 1}});
        f(fqt::parameter{fqt::path{} / "b" / "weight", weight, b, gb, {2, 1, 2, 3}});
    }
    template <class F>
    void each_state(F&&) {}
    int threads() const { return team; }
    std::uint64_t seed_value() const { return 77; }
    std::uint32_t step() const { return now; }
};

/// The draw of weight i of parameter `index` at the present step: 0 to 65535.
std::uint32_t draw_of(const vectors& v, std::uint32_t index, std::size_t i, std::size_t size) {
    return fqt::random_stream{77, v.now, 0x80000000u + 2 * index}.bits16(0, 0, static_cast<int>(i),
                                                                         static_cast<int>(size));
}
double greatest(const std::vector<float>& g) {
    double most = 0;
    for (const float x : g) most = std::max(most, std::abs(double{x}));
    return most;
}
int clip(std::int64_t code, int top) { return static_cast<int>(std::clamp<std::int64_t>(code, -top, top)); }

// ---- the rules again, on integers ----

void wage(std::vector<float>& w, const std::vector<float>& g, double rate, const vectors& v, std::uint32_t index) {
    const double shift = std::exp2(std::round(std::log2(greatest(g))));
    for (std::size_t i = 0; i < w.size(); ++i) {
        const auto units = static_cast<std::int64_t>(std::nearbyint(rate * double{g[i]} / shift * 32768));
        const std::int64_t magnitude = std::abs(units), fraction = magnitude % 32768;
        std::int64_t move = magnitude / 32768 + (2 * fraction > draw_of(v, index, i, w.size()) ? 1 : 0);
        if (units < 0) move = -move;
        w[i] = static_cast<float>(clip(static_cast<std::int64_t>(w[i] * 128) - move, 127)) / 128;
    }
}
void wageubn(std::vector<float>& w, const std::vector<float>& g, double rate, int scale, const vectors& v,
             std::uint32_t index) {
    const double shift = std::exp2(std::round(std::log2(greatest(g))));
    const std::int64_t lr = std::min<std::int64_t>(std::llrint(rate * 512), 511);
    for (std::size_t i = 0; i < w.size(); ++i) {
        const double x = std::abs(scale * double{g[i]} / shift);
        const auto low = static_cast<std::int64_t>(x);
        std::int64_t n = low + ((x - static_cast<double>(low)) * 65536 > draw_of(v, index, i, w.size()) + 0.5 ? 1 : 0);
        n = clip(g[i] < 0 ? -n : n, scale - 1);
        const std::int64_t move = std::llrint(static_cast<double>(lr * n) / 512);
        w[i] = static_cast<float>(clip(static_cast<std::int64_t>(w[i] * 16384) - move, 16383)) / 16384;
    }
}
void niti(std::vector<float>& w, const std::vector<float>& g, int mu, int exponent) {
    const int shift = static_cast<int>(std::ceil(std::log2(greatest(g)))) - mu;
    for (std::size_t i = 0; i < w.size(); ++i) {
        const auto units = static_cast<std::int64_t>(std::ldexp(std::abs(double{g[i]}), 16 - shift));
        const std::int64_t up = units / 256 % 256 > units % 256 ? 1 : 0;
        const int move = clip(units / 65536 + up, 127);
        const double code = std::ldexp(double{w[i]}, -exponent);
        w[i] = static_cast<float>(
            std::ldexp(clip(static_cast<std::int64_t>(code) - (g[i] < 0 ? -move : move), 127), exponent));
    }
}
void plain(std::vector<float>& w, const std::vector<float>& g, float rate) {
    for (std::size_t i = 0; i < w.size(); ++i) w[i] = std::fma(-rate, g[i], w[i]);
}

/// Whether a quantizer of weights keeps them as they are.
template <class Q>
bool keeps(const std::vector<float>& w) {
    using one = fqt::simd::f32x16<fqt::arch::generic>;
    const auto limits = fqt::quantizer_traits<Q>::limits(true);
    const auto most = static_cast<float>(greatest(w));
    const auto grid = Q::fit({-most, most}, limits);
    return std::ranges::all_of(w, [&](float x) {
        const float code = Q::encode(one(x), grid, one(0.5f)).lane(0);
        return std::abs(code) <= static_cast<float>(limits.high) && Q::decode(one(code), grid).lane(0) == x;
    });
}
/// Whether all weights are multiples of 2^exponent, within `top` of them.
bool on_grid(const std::vector<float>& w, int exponent, int top) {
    return std::ranges::all_of(w, [&](float x) {
        const double code = std::ldexp(double{x}, -exponent);
        return code == std::floor(code) && std::abs(code) <= top;
    });
}
bool equal(const std::vector<float>& a, const std::vector<float>& b) { return support::bits(a) == support::bits(b); }
/// Zeros of either sign are equal here: the oracles work on integers.
bool same_values(const vectors& x, const vectors& y) { return x.a == y.a && x.b == y.b && x.bias == y.bias; }

} // namespace

TEST_CASE("WAGE's update is its formula") {
    vectors v;
    fqt::integer_sgd optimizer{v};
    REQUIRE(on_grid(v.a, -7, 127));
    CHECK(greatest(v.a) == 127.0 / 128); // 1.5 was clipped
    vectors own = v;
    for (const float rate : {8.0f, 1.0f, 0.125f, 0.7f, 300.0f, 0.0f}) {
        CAPTURE(rate);
        v.draw(v.now);
        own.draw(v.now);
        optimizer.step(rate);
        wage(own.a, own.ga, double{rate}, own, 0);
        wage(own.b, own.gb, double{rate}, own, 2);
        plain(own.bias, own.gbias, rate / 256);
        CHECK(same_values(v, own));
        CHECK(on_grid(v.a, -7, 127));
        CHECK(on_grid(v.b, -7, 127));
        own.now = ++v.now;
    }
}

TEST_CASE("WAGE's update takes its bits, and moves nothing along a gradient of zeros") {
    vectors v;
    fqt::integer_sgd<vectors, fqt::wage_update<4>> optimizer{v, {.others = 0}};
    const auto bias = v.bias;
    for (int i = 0; i < 20; ++i, ++v.now) {
        v.draw(v.now);
        optimizer.step(2);
        CHECK(on_grid(v.a, -3, 7));
    }
    CHECK(v.bias == bias);
    std::ranges::fill(v.gb, 0.0f);
    const auto a = v.a, b = v.b;
    optimizer.step(2);
    CHECK(v.a != a);
    CHECK(equal(v.b, b));
    CHECK(optimizer.options().others == 0);
}

TEST_CASE("WAGE's rounding is unbiased to the last bit") {
    const auto moves = fqt::wage_update<8>::of(0.75f, 1, {}); // Shift(0.75) = 1
    for (const float g : {0.0f, 0x1p-15f, 0.3f, -0.3f, 0.75f, -0.75f, 0.74999f}) {
        double sum = 0;
        for (std::uint32_t bits = 0; bits < 65536; ++bits) sum += moves(g, fqt::uniform16(bits));
        CHECK(sum / 65536 == std::nearbyint(double{g} * 32768) / 32768);
    }
    // Twice sqrt 2 is where Shift goes from 2 to 4; gradients of any size move as far.
    CHECK(fqt::wage_update<8>::of(2.828f, 8, {})(2.0f, 0.5f) == 8);
    CHECK(fqt::wage_update<8>::of(2.829f, 8, {})(2.0f, 0.5f) == 4);
    for (const float size : {0x1p-149f, 0x1p-130f, 1.0f, 0x1p127f})
        CHECK(fqt::wage_update<8>::of(size, 8, {})(-size, 0.5f) == -8);
}

TEST_CASE("WAGEUBN's update is its formula") {
    vectors v;
    fqt::integer_sgd<vectors, fqt::wageubn_update> optimizer{v};
    REQUIRE(on_grid(v.a, -14, 16383));
    vectors own = v;
    for (const float rate : {0.05f, 1.0f, 0.3f, 0.0f, 0.5f}) {
        CAPTURE(rate);
        const int scale = v.now % 2 ? 128 : 32;
        v.draw(v.now);
        own.draw(v.now);
        optimizer.set_gradient_scale(static_cast<float>(scale));
        optimizer.step(rate);
        wageubn(own.a, own.ga, double{rate}, scale, own, 0);
        wageubn(own.b, own.gb, double{rate}, scale, own, 2);
        plain(own.bias, own.gbias, std::min(std::nearbyint(rate * 512), 511.0f) / 512 / 256);
        CHECK(same_values(v, own));
        CHECK(on_grid(v.a, -14, 16383));
        own.now = ++v.now;
    }
}

TEST_CASE("NITI's update is its formula") {
    vectors v;
    const auto before = v.b;
    fqt::integer_sgd<vectors, fqt::niti_update> optimizer{v};
    std::vector<int> exponents;
    optimizer.each_exponent([&](const fqt::parameter&, int e) { exponents.push_back(e); });
    // 2^(ceil(log2 max|w|) - 7): max|w| lies in (1, 2) and in (0.25, 0.3).
    REQUIRE(exponents == std::vector{-6, std::ldexp(1.0, -2) < greatest(before) ? -8 : -9});
    for (std::size_t i = 0; i < v.b.size(); ++i) CHECK(std::abs(v.b[i] - before[i]) <= std::ldexp(0.5f, exponents[1]));
    vectors own = v;
    for (const int mu : {5, 4, 3, 7, 1}) {
        CAPTURE(mu);
        for (int i = 0; i < 3; ++i) {
            v.draw(v.now);
            own.draw(v.now);
            optimizer.step(static_cast<float>(mu));
            niti(own.a, own.ga, mu, exponents[0]);
            niti(own.b, own.gb, mu, exponents[1]);
            plain(own.bias, own.gbias, std::ldexp(1.0f, mu - 8));
            CHECK(same_values(v, own));
            CHECK(on_grid(v.a, exponents[0], 127));
            CHECK(on_grid(v.b, exponents[1], 127));
            own.now = ++v.now;
        }
    }
    // The greatest gradient takes mu bits, whatever its size.
    for (const float size : {0x1p-149f, 0x1p-20f, 1.0f, 0x1p127f}) {
        CHECK(fqt::niti_update::of(size, 5, {})(size, 0) == 32);
        CHECK(fqt::niti_update::of(size, 7, {})(-size, 0) == -127);
    }
    CHECK(fqt::niti_update::of(1.9375f, 5, {})(1.9375f, 0) == 31);
}

TEST_CASE("integer weights do not depend on threads") {
    const auto runs_alike = [](auto update, float rate) {
        vectors one, two;
        two.team = 2;
        fqt::integer_sgd<vectors, decltype(update)> first{one}, second{two};
        for (int i = 0; i < 3; ++i, ++one.now, ++two.now) {
            one.draw(one.now);
            two.draw(two.now);
            first.step(rate);
            second.step(rate);
        }
        return equal(one.a, two.a) && equal(one.b, two.b) && equal(one.bias, two.bias) && !equal(one.a, vectors{}.a);
    };
    CHECK(runs_alike(fqt::wage_update<8>{}, 4));
    CHECK(runs_alike(fqt::wageubn_update{}, 0.5f));
    CHECK(runs_alike(fqt::niti_update{}, 4));
}

TEST_CASE("integer weights have the same bits with every compiler and instruction set") {
    const auto number = [](auto update, float rate) {
        vectors v;
        fqt::integer_sgd<vectors, decltype(update)> optimizer{v};
        for (; v.now < 13; ++v.now) {
            v.draw(v.now);
            optimizer.step(rate);
        }
        digest::hash h;
        h.add(v.a);
        h.add(v.b);
        h.add(v.bias);
        return h.value();
    };
    CHECK(number(fqt::wage_update<8>{}, 4.1f) == 5087535991023624980u);
    CHECK(number(fqt::wageubn_update{}, 0.3f) == 7487956025578821835u);
    CHECK(number(fqt::niti_update{}, 4) == 8497909165892659917u);
}

TEST_CASE("quantizers with the grid of integer weights keep them") {
    const auto kept = [](auto update, float rate, auto quantizer) {
        vectors v;
        fqt::integer_sgd<vectors, decltype(update)> optimizer{v};
        bool all = true;
        for (; v.now < 10; ++v.now) {
            v.draw(v.now);
            optimizer.step(rate);
            all = all && keeps<decltype(quantizer)>(v.a) && keeps<decltype(quantizer)>(v.b);
        }
        return all;
    };
    CHECK(kept(fqt::wage_update<8>{}, 4, fqt::power_of_two<8>{}));
    CHECK(kept(fqt::wage_update<8>{}, 4, fqt::fixed_step<8>{}));
    CHECK(kept(fqt::niti_update{}, 4, fqt::power_of_two<8>{}));
    CHECK_FALSE(kept(fqt::niti_update{}, 4, fqt::symmetric<8>{}));
}

TEST_CASE("what integer_sgd cannot do is refused before anything changes") {
    constexpr float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    vectors v;
    fqt::integer_sgd optimizer{v};
    const vectors before = v;
    const auto refuses = [&](auto& who, float rate, const char* what) {
        CHECK_THROWS_WITH_AS(who.step(rate), Contains(what), fqt::error);
    };
    refuses(optimizer, -1, "a step of rate -1; it must be 0 or more, and finite");
    refuses(optimizer, nan, "it must be 0 or more, and finite");
    refuses(optimizer, infinity, "it must be 0 or more, and finite");
    CHECK(same_values(v, before));
    for (const float bad : {nan, infinity}) {
        v.gb[11] = bad;
        refuses(optimizer, 1, "the gradient of 'b.weight' is not finite (NaN or infinity); lower the learning rate");
        v.gb = before.gb;
        v.gbias[4] = -bad;
        refuses(optimizer, 1, "the gradient of 'a.bias' is not finite");
        v.gbias = before.gbias;
    }
    CHECK(same_values(v, before));
    for (const float off : {0.1f, 1.0f, -2.0f, nan}) {
        v.b[3] = off;
        refuses(optimizer, 1,
                "a weight of 'b.weight' is not one of the 255 multiples of 2^-7 that integer_sgd keeps; call its "
                "place_weights()");
    }
    CHECK(v.a == before.a);
    CHECK_THROWS_WITH_AS(optimizer.place_weights(), Contains("a weight of 'b.weight' is nan; initialise"), fqt::error);
    v.b[3] = 0.1f;
    optimizer.place_weights();
    CHECK(v.b[3] == 13.0f / 128);
    optimizer.step(1);

    // As after loading what an optimizer of 4 bits wrote.
    std::vector<std::string> names;
    optimizer.each_state([&](const fqt::path& name, std::span<std::byte> bytes) {
        names.emplace_back(name.view());
        const std::int32_t exponent = -3;
        std::memcpy(bytes.data(), &exponent, sizeof exponent);
    });
    CHECK(names == std::vector<std::string>{"a.weight.exponent", "b.weight.exponent"});
    refuses(optimizer, 1, "'a.weight' is on a grid of 2^-3, and this integer_sgd's is 2^-7");
    optimizer.place_weights();
    optimizer.step(1);

    fqt::integer_sgd<vectors, fqt::niti_update> bits{v};
    for (const float rate : {0.0f, -1.0f, 8.0f, 2.5f, nan}) refuses(bits, rate, "a whole number from 1 to 7");
    for (const std::int32_t damaged : {std::numeric_limits<std::int32_t>::min(), -127, 122}) {
        bits.each_state(
            [&](const fqt::path&, std::span<std::byte> bytes) { std::memcpy(bytes.data(), &damaged, sizeof damaged); });
        refuses(bits, 1, "whose codes are no floats; load another checkpoint");
    }
    bits.place_weights();
    bits.step(1);
    fqt::integer_sgd<vectors, fqt::wageubn_update> ubn{v};
    for (const float rate : {-0.5f, 1.5f, nan}) refuses(ubn, rate, "it must lie in [0, 1]");
    ubn.set_gradient_scale(0.5f);
    refuses(ubn, 0.5f, "gradient_scale is 0.5; it must lie in [1, 32768]");
    CHECK_THROWS_WITH_AS((fqt::integer_sgd<vectors>{v, {.others = -1}}), Contains("options.others is -1"), fqt::error);
}

TEST_CASE("a NITI tensor of zeros has a grid") {
    vectors v;
    std::ranges::fill(v.b, 0.0f);
    fqt::integer_sgd<vectors, fqt::niti_update> optimizer{v};
    optimizer.step(5);
    CHECK(on_grid(v.b, -7, 127));
    CHECK(greatest(v.b) >= 16.0 / 128);
}

// ---- a network ----

namespace {

using namespace fqt::layers;
constexpr auto spec = input<1, 6, 6> | conv<8> | batch_norm<> | relu | global_avg_pool | dense<3>;
using network = fqt::network<spec, fqt::w8a8g8>;
constexpr int samples = 8;

network made(int threads = 1) { return network{fqt::seed{11}, {.batch = samples, .threads = threads}}; }

template <class Optimizer>
void train(network& net, Optimizer& optimizer, std::uint32_t from, std::uint32_t to, float rate) {
    for (std::uint32_t step = from; step < to; ++step) {
        support::pass(net, digest::batch<network>(samples, step % 2));
        optimizer.step(rate);
    }
}

template <class Update>
void check_that_a_run_goes_on(float rate) {
    const fqt_test::folder folder;
    const std::string path = folder.path + "/run.fqt";
    network net = made();
    fqt::integer_sgd<network, Update> optimizer{net};
    train(net, optimizer, 0, 3, rate);
    fqt::save(path, net, optimizer);
    train(net, optimizer, 3, 6, rate);

    network other{fqt::seed{12}, {.batch = samples, .threads = 2}};
    other.each_parameter([](const fqt::parameter& p) { // another exponent
        for (float& w : p.value) w *= 8;
    });
    fqt::integer_sgd<network, Update> loaded{other};
    fqt::load(path, other, loaded);
    train(other, loaded, 3, 6, rate);
    CHECK(support::values(other) == support::values(net));
    CHECK(other.step() == net.step());
}

template <class Update>
float improvement(float rate, int steps) {
    network net = made();
    fqt::integer_sgd<network, Update> optimizer{net};
    const digest::batch<network> b(samples, 0);
    const float first = support::pass(net, b);
    for (int i = 0; i < steps; ++i) {
        optimizer.step(rate);
        support::pass(net, b);
    }
    return first - support::pass(net, b);
}

} // namespace

TEST_CASE("a run on integer weights goes on from a file") {
    check_that_a_run_goes_on<fqt::wage_update<8>>(2);
    check_that_a_run_goes_on<fqt::wageubn_update>(0.5f);
    check_that_a_run_goes_on<fqt::niti_update>(3);
}

TEST_CASE("networks learn on integer weights") {
    CHECK(improvement<fqt::wage_update<8>>(2, 60) > 0.2f);
    CHECK(improvement<fqt::wageubn_update>(1, 60) > 0.2f);
    CHECK(improvement<fqt::niti_update>(2, 60) > 0.2f);
}

TEST_CASE("WAGE's initialisation") {
    // sqrt(3 / 6) is below 1.5 / 2 with ternary weights, above 1.5 / 128 with 8 bits.
    CHECK(fqt::wage_limits::of(6, 2).bound == 0.75f);
    CHECK(fqt::wage_limits::of(6, 8).bound == std::sqrt(0.5f));
    CHECK(fqt::wage_limits::of(6, 8).constant == 1);
    // 0.75 / sqrt(3 / n): 8.49 for n = 384 and 13.0 for n = 900.
    CHECK(fqt::wage_limits::of(384, 2).constant == 8);
    CHECK(fqt::wage_limits::of(900, 2).constant == 16);
    CHECK_THROWS_WITH_AS(fqt::wage_limits::of(0, 2), Contains("fan-in of 0"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::wage_limits::of(9, 1), Contains("weights of 1 bits; it needs 2"), fqt::error);

    vectors v;
    const auto bias = v.bias;
    fqt::wage_initialise(v, {4}, 2); // b: fan-in 6, L = 0.75
    CHECK(on_grid(v.b, -7, 96));
    CHECK(on_grid(v.a, -7, 127)); // fan-in 1, L = sqrt 3 clipped
    CHECK(greatest(v.a) == 127.0 / 128);
    CHECK(v.bias == bias);
    const auto first = v.a;
    fqt::wage_initialise(v, {5}, 2);
    CHECK(v.a != first);
    fqt::wage_initialise(v, {4}, 2);
    CHECK(v.a == first);
    double mean = 0, inside = 0;
    for (const float w : v.a) {
        mean += double{w} / 9001;
        if (std::abs(w) < 0.99f) inside += 1;
    }
    CHECK(std::abs(mean) < 0.03);
    CHECK(inside / 9001 == doctest::Approx(127.5 / 128 / std::sqrt(3.0)).epsilon(0.03));

    // Of a network: as wide as its scheme's weights ask.
    network net = made();
    fqt::wage_initialise(net, fqt::seed{3});
    net.each_parameter([](const fqt::parameter& p) {
        if (p.kind == fqt::parameter_kind::gamma) CHECK(p.value[0] == 1);
        if (p.kind != fqt::parameter_kind::weight) return;
        const std::vector<float> w(p.value.begin(), p.value.end());
        const double bound = std::sqrt(3.0 / (p.shape[1] * p.shape[2] * p.shape[3]));
        CHECK(on_grid(w, -7, 127));
        CHECK(greatest(w) <= bound + 1.0 / 256);
        CHECK(greatest(w) > bound / 2);
    });
    fqt::integer_sgd optimizer{net};
    train(net, optimizer, 0, 1, 1);
}
