// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/layers/batch_norm.hpp>
#include <fqt/layers/conv.hpp>
#include <fqt/layers/pointwise.hpp>
#include <fqt/layers/pool.hpp>
#include <fqt/layers/residual.hpp>
#include <fqt/train/check.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <span>
#include <string>

namespace {

using namespace fqt::layers;
using fqt::shape;

/// Whether a part passes; its log is shown where it does not.
bool passes(const fqt::check_result& r) {
    if (!r.ok) MESSAGE(r.log);
    CHECK(r.log.find("FAILED") == r.log.npos);
    CHECK((r.worst >= 0 && r.worst <= 1));
    return r.ok;
}

/// Whether a part fails, and `line` says why.
bool fails(const fqt::check_result& r, const std::string& line) {
    const bool found = r.log.find("  FAILED  " + line) != r.log.npos;
    if (!found) MESSAGE(r.log);
    CHECK(r.worst > 1);
    return found && !r.ok;
}

// ---- parts of a user's, right and wrong ----

struct dithered {
    static constexpr const char* name = "dithered";
    static constexpr bool draws = true;
    static auto round(auto x, auto u) {
        const auto low = floor(x);
        return low + where(x - low > 0.25f + u * 0.5f, 1.0f, 0.0f);
    }
};
struct claims_too_much : dithered {
    static constexpr bool unbiased = true;
};
struct adds_and_floors {
    static constexpr bool draws = true, unbiased = true;
    static auto round(auto x, auto u) { return floor(x + u); }
};
struct one_too_many {
    static constexpr bool draws = false;
    static auto round(auto x, auto) { return rint(x) + 1.0f; }
};
struct draws_in_secret {
    static constexpr bool draws = false;
    static auto round(auto x, auto u) { return fqt::stochastic::round(x, u); }
};
struct out_of_order {
    static constexpr bool draws = false;
    static auto round(auto x, auto) {
        return where(abs(x - rint(x)) > 0.25f, rint(x), where(x > rint(x), rint(x) + 1.0f, rint(x)));
    }
};
struct not_a_number {
    static constexpr bool draws = false;
    static auto round(auto x, auto) { return rint(x) / where(x == 2.5f, x - x, 1.0f); }
};

/// Codes are square roots of values.
template <class Rounding>
struct square_root {
    static float fit(fqt::interval range, fqt::code_limits limits) {
        const auto most = static_cast<float>(limits.high);
        return range.magnitude() > 0 ? range.magnitude() / (most * most) : 1.0f;
    }
    static auto encode(auto x, float unit, auto u) {
        const auto root = Rounding::round(sqrt(abs(x) * (1.0f / unit)), u);
        return where(x < 0.0f, -root, root);
    }
    static auto decode(auto q, float unit) { return q * abs(q) * unit; }
};
struct half_the_range : fqt::symmetric<4> {
    static fqt::grid fit(fqt::interval range, fqt::code_limits limits) {
        return fqt::grid_of(range.magnitude() / static_cast<float>(2 * limits.high));
    }
};
struct shifted : fqt::symmetric<4> {
    static auto decode(auto q, fqt::grid g) { return (q + 0.25f) * g.step; }
};
struct truncates_as_nearest : fqt::symmetric<4> {
    static auto encode(auto x, fqt::grid g, auto) { return floor(x * g.inverse + 0.01f); }
};
struct stochastic_in_name : fqt::symmetric<4, fqt::stochastic> {
    static auto encode(auto x, fqt::grid g, auto) { return rint(x * g.inverse); }
};
struct falls_and_rises : fqt::symmetric<4> {
    static auto decode(auto q, fqt::grid g) { return q * q * g.step; }
};
struct divides_by_inverse : fqt::symmetric<4> {
    static auto decode(auto q, fqt::grid g) { return q / g.inverse; }
};
/// Steps of half a code: integers to 254, or 510, which is two bytes.
struct beyond_a_byte : fqt::symmetric<8> {
    static fqt::grid fit(fqt::interval range, fqt::code_limits limits) {
        return fqt::grid_of(range.magnitude() / static_cast<float>(2 * limits.high));
    }
    static auto encode(auto x, fqt::grid g, auto) { return rint(x * g.inverse * 0.5f); }
    static auto integer(auto q, fqt::grid) { return q + q; }
    static auto decode(auto q, fqt::grid g) { return (q + q) * g.step; }
};
struct two_bytes : beyond_a_byte {
    static constexpr int greatest_integer(bool) { return 510; }
};
struct gives_up : fqt::symmetric<4> {
    static fqt::grid fit(fqt::interval range, fqt::code_limits limits) {
        if (!(range.magnitude() > 0)) fqt::fail("a tensor of zeros has no grid; do not ask");
        return fqt::symmetric<4>::fit(range, limits);
    }
};

/// Half the mean of (gamma / sigma - 1)^2, its slopes times these.
template <int ByGamma, int BySigma>
struct unit_gains {
    static constexpr const char* name = "unit_gains";
    static float penalty(const fqt::normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        double loss = 0;
        const auto channels = static_cast<double>(n.channels());
        for (std::size_t c = 0; c < n.gamma.size(); ++c) {
            const double sigma = double{n.sigma[c]}, gain = double{n.gamma[c]} / sigma, error = gain - 1;
            loss = std::fma(error, error, loss);
            by_gamma[c] = static_cast<float>(ByGamma * error / (channels * sigma));
            by_sigma[c] = static_cast<float>(BySigma * -error * gain / (channels * sigma));
        }
        return static_cast<float>(loss / (2 * channels));
    }
};
struct skips_the_last : unit_gains<1, 1> {
    static float penalty(const fqt::normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        const auto kept = by_gamma.back();
        const float loss = unit_gains<1, 1>::penalty(n, by_gamma, by_sigma);
        by_gamma.back() = kept;
        return loss;
    }
};
struct logarithmic {
    static float penalty(const fqt::normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        double loss = 0;
        for (std::size_t c = 0; c < n.gamma.size(); ++c) {
            loss += std::log(std::abs(double{n.gamma[c]} / double{n.sigma[c]}));
            by_gamma[c] = 1 / n.gamma[c];
            by_sigma[c] = -1 / n.sigma[c];
        }
        return static_cast<float>(loss);
    }
};

struct leaky_spec : fqt::pointwise<leaky_spec> {
    static constexpr const char* name = "leaky";
    static constexpr bool monotonic = true;
    static auto forward(auto x) { return where(x > 0.0f, x, x * 0.125f); }
    static auto backward(auto x, auto g) { return where(x > 0.0f, g, g * 0.125f); }
};
struct wrong_slope_spec : fqt::pointwise<wrong_slope_spec> {
    static constexpr const char* name = "wrong_slope";
    static auto forward(auto x) { return leaky_spec::forward(x); }
    static auto backward(auto x, auto g) { return where(x > 0.0f, g, g * 0.25f); }
};
struct false_promises_spec : fqt::pointwise<false_promises_spec> {
    static constexpr const char* name = "false_promises";
    static constexpr bool monotonic = true, nonnegative = true;
    static auto forward(auto x) { return x * x - 0.25f; }
    static auto backward(auto x, auto g) { return g * (x + x); }
};
struct forgets_g_spec : fqt::pointwise<forgets_g_spec> {
    static constexpr const char* name = "forgets_g";
    static auto forward(auto x) { return x * x; }
    static auto backward(auto x, auto g) { return x + x + g - g; }
};
/// relu, with one thing wrong.
template <int Wrong>
struct odd_layer_spec : fqt::spec {
    static constexpr const char* name = "odd_layer";
    static constexpr fqt::inferred output(shape in) { return in; }
    template <shape In, class Scheme, class Arch>
    struct layer : fqt::relu_spec::layer<In, Scheme, Arch> {
        using right = fqt::relu_spec::layer<In, Scheme, Arch>;
        template <class X>
        auto forward(const fqt::context& c, const X& x) {
            if (Wrong == 1) fqt::fail("the layer has no forward pass; write one");
            return right::forward(c, x);
        }
        template <class X, class G, class Plus>
        auto backward(const fqt::context& c, const X& x, const G& g, const Plus& plus) {
            if constexpr (Wrong == 2) return right::backward(c, x, g, fqt::nothing{});
            else return right::backward(c, x, g, plus);
        }
    };
};

constexpr leaky_spec leaky{};
constexpr wrong_slope_spec wrong_slope{};
constexpr false_promises_spec false_promises{};
constexpr forgets_g_spec forgets_g{};
template <int Wrong>
constexpr odd_layer_spec<Wrong> odd_layer{};

} // namespace

// ---- roundings ----

TEST_CASE("the library's roundings pass their check, and a user's whose bias is meant is told of it") {
    CHECK(passes(fqt::check_rounding<fqt::nearest>()));
    CHECK(passes(fqt::check_rounding<fqt::stochastic>()));
    CHECK(passes(fqt::check_rounding<fqt::toward_zero>()));
    CHECK(passes(fqt::check_rounding<fqt::downward>()));
    const fqt::check_result own = fqt::check_rounding<dithered>();
    CHECK(passes(own));
    CHECK(own.log.find("rounding dithered\n") == 0);
    CHECK(own.log.find("  note    biased by up to 0.167 steps: the mean of round(") != own.log.npos);
    CHECK(own.log.ends_with("\n"));
}

TEST_CASE("wrong roundings fail, and the log says where") {
    CHECK(fails(fqt::check_rounding<claims_too_much>(),
                "is unbiased: the mean over all uniform numbers is the value: the mean of round("));
    CHECK(fails(fqt::check_rounding<adds_and_floors>(), "leaves integers alone: round("));
    CHECK(fails(fqt::check_rounding<one_too_many>(), "leaves integers alone: round(-300, 7.62939e-06) is -299"));
    CHECK(fails(fqt::check_rounding<one_too_many>(), "gives one of the two neighbouring integers: "));
    CHECK(fails(fqt::check_rounding<draws_in_secret>(), "does not depend on random numbers, as it does not draw: "));
    CHECK(fails(fqt::check_rounding<out_of_order>(), "keeps order: "));
    CHECK(fails(fqt::check_rounding<not_a_number>(), "gives one of the two neighbouring integers: round(2.5, "));
}

// ---- quantizers ----

TEST_CASE("the library's quantizers pass their check, and users' with other grids and biases do") {
    CHECK(passes(fqt::check_quantizer<fqt::symmetric<8, fqt::nearest, fqt::per_channel>>()));
    CHECK(passes(fqt::check_quantizer<fqt::symmetric<4>>()));
    CHECK(passes(fqt::check_quantizer<fqt::symmetric<2>>()));
    CHECK(passes(fqt::check_quantizer<fqt::symmetric<8, fqt::stochastic, fqt::per_sample>>()));
    CHECK(passes(fqt::check_quantizer<fqt::symmetric<3, fqt::stochastic>>()));
    CHECK(passes(fqt::check_quantizer<fqt::symmetric<2, fqt::stochastic>>()));
    CHECK(passes(fqt::check_quantizer<fqt::symmetric<4, fqt::toward_zero>>()));
    CHECK(passes(fqt::check_quantizer<fqt::symmetric<4, fqt::downward>>()));
    CHECK(passes(fqt::check_quantizer<fqt::symmetric<16, fqt::stochastic>>()));
    CHECK(passes(fqt::check_quantizer<two_bytes>()));
    CHECK(passes(fqt::check_quantizer<fqt::real>()));
    CHECK(passes(fqt::check_quantizer<fqt::symmetric<6, dithered>>()));
    const fqt::check_result own = fqt::check_quantizer<square_root<fqt::stochastic>>();
    CHECK(passes(own));
    CHECK(own.log.find("  note    biased by up to 0.244 steps: ") != own.log.npos);
    CHECK(passes(fqt::check_quantizer<square_root<fqt::nearest>>()));
}

TEST_CASE("wrong quantizers fail, and the log says where") {
    const std::string ends =
        "values end within a step, or half a step where the rounding is `nearest`, and beyond the grid at its end: ";
    CHECK(fails(fqt::check_quantizer<half_the_range>(),
                ends + "the end 1 of the range became 0.5, range [0, 1], codes [0, 15]"));
    CHECK(fails(fqt::check_quantizer<shifted>(), ends));
    CHECK(fails(fqt::check_quantizer<truncates_as_nearest>(), ends));
    CHECK(fails(fqt::check_quantizer<stochastic_in_name>(),
                "is unbiased: the mean over all uniform numbers is the value: the mean code of "));
    CHECK(fails(fqt::check_quantizer<falls_and_rises>(),
                "greater codes stand for greater values, all finite: code -6 stands for "));
    CHECK(fails(fqt::check_quantizer<beyond_a_byte>(),
                "integers are whole, within the quantizer's greatest, and values that many steps: code -127, "));
    CHECK(fails(fqt::check_quantizer<divides_by_inverse>(),
                "a tensor of zeros stays zero, and one around 2^-126 does no harm: "));
    CHECK(fails(fqt::check_quantizer<gives_up>(), "runs to its end: fqt: a tensor of zeros has no grid"));
}

// ---- rectifiers ----

TEST_CASE("the library's rectifiers pass their check, whatever the number of channels") {
    for (const int channels : {1, 3, 16}) {
        CHECK(passes(fqt::check_rectifier<fqt::gain_energy<fqt::quantized_gain, fqt::through_sigma>>(channels)));
        CHECK(passes(fqt::check_rectifier<fqt::gain_hinge<fqt::layer_gain, fqt::through_sigma>>(channels)));
        CHECK(passes(fqt::check_rectifier<fqt::gain_crest<fqt::quantized_gain, fqt::through_sigma>>(channels)));
        CHECK(passes(fqt::check_rectifier<fqt::even_gains<fqt::layer_gain, fqt::through_sigma>>(channels)));
    }
}

TEST_CASE("a detached rectifier passes and is called detached") {
    const fqt::check_result detached = fqt::check_rectifier<fqt::gain_crest<>>(8),
                            through = fqt::check_rectifier<unit_gains<1, 1>>(8);
    CHECK(passes(detached));
    CHECK(detached.log.find("  note    detached: ") != detached.log.npos);
    CHECK(detached.log.find("slope by sigma\n") == detached.log.npos);
    CHECK(passes(through));
    CHECK(through.log.find("detached") == through.log.npos);
    CHECK(through.log.find("  ok      has the loss's slope by sigma\n") != through.log.npos);
    CHECK(passes(fqt::check_rectifier<unit_gains<1, 0>>(8)));
    const fqt::check_result nothing = fqt::check_rectifier<fqt::unrectified>(8);
    CHECK(passes(nothing));
    CHECK(nothing.log.find("  note    the loss does not change with gamma") != nothing.log.npos);
}

TEST_CASE("wrong rectifiers fail, and the log gives both slopes") {
    CHECK(fails(fqt::check_rectifier<unit_gains<-1, 1>>(8), "has the loss's slope by gamma: channel "));
    CHECK(fails(fqt::check_rectifier<unit_gains<2, 1>>(8), "has the loss's slope by gamma: channel "));
    CHECK(fails(fqt::check_rectifier<unit_gains<0, 0>>(8), "has the loss's slope by gamma: channel "));
    CHECK(fails(fqt::check_rectifier<unit_gains<1, -1>>(8), "has the loss's slope by sigma: channel "));
    CHECK(fails(
        fqt::check_rectifier<skips_the_last>(8),
        "gives a finite loss and writes finite slopes for every channel: the slope by gamma of channel 7 is nan"));
    CHECK(fails(fqt::check_rectifier<logarithmic>(8),
                "gives a finite loss and writes finite slopes for every channel: the loss is -inf"));
    CHECK(fails(fqt::check_rectifier<unit_gains<1, 1>>(0), "has a channel: 0 channels"));
}

// ---- layers ----

TEST_CASE("the library's layers pass their check") {
    CHECK(passes(fqt::check_layer<relu, shape{5, 4, 3}>()));
    CHECK(passes(fqt::check_layer<conv<6, fqt::window{.kernel = 3, .stride = 2, .groups = 2}, fqt::with_bias>,
                                  shape{4, 6, 5}>()));
    CHECK(passes(fqt::check_layer<dense<7>, shape{4, 3, 2}>()));
    CHECK(passes(fqt::check_layer<max_pool<>, shape{5, 6, 4}>()));
    CHECK(passes(fqt::check_layer<avg_pool<fqt::window{.kernel = 3, .stride = 2, .pad = 1}>, shape{17, 6, 4}>()));
    CHECK(passes(fqt::check_layer<conv<4> | batch_norm<> | relu | global_avg_pool, shape{3, 5, 4}>()));
    constexpr auto shrinking = residual(conv<6, fqt::window{.stride = 2}> | batch_norm<> | relu, pad_shortcut<6, 2>);
    const fqt::check_result block = fqt::check_layer<shrinking, shape{4, 5, 4}>();
    CHECK(passes(block));
    CHECK(block.log.find("layer residual\n") == 0);
    CHECK(block.log.find("  ok      has the right gradient by 0.body.1.gamma\n") != block.log.npos);
}

TEST_CASE("a rectified batch normalization has the gradients of its loss and the rectifier's") {
    using rule = fqt::gain_energy<fqt::layer_gain, fqt::through_sigma>;
    CHECK(passes(fqt::check_layer<batch_norm<rule>, shape{5, 4, 3}>({.rectification = 0.5f})));
    CHECK(fails(fqt::check_layer<batch_norm<fqt::gain_energy<>>, shape{5, 4, 3}>({.rectification = 0.5f}),
                "has the right gradient by its input: ")); // detached, as its name says
}

TEST_CASE("a user's pointwise layer passes, alone and among others") {
    const fqt::check_result alone = fqt::check_layer<leaky, shape{16, 6, 6}>();
    CHECK(passes(alone));
    CHECK(alone.log.find("layer leaky\n  ok      backward(x, 1) is the slope of forward(x) for x from -8 to 8\n") == 0);
    CHECK(passes(fqt::check_layer<batch_norm<> | leaky, shape{2, 4, 4}>()));
}

TEST_CASE("wrong layers fail, and the log says at which values") {
    const fqt::check_result slope = fqt::check_layer<wrong_slope, shape{3, 4, 4}>();
    CHECK(fails(slope, "backward(x, 1) is the slope of forward(x) for x from -8 to 8: at x = -"));
    CHECK(fails(slope, "has the right gradient by its input: at sample 0, channel "));
    CHECK(slope.log.find("the layer has 0.25, finite differences give 0.125") != slope.log.npos);
    CHECK(fails(fqt::check_layer<batch_norm<> | wrong_slope, shape{2, 4, 4}>(),
                "has the right gradient by 0.gamma: at number "));
    CHECK(fails(fqt::check_layer<false_promises, shape{3, 4, 4}>(), "is monotonic, as it says: at x = "));
    CHECK(fails(fqt::check_layer<false_promises, shape{3, 4, 4}>(), "is nonnegative, as it says: at x = "));
    const fqt::check_result promises = fqt::check_layer<conv<3> | false_promises, shape{3, 4, 4}>();
    CHECK(fails(promises, "has no negative value, as its type promises: -"));
    CHECK(fails(promises, "stays within range(channel): "));
    CHECK(fails(fqt::check_layer<forgets_g, shape{3, 4, 4}>(), "backward(x, g) is proportional to g: at x = "));
    CHECK(passes(fqt::check_layer<odd_layer<0>, shape{3, 4, 4}>()));
    CHECK(fails(fqt::check_layer<odd_layer<2>, shape{3, 4, 4}>(),
                "adds what it is given to the input's gradient: at sample "));
}

TEST_CASE("a layer that ends with an error, does not fit, or is given no samples fails without ending the program") {
    CHECK(
        fails(fqt::check_layer<odd_layer<1>, shape{3, 4, 4}>(), "runs to its end: fqt: the layer has no forward pass"));
    CHECK(fails(fqt::check_layer<conv<4, fqt::window{.kernel = 5, .pad = 0}>, shape{3, 4, 4}>(),
                "fits the shape: the kernel is larger than its input"));
    CHECK(fails(fqt::check_layer<relu, shape{3, 4, 4}>({.samples = 0}), "has a sample: options.samples is 0"));
}
