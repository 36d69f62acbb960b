// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/core/random.hpp>
#include <fqt/layers/lazy.hpp>
#include <fqt/quant/power_of_two.hpp>
#include <fqt/train/adaptive_bits.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace {

using doctest::Contains;
using tensor = std::vector<float>;

constexpr fqt::shape dims{20, 5, 5};
constexpr int samples = 2;

/// Uniform in +-1, raised to a power: the greater that is, the more values lie far below the greatest.
tensor values(int power, float scale = 1) {
    tensor v(samples * static_cast<std::size_t>(dims.size()));
    for (std::size_t i = 0; i < v.size(); ++i) {
        const float u = 2 * fqt::uniform32(fqt::random_stream{3, 0, 1}.block(0, static_cast<std::uint32_t>(i))[0]) - 1;
        v[i] = scale * u;
        for (int k = 1; k < power; ++k) v[i] *= std::abs(u);
    }
    return v;
}
/// By the library's quantizer for a network, and the formula.
template <int Bits>
double difference(const tensor& x) {
    using format = fqt::power_of_two<Bits>;
    using one = fqt::simd::f32x16<fqt::arch::generic>;
    fqt::interval range{};
    for (const float v : x) range = range.join({v, v});
    const auto limits = fqt::quantizer_traits<format>::limits(true);
    const auto grid = format::fit(range, limits);
    double sum = 0, rounded = 0;
    for (const float v : x) {
        sum += std::abs(double{v});
        rounded += std::abs(double{format::decode(format::encode(one(v), grid, one(0.5f)), grid).lane(0)});
    }
    return std::log2(std::abs(rounded - sum) / sum + 1);
}
void show(fqt::adaptive_bits& to, std::string_view layer, std::string_view what, const tensor& v) {
    to(fqt::observed_tensor(layer, what, samples, fqt::plain<dims>{v.data()}));
}

} // namespace

TEST_CASE("FPBP's Diff is its formula on its grid") {
    for (const int power : {1, 2, 5, 12})
        for (const float scale : {1.0f, 1e-20f, 3e10f}) {
            const tensor x = values(power, scale);
            CHECK(std::abs(double{fqt::bits_difference(x, 2)} - difference<2>(x)) < 1e-6);
            CHECK(std::abs(double{fqt::bits_difference(x, 4)} - difference<4>(x)) < 1e-6);
            CHECK(std::abs(double{fqt::bits_difference(x, 6)} - difference<6>(x)) < 1e-6);
            CHECK(std::abs(double{fqt::bits_difference(x, 8)} - difference<8>(x)) < 1e-6);
            CHECK(fqt::bits_difference(x, 16) < 1e-3f);
        }
    CHECK(fqt::bits_difference(tensor{}, 8) == 0);
    CHECK(fqt::bits_difference(tensor{0, 0}, 8) == 0);
    CHECK(fqt::bits_difference(tensor{7, -3, 1}, 4) == 0); // on the grid
    // A step of 1: 7 + 0.25 becomes 7, and log2(0.25 / 7.25 + 1) = 0.0489.
    CHECK(fqt::bits_difference(tensor{7, -0.25f}, 4) == doctest::Approx(std::log2(0.25 / 7.25 + 1)));

    CHECK_THROWS_WITH_AS(fqt::bits_difference(tensor{1}, 1), Contains("1 bits; it takes 2 to 16"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::bits_difference(tensor{1}, 17), Contains("17 bits"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::bits_difference(tensor{std::numeric_limits<float>::infinity()}, 8),
                         Contains("value of inf; give finite numbers"), fqt::error);
}

TEST_CASE("the report names the least format that does for all tensors") {
    fqt::adaptive_bits need;
    const tensor even = values(1), steep = values(30);
    REQUIRE(difference<4>(even) <= 0.03);
    show(need, "even", "exact input_gradient", even);
    show(need, "even", "input_gradient", steep); // another tensor
    show(need, "steep", "exact input_gradient", steep);
    REQUIRE(need.report().size() == 2);
    CHECK(need.report()[0].layer == "even");
    CHECK(need.report()[0].bits == 4);
    CHECK(need.report()[0].tensors == 1);
    const auto bits_of = [](const tensor& x) {
        return difference<4>(x) <= 0.03 ? 4 : difference<6>(x) <= 0.03 ? 6 : difference<8>(x) <= 0.03 ? 8 : 16;
    };
    CHECK(need.report()[1].bits == bits_of(steep));
    CHECK(need.report()[1].bits != 4);
    CHECK(double{need.report()[1].difference[1]} == doctest::Approx(difference<6>(steep)));
    // The worst counts, of dX or dW.
    show(need, "even", "exact weight_gradient", steep);
    show(need, "even", "exact input_gradient", even);
    CHECK(need.report()[0].bits == bits_of(steep));
    CHECK(need.report()[0].tensors == 3);
    need.clear();
    CHECK(need.report().empty());

    // One great value and many small ones: beyond 8 bits, and beyond 16.
    tensor peak(even.size(), 1e-3f);
    peak[7] = 1;
    show(need, "peak", "exact input_gradient", peak);
    CHECK(need.report()[0].bits == 16);
    for (float& v : peak) v = v < 1 ? 3e-5f : 1; // half a step of 16 bits
    show(need, "peak", "exact input_gradient", peak);
    CHECK(need.report()[0].bits == 0);

    fqt::adaptive_bits own({.formats = {8}, .threshold = 1, .what = "gradient"});
    show(own, "peak", "gradient", peak);
    CHECK(own.report()[0].bits == 8);
}

TEST_CASE("formats and thresholds that make no sense are refused") {
    const auto refuses = [](fqt::adaptive_bits_options options, const char* what) {
        CHECK_THROWS_WITH_AS(fqt::adaptive_bits{options}, Contains(what), fqt::error);
    };
    for (const auto& formats : {std::vector<int>{}, {6, 4}, {1, 4}, {4, 17}})
        refuses({.formats = formats}, "give {4, 6, 8, 16}, or a part of that");
    refuses({.threshold = 0}, "threshold is 0; it must be above 0");
}
