// SPDX-License-Identifier: BSD-3-Clause
// Whole training steps against an independent twin (support/twin.hpp): every code, sum, gradient, weight and running
// number, bit for bit. And against the same in doubles: how many codes does single precision change?
#include <fqt/train/optimizer.hpp>

#include <doctest/doctest.h>

#include "../support/twin_network.hpp"
#include <bit>
#include <cstdint>

using namespace fqt::layers;
using fqt::nearest, fqt::stochastic, fqt::symmetric, fqt::window;

namespace {

// ---- networks: small, odd, and together all layers ----

template <int Channels, int Stride = 1>
constexpr auto conv_bn = conv<Channels, window{.kernel = 3, .stride = Stride}> | batch_norm<>;
template <int Channels, int Stride = 1>
constexpr auto body = conv_bn<Channels, Stride> | relu | conv_bn<Channels>;
using pull = fqt::gain_energy<fqt::quantized_gain, fqt::through_sigma>;

inline constexpr auto plain_chain = input<3, 8, 8> | named<"stem">(conv_bn<5> | relu) | conv<16> | batch_norm<> | relu
    | conv<17, window{1, 1, 0}> // reads its input as it is stored
    | batch_norm<> | relu | global_avg_pool | dense<4>;
inline constexpr auto shortcuts = input<1, 8, 7> | conv_bn<5> | relu
    | named<"stage">(residual(body<5>) | relu | residual(body<17, 2>, pad_shortcut<17, 2>) | relu) | conv<3> | relu
    | dense<3>;
inline constexpr auto conv_shortcut = input<2, 7, 7> | conv_bn<5> | relu
    | residual(conv_bn<8, 2> | relu | conv<8> | batch_norm<pull>, conv<8, window{1, 2, 0}> | batch_norm<>) | relu
    | residual(conv<8>, conv<8, window{1, 1, 0}>) | avg_pool<> | dense<3>;
inline constexpr auto pools = input<3, 13, 11> | conv<6, window{.kernel = 5, .stride = 2}> | relu
    | max_pool<window{
        3, 2,
        1}> | conv<17, window{3, 1, 1}, fqt::with_bias> | avg_pool<window{2, 1, 1}> | with<fqt::w8a8g2>(conv<4> | relu)
    | conv<6, window{.kernel = 3, .groups = 2}> | conv<6, window{.kernel = 3, .groups = 6}> | max_pool<> | dense<5>;
inline constexpr auto preactivation =
    input<1, 9,
          6> | conv<5> | residual(batch_norm<pull> | relu | conv<5> | batch_norm<fqt::gain_hinge<>> | relu | conv<5>)
    | residual(batch_norm<> | relu | conv<7, window{3, 2}> | batch_norm<pull> | relu | conv<7>, pad_shortcut<7, 2>)
    | batch_norm<> | relu | global_avg_pool | dense<3>;
inline constexpr auto small = input<2, 7, 6> | batch_norm<> | conv<17, window{7, 2, 3}> | batch_norm<> | relu
    | conv<3, window{3, 2, 1}> | relu | dense<3>;
// A pool whose windows tile the image; images smaller than their kernel, and channels that fill no block of 16.
inline constexpr auto odd_channels = input<1, 4, 4> | conv_bn<3> | relu | max_pool<> | conv_bn<5> | relu
    | conv_bn<17, 2> | relu | conv_bn<100> | relu | dense<5>;
// A residual is the first and the last element that has products.
inline constexpr auto one_block =
    input<3, 6, 5> | residual(residual(body<4>, conv<4, window{1, 1, 0}>) | relu | conv<4>, conv<4, window{1, 1, 0}>)
    | global_avg_pool;

// ---- schemes ----

// Gradients in floats: bfloat16 would hide whether a sum was rounded once or twice.
inline constexpr fqt::scheme<symmetric<4, nearest, fqt::per_channel>, symmetric<4>,
                             symmetric<4, stochastic, fqt::per_sample>, symmetric<8, stochastic, fqt::per_tensor>,
                             fqt::binary16, float>
    four_bits_two_gradients{};
inline constexpr fqt::scheme<symmetric<4, stochastic>, symmetric<5, stochastic>, symmetric<4, nearest, fqt::per_tensor>,
                             symmetric<6, stochastic, fqt::per_channel>, float, float, float, fqt::uniform_edges>
    drawn_everywhere{};
inline constexpr fqt::scheme<symmetric<8, nearest, fqt::per_channel>, symmetric<8>,
                             symmetric<2, stochastic, fqt::per_sample>, symmetric<2, stochastic, fqt::per_sample>>
    two_bit_gradients{};
inline constexpr fqt::scheme<symmetric<3, fqt::toward_zero, fqt::per_channel>, symmetric<2, fqt::downward>, fqt::real,
                             symmetric<8, stochastic, fqt::per_channel>>
    real_input_gradient{};
inline constexpr fqt::scheme<fqt::real, symmetric<8>, symmetric<4, stochastic>, fqt::real> real_weights{};

// ---- the comparison ----

using bits = std::vector<std::uint32_t>;
template <class Values>
bits bits_of(const Values& values) {
    bits b;
    for (const auto v : values) b.push_back(std::bit_cast<std::uint32_t>(static_cast<float>(v)));
    return b;
}

using tensors = std::map<std::string, twin::tensor>;

void check_equal(const tensors& library, const tensors& expected) {
    for (const auto& [name, t] : expected) {
        CAPTURE(name);
        REQUIRE(library.contains(name));
        const auto& own = library.at(name);
        REQUIRE(own.dims == t.dims);
        const auto differ = std::ranges::mismatch(own.v, t.v).in1 - own.v.begin();
        CHECK(differ == std::ssize(t.v)); // else the first element, in order (n, c, p), that differs
    }
    for (const auto& [name, t] : library) CHECK_MESSAGE(expected.contains(name), name);
}

struct options {
    int samples = 3, threads = 1;
    float rectification = 0;
    bool zero_channel = false;
};

/// Two networks in step: the library's and a twin with the same parameters.
template <const auto& Spec, const auto& Scheme, class Arch>
struct pair_of {
    using network = fqt::network<Spec, Scheme, Arch>;
    options o;
    network net;
    twin::network own;
    twin::recorder watcher{};
    fqt::sgd<network> optimizer;
    std::vector<twin::numbers> velocity{};

    pair_of(options given, bool single)
        : o(given), net(fqt::seed{5}, {.batch = o.samples + 1, .threads = o.threads, .rectification = o.rectification}),
          own(Spec, Scheme, fqt::seed{5}, single), optimizer(net, {.momentum = 0.9f, .decay = 0.01f}) {
        own.r.rectification = double{o.rectification};
        // Gains and shifts away from 1 and 0, some gains negative.
        net.each_parameter([&](const fqt::parameter& p) {
            const bool is_gamma = p.kind == fqt::parameter_kind::gamma;
            if (p.kind != fqt::parameter_kind::weight)
                std::ranges::copy(twin::random_floats(static_cast<int>(p.value.size()), is_gamma ? -0.5f : -0.3f,
                                                      is_gamma ? 1.5f : 0.3f, 10),
                                  p.value.begin());
            else if (o.zero_channel) std::fill_n(p.value.begin(), p.value.size() / 4, 0.0f);
        });
        copy_parameters();
        net.observe(watcher);
    }
    void copy_parameters() {
        std::size_t i = 0;
        net.each_parameter([&](const fqt::parameter& p) {
            REQUIRE(i < own.parameters.size());
            CHECK(own.parameters[i].name == p.name.view());
            own.parameters[i++].value->assign(p.value.begin(), p.value.end());
        });
        CHECK(i == own.parameters.size());
    }
    std::vector<float> images(int count, std::uint32_t step) const {
        return twin::random_floats(count * network::input.size(), -1.0f, 1.5f, 20 + step);
    }
    /// The second sample, if there is one, has no gradient: its grid has a step of 0.
    std::vector<float> by_logits(std::uint32_t step) const {
        auto g = twin::random_floats(o.samples * network::output.size(), -0.5f, 0.5f, 30 + step);
        if (o.samples > 1) std::fill_n(g.begin() + network::output.size(), network::output.size(), 0.0f);
        return g;
    }
    /// v = 0.9 v + g + 0.01 w, w = w - 0.05 v, for both.
    template <class Check>
    void follow_gradients(Check&& check) {
        velocity.resize(own.parameters.size());
        optimizer.step(0.05f);
        std::size_t index = 0;
        net.each_parameter([&](const fqt::parameter& p) {
            const auto& [name, value, gradient] = own.parameters[index];
            auto& v = velocity[index++];
            v.resize(value->size());
            for (std::size_t i = 0; i < v.size(); ++i) {
                const double decay = p.kind == fqt::parameter_kind::weight ? double{0.01f} : 0;
                v[i] = own.r.fma(double{0.9f}, v[i], own.r.fma(decay, (*value)[i], (*gradient)[i]));
                (*value)[i] = own.r.fma(-double{0.05f}, v[i], (*value)[i]);
            }
            check(p, *value, *gradient);
        });
    }
};

template <const auto& Spec, const auto& Scheme, class Arch = fqt::arch::best>
void check_training(options o = {}) {
    pair_of<Spec, Scheme, Arch> both(o, true);
    auto& [_, net, own, watcher, optimizer, velocity] = both;
    tensors expected;
    own.r.see = [&](const std::string& layer, const std::string& what, twin::tensor& t) {
        if (what != "codes" && what != "weights") expected[layer + " " + what] = t;
    };
    const auto forget = [&] {
        watcher.codes.clear();
        expected.clear();
    };
    for (std::uint32_t step = 0; step < 2; ++step) {
        CAPTURE(step);
        const auto images = both.images(o.samples, step), by_logits = both.by_logits(step);
        forget();
        CHECK(bits_of(net.forward(images, o.samples)) == bits_of(own.forward(images, o.samples)));
        check_equal(watcher.codes, expected);
        forget();
        net.backward(by_logits);
        own.backward(by_logits);
        check_equal(watcher.codes, expected);
        CHECK(double{net.rectification_loss()} == doctest::Approx(double{o.rectification} * own.root->penalty()));
        both.follow_gradients([&](const fqt::parameter& p, const twin::numbers& value, const twin::numbers& gradient) {
            const std::string name = p.name.c_str();
            CAPTURE(name);
            CHECK(bits_of(p.gradient) == bits_of(gradient));
            CHECK(bits_of(p.value) == bits_of(value));
        });
        net.each_state([&](const fqt::state& s) {
            const std::string name = s.name.c_str();
            CAPTURE(name);
            const auto found = std::ranges::find_if(own.states, [&](const auto& l) { return l.name == s.name.view(); });
            REQUIRE(found != own.states.end());
            CHECK(bits_of(s.value) == bits_of(*found->value));
        });
    }
    // Evaluation, of other images and another number of them.
    const auto images = both.images(o.samples + 1, 2);
    forget();
    CHECK(bits_of(net.predict(images, o.samples + 1)) == bits_of(own.forward(images, o.samples + 1, false)));
    check_equal(watcher.codes, expected);
}

/// Codes of two steps in doubles: how many are others, and by how many steps at most.
struct difference {
    std::int64_t codes = 0, others = 0;
    double most = 0;
    double share() const { return static_cast<double>(others) / static_cast<double>(codes); }
};

/// `forced`: the twin goes on with the library's codes, sums, gradients and weights after each comparison.
template <const auto& Spec, const auto& Scheme>
difference difference_to_doubles(bool forced, options o, float first_pixels_off = 0) {
    pair_of<Spec, Scheme, fqt::arch::best> both(o, false);
    difference d;
    both.own.r.see = [&](const std::string& layer, const std::string& what, twin::tensor& t) {
        const auto found = both.watcher.codes.find(layer + " " + (what == "codes" ? "input" : what));
        if (found == both.watcher.codes.end() || what == "input") return;
        for (std::size_t i = 0; i < t.v.size() && what != "sums" && what != "gradient"; ++i) {
            const double off = std::abs(t.v[i] - found->second.v[i]);
            ++d.codes, d.others += off > 0, d.most = std::max(d.most, off);
        }
        if (forced) t.v = found->second.v;
    };
    for (std::uint32_t step = 0; step < 2; ++step) {
        const auto images = both.images(o.samples, step), by_logits = both.by_logits(step);
        if (forced) both.copy_parameters();
        both.net.forward(images, o.samples);
        auto to_own = images;
        for (std::size_t i = 0; i < to_own.size() / 2; ++i) to_own[i] += first_pixels_off;
        both.own.forward(to_own, o.samples);
        both.net.backward(by_logits);
        both.own.backward(by_logits);
        both.follow_gradients([](auto&&...) {});
    }
    return d;
}

template <const auto& Spec, const auto& Scheme>
void check_doubles(options o = {}) {
    const difference forced = difference_to_doubles<Spec, Scheme>(true, o),
                     free = difference_to_doubles<Spec, Scheme>(false, o);
    MESSAGE("codes ", forced.codes, "; others by one pass: ", forced.others, ", by ", forced.most,
            " at most; by two whole steps: ", free.others, ", ", free.share() * 100, " %, by ", free.most, " at most");
    CHECK(forced.codes > 0);
    CHECK(forced.share() < 0.001);
    CHECK(forced.most <= 1);
    // A code that is another one changes the values behind it, and theirs may differ by more.
    CHECK(free.share() < 0.01);
}

} // namespace

TEST_CASE("two training steps of a plain chain are the twin's") { check_training<plain_chain, fqt::w8a8g4>(); }
TEST_CASE("two training steps of residuals with identity and pad_shortcut are the twin's") {
    check_training<shortcuts, fqt::w8a8g4>({.samples = 5});
}
TEST_CASE("two training steps of residuals with convolutions as shortcuts are the twin's") {
    check_training<conv_shortcut, four_bits_two_gradients>({.samples = 4, .rectification = 0.1f});
}
TEST_CASE("two training steps of pools, groups and odd shapes are the twin's") {
    check_training<pools, drawn_everywhere>({.samples = 5});
}
TEST_CASE("two training steps of pre-activation residuals are the twin's") {
    check_training<preactivation, two_bit_gradients>({.samples = 4, .rectification = 0.5f});
}

TEST_CASE("two training steps of a network that is one residual block are the twin's") {
    check_training<one_block, four_bits_two_gradients>();
}
TEST_CASE("two training steps with a gradient in floats are the twin's") {
    check_training<small, real_input_gradient>({.samples = 4});
}
TEST_CASE("two training steps with weights in floats are the twin's") {
    check_training<small, real_weights>({.samples = 4});
}
TEST_CASE("two training steps in floats alone are the twin's") { check_training<small, fqt::fp32>({.samples = 4}); }
TEST_CASE("two training steps with channels of zero weights are the twin's") {
    check_training<small, fqt::w8a8g4>({.zero_channel = true});
}
TEST_CASE("two training steps of many samples on two threads are the twin's") {
    check_training<small, fqt::w8a8g4>({.samples = 21, .threads = 2});
}
TEST_CASE(
    "two training steps of odd channels, and of 1, 7 and 129 samples on as many threads as may be, are the twin's") {
    check_training<odd_channels, fqt::w8a8g4>({.samples = 1});
    check_training<odd_channels, fqt::w8a8g4>({.samples = 7, .threads = 3});
    check_training<odd_channels, fqt::w8a8g4>({.samples = 129, .threads = 16});
}

TEST_CASE("doubles change few codes of a plain chain") { check_doubles<plain_chain, fqt::w8a8g4>({.samples = 60}); }
TEST_CASE("the comparison with doubles notices pixels that are off by a thousandth") {
    CHECK(difference_to_doubles<plain_chain, fqt::w8a8g4>(false, {.samples = 5}, 0.001f).share() > 0.01);
}
TEST_CASE("doubles change few codes of residuals") { check_doubles<shortcuts, fqt::w8a8g4>({.samples = 5}); }
TEST_CASE("doubles change few codes of residuals with convolutions as shortcuts") {
    check_doubles<conv_shortcut, four_bits_two_gradients>({.samples = 4, .rectification = 0.1f});
}
TEST_CASE("doubles change few codes of pre-activation residuals") {
    check_doubles<preactivation, two_bit_gradients>({.samples = 4, .rectification = 0.5f});
}
