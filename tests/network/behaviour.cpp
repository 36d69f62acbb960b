// SPDX-License-Identifier: BSD-3-Clause
// What users of a network rely on, whatever it is made of.
#include <fqt/layers/gate.hpp>
#include <fqt/network/initialise.hpp>

#include <doctest/doctest.h>

#include "support/training.hpp"
#include <atomic>
#include <cstdlib>
#include <new>
#include <utility>

using namespace fqt::layers;
using support::bits, support::gradients, support::values;

// ---- every allocation of this program is counted ----

namespace {
std::atomic<int> allocations;

void* allocated(std::size_t size, std::size_t alignment) {
    ++allocations;
    void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    return memory ? memory : throw std::bad_alloc{};
}
} // namespace

// Not inlined, since g++ would then see free() and not aligned_alloc(), and warn.
#define NOT_INLINED [[gnu::noinline]]
NOT_INLINED void* operator new(std::size_t size) { return allocated(size, alignof(std::max_align_t)); }
NOT_INLINED void* operator new(std::size_t size, std::align_val_t alignment) {
    return allocated(size, static_cast<std::size_t>(alignment));
}
NOT_INLINED void operator delete(void* memory) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
NOT_INLINED void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

namespace {

template <class Rectifier>
constexpr auto net_with = input<3, 8, 8> | named<"stem">(conv<8> | batch_norm<Rectifier> | relu)
    | named<"block">(residual(conv<8> | batch_norm<Rectifier>) | relu) | global_avg_pool | named<"head">(dense<4>);
constexpr auto spec = net_with<fqt::gain_energy<>>;
constexpr auto without_statistics = input<3, 8, 8> | conv<8> | relu | named<"middle">(conv<8>) | dense<4>;
constexpr fqt::scheme stochastic_activations{
    .weight = fqt::symmetric<8>{},
    .activation = fqt::symmetric<4, fqt::stochastic>{},
    .input_gradient = fqt::symmetric<8>{},
    .weight_gradient = fqt::symmetric<8>{},
};
constexpr auto two_convs = conv<2> | batch_norm<> | conv<2> | batch_norm<>;
constexpr auto one_conv = conv<2, fqt::window{.kernel = 1}> | batch_norm<>;
constexpr auto blocks = input<1, 4, 4> | batch_norm<> | residual(two_convs, one_conv);
constexpr auto two_products =
    input<2, 4, 4> | conv<16> | batch_norm<> | relu | conv<16> | batch_norm<> | global_avg_pool | dense<3>;
constexpr auto rotated_blocks = fqt::w8a8_blocks<2>;
constexpr auto named_parts =
    input<2, 4, 4> | residual(named<"first">(conv<2> | batch_norm<> | relu) | named<"second">(conv<2> | batch_norm<>));
constexpr auto gated_body = input<2, 4, 4> | residual(conv<2> | batch_norm<> | relu | squeeze_excite<2, 1>);
constexpr auto ends_with_product = input<2, 4, 4> | residual(conv<2> | batch_norm<> | relu | conv<2>);
constexpr auto nested_blocks = input<2, 4, 4> | residual(conv<2> | batch_norm<> | residual(conv<2> | batch_norm<>));
constexpr auto any_spec = net_with<fqt::any_rectifier>;
using network = fqt::network<spec, fqt::w8a8g4>;
using any_network = fqt::network<any_spec, fqt::w8a8g4>; // unrectified, unless it is told which
using batch = digest::batch<network>;

// ResNet-20 for 3 x 32 x 32 images and 10 classes, with shortcuts that pad (option A of He et al. 2016).
template <int Channels, int Stride = 1>
constexpr auto conv_bn = conv<Channels, fqt::window{.kernel = 3, .stride = Stride}> | batch_norm<>;
template <int Channels>
constexpr auto block = residual(conv_bn<Channels> | relu | conv_bn<Channels>) | relu;
template <int Channels>
constexpr auto narrowing = residual(conv_bn<Channels, 2> | relu | conv_bn<Channels>, pad_shortcut<Channels, 2>) | relu;
constexpr auto resnet20 = input<3, 32, 32> | conv_bn<16> | relu | repeat<3>(block<16>)
    | narrowing<32> | repeat<2>(block<32>) | narrowing<64> | repeat<2>(block<64>) | global_avg_pool | dense<10>;
static_assert(fqt::network<resnet20, fqt::w8a8g4>::parameters == 269'722);
static_assert(fqt::network<resnet20, fqt::w8a8g4>::macs == 40'551'040);

// By hand: 3x3 kernels from 3 and 8 to 8 channels on 64 pixels, two batch normalizations, a dense layer.
static_assert(network::parameters == 27 * 8 + 72 * 8 + 4 * 8 + 9 * 4);
static_assert(network::macs == 64 * (27 * 8 + 72 * 8) + 8 * 4);
static_assert(network::input == fqt::shape{3, 8, 8} && network::output == fqt::shape{4, 1, 1});
static_assert(network::arena_bytes(1) < network::arena_bytes(2));
static_assert(network::arena_bytes(2) < network::arena_bytes(2, 2));

// A product whose input needs no gradient has no room for codes of one, which here are not those of dW.
constexpr auto one_large_product = input<3, 16, 16> | conv<64> | relu | global_avg_pool | dense<10>;
constexpr fqt::scheme with_codes{
    .input_gradient = fqt::symmetric<4>{}, .weight_gradient = fqt::symmetric<8>{}, .edges = fqt::uniform_edges{}};
constexpr fqt::scheme without_codes{
    .input_gradient = fqt::real{}, .weight_gradient = fqt::symmetric<8>{}, .edges = fqt::uniform_edges{}};
static_assert(fqt::network<one_large_product, with_codes>::memory(64).shared
              == fqt::network<one_large_product, without_codes>::memory(64).shared);

/// A network that has seen some steps, planned for 9 samples.
network trained(int threads = 1) {
    network net{fqt::seed{3}, {.batch = 9, .threads = threads}};
    support::train(net, batch(9, 0), 3);
    return net;
}

std::span<const float> images_of(const batch& b, int first, int samples) {
    constexpr int size = network::input.size();
    return {b.images.begin() + size * first, b.images.begin() + size * (first + samples)};
}

} // namespace

TEST_CASE("a prediction depends on its image alone, not on the batch that it comes in") {
    network net = trained();
    const batch b(9, 1);
    const auto whole = bits(net.predict(b.images, 9));
    for (const int samples : {1, 7, 9})
        for (int first = 0; first + samples <= 9; first += samples) {
            CAPTURE(samples);
            CAPTURE(first);
            const support::float_bits part(whole.begin() + first * 4, whole.begin() + (first + samples) * 4);
            CHECK(bits(net.predict(images_of(b, first, samples), samples)) == part);
        }
}

TEST_CASE("a batch that is smaller than planned gives the bits of a network that was planned for it") {
    for (const int samples : {1, 7}) {
        CAPTURE(samples);
        network large{fqt::seed{3}, {.batch = 9, .threads = 1}};
        network fitting{fqt::seed{3}, {.batch = samples, .threads = 1}};
        const batch b(samples, 2);
        for (int step = 0; step < 2; ++step) {
            CHECK(support::pass(large, b) == support::pass(fitting, b));
            CHECK(gradients(large) == gradients(fitting));
        }
        CHECK(values(large) == values(fitting));
    }
}

TEST_CASE("a network learns from one sample at a time") {
    network net{fqt::seed{1}, {.batch = 1, .threads = 1}};
    const auto losses = support::train(net, batch(1, 0), 10);
    CHECK(losses.back() < losses.front());
}

TEST_CASE("a network in the caller's memory gives the bits of one in its own") {
    constexpr std::size_t bytes = network::arena_bytes(9);
    alignas(64) static std::byte memory[bytes];
    std::fill_n(memory, bytes, std::byte{0xff}); // what lies there before does not matter
    network borrowed{fqt::seed{3}, {.batch = 9, .threads = 1}, memory};
    support::train(borrowed, batch(9, 0), 3);
    network own = trained();
    CHECK(values(borrowed) == values(own));
    CHECK(bits(borrowed.predict(batch(9, 1).images, 9)) == bits(own.predict(batch(9, 1).images, 9)));
}

TEST_CASE("a network in the caller's memory stays within it and allocates nothing") {
    constexpr std::size_t bytes = network::arena_bytes(5, 2);
    alignas(64) static std::byte memory[bytes + 64];
    std::fill_n(memory + bytes, 64, std::byte{0xa5});
    const int before = allocations;
    network net{fqt::seed{3}, {.batch = 5, .threads = 2}, {memory, bytes}};
    CHECK(allocations == before);
    support::train(net, batch(5, 0), 2);
    net.predict(batch(5, 0).images, 5);
    int touched = 0;
    for (std::size_t i = bytes; i < bytes + 64; ++i) touched += memory[i] != std::byte{0xa5};
    CHECK(touched == 0);
}

TEST_CASE("passes allocate nothing") {
    for (const int threads : {1, 2}) {
        network net = trained(threads);
        const batch b(9, 1);
        const std::vector<float> gradient(36, 0.1f);
        const int before = allocations;
        net.forward(b.images, 9);
        net.backward(gradient);
        net.predict(b.images, 9);
        net.forward(images_of(b, 0, 4), 4);
        CHECK(allocations == before);
    }
    const int before = allocations;
    ::operator delete(::operator new(4));
    CHECK(allocations == before + 1); // they are counted
}

TEST_CASE("a network that is moved goes on as if it had not been") {
    network stayed = trained(), first = trained();
    network second{std::move(first)};
    const batch b(9, 1);
    CHECK(support::pass(second, b) == support::pass(stayed, b));
    network third{fqt::seed{8}, {.batch = 2}};
    third = std::move(second);
    CHECK(third.batch() == 9);
    CHECK(support::pass(third, b) == support::pass(stayed, b));
    CHECK(gradients(third) == gradients(stayed));
    CHECK(bits(third.predict(b.images, 9)) == bits(stayed.predict(b.images, 9)));
}

TEST_CASE("equal seeds give equal weights and codes, seeds 0 and 1 others") {
    const auto weights_of = [](std::uint64_t s) {
        network net{fqt::seed{s}, {.batch = 2, .threads = 1}};
        return bits(net.parameter("block.0.body.0.weight").value);
    };
    CHECK(weights_of(0) == weights_of(0));
    CHECK(weights_of(0) != weights_of(1));
    CHECK(weights_of(0) != weights_of(std::uint64_t{1} << 32));
    // Weights alike, and only the gradients' roundings from another seed.
    const auto gradients_of = [](std::uint64_t s) {
        network net{fqt::seed{0}, {.batch = 9, .threads = 1}};
        net.set_seed(fqt::seed{s});
        support::pass(net, batch(9, 0));
        return gradients(net);
    };
    CHECK(gradients_of(0) == gradients_of(0));
    CHECK(gradients_of(0)["stem.0.weight"] != gradients_of(1)["stem.0.weight"]);
}

TEST_CASE("initialise makes a network as good as new") {
    network net = trained(), fresh{fqt::seed{4}, {.batch = 9, .threads = 1}};
    net.initialise(fqt::seed{4});
    CHECK(net.step() == 0);
    CHECK(values(net) == values(fresh));
    CHECK(support::pass(net, batch(9, 0)) == support::pass(fresh, batch(9, 0)));
    CHECK(gradients(net) == gradients(fresh));
}

TEST_CASE("running statistics and ranges follow the batches by the momentum that is asked for") {
    const batch b(9, 0), other(9, 1);
    const auto states_after = [&](float momentum, bool second) {
        network net{fqt::seed{3}, {.batch = 9, .threads = 1, .momentum = momentum}};
        net.forward(b.images, 9);
        if (second) net.forward(other.images, 9);
        std::vector<float> all;
        net.each_state([&](const fqt::state& s) {
            const std::string_view name = s.name.view();
            if (name.ends_with(".mean") || name.ends_with(".variance"))
                all.insert(all.end(), s.value.begin(), s.value.end());
        });
        return all;
    };
    const auto first = states_after(0.25f, false), both = states_after(0.25f, true), last = states_after(1, true);
    REQUIRE(first.size() == both.size());
    std::size_t moved = 0;
    for (std::size_t i = 0; i < first.size(); ++i) {
        CHECK(both[i] == doctest::Approx(first[i] + 0.25f * (last[i] - first[i])).epsilon(1e-5));
        moved += first[i] != last[i];
    }
    CHECK(moved > first.size() / 2);
}

TEST_CASE("each step draws other random numbers") {
    network net{fqt::seed{0}, {.batch = 9, .threads = 1}};
    support::pass(net, batch(9, 0));
    const auto first = gradients(net);
    support::pass(net, batch(9, 0));
    CHECK(gradients(net)["stem.0.weight"] != first.at("stem.0.weight"));
    CHECK(gradients(net)["head.bias"] == first.at("head.bias")); // which no quantized gradient enters
}

TEST_CASE("a rectifier of weight 0 is none") {
    network net{fqt::seed{3}, {.batch = 9, .threads = 1, .rectification = 0}};
    any_network without{fqt::seed{3}, {.batch = 9, .threads = 1, .rectification = 7}};
    CHECK(support::train(net, batch(9, 0), 3) == support::train(without, digest::batch<any_network>(9, 0), 3));
    CHECK(values(net) == values(without));
    CHECK(net.rectification_loss() == 0);
    CHECK(without.rectification_loss() == 0);
}

TEST_CASE("a rectifier that is chosen at run time has the bits of one that is a type") {
    network net{fqt::seed{3}, {.batch = 9, .threads = 1, .rectification = 0.1f}};
    any_network chosen{
        fqt::seed{3}, {.batch = 9, .threads = 1, .rectification = 0.1f, .rectifier = fqt::rule_of<fqt::gain_energy<>>}};
    CHECK(support::train(net, batch(9, 0), 3) == support::train(chosen, digest::batch<any_network>(9, 0), 3));
    CHECK(values(net) == values(chosen));
    CHECK(net.rectification_loss() == chosen.rectification_loss());
    CHECK(net.rectification_loss() > 0);
}

TEST_CASE("weights are drawn by the law that is asked for, equal for equal seeds") {
    any_network net{fqt::seed{3}, {.batch = 9, .threads = 1}};
    const auto law_of = [&](fqt::weight_law law, const char* name) {
        fqt::initialise_weights(net, fqt::seed{5}, law);
        struct {
            double mean = 0, square = 0, largest = 0;
        } found;
        const auto values = net.parameter(name).value;
        for (const float v : values) {
            const auto count = static_cast<double>(values.size());
            found.mean += double{v} / count;
            found.square += double{v} * double{v} / count;
            found.largest = std::max(found.largest, std::abs(double{v}));
        }
        return found;
    };
    // block.0.body.0: 3 x 3 from 8 to 8 channels, 576 weights: relative error of a variance about 6 % (normal).
    const char* conv = "block.0.body.0.weight";
    const double fan = 72;
    const auto uniform = law_of(fqt::weight_law::he_uniform, conv);
    CHECK(uniform.square == doctest::Approx(2 / fan).epsilon(0.15));
    CHECK(uniform.largest <= std::sqrt(6 / fan));
    CHECK(std::abs(uniform.mean) < 3 * std::sqrt(2 / fan / 576));
    const auto normal = law_of(fqt::weight_law::he_normal, conv);
    CHECK(normal.square == doctest::Approx(2 / fan).epsilon(0.25));
    CHECK(normal.largest > std::sqrt(6 / fan)); // beyond what a uniform law reaches
    CHECK(law_of(fqt::weight_law::he_fan_out, "stem.0.weight").square == doctest::Approx(2 / 72.0).epsilon(0.3));
    CHECK(law_of(fqt::weight_law::glorot_uniform, "stem.0.weight").square == doctest::Approx(2 / 99.0).epsilon(0.2));
    const auto first = values(net);
    fqt::initialise_weights(net, fqt::seed{5}, fqt::weight_law::glorot_uniform);
    CHECK(values(net) == first);
    CHECK(fqt::set_last_gammas(net, 0.25f) == 1);
    CHECK(std::ranges::count(net.parameter("block.0.body.1.gamma").value, 0.25f) == 8);
    CHECK(std::ranges::count(net.parameter("stem.1.gamma").value, 0.25f) == 0);
    CHECK_THROWS_WITH(fqt::set_last_gammas(net, NAN), doctest::Contains("give a finite value"));
    CHECK(fqt::zero_last_gammas(net) == 1);
    CHECK(std::ranges::count(net.parameter("block.0.body.1.gamma").value, 0.0f) == 8);
    CHECK(std::ranges::count(net.parameter("stem.1.gamma").value, 0.0f) == 0);
}

TEST_CASE("a detached rectifier changes the gradients of gammas, and no other bit of a step") {
    network net = trained(), rectified = trained();
    rectified.set_rectification(0.1f);
    CHECK(support::pass(rectified, batch(9, 1)) == support::pass(net, batch(9, 1)));
    CHECK(rectified.rectification_loss() > 0);
    auto with = gradients(rectified);
    for (const auto& [name, gradient] : gradients(net)) {
        CAPTURE(name);
        CHECK((with[name] == gradient) == !name.ends_with("gamma"));
    }
}

TEST_CASE("a parameter that each_parameter changes is used by the next pass, in evaluation, too") {
    network net = trained();
    const batch b(9, 1);
    const auto before = bits(net.predict(b.images, 9));
    net.each_parameter([](const fqt::parameter& p) {
        if (p.name.view() == "stem.0.weight") std::ranges::reverse(p.value);
    });
    CHECK(bits(net.predict(b.images, 9)) != before);
    net.each_parameter([](const fqt::parameter& p) {
        if (p.name.view() == "stem.0.weight") std::ranges::reverse(p.value);
    });
    CHECK(bits(net.predict(b.images, 9)) == before);
}

TEST_CASE("a weight that is changed through a span kept from before is used by the next pass, in evaluation, too") {
    network net = trained();
    const batch b(9, 1);
    const std::span<float> kept = net.parameter("stem.0.weight").value;
    const auto before = bits(net.predict(b.images, 9));
    std::ranges::reverse(kept);
    CHECK(bits(net.predict(b.images, 9)) != before);
    std::ranges::reverse(kept);
    CHECK(bits(net.predict(b.images, 9)) == before);
}

TEST_CASE("a prediction draws the codes of weights anew at another step and from another seed, and only then") {
    static constexpr fqt::scheme<fqt::symmetric<3, fqt::stochastic>, fqt::symmetric<8>, fqt::symmetric<8>> drawn{};
    fqt::network<spec, drawn> net{fqt::seed{3}, {.batch = 9}};
    const batch b(9, 1);
    net.forward(b.images, 9);
    const auto before = bits(net.predict(b.images, 9));
    CHECK(bits(net.predict(b.images, 9)) == before);
    net.set_step(1);
    CHECK(bits(net.predict(b.images, 9)) != before);
    net.set_step(0);
    CHECK(bits(net.predict(b.images, 9)) == before);
    net.set_seed(fqt::seed{4});
    CHECK(bits(net.predict(b.images, 9)) != before);
}

TEST_CASE("random numbers belong to samples of the whole batch, whatever part of it a pass is given") {
    // Six times the same image and gradient: only the random numbers tell the samples apart.
    batch b(6, 0);
    constexpr auto size = static_cast<std::size_t>(network::input.size());
    for (std::size_t i = size; i < b.images.size(); ++i) b.images[i] = b.images[i - size];
    const std::vector<float> one{0.31f, -0.17f, 0.05f, -0.23f};
    const auto codes_of = [&](int samples, int first_sample) {
        fqt::network<without_statistics, fqt::w8a8g4> net{fqt::seed{3}, {.batch = 6, .threads = 1}};
        std::vector<std::vector<float>> codes; // of each sample's gradient as it enters a product's dX
        const auto keep = [&](const fqt::observed_tensor& t) {
            if (t.layer != "middle" || t.what != "input_gradient") return;
            for (int n = 0; n < t.samples; ++n) {
                codes.emplace_back();
                for (int c = 0; c < t.dims.channels; ++c)
                    for (int p = 0; p < t.dims.pixels(); ++p) codes.back().push_back(t.code(n, c, p));
            }
        };
        net.observe(keep);
        net.forward(images_of(b, 0, samples), samples, first_sample);
        std::vector<float> by_logits;
        for (int n = 0; n < samples; ++n) by_logits.insert(by_logits.end(), one.begin(), one.end());
        net.backward(by_logits);
        return codes;
    };
    const auto whole = codes_of(6, 0), part = codes_of(2, 3);
    REQUIRE(whole.size() == 6);
    REQUIRE(part.size() == 2);
    CHECK(part[0] == whole[3]);
    CHECK(part[1] == whole[4]);
    for (std::size_t n = 1; n < 6; ++n) CHECK(whole[n] != whole[0]);
    network net{fqt::seed{3}, {.batch = 6}};
    CHECK_THROWS_WITH_AS(net.forward(images_of(b, 0, 2), 2, -1), doctest::Contains("number -1; it must be 0 or more"),
                         fqt::error);
}

TEST_CASE("so they do in evaluation, where activations are rounded stochastically") {
    batch b(6, 0);
    constexpr auto size = static_cast<std::size_t>(network::input.size());
    for (std::size_t i = size; i < b.images.size(); ++i) b.images[i] = b.images[i - size];
    fqt::network<without_statistics, stochastic_activations> net{fqt::seed{3}, {.batch = 6, .threads = 1}};
    net.forward(b.images, 6);
    const auto whole = bits(net.predict(b.images, 6)), part = bits(net.predict(images_of(b, 3, 2), 2, 3));
    const std::size_t classes = whole.size() / 6;
    CHECK(std::ranges::equal(part, std::span(whole).subspan(3 * classes, 2 * classes)));
    CHECK_FALSE(std::ranges::equal(std::span(whole).first(classes), std::span(whole).subspan(classes, classes)));
    CHECK_THROWS_WITH_AS(net.predict(images_of(b, 0, 2), 2, -1), doctest::Contains("number -1; it must be 0 or more"),
                         fqt::error);
}

TEST_CASE("a rectifier is told which batch normalization ends a block's body, the shortcut's is none") {
    fqt::network<blocks, fqt::fp32> net{fqt::seed{0}, {.batch = 1}};
    std::map<std::string, bool> closes;
    net.each_normalization([&](const auto& n) { closes[n.name().c_str()] = n.facts().closes_block; });
    const std::map<std::string, bool> expected{
        {"1", false}, {"2.body.1", false}, {"2.body.3", true}, {"2.shortcut.1", false}};
    CHECK(closes == expected);
}

TEST_CASE("a rectifier is told the weight scales where they are folded into what is quantized") {
    const auto uneven = []<const auto & Scheme>() {
        fqt::network<two_products, Scheme> net{fqt::seed{3}, {.batch = 2, .threads = 1}};
        support::pass(net, digest::batch<fqt::network<two_products, Scheme>>(2, 0));
        std::vector<bool> found; // by normalization
        net.each_normalization([&](const auto& n) {
            const auto scales = n.facts().weight_scale;
            found.push_back(std::ranges::any_of(scales, [&](float s) { return s != scales[0]; }));
            if (!found.back()) CHECK(scales[0] == 1);
        });
        return found;
    };
    using answers = std::vector<bool>;
    CHECK(uneven.template operator()<fqt::w8a8g4>() == answers{false, true}); // the first product has no dX
    CHECK(uneven.template operator()<fqt::w8a8>() == answers{false, false});  // whose products are of floats
    CHECK(uneven.template operator()<rotated_blocks>() == answers{false, false});
}

TEST_CASE("which normalization ends a body is known where parts have names, and where gates or products follow") {
    const auto closing = []<const auto & Spec>() {
        fqt::network<Spec, fqt::fp32> net{fqt::seed{0}, {.batch = 1}};
        std::vector<std::string> names;
        net.each_normalization([&](const auto& n) {
            if (n.facts().closes_block) names.push_back(n.name().c_str());
        });
        return names;
    };
    CHECK(closing.template operator()<named_parts>() == std::vector<std::string>{"1.body.second.1"});
    CHECK(closing.template operator()<gated_body>() == std::vector<std::string>{"1.body.1"});
    CHECK(closing.template operator()<ends_with_product>().empty());
    CHECK(closing.template operator()<nested_blocks>() == std::vector<std::string>{"1.body.2.body.1"});
}
