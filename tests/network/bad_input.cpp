// SPDX-License-Identifier: BSD-3-Clause
// What a network refuses, in which words, that it works as before afterwards; and extreme input that it takes.
#include <fqt/network/network.hpp>
#include <fqt/quant/clip_memory.hpp>
#include <fqt/train/loss.hpp>
#include <fqt/train/optimizer.hpp>

#include <doctest/doctest.h>

#include <cfenv>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

using namespace fqt::layers;

namespace {

constexpr auto spec =
    input<1, 4, 4> | named<"stem">(conv<8, {}, fqt::with_bias> | batch_norm<fqt::gain_energy<>> | relu)
    | global_avg_pool | named<"head">(dense<3>);
constexpr auto without_statistics = input<1, 4, 4> | dense<8> | relu | dense<3>;
constexpr auto ends_in_statistics = input<1, 4, 4> | conv<3> | named<"end">(batch_norm<>);
constexpr auto any_rectified = input<1, 4, 4> | conv<3> | batch_norm<fqt::any_rectifier>;
constexpr auto stored_residual = input<4, 4, 4> | residual(relu | conv<4>) | global_avg_pool | dense<3>;
constexpr auto large_images = input<1, 512, 512> | conv<1>;
constexpr auto many_weights = input<3, 224, 224> | dense<4096>;
constexpr auto one_pixel = input<2> | batch_norm<> | dense<3>;
using network = fqt::network<spec, fqt::w8a8g4>;
using plain_network = fqt::network<without_statistics, fqt::w8a8g4>;

using numbers = std::vector<float>;
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

numbers images(int samples, float scale = 1) {
    numbers v;
    for (std::uint32_t i = 0; i < 16 * static_cast<std::uint32_t>(samples); ++i)
        v.push_back(scale * (fqt::uniform32(fqt::random_stream{1, 2, 3}.block(0, i)[0]) - 0.3f));
    return v;
}
numbers by_logits(int samples) {
    numbers v;
    for (int i = 0; i < 3 * samples; ++i) v.push_back(static_cast<float>(i % 5 - 2) * 0.1f);
    return v;
}
numbers copied(std::span<const float> v) { return {v.begin(), v.end()}; }

/// The message of f's refusal; empty if there is none.
template <class F>
std::string refusal(F&& f) {
    try {
        f();
    } catch (const fqt::error& e) {
        return e.what();
    }
    return {};
}
/// f is refused with a sentence of the form "fqt: what is wrong; what to do" that has all `words`.
template <class F>
void check_refused(std::initializer_list<const char*> words, F&& f) {
    const std::string message = refusal(f);
    CAPTURE(message);
    CHECK(message.starts_with("fqt: "));
    CHECK(message.find("; ") != message.npos);
    for (const std::string word : words) {
        CAPTURE(word);
        CHECK(message.find(word) != message.npos);
    }
}

template <class Network>
bool all_finite(Network& net) {
    bool finite = true;
    const auto look = [&](std::span<const float> values) {
        for (const float v : values) finite = finite && std::isfinite(v);
    };
    net.each_parameter([&](const fqt::parameter& p) { look(p.gradient), look(p.value); });
    net.each_state([&](const fqt::state& s) { look(s.value); });
    return finite;
}
bool all_finite(std::span<const float> values) { return fqt::first_not_finite(values) < 0; }

/// A forward and a backward pass, a step and a prediction with these images: whether all that comes of it is finite.
template <class Network>
bool trains_finitely(const numbers& x, float rate = 0.1f) {
    const int samples = static_cast<int>(x.size()) / Network::input.size();
    Network net{fqt::seed{1}, {.batch = samples, .threads = 1}};
    fqt::sgd optimizer{net};
    bool finite = all_finite(net.forward(x, samples));
    net.backward(by_logits(samples));
    optimizer.step(rate);
    finite = finite && all_finite(net) && all_finite(net.forward(x, samples));
    return finite && all_finite(net.predict(x, samples));
}

network small_network(int threads = 1) { return network{fqt::seed{1}, {.batch = 4, .threads = threads}}; }

} // namespace

// ---- construction ----

TEST_CASE("options that make no sense are refused") {
    const auto with = [](fqt::network_options o) { return [o] { network{fqt::seed{}, o}; }; };
    check_refused({"batches of 0", "options.batch"}, with({.batch = 0}));
    check_refused({"batches of -3", "options.batch"}, with({.batch = -3}));
    check_refused({"-1 threads", "options.threads"}, with({.batch = 1, .threads = -1}));
    for (const float bad : {-1e-3f, not_a_number, infinity})
        check_refused({"options.rectification", "0 or more"}, with({.batch = 1, .rectification = bad}));
    for (const float bad : {0.0f, -0.1f, 1.5f, not_a_number})
        check_refused({"options.momentum", "(0, 1]"}, with({.batch = 1, .momentum = bad}));
}

TEST_CASE("a rule for rectifiers is refused where no batch normalization takes one") {
    const fqt::network_options options{.batch = 1, .threads = 1, .rectifier = fqt::rule_of<fqt::gain_crest<>>};
    check_refused({"options.rectifier", "batch_norm<any_rectifier>"}, [&] { network{fqt::seed{}, options}; });
    check_refused({"options.rectifier", "leave it null"}, [&] { plain_network{fqt::seed{}, options}; });
    CHECK_NOTHROW(fqt::network<any_rectified, fqt::w8a8g4>{fqt::seed{}, options});
}

TEST_CASE("a residual's values beyond binary16 are refused before they are stored as infinite") {
    numbers x(static_cast<std::size_t>(fqt::network<stored_residual, fqt::w8a8g8>::input.size()), 1.0f);
    const auto pass = [&] {
        fqt::network<stored_residual, fqt::w8a8g8> net{fqt::seed{1}, {.batch = 1, .threads = 1}};
        net.forward(x, 1);
    };
    x[3] = -65519;
    CHECK_NOTHROW(pass());
    x[3] = -65520;
    check_refused({"the input of layer '1'", "65520", "binary16", "scheme.residual"}, pass);
    fqt::network<stored_residual, fqt::fp32> floats{fqt::seed{1}, {.batch = 1, .threads = 1}};
    CHECK(all_finite(floats.forward(x, 1)));
}

TEST_CASE("memory that is too small or not aligned is refused with the remedy") {
    const fqt::network_options options{.batch = 2, .threads = 1};
    const std::size_t bytes = network::arena_bytes(2);
    std::vector<std::byte> memory(bytes + 128);
    void* at = memory.data();
    std::size_t space = memory.size();
    auto* aligned = static_cast<std::byte*>(std::align(64, bytes + 1, at, space));
    check_refused({std::to_string(bytes - 1).c_str(), std::to_string(bytes).c_str(), "arena_bytes"}, [&] {
        network{fqt::seed{}, options, {aligned, bytes - 1}};
    });
    check_refused({"64 bytes", "alignas(64)"}, [&] { network{fqt::seed{}, options, {aligned + 1, bytes}}; });
    CHECK_NOTHROW(network{fqt::seed{}, options, {aligned, bytes}});
}

TEST_CASE("a network that no memory can hold is refused, not thrown about") {
    // More than a process can address, also where a system promises more memory than it has.
    static_assert(fqt::network<large_images, fqt::fp32>::arena_bytes(std::numeric_limits<int>::max()) >> 48 > 0);
    // Weights, their gradient and their packed form, each more bytes than an int counts.
    static_assert(fqt::network<many_weights, fqt::fp32>::arena_bytes(1) > std::size_t{3} * 4 * 150'528 * 4096);
    check_refused({"no memory for a network of", "choose a smaller batch"}, [] {
        fqt::network<large_images, fqt::fp32>{fqt::seed{}, {.batch = std::numeric_limits<int>::max(), .threads = 1}};
    });
}

TEST_CASE("a network that was moved to another refuses passes, and the other goes on") {
    network net = small_network();
    net.forward(images(4), 4);
    network other = std::move(net);
    const auto refused = [&](auto&& pass) { check_refused({"moved to another", "use that one"}, pass); };
    refused([&] { net.backward(by_logits(4)); });
    refused([&] { net.forward(images(4), 4); });
    refused([&] { net.predict(images(4), 4); });
    CHECK_NOTHROW(other.backward(by_logits(4)));
    net = small_network();
    CHECK_NOTHROW(net.forward(images(4), 4));
}

TEST_CASE("a weight of rectification that is negative or not finite is refused later, too") {
    network net = small_network();
    for (const float bad : {-1.0f, not_a_number, infinity})
        check_refused({"rectification", "0 or more"}, [&] { net.set_rectification(bad); });
    CHECK(net.rectification() == 0);
}

TEST_CASE("a parameter that does not exist is refused by its name") {
    check_refused({"'stem.7.weight'", "each_parameter"}, [] { small_network().parameter("stem.7.weight"); });
}

// ---- the order of passes, and sizes ----

TEST_CASE("sizes that do not fit are refused, in forward and predict") {
    network net = small_network();
    net.forward(images(4), 4);
    const auto both = [&](std::initializer_list<const char*> words, const numbers& x, int samples) {
        check_refused(words, [&] { net.forward(x, samples); });
        check_refused(words, [&] { net.predict(x, samples); });
    };
    both({"5 samples", "4 planned", "options.batch = 5"}, images(5), 5);
    both({"0 samples", "at least one"}, {}, 0);
    both({"-2 samples", "at least one"}, images(2), -2);
    both({"3 samples of 1 x 4 x 4", "48", "47"}, numbers(47), 3);
    both({"3 samples of 1 x 4 x 4", "48", "64"}, numbers(64), 3);
}

TEST_CASE("backward needs one gradient for each logit") {
    network net = small_network();
    net.forward(images(3), 3);
    check_refused({"8 gradients", "9 logits"}, [&] { net.backward(numbers(8)); });
    check_refused({"12 gradients", "9 logits"}, [&] { net.backward(numbers(12)); });
    CHECK_NOTHROW(net.backward(by_logits(3)));
}

TEST_CASE("backward needs a forward directly before it") {
    network net = small_network();
    const auto backward = [&] { net.backward(by_logits(4)); };
    check_refused({"backward()", "call forward() first"}, backward);
    net.forward(images(4), 4);
    net.backward(by_logits(4));
    check_refused({"backward()", "call forward() first"}, backward);
    net.forward(images(4), 4);
    net.predict(images(4), 4);
    check_refused({"backward()", "call forward() first"}, backward);
}

TEST_CASE("a forward that was refused has no backward, though the one before it was in order") {
    network net = small_network();
    const numbers x = images(4);
    const auto after = [&](auto&& refused) {
        net.forward(x, 4);
        CHECK(refusal(refused) != "");
        check_refused({"backward()", "call forward() first"}, [&] { net.backward(by_logits(4)); });
    };
    after([&] { net.forward(x, 5); });
    after([&] { net.predict(x, 3); });
    after([&] {
        net.parameter("head.weight").value[0] = not_a_number;
        net.forward(x, 4);
    });
}

TEST_CASE("a pass that is refused half way leaves statistics, ranges and memories as they were") {
    using remembering = fqt::symmetric<8, fqt::nearest, fqt::per_tensor, fqt::delayed<2>>;
    static constexpr fqt::scheme scheme{.weight = fqt::symmetric<8>{},
                                        .activation = fqt::symmetric<8>{},
                                        .input_gradient = remembering{},
                                        .edges = fqt::uniform_edges{}};
    fqt::network<spec, scheme> net{fqt::seed{1}, {.batch = 4, .threads = 1}};
    const auto states = [&] {
        numbers all;
        net.each_state([&](const fqt::state& s) { all.insert(all.end(), s.value.begin(), s.value.end()); });
        return all;
    };
    const numbers untouched = states();
    const auto leaves_all = [&](auto&& pass) {
        const numbers before = states();
        CHECK(refusal(pass) != "");
        CHECK(states() == before);
    };
    numbers one_beyond = images(4);
    one_beyond[7] = 1e30f;
    leaves_all([&] { net.forward(one_beyond, 4); });
    net.forward(images(4), 4);
    net.backward(by_logits(4));
    CHECK(states() != untouched);
    leaves_all([&] { net.forward(one_beyond, 4); });
    net.forward(images(4), 4);
    net.parameter("stem.1.gamma").value[0] = 3e38f;
    leaves_all([&] { net.backward(numbers(12, 1e37f)); });
}

TEST_CASE("a network that was never trained has no ranges, and cannot predict") {
    check_refused({"'stem.0'", "range", "train"}, [] { small_network().predict(images(4), 4); });
}

// ---- numbers that are not finite ----

TEST_CASE("pixels that are NaN or infinite are refused by their place, in forward and predict") {
    network net = small_network();
    net.forward(images(4), 4);
    for (const float bad : {not_a_number, infinity, -infinity}) {
        numbers x = images(4);
        x[16 * 2 + 5] = bad;
        check_refused({"number 5 of image 2", "finite"}, [&] { net.forward(x, 4); });
        check_refused({"number 5 of image 2", "finite"}, [&] { net.predict(x, 4); });
    }
}

TEST_CASE("parameters that are NaN or infinite are refused by their layer, in forward and predict") {
    const char* const names[][2] = {{"stem.0.weight", "'stem.0'"}, {"stem.0.bias", "'stem.0'"},
                                    {"stem.1.gamma", "'stem.1'"},  {"stem.1.beta", "'stem.1'"},
                                    {"head.weight", "'head'"},     {"head.bias", "'head'"}};
    const numbers x = images(4);
    for (const auto& [name, layer] : names)
        for (const float bad : {not_a_number, infinity, -infinity}) {
            CAPTURE(name);
            network net = small_network();
            net.forward(x, 4);
            net.parameter(name).value[1] = bad;
            check_refused({layer, "not finite"}, [&] { net.forward(x, 4); });
            check_refused({layer, "not finite"}, [&] { net.predict(x, 4); });
        }
}

TEST_CASE("running ranges that are not finite are refused by their layer in predict") {
    network net = small_network();
    const numbers x = images(4);
    net.forward(x, 4);
    net.each_state([](const fqt::state& s) {
        if (s.name.view() == "head.range") s.value[1] = not_a_number;
    });
    check_refused({"running range", "'head'", "not finite"}, [&] { net.predict(x, 4); });
}

TEST_CASE("a gradient from the loss that is NaN or infinite is refused before anything is changed") {
    network net = small_network();
    const numbers x = images(4);
    for (const float bad : {not_a_number, infinity}) {
        net.forward(x, 4);
        numbers g = by_logits(4);
        g[7] = bad;
        check_refused({"gradient 7", "backward()", "the loss"}, [&] { net.backward(g); });
        CHECK(net.step() == 0);
        CHECK(all_finite(net));
        CHECK_NOTHROW(net.backward(by_logits(4)));
        net.set_step(0);
    }
}

TEST_CASE("a gradient from the loss whose products no float can hold is refused, not spread") {
    const auto after = [](auto& net, numbers gradient) {
        net.forward(images(4), 4);
        for (float& v : gradient) v *= 1e38f;
        net.backward(gradient);
    };
    network net = small_network();
    for (float& v : net.parameter("stem.1.gamma").value) v *= 1e3f;
    check_refused({"the weight gradient", "'head'", "not finite"}, [&] { after(net, by_logits(4)); });
    fqt::network<ends_in_statistics, fqt::w8a8g4> other{fqt::seed{1}, {.batch = 4, .threads = 1}};
    check_refused({"the gradient of gamma or beta", "'end'", "not finite"},
                  [&] { after(other, numbers(4 * decltype(other)::output.size(), 1.0f)); });
}

// ---- the floating-point environment ----

TEST_CASE("a changed rounding mode is refused on any number of threads, and nothing is left of it afterwards") {
    for (const int threads : {1, 2}) {
        CAPTURE(threads);
        network net = small_network(threads), fresh = small_network();
        const numbers x = images(4);
        std::string forward, backward, predict;
        std::fesetround(FE_UPWARD);
        forward = refusal([&] { net.forward(x, 4); });
        std::fesetround(FE_TONEAREST);
        CHECK(copied(net.forward(x, 4)) == copied(fresh.forward(x, 4)));
        std::fesetround(FE_UPWARD);
        backward = refusal([&] { net.backward(by_logits(4)); });
        predict = refusal([&] { net.predict(x, 4); });
        std::fesetround(FE_TONEAREST);
        for (const std::string& message : {forward, backward, predict}) {
            CAPTURE(message);
            CHECK(message.find("rounding mode") != message.npos);
            CHECK(message.find("fesetenv(FE_DFL_ENV)") != message.npos);
        }
        CHECK(copied(net.predict(x, 4)) == copied(fresh.predict(x, 4)));
    }
}

#if defined(__SSE2__)
TEST_CASE("flush-to-zero and subnormals as zero are refused on any number of threads") {
    for (const unsigned bits : {0x8000u, 0x0040u})
        for (const int threads : {1, 2}) {
            CAPTURE(bits);
            CAPTURE(threads);
            network net = small_network(threads);
            const unsigned old = _mm_getcsr();
            _mm_setcsr(old | bits);
            const std::string message = refusal([&] { net.forward(images(4), 4); });
            _mm_setcsr(old);
            CHECK(message.find("flush-to-zero") != message.npos);
            CHECK_NOTHROW(net.forward(images(4), 4));
        }
}
#endif

// ---- extreme input that is taken ----

TEST_CASE("constant images, images of zeros, and batches of one sample give finite results") {
    CHECK(trains_finitely<network>(numbers(64, 0.7f)));
    CHECK(trains_finitely<network>(numbers(64, 0.0f)));
    CHECK(trains_finitely<network>(images(1)));
    CHECK(trains_finitely<plain_network>(numbers(64, -3.0f)));
    CHECK(trains_finitely<plain_network>(numbers(64, 0.0f)));
}

TEST_CASE("one image of one pixel goes through batch normalization, alone or beside others") {
    using pixel = fqt::network<one_pixel, fqt::w8a8g4>;
    CHECK(trains_finitely<pixel>({3, -4}));
    CHECK(trains_finitely<pixel>({3, -4, 2, 2, 1, 0}));
}

TEST_CASE("tiny and subnormal pixels give finite results") {
    for (const float scale : {1e-20f, 1e-30f, 1e-37f, 1e-40f, 1e-44f}) {
        CAPTURE(scale);
        CHECK(trains_finitely<network>(images(4, scale)));
        CHECK(trains_finitely<plain_network>(images(4, scale)));
    }
}

TEST_CASE("huge pixels give finite results where no variance is taken of them") {
    // The gradients by the weights are as large as the pixels; no rate of ordinary size fits them.
    for (const float scale : {1e10f, 1e18f, 1e30f}) CHECK(trains_finitely<plain_network>(images(4, scale), 0));
    CHECK(trains_finitely<network>(images(4, 1e18f)));
}

TEST_CASE("values whose variance no float can hold are refused by their batch normalization") {
    check_refused({"'stem.1'", "too large", "scale the input"}, [] { trains_finitely<network>(images(4, 1e30f)); });
}

TEST_CASE("a gradient of zeros gives gradients of zeros") {
    network net = small_network();
    net.forward(images(4), 4);
    net.backward(by_logits(4));
    net.forward(images(4), 4);
    net.backward(numbers(12));
    net.each_parameter([](const fqt::parameter& p) {
        CAPTURE(p.name.c_str());
        for (const float g : p.gradient) CHECK(g == 0);
    });
}

TEST_CASE("a channel of zero weights still gets a gradient") {
    network net = small_network();
    const fqt::parameter weight = net.parameter("stem.0.weight"), beta = net.parameter("stem.1.beta");
    std::fill_n(weight.value.begin() + 9, 9, 0.0f); // of the second of 8 channels
    beta.value[1] = 0.5f;                           // else relu would stop its gradient
    net.forward(images(4), 4);
    net.backward(by_logits(4));
    CHECK(all_finite(net));
    for (const float g : weight.gradient.subspan(9, 9)) CHECK(g != 0);
}

TEST_CASE("a network whose weights are all zero gives finite results and learns") {
    network net = small_network();
    net.each_parameter([](const fqt::parameter& p) { std::ranges::fill(p.value, 0.0f); });
    CHECK(copied(net.forward(images(4), 4)) == numbers(12));
    net.backward(by_logits(4));
    CHECK(all_finite(net));
    CHECK(net.parameter("head.bias").gradient[1] != 0);
}

TEST_CASE("more threads than processors and than samples give the same bits as one") {
    network one = small_network(), many = small_network(9);
    const numbers x = images(3);
    CHECK(copied(many.forward(x, 3)) == copied(one.forward(x, 3)));
    one.backward(by_logits(3));
    many.backward(by_logits(3));
    one.each_parameter(
        [&](const fqt::parameter& p) { CHECK(copied(many.parameter(p.name.view()).gradient) == copied(p.gradient)); });
    CHECK(copied(many.predict(x, 3)) == copied(one.predict(x, 3)));
}
