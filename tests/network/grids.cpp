// SPDX-License-Identifier: BSD-3-Clause
// Every kind of grid and range in a training step: the three products, and what passes through clipped and learnt
// ranges and transformed weights, against doubles of what the codes stand for.
#include <fqt/fqt.hpp>

#include <doctest/doctest.h>

#include "../support/twin_network.hpp"

using namespace fqt::layers;
using fqt::nearest, fqt::stochastic, fqt::symmetric, fqt::per_tensor, fqt::per_channel, fqt::per_sample;
using twin::at;

namespace {

// Sums and gradients are floats here, so that only grids matter.
template <class W, class A, class H, class HW = H>
using formats = fqt::scheme<W, A, H, HW, float, float, float, fqt::uniform_edges>;
// The images may be negative, which some formats are not for.
constexpr formats<symmetric<8>, symmetric<8>, symmetric<8, stochastic>> eight_bits{};
inline constexpr auto net = input<3, 5, 4> | named<"stem">(with<eight_bits>(conv<20>)) | relu
    | named<"middle">(dense<18>) | relu | named<"head">(dense<7, fqt::without_bias>);
constexpr int samples = 13;
constexpr fqt::shape dims_of_middle{20, 5, 4};

template <class S>
using in_floats = formats<typename S::weight_quantizer, typename S::activation_quantizer,
                          typename S::input_gradient_quantizer, typename S::weight_gradient_quantizer>;

// Levels without zero, transformed weights, activations clipped to [0, 1]; 1-bit weights and eight-bit floats; a zero
// point; powers of two as integers, clipped by moments; floats of four bits as integers; learnt ranges; kinds of
// distributions by channel, from histograms; a radix of 4 and a learnt clip; blocks with scales.
template <const auto& Scheme>
using like = in_floats<std::remove_cvref_t<decltype(Scheme)>>;
constexpr formats<fqt::tanh_weights<fqt::dorefa_levels<3, nearest>>,
                  symmetric<4, nearest, per_tensor, fqt::fixed_range<0.0f, 1.0f>>,
                  fqt::dorefa_levels<4, stochastic, per_sample>>
    dorefa{};
constexpr formats<fqt::sign_of<>, fqt::e4m3<>, fqt::e5m2<stochastic>> signs{};
constexpr formats<fqt::asymmetric<7, nearest, per_channel>, fqt::asymmetric<6>,
                  fqt::asymmetric<4, stochastic, per_sample>, symmetric<8, stochastic>>
    zero_points{};
constexpr formats<symmetric<4, nearest, per_tensor, fqt::sawb>,
                  symmetric<4, nearest, per_tensor, fqt::rms_multiple<1.0f>>, fqt::luq<4>>
    luq{};
constexpr formats<fqt::fp4<nearest, per_channel>, fqt::fp4<>, fqt::fp4<stochastic, per_sample>> floats_of_four{};
constexpr formats<symmetric<4, nearest, per_tensor, fqt::learned_step>,
                  symmetric<4, nearest, per_tensor, fqt::learned_step>,
                  symmetric<8, stochastic, per_tensor, fqt::moving_average<fqt::full_range, 0.1f>>>
    learned{};
constexpr like<fqt::algorithms::daint8> daint8{};
constexpr formats<symmetric<8>, symmetric<8>, fqt::block_scaled<fqt::dorefa_levels<2, stochastic, per_sample>>,
                  fqt::block_scaled<symmetric<3, stochastic>>>
    in_blocks{};
// Integers of two bytes: weights, inputs and gradients, alone and together.
constexpr formats<fqt::tanh_weights<fqt::dorefa_levels<8, nearest>>, symmetric<12>,
                  symmetric<16, stochastic, per_sample>, fqt::asymmetric<8, stochastic>>
    two_bytes{};
constexpr formats<symmetric<8>, symmetric<8>, fqt::flag_grid<8>, fqt::luq<5>> two_bytes_of_h{};
constexpr formats<fqt::asymmetric<8, nearest, per_channel>, fqt::asymmetric<8>, symmetric<8, stochastic>,
                  symmetric<15, stochastic, per_channel>>
    two_bytes_of_w{};
constexpr formats<symmetric<4, nearest, per_tensor, fqt::sawb>,
                  symmetric<4, nearest, per_tensor, fqt::clipped_activation>, fqt::radix4<fqt::even_powers>,
                  fqt::radix4<fqt::odd_powers>>
    ultra_low{};

/// What weights w of one layer are multiplied as, and their transform and steps, by the quantizer's own rule.
template <class Q>
struct quantized_weights {
    std::vector<double> value, transformed;
    std::vector<double> step; // of each output
    double learned{};

    quantized_weights(std::span<const float> w, int outputs, float learned_range) : learned(learned_range) {
        using traits = fqt::quantizer_traits<Q>;
        using range = fqt::range_traits<typename traits::range>;
        const std::size_t row = w.size() / at(outputs);
        std::vector<float> t(w.begin(), w.end());
        if constexpr (fqt::transforms_weights<Q>) {
            float most = 0;
            for (const float v : w) most = std::max(most, std::abs(v));
            for (float& v : t) v = Q::transform(v, Q::divisor(most));
        }
        const bool by_channel = fqt::has_granularity<Q, per_channel>;
        for (int k = 0; k < outputs; ++k) {
            const auto share = by_channel ? std::span(t).subspan(at(k) * row, row) : std::span(t);
            fqt::measurement m{.count = static_cast<double>(share.size())};
            for (const float v : share) {
                m.range = m.range.join({v, v});
                m.magnitude += std::abs(double{v});
                m.square += double{v} * double{v};
            }
            fqt::interval clip{-learned_range, learned_range};
            if constexpr (!range::learned) clip = range::clip(m, traits::limits(true), {});
            const auto grid = Q::fit(clip, traits::limits(true));
            step.push_back(1);
            if constexpr (fqt::is_linear<Q>) step.back() = double{grid.step};
            for (std::size_t i = at(k) * row; i < at(k + 1) * row; ++i) {
                using one = fqt::floats<fqt::arch::generic>;
                const auto q = fqt::passes::clamped<fqt::arch::generic>(Q::encode(one(t[i]), grid, one(0.5f)),
                                                                        traits::limits(true));
                value.push_back(double{one(Q::decode(q, grid)).lane(0)});
                transformed.push_back(double{t[i]});
            }
        }
    }
};

/// Largest difference of the library's numbers from sums of products, relative to the sums of their magnitudes.
struct agreement {
    double worst = 0;
    int compared = 0;
    void of(double got, double sum, double magnitudes) {
        worst = std::max(worst, std::abs(got - sum) / std::max(magnitudes, 1e-30));
        ++compared;
    }
};

template <const auto& Scheme>
void check() {
    using scheme = std::remove_cvref_t<decltype(Scheme)>;
    using weight = typename scheme::weight_quantizer;
    using activation = typename scheme::activation_quantizer;
    using gradient = typename scheme::input_gradient_quantizer;
    using range_rule = typename fqt::quantizer_traits<activation>::range;
    constexpr bool folds = fqt::is_linear<weight> && fqt::is_linear<gradient>;
    constexpr bool shared = std::same_as<gradient, typename scheme::weight_gradient_quantizer>;

    fqt::network<net, Scheme> network(fqt::seed{9}, {.batch = samples, .threads = 2});
    const auto images = twin::random_floats(samples * 60, -0.4f, 0.6f, 1),
               by_logits = twin::random_floats(samples * 7, -0.5f, 0.5f, 2);
    twin::recorder seen;
    network.observe(seen);
    network.forward(images, samples);
    network.backward(by_logits);

    const auto parameter = [&](const char* name) { return network.parameter(name); };
    float learned_weight = 0, learned_input = 0;
    if constexpr (fqt::range_traits<typename fqt::quantizer_traits<weight>::range>::learned)
        learned_weight = parameter("middle.weight_range").value[0];
    if constexpr (fqt::range_traits<range_rule>::learned) learned_input = parameter("middle.input_range").value[0];
    const std::span<const float> values = parameter("middle.weight").value,
                                 by_weight = parameter("middle.weight").gradient;
    const quantized_weights<weight> w(values, 18, learned_weight);
    const twin::tensor &x = seen.values.at("middle input"), &sums = seen.values.at("middle sums"),
                       &gradient_of_x = seen.values.at("middle gradient"), &before = seen.values.at("stem sums"),
                       &h_dx = seen.values.at("middle input_gradient");
    const bool own_dw = !shared;
    const twin::tensor& h_dw = seen.values.at(own_dw ? "middle weight_gradient" : "middle input_gradient");
    constexpr int inputs = dims_of_middle.size();
    // Weights are (k, pixel, channel).
    const auto weight_at = [](int k, int c, int p) { return at((k * 20 + p) * 20 + c); };

    agreement forward, dx, dw;
    const auto bias = parameter("middle.bias").value;
    for (int n = 0; n < samples; ++n)
        for (int k = 0; k < 18; ++k) {
            double sum = double{bias[at(k)]}, magnitudes = std::abs(sum);
            for (int c = 0; c < 20; ++c)
                for (int p = 0; p < 20; ++p) {
                    const double v = w.value[weight_at(k, c, p)] * x(n, c, p);
                    sum += v;
                    magnitudes += std::abs(v);
                }
            forward.of(sums(n, k, 0), sum, magnitudes);
        }
    CHECK(forward.compared == samples * 18);
    CHECK(forward.worst < 1e-6);

    // dX before it passes the input's range, and what passes.
    twin::tensor by_x = twin::make(samples, dims_of_middle, [](int, int, int) { return 0.0; });
    double by_range = 0, range_magnitudes = 0, end_of_input = 0;
    int beyond = 0;
    const twin::tensor& codes_of_x = seen.codes.at("middle input");
    x.each([&](int n, int c, int p) {
        if (codes_of_x(n, c, p) > 0) end_of_input = x(n, c, p) / codes_of_x(n, c, p) * 15;
    });
    for (int n = 0; n < samples; ++n)
        for (int c = 0; c < 20; ++c)
            for (int p = 0; p < 20; ++p) {
                double sum = 0, magnitudes = 0;
                for (int k = 0; k < 18; ++k) {
                    const double v = w.value[weight_at(k, c, p)] * h_dx(n, k, 0) / (folds ? w.step[at(k)] : 1);
                    sum += v;
                    magnitudes += std::abs(v);
                }
                const double exact = std::max(0.0, before(n, c, p));
                bool inside = true;
                if constexpr (std::same_as<range_rule, fqt::fixed_range<0.0f, 1.0f>>) inside = exact <= 1;
                if constexpr (fqt::range_traits<range_rule>::learned) {
                    inside = exact <= double{learned_input};
                    const double c0 = double{learned_input};
                    double slope = exact >= c0 ? 1 : 0;
                    if constexpr (std::same_as<range_rule, fqt::learned_step>)
                        slope = exact > c0 ? 1 : (x(n, c, p) - exact) / c0;
                    by_range += slope * sum;
                    range_magnitudes += std::abs(slope * sum);
                }
                if constexpr (std::same_as<range_rule, fqt::rms_multiple<1.0f>>) { // where the grid ends, at code 15
                    inside = exact <= end_of_input;
                    if (std::abs(exact - end_of_input) < 1e-5 * end_of_input) continue;
                    beyond += !inside;
                }
                dx.of(gradient_of_x(n, c, p), inside ? sum : 0, magnitudes);
            }
    if constexpr (std::same_as<range_rule, fqt::rms_multiple<1.0f>>) CHECK(beyond > 10);
    else CHECK(dx.compared == samples * inputs);
    CHECK(dx.worst < 1e-6);
    if constexpr (fqt::range_traits<range_rule>::learned) {
        const double scale = std::same_as<range_rule, fqt::learned_step> ? 15.0 * 15 / std::sqrt(inputs * 15.0) : 1;
        CHECK(std::abs(double{parameter("middle.input_range").gradient[0]} - by_range * scale)
              < 1e-5 * range_magnitudes * scale);
    }

    double slope_of_weights = 0, slope_magnitudes = 0;
    const double most = [&] {
        double t = 0;
        for (const float v : values) t = std::max(t, std::abs(std::tanh(double{v})));
        return t;
    }();
    for (int k = 0; k < 18; ++k)
        for (int c = 0; c < 20; ++c)
            for (int p = 0; p < 20; ++p) {
                const std::size_t i = weight_at(k, c, p);
                double sum = 0, magnitudes = 0;
                for (int n = 0; n < samples; ++n) {
                    const double v = x(n, c, p) * h_dw(n, k, 0) / (shared && folds ? w.step[at(k)] : 1);
                    sum += v;
                    magnitudes += std::abs(v);
                }
                double factor = 1;
                if constexpr (fqt::transforms_weights<weight>) {
                    const double t = std::tanh(double{values[i]});
                    factor = (1 - t * t) / most;
                }
                if (learned_weight > 0) {
                    const double c0 = double{learned_weight}, v = w.transformed[i];
                    const double slope = std::abs(v) > c0 ? (v < 0 ? -1 : 1) : (w.value[i] - v) / c0;
                    slope_of_weights += slope * sum;
                    slope_magnitudes += std::abs(slope * sum);
                    if (std::abs(v) > c0) factor = 0;
                }
                dw.of(double{by_weight[i]}, sum * factor, magnitudes);
            }
    CHECK(dw.compared == 18 * inputs);
    CHECK(dw.worst < 4e-6);
    if (learned_weight > 0) {
        const double scale = 7.0 * 7 / std::sqrt(18.0 * inputs * 7);
        CHECK(std::abs(double{parameter("middle.weight_range").gradient[0]} - slope_of_weights * scale)
              < 1e-5 * slope_magnitudes * scale);
    }
}

} // namespace

TEST_CASE("levels without zero, transformed weights and a fixed range") { check<dorefa>(); }
TEST_CASE("weights of one bit and eight-bit floats") { check<signs>(); }
TEST_CASE("grids with a zero point") { check<zero_points>(); }
TEST_CASE("powers of two as integers, and clipping by moments") { check<luq>(); }
TEST_CASE("floats of four bits as integers") { check<floats_of_four>(); }
TEST_CASE("learnt steps") { check<learned>(); }
TEST_CASE("kinds of distributions by channel") { check<daint8>(); }
TEST_CASE("blocks of channels with scales of their own") { check<in_blocks>(); }
TEST_CASE("radix 4 and a learnt clip") { check<ultra_low>(); }
TEST_CASE("integers of two bytes") {
    check<two_bytes>();
    check<two_bytes_of_h>();
    check<two_bytes_of_w>();
}

namespace {

constexpr formats<symmetric<8>, symmetric<8>, symmetric<2, stochastic, per_sample>> one_rounding{};
constexpr formats<symmetric<8>, symmetric<8>, symmetric<2, stochastic, per_sample>,
                  fqt::mean_of<4, symmetric<2, stochastic, per_sample>>>
    four_roundings{};
constexpr formats<symmetric<8, nearest, per_channel, fqt::delayed<2>>,
                  symmetric<8, nearest, per_tensor, fqt::delayed<2>>,
                  symmetric<4, stochastic, per_tensor, fqt::moving_average<fqt::full_range, 0.5f>>>
    remembering{};

inline constexpr auto two_products = input<60> | dense<18> | relu | named<"head">(dense<7, fqt::without_bias>);

/// Mean and variance over draws of every entry of dW of the last layer.
template <const auto& Scheme>
std::pair<std::vector<double>, double> moments_of_dw(int draws) {
    fqt::network<two_products, Scheme> network(fqt::seed{9}, {.batch = samples, .threads = 1});
    const auto images = twin::random_floats(samples * 60, -0.4f, 0.6f, 1),
               by_logits = twin::random_floats(samples * 7, -0.5f, 0.5f, 2);
    std::vector<double> mean, square;
    for (int i = 0; i < draws; ++i) {
        network.set_step(static_cast<std::uint32_t>(i));
        network.forward(images, samples);
        network.backward(by_logits);
        const auto dw = network.parameter("head.weight").gradient; // its h is the loss's gradient, with no noise before
        mean.resize(dw.size());
        square.resize(dw.size());
        for (std::size_t j = 0; j < dw.size(); ++j) {
            mean[j] += double{dw[j]} / draws;
            square[j] += double{dw[j]} * double{dw[j]} / draws;
        }
    }
    double variance = 0;
    for (std::size_t j = 0; j < mean.size(); ++j) variance += square[j] - mean[j] * mean[j];
    return {mean, variance};
}

} // namespace

TEST_CASE("the mean of four roundings has a quarter of the variance, and the same mean") {
    constexpr int draws = 400;
    const auto [mean, variance] = moments_of_dw<one_rounding>(draws);
    const auto [mean_of_four, variance_of_four] = moments_of_dw<four_roundings>(draws);
    CHECK(variance_of_four / variance == doctest::Approx(0.25).epsilon(0.08));
    double distance = 0;
    for (std::size_t i = 0; i < mean.size(); ++i) distance += (mean[i] - mean_of_four[i]) * (mean[i] - mean_of_four[i]);
    CHECK(distance < 2 * (variance + variance_of_four) / draws);
}

TEST_CASE("what range rules remember is state of the layer, and evaluation leaves it") {
    fqt::network<net, remembering> network(fqt::seed{9}, {.batch = samples});
    const auto images = twin::random_floats(samples * 60, -0.4f, 0.6f, 1),
               by_logits = twin::random_floats(samples * 7, -0.5f, 0.5f, 2);
    const auto remembered = [&] {
        std::map<std::string, std::vector<float>> all;
        network.each_state([&](const fqt::state& s) {
            const std::string name = s.name.c_str();
            if (name.starts_with("middle") && name.ends_with("memory")) all[name] = {s.value.begin(), s.value.end()};
        });
        return all;
    };
    network.forward(images, samples);
    network.backward(by_logits);
    const auto first = remembered();
    REQUIRE(first.contains("middle.weight_range_memory"));
    REQUIRE(first.contains("middle.range_memory"));
    REQUIRE(first.contains("middle.input_gradient_range_memory"));
    CHECK(first.at("middle.weight_range_memory").size() == 18 * 4); // a history of 2, its length, what saturated
    twin::recorder seen;
    network.observe(seen);
    network.predict(images, samples);
    CHECK(remembered() == first);
    network.forward(images, samples);
    network.backward(by_logits);
    CHECK(remembered() != first);
}
