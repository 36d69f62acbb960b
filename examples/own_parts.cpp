// SPDX-License-Identifier: BSD-3-Clause
// A rounding, two quantizers, a rectifier and a layer of one's own, each only the rule, at work in the quickstart's
// network. Loops, SIMD, packing, random numbers and threads are the library's; the public checks examine each part.

#include <fqt/fqt.hpp>

#include <cmath>
#include <cstdio>

// ---- a rounding ----

/// Random only in the middle half of each cell: less noise than stochastic, less bias than nearest.
struct dithered {
    static constexpr const char* name = "dithered";
    static constexpr bool draws = true;
    static auto round(auto x, auto u) {
        const auto low = floor(x);
        return low + where(x - low > 0.25f + u * 0.5f, 1.0f, 0.0f);
    }
};
static_assert(fqt::rounding<dithered>);

// ---- a quantizer that is a variation of the library's ----

/// A symmetric grid whose step is the next power of two. It is linear, so its products are sums of integers.
template <int Bits, class Rounding = fqt::nearest, class Granularity = fqt::per_tensor>
struct power_of_two : fqt::symmetric<Bits, Rounding, Granularity> {
    static fqt::grid fit(fqt::interval range, fqt::code_limits limits) {
        int exponent = 0;
        std::frexp(range.magnitude() / static_cast<float>(limits.high), &exponent);
        return range.magnitude() > 0 ? fqt::grid_of(std::ldexp(1.0f, exponent)) : fqt::grid{};
    }
};
static_assert(fqt::quantizer<power_of_two<4, dithered>>);

// ---- a quantizer from nothing ----

/// Codes are the square roots of values: a fine grid near zero. Not linear, so products are sums of decoded floats in a
/// fixed order. fit, encode and decode are all that a quantizer needs; codes have eight bits unless it says otherwise.
struct square_root {
    static float fit(fqt::interval range, fqt::code_limits limits) {
        const float most = static_cast<float>(limits.high);
        return range.magnitude() > 0 ? range.magnitude() / (most * most) : 1.0f;
    }
    static auto encode(auto x, float unit, auto u) {
        const auto root = sqrt(abs(x) * (1.0f / unit));
        return where(x < 0.0f, -fqt::stochastic::round(root, u), fqt::stochastic::round(root, u));
    }
    static auto decode(auto q, float unit) { return q * abs(q) * unit; }
};
static_assert(fqt::quantizer<square_root>);

// ---- a rectifier ----

/// Pulls every gain towards one from both sides: half the mean of (gamma / sigma - 1)^2.
struct gains_near_one {
    static constexpr const char* name = "gains_near_one";
    static float penalty(const fqt::normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        double loss = 0;
        const auto channels = static_cast<double>(n.channels());
        for (std::size_t c = 0; c < n.gamma.size(); ++c) {
            const double sigma = double{n.sigma[c]}, gain = double{n.gamma[c]} / sigma, error = gain - 1;
            loss = std::fma(error, error, loss);
            by_gamma[c] = static_cast<float>(error / (channels * sigma));
            by_sigma[c] = static_cast<float>(-error * gain / (channels * sigma));
        }
        return static_cast<float>(loss / (2 * channels));
    }
};
static_assert(fqt::rectifier<gains_near_one>);

// ---- a layer ----

/// y = x where x > 0, x / 8 elsewhere.
struct leaky_spec : fqt::pointwise<leaky_spec> {
    static constexpr const char* name = "leaky";
    static constexpr bool monotonic = true;
    static auto forward(auto x) { return where(x > 0.0f, x, x * 0.125f); }
    static auto backward(auto x, auto g) { return where(x > 0.0f, g, g * 0.125f); }
};
inline constexpr leaky_spec leaky{};

// ---- the quickstart's network with all of them ----

using namespace fqt::layers;

inline constexpr fqt::scheme mine{
    .weight = power_of_two<8, fqt::nearest, fqt::per_channel>{},
    .activation = power_of_two<8>{},
    .input_gradient = power_of_two<6, dithered, fqt::per_sample>{},
    .weight_gradient = square_root{},
};

template <int Channels, int Stride = 1>
constexpr auto conv_bn = conv<Channels, fqt::window{.kernel = 3, .stride = Stride}> | batch_norm<gains_near_one>;
template <int Channels, int Stride = 1>
constexpr auto block = residual(conv_bn<Channels, Stride> | leaky | conv_bn<Channels>, pad_shortcut<Channels, Stride>)
    | leaky;

inline constexpr auto net =
    input<1, 28, 28> | conv_bn<16> | leaky | block<16> | block<32, 2> | block<64, 2> | global_avg_pool | dense<10>;

int main() try {
    const fqt::check_result checks[] = {
        fqt::check_rounding<dithered>(),
        fqt::check_quantizer<power_of_two<4, dithered>>(),
        fqt::check_quantizer<square_root>(),
        fqt::check_rectifier<gains_near_one>(16),
        fqt::check_layer<leaky, fqt::shape{16, 6, 6}>(),
    };
    for (const fqt::check_result& check : checks) {
        std::printf("%s", check.log.c_str());
        if (!check.ok) return 1;
    }
    const fqt::train_and_test data = fqt::split(fqt::generated_images(10, {1, 28, 28}, 2500, fqt::seed{7}), 2000);
    fqt::network<net, mine> network{fqt::seed{1}, {.batch = 64, .rectification = 1e-3f}};
    fqt::sgd optimizer{network, {.decay = 1e-4f}};
    const fqt::trainer_options options{.epochs = 2, .batch = 64};
    fqt::trainer trainer{network, optimizer,
                         fqt::schedule::one_cycle{.rate = 0.05f, .steps = fqt::steps_of(data.train, options)}, options};
    const fqt::history history = trainer.run(data.train, data.test);
    const double accuracy = history.epochs.back().test->accuracy;
    std::printf("own parts, generated images, 2 epochs: %.1f %% test accuracy\n", 100 * accuracy);
    return accuracy > 0.5 ? 0 : 1;
} catch (const fqt::error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
