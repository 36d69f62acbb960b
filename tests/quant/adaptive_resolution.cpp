// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/fqt.hpp>

#include <doctest/doctest.h>

#include "support/samples.hpp"
#include "support/training.hpp"
#include <cmath>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

using namespace fqt;
using namespace fqt::layers;
using samples::measured;
using rule = adaptive_resolution<>;
using format = power_of_two<16, nearest, per_tensor, rule>;
constexpr code_limits limits = limits_of(16, true);

/// One value of `scale`, and many that are uniform in +-2^(-quarters / 4) of it.
std::vector<float> values(int quarters, float scale) {
    std::vector<float> v{scale};
    for (std::uint32_t i = 0; i < 3000; ++i)
        v.push_back(scale * std::exp2(-0.25f * static_cast<float>(quarters))
                    * (2 * uniform32(random_stream{3, 0, 1}.block(0, i)[0]) - 1));
    return v;
}

interval clip(const std::vector<float>& v, std::vector<float>& memory) {
    return rule::clip(measured(v).up_to(rule::needs), limits, memory);
}

} // namespace

static_assert(range_traits<rule>::memory == 2 && !range_traits<rule>::clips);

TEST_CASE("16 bits are taken where 8 err by more than the threshold, one by one as in the formula") {
    std::vector<float> memory(2);
    int wide = 0, steps = 0;
    for (int quarters = 0; quarters < 60; ++quarters)
        for (const float scale : {1.0f, 3e-20f, 7e10f}) {
            const std::vector<float> v = values(quarters, scale);
            const double difference = double{bits_difference(v, 8)};
            const grid g = format::fit(clip(v, memory), limits);
            ++steps;
            const float most = measured(v).up_to(measures::extremes).range.magnitude();
            const float narrow = covering_power::step(most, 127.0f);
            CHECK((g.step == narrow || g.step == covering_power::step(most, 32639.0f)));
            if (g.step != narrow) ++wide;
            // Bins move the sums by less than a hundredth of themselves.
            if (difference < 0.02) CHECK(g.step == narrow);
            if (difference > 0.04) CHECK(g.step < narrow);
            CHECK(rule::steps(memory) == steps);
            CHECK(rule::steps_of_16_bits(memory) == wide);
        }
    CHECK(wide > steps / 10);
    CHECK(wide < steps * 9 / 10);
}

TEST_CASE("tensors of zeros, of one value and near the ends of floats have finite grids") {
    std::vector<float> memory(2);
    const auto step_of = [&](float x) { return format::fit(clip({x, -x}, memory), limits).step; };
    CHECK(step_of(0.0f) == 0);
    CHECK(step_of(0x1p-149f) == 0);
    for (const float x : {0x1p-100f, 1.0f, 0x1p100f, 3e38f}) {
        CHECK(step_of(x) > 0);
        CHECK(std::isfinite(step_of(x) * 32639));
        CHECK(step_of(x) * 32639 >= std::min(x, 0x1p126f));
    }
}

namespace {

template <float Threshold>
using adaptive = power_of_two<16, nearest, per_tensor, adaptive_resolution<Threshold>>;
template <class H>
using formats = scheme<power_of_two<8>, power_of_two<8>, H>;
constexpr formats<power_of_two<8>> of_8_bits{};
constexpr formats<power_of_two<16>> of_16_bits{};
constexpr formats<adaptive<1e6f>> of_few{};
constexpr formats<adaptive<1e-30f>> of_many{};

inline constexpr auto net = input<1, 8, 8> | conv<16> | batch_norm<> | relu | named<"middle">(conv<20>)
    | batch_norm<> | relu | global_avg_pool | dense<10>;

struct trained {
    std::map<std::string, support::float_bits> weights;
    int steps{}, of_16_bits{}; // of the middle layer, where its rule counts
};
template <const auto& Scheme>
trained train() {
    network<net, Scheme> network(seed{1}, {.batch = 32});
    const digest::batch<decltype(network)> batch(32, 1);
    support::train(network, batch, 6);
    trained t;
    network.each_parameter([&](const parameter& p) { t.weights[p.name.c_str()] = support::bits(p.value); });
    network.each_state([&](const state& s) {
        if (std::string_view(s.name.c_str()) != "middle.input_gradient_range_memory") return;
        t.steps = rule::steps(s.value);
        t.of_16_bits = rule::steps_of_16_bits(s.value);
    });
    return t;
}

} // namespace

TEST_CASE("a network that never errs too much is one of 8 bits, bit for bit, one that always does is one of 16") {
    const trained few = train<of_few>(), many = train<of_many>();
    const trained narrow = train<of_8_bits>(), wide = train<of_16_bits>();
    CHECK((few.steps == 6 && few.of_16_bits == 0));
    CHECK((many.steps == 6 && many.of_16_bits == 6));
    CHECK(few.weights == narrow.weights);
    CHECK(many.weights == wide.weights);
    CHECK(narrow.weights != wide.weights);
}
