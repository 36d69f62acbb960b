// SPDX-License-Identifier: BSD-3-Clause
// Which bits a scheme, its edges and with<scheme>(part) give each tensor, by what an observer is shown, and what they
// take in memory.
#include <fqt/quant/clip_memory.hpp>
#include <fqt/quant/dorefa.hpp>
#include <fqt/quant/learned_range.hpp>

#include <doctest/doctest.h>

#include "support/training.hpp"
#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

using namespace fqt::layers;

namespace {

template <int Bits>
using weights = fqt::symmetric<Bits, fqt::nearest, fqt::per_channel>;
template <int Bits>
using gradient = fqt::symmetric<Bits, fqt::stochastic, fqt::per_sample>;

constexpr fqt::scheme four{weights<4>{}, fqt::symmetric<4>{}, gradient<4>{}};
template <int WeightBits, int Bits>
using uniform = fqt::scheme<weights<WeightBits>, fqt::symmetric<Bits>, gradient<Bits>, gradient<Bits>, fqt::binary16,
                            fqt::bfloat16, fqt::binary16, fqt::uniform_edges>;
constexpr uniform<4, 4> four_everywhere{};
constexpr fqt::scheme<weights<8>, fqt::symmetric<8>, gradient<8>, gradient<8>, fqt::binary16, fqt::bfloat16,
                      fqt::binary16, fqt::edges_of<four_everywhere>>
    four_at_the_edges{};
constexpr fqt::scheme two_products{weights<8>{}, fqt::symmetric<8>{}, gradient<2>{}, gradient<6>{}};

// Dense layers, since they compile fast; a product is a product.
constexpr auto plain = input<1, 4, 4> | named<"first">(dense<16>) | relu | named<"second">(dense<16>) | relu
    | named<"third">(dense<16>) | relu | named<"last">(dense<4>);
constexpr auto mixed = input<1, 4, 4> | named<"first">(dense<16>) | relu | named<"second">(with<fqt::w8a8g8>(dense<16>))
    | relu | named<"third">(dense<16>) | relu | named<"last">(dense<4>);

constexpr auto inside_a_residual = input<1, 4, 4> | named<"first">(dense<16>) | relu
    | residual(named<"second">(with<fqt::w8a8g8>(dense<16>)) | relu | named<"third">(dense<16>)) | relu
    | named<"last">(dense<4>);

constexpr auto pool_first =
    input<1, 8, 8> | named<"pools">(max_pool<> | relu) | named<"first">(dense<16>) | relu | named<"last">(dense<4>);

constexpr auto pool_last =
    input<1, 6, 6> | conv<16> | relu | conv<4> | max_pool<fqt::window{.kernel = 6, .stride = 1, .pad = 0}>;

constexpr fqt::scheme<fqt::sign_of<fqt::per_channel>, fqt::symmetric<8>, gradient<8>, gradient<8>, fqt::binary16,
                      fqt::bfloat16, fqt::binary16, fqt::uniform_edges>
    signs{};
constexpr auto two_layers = input<1, 4, 4> | named<"first">(dense<16>) | relu | named<"last">(dense<4>);

struct lopsided : weights<8> {
    static constexpr fqt::code_limits limits(bool is_signed) { return {is_signed ? -128 : 0, is_signed ? 127 : 255}; }
};

using learnt_range = fqt::symmetric<8, fqt::nearest, fqt::per_tensor, fqt::learned_step>;
constexpr fqt::scheme<weights<8>, learnt_range, gradient<8>, gradient<8>, fqt::binary16, fqt::bfloat16, fqt::binary16,
                      fqt::uniform_edges>
    learnt{};
using remembered = fqt::symmetric<8, fqt::stochastic, fqt::per_tensor, fqt::delayed<2>>;
constexpr fqt::scheme<weights<8>, fqt::symmetric<8>, remembered, remembered, fqt::binary16, fqt::bfloat16,
                      fqt::binary16, fqt::uniform_edges>
    remembering{};

/// The least and greatest code of each tensor of a network's passes, by "layer what", all codes that it has, and
/// whether each value is its code times one step (of the tensor, or of the sample).
struct recorder {
    std::map<std::string, std::pair<float, float>> codes{};
    std::map<std::string, std::set<float>> distinct{};
    bool values_are_codes_times_steps = true;

    void operator()(const fqt::observed_tensor& t) {
        const std::string name = std::string(t.layer.substr(t.layer.rfind('.') + 1)) + " " + std::string(t.what);
        if (t.what == "sums" || t.what == "gradient") return;
        auto& [low, high] = codes.emplace(name, std::pair{INFINITY, -INFINITY}).first->second;
        for (int n = 0; n < t.samples; ++n) {
            float step = 0;
            for (int c = 0; c < t.dims.channels; ++c)
                for (int p = 0; p < t.dims.pixels(); ++p) {
                    const float code = t.code(n, c, p), value = t.value(n, c, p);
                    low = std::min(low, code), high = std::max(high, code);
                    distinct[name].insert(code);
                    if (step == 0 && code != 0) step = value / code;
                    values_are_codes_times_steps &= std::abs(value - code * step) <= 1e-6f * std::abs(value);
                }
        }
    }
    /// The bits that the codes of a tensor need: 4 for -7 to 7 or 0 to 15. 0 where it was not seen.
    int bits(const std::string& name) const {
        const auto found = codes.find(name);
        if (found == codes.end()) return 0;
        const auto [low, high] = found->second;
        const float most = std::max(-low, high) * (low < 0 ? 2 : 1);
        int bits = 1;
        while (static_cast<float>((1 << bits) - 1) < most) ++bits;
        return bits;
    }
    bool is_signed(const std::string& name) const { return codes.at(name).first < 0; }
};

/// What two steps show; nothing of the second is smaller, since grids reach from the least to the greatest value.
template <const auto& Spec, const auto& Scheme>
recorder observed() {
    using network = fqt::network<Spec, Scheme>;
    network net{fqt::seed{2}, {.batch = 8, .threads = 1}};
    recorder seen;
    net.observe(seen);
    support::train(net, digest::batch<network>(8, 0), 2);
    return seen;
}

/// Bits of the activations, and of the gradient into dX (0: there is none), of the four products.
struct bits_of_products {
    int input[4], gradient[4];
    friend bool operator==(const bits_of_products&, const bits_of_products&) = default;
};
bits_of_products bits_of(const recorder& seen) {
    bits_of_products b{};
    int i = 0;
    for (const std::string name : {"first", "second", "third", "last"}) {
        b.input[i] = seen.bits(name + " input");
        b.gradient[i++] = seen.bits(name + " input_gradient");
    }
    return b;
}

} // namespace

TEST_CASE("the first and the last product of a 4-bit scheme have 8 bits") {
    const recorder seen = observed<plain, four>();
    CHECK(bits_of(seen) == bits_of_products{{8, 4, 4, 8}, {0, 4, 4, 8}});
    CHECK(seen.bits("first weight_gradient") == 8); // the images want no gradient
    CHECK(seen.values_are_codes_times_steps);
}

TEST_CASE("with uniform edges they have 4, too") {
    const recorder seen = observed<plain, four_everywhere>();
    CHECK(bits_of(seen) == bits_of_products{{4, 4, 4, 4}, {0, 4, 4, 4}});
    CHECK(seen.bits("first weight_gradient") == 4);
}

TEST_CASE("the edges can have the bits of another scheme") {
    const recorder seen = observed<plain, four_at_the_edges>();
    CHECK(bits_of(seen) == bits_of_products{{4, 8, 8, 4}, {0, 8, 8, 4}});
    CHECK(seen.bits("first weight_gradient") == 4);
}

TEST_CASE("a scheme of a part changes the bits of that part alone") {
    CHECK(bits_of(observed<mixed, four>()) == bits_of_products{{8, 8, 4, 8}, {0, 8, 4, 8}});
}

TEST_CASE("so it is where that part is the beginning of a residual, which stores its input for it") {
    const recorder seen = observed<inside_a_residual, four>();
    CHECK(bits_of(seen) == bits_of_products{{8, 8, 4, 8}, {0, 8, 4, 8}});
    CHECK(seen.distinct.at("second input").size() > 16); // it was not rounded to 4 bits before
}

TEST_CASE("what lies before the first product has that one's bits") {
    const recorder seen = observed<pool_first, four>();
    CHECK(seen.bits("first input") == 8);
    CHECK(seen.distinct.at("first input").size() > 16);
}

TEST_CASE("no sum overflows where codes reach further below zero than above") {
    using lopsided_scheme = fqt::scheme<lopsided, fqt::symmetric<8>>;
    static_assert(fqt::unit_of_sums<fqt::scheme<weights<8>, fqt::symmetric<8>>>(129) == 1.0f / 64); // 65,276 at most
    static_assert(fqt::unit_of_sums<lopsided_scheme>(129) == 1.0f / 128);
}

TEST_CASE("what lies behind the last product has that one's bits") {
    fqt::network<pool_last, four> net{fqt::seed{2}, {.batch = 64, .threads = 1}};
    const digest::batch<fqt::network<pool_last, four>> b(64, 0);
    const auto logits = net.forward(b.images, 64); // each a code of the pool's
    CHECK(std::set<float>(logits.begin(), logits.end()).size() > 16);
}

TEST_CASE("weights of zero let no gradient through, also on a grid without zero") {
    fqt::network<two_layers, signs> net{fqt::seed{2}, {.batch = 8, .threads = 1}};
    const digest::batch<fqt::network<two_layers, signs>> b(8, 0);
    const std::vector<float> slopes(8 * 4, 0.1f);
    const auto is_zero = [](float v) { return v == 0; };
    const auto first = net.parameter("first.weight"), last = net.parameter("last.weight");
    const auto pass = [&] {
        net.forward(b.images, 8);
        net.backward(slopes);
    };
    pass();
    CHECK_FALSE(std::ranges::all_of(first.gradient, is_zero));
    std::ranges::fill(last.value, 0.0f);
    pass();
    CHECK(std::ranges::all_of(first.gradient, is_zero));
    CHECK_FALSE(std::ranges::all_of(last.gradient, is_zero)); // they may grow again
}

TEST_CASE("a learnt range of images, by which there is no gradient, stays what the first batch made it") {
    fqt::network<plain, learnt> net{fqt::seed{2}, {.batch = 8, .threads = 1}};
    const digest::batch<fqt::network<plain, learnt>> b(8, 0);
    const auto range_of_images = [&] {
        float range = 0;
        net.each_state([&](const fqt::state& s) {
            if (s.name.view() == "first.input_range") range = s.value[0];
        });
        return range;
    };
    support::train(net, b, 1);
    const float first = range_of_images(), second = net.parameter("second.input_range").value[0];
    CHECK(first > 0);
    fqt::sgd optimizer{net, {.decay_range = 0.1f}};
    for (int step = 0; step < 3; ++step) {
        support::pass(net, b);
        optimizer.step(0.1f);
    }
    CHECK(range_of_images() == first);
    CHECK(net.parameter("second.input_range").value[0] != second);
    CHECK_THROWS_WITH_AS(net.parameter("first.input_range"), doctest::Contains("no parameter"), std::runtime_error);
}

TEST_CASE("gradients' range rules remember what is used: one memory where one set of codes serves both products") {
    fqt::network<plain, remembering> net{fqt::seed{2}, {.batch = 8}};
    std::vector<std::string> memories;
    net.each_state([&](const fqt::state& s) {
        if (s.name.view().find("gradient_range_memory") != std::string_view::npos) memories.emplace_back(s.name.view());
    });
    CHECK(memories
          == std::vector<std::string>{"first.weight_gradient_range_memory", "second.input_gradient_range_memory",
                                      "third.input_gradient_range_memory", "last.input_gradient_range_memory"});
}

TEST_CASE("codes are signed where values can be negative") {
    const recorder seen = observed<plain, four>();
    CHECK(seen.is_signed("first input"));
    for (const char* name : {"second input", "third input", "last input"}) CHECK_FALSE(seen.is_signed(name));
    for (const char* name : {"second input_gradient", "last input_gradient"}) CHECK(seen.is_signed(name));
}

TEST_CASE("a gradient that is quantized twice is shown twice") {
    const recorder seen = observed<plain, two_products>();
    CHECK(seen.bits("second input_gradient") == 2);
    CHECK(seen.bits("second weight_gradient") == 6);
    CHECK(seen.values_are_codes_times_steps);
}

TEST_CASE("nothing is shown any more after stop_observing") {
    using network = fqt::network<plain, four>;
    network net{fqt::seed{2}, {.batch = 2, .threads = 1}};
    recorder seen;
    net.observe(seen);
    CHECK(net.is_observed());
    net.stop_observing();
    CHECK_FALSE(net.is_observed());
    support::train(net, digest::batch<network>(2, 0), 1);
    CHECK(seen.codes.empty());
}

// ---- memory ----

namespace {

template <int Bits>
constexpr uniform<8, Bits> of_bits{};
constexpr auto convolutions =
    input<3, 16, 16> | conv<16> | batch_norm<> | relu | conv<32> | relu | conv<8> | global_avg_pool | dense<4>;

template <int Bits>
constexpr std::size_t saved = fqt::network<convolutions, of_bits<Bits>>::memory(10).saved;
template <int Bits>
constexpr std::size_t kept_sums = fqt::network<convolutions, of_bits<Bits>>::memory(10).sums;
template <int Bits>
constexpr std::size_t shared = fqt::network<convolutions, of_bits<Bits>>::memory(10).shared;

// By hand, for ten samples, in channels at 256 pixels and at one. Codes: the inputs of three convolutions, of the pool
// and of the dense layer, padded to 16. Sums of 2 bytes: of the four products.
constexpr std::size_t codes = 10 * (256 * (16 + 16 + 32 + 16) + 16);
constexpr std::size_t sums = 10 * (256 * (16 + 32 + 16) + 16) * 2;
static_assert(saved<8> >= codes && saved<8> < codes + 1024);
static_assert(kept_sums<8> == sums && kept_sums<4> == sums && kept_sums<2> == sums);
static_assert(saved<8> - saved<4> >= codes / 2 - 512 && saved<8> - saved<4> <= codes / 2 + 512);
static_assert(saved<8> - saved<2> >= codes * 3 / 4 - 512 && saved<8> - saved<2> <= codes * 3 / 4 + 512);
static_assert(shared<8> > shared<4> && shared<4> > shared<2>);

/// Bytes of the codes of a gradient of 32 channels at 256 pixels, ten samples, and their grids.
template <int Bits>
std::size_t gradient_bytes() {
    fqt::carver counter;
    fqt::gradient_codes<fqt::shape{32, 16, 16}, gradient<Bits>>::carve(counter, 10);
    return counter.used();
}

} // namespace

TEST_CASE("gradients of 4 and 2 bits take a half and a quarter of the bytes of 8") {
    constexpr std::size_t whole = 10 * 32 * 256, grids = 256;
    CHECK(gradient_bytes<8>() >= whole);
    CHECK(gradient_bytes<8>() <= whole + grids);
    CHECK(gradient_bytes<8>() - gradient_bytes<4>() == whole / 2);
    CHECK(gradient_bytes<8>() - gradient_bytes<2>() == whole * 3 / 4);
}

TEST_CASE("codes of 3 bits are packed like those of 4, and of 5 to 7 like those of 8") {
    CHECK(gradient_bytes<3>() == gradient_bytes<4>());
    CHECK(gradient_bytes<5>() == gradient_bytes<8>());
    CHECK(gradient_bytes<7>() == gradient_bytes<8>());
}
