// SPDX-License-Identifier: BSD-3-Clause
// The probe against plain loops in doubles over what an observer is shown, against closed forms of quantization noise,
// against the law by which noise accumulates, and against a run that is not probed.
#include <fqt/network/network.hpp>
#include <fqt/train/optimizer.hpp>
#include <fqt/train/probe.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <numbers>
#include <string>
#include <vector>

using namespace fqt::layers;
using fqt::compare, fqt::comparison, fqt::noise_row, fqt::stochastic, fqt::symmetric;
using numbers_of = std::vector<double>;

namespace {

constexpr fqt::scheme<symmetric<8, fqt::nearest, fqt::per_channel>, symmetric<8>, symmetric<4, stochastic>,
                      symmetric<6, stochastic, fqt::per_channel>, fqt::binary16, float, fqt::binary16,
                      fqt::uniform_edges>
    two_codes{};
constexpr fqt::scheme<symmetric<8, fqt::nearest, fqt::per_channel>, symmetric<8>, symmetric<3, stochastic>,
                      symmetric<3, stochastic>, fqt::binary16, float, fqt::binary16, fqt::uniform_edges>
    three_bits{};

// Channels that do not fill a block, a part with a scheme of its own, one code of h for both products in it.
constexpr auto net = input<2, 7, 7> | named<"first">(conv<18>) | named<"a">(batch_norm<fqt::gain_energy<>>) | relu
    | named<"second">(with<three_bits>(conv<16>)) | named<"b">(batch_norm<>) | relu | named<"third">(conv<16>)
    | named<"c">(batch_norm<>) | relu | global_avg_pool | named<"last">(dense<10>);
template <class Rectifier>
constexpr auto rectified = input<2, 7, 7> | named<"first">(conv<16>) | batch_norm<Rectifier> | relu
    | named<"second">(conv<16>) | batch_norm<Rectifier> | relu | global_avg_pool | dense<10>;
using network = fqt::network<net, two_codes>;
using probe = fqt::probe<net, two_codes>;
constexpr int samples = 20;
const std::vector<std::string> products{"first", "second", "third", "last"}, normalizations{"a", "b", "c"};

std::vector<float> images(std::uint32_t stream = 1) {
    std::vector<float> v(samples * network::input.size());
    for (std::uint32_t i = 0; i < v.size(); ++i)
        v[i] = 2 * fqt::uniform32(fqt::random_stream{5, 0, stream}.block(0, i)[0]) - 0.7f;
    return v;
}
std::vector<fqt::class_label> labels() {
    std::vector<fqt::class_label> v(samples);
    for (std::size_t i = 0; i < v.size(); ++i) v[i] = static_cast<fqt::class_label>(i * 7 % 10);
    return v;
}
network made(float rectification = 0) {
    network result(fqt::seed{3}, {.batch = samples, .threads = 2, .rectification = rectification});
    result.each_parameter([](const fqt::parameter& p) {
        if (p.kind == fqt::parameter_kind::weight) return;
        for (std::size_t i = 0; i < p.value.size(); ++i)
            p.value[i] += 0.3f * static_cast<float>(static_cast<int>(i * 5 % 7) - 3) / 3;
    });
    return result;
}
template <class Bits>
std::vector<std::uint32_t> bits_of(Bits& n) {
    std::vector<std::uint32_t> bits;
    const auto add = [&](std::span<const float> values) {
        for (const float v : values) bits.push_back(std::bit_cast<std::uint32_t>(v));
    };
    n.each_parameter([&](const fqt::parameter& p) { add(p.value), add(p.gradient); });
    n.each_state([&](const fqt::state& s) { add(s.value); });
    return bits;
}

/// Everything, as (sample, channel, pixel).
template <bool Details>
struct recorder {
    static constexpr bool wants_details = Details;
    struct tensor {
        numbers_of values{}, codes{};
        fqt::shape dims{};
        fqt::code_limits limits{};
        double unit = 0;
    };
    std::map<std::string, tensor> seen{};

    void operator()(const fqt::observed_tensor& t) {
        tensor& into = seen[std::string(t.layer) + " " + std::string(t.what)];
        into = {{}, {}, t.dims, t.limits, double{t.unit}};
        for (int n = 0; n < t.samples; ++n)
            for (int c = 0; c < t.dims.channels; ++c)
                for (int p = 0; p < t.dims.pixels(); ++p) {
                    into.values.push_back(double{t.value(n, c, p)});
                    into.codes.push_back(double{t.code(n, c, p)});
                }
    }
    const tensor& operator()(const std::string& layer, const std::string& what) const {
        return seen.at(layer + " " + what);
    }
    bool has(const std::string& layer, const std::string& what) const { return seen.contains(layer + " " + what); }
};

/// A pass that the observer sees, of the network's next step.
template <class Network, class Observer>
std::vector<float> pass(Network& n, Observer& observer) {
    n.observe(observer);
    const auto x = images();
    const auto logits = n.forward(x, samples);
    std::vector<float> result(logits.begin(), logits.end()), gradient(logits.size());
    fqt::cross_entropy(logits, labels(), gradient);
    n.backward(gradient);
    n.stop_observing();
    return result;
}

double dot(const numbers_of& a, const numbers_of& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
}
numbers_of minus(numbers_of a, const numbers_of& b) {
    for (std::size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
    return a;
}
numbers_of gradient_of(auto& n, const std::string& name) {
    const auto g = n.parameter(name).gradient;
    return {g.begin(), g.end()};
}
void check(const comparison& c, const numbers_of& x, const numbers_of& y) {
    const numbers_of error = minus(x, y);
    CHECK(c.noise_to_signal() == doctest::Approx(dot(error, error) / dot(y, y)).epsilon(1e-6));
    CHECK(c.cosine() == doctest::Approx(dot(x, y) / std::sqrt(dot(x, x) * dot(y, y))).epsilon(1e-6));
    CHECK(c.bias() == doctest::Approx(dot(x, y) / dot(y, y) - 1).epsilon(1e-6));
}

} // namespace

TEST_CASE("the twin has the forward bits of the network, and gradients in floats in every part") {
    network n = made();
    probe::twin_type twin(fqt::seed{3}, {.batch = samples});
    std::vector<std::span<float>> values;
    n.each_parameter([&](const fqt::parameter& p) { values.push_back(p.value); });
    auto from = values.begin();
    twin.each_parameter([&](const fqt::parameter& p) { std::ranges::copy(*from++, p.value.begin()); });
    recorder<false> of_network, of_twin;
    CHECK(pass(n, of_network) == pass(twin, of_twin));
    for (const std::string& layer : products) {
        CHECK(of_network(layer, "input").codes == of_twin(layer, "input").codes);
        CHECK(of_network(layer, "sums").codes == of_twin(layer, "sums").codes);
        CHECK(of_twin(layer, "weight_gradient").limits == fqt::code_limits{});
        if (layer != "first") CHECK(of_twin(layer, "input_gradient").limits == fqt::code_limits{});
    }
    CHECK(of_network("second", "input_gradient").limits == fqt::code_limits{-3, 3});
    CHECK(of_network("third", "input_gradient").limits == fqt::code_limits{-7, 7});
    CHECK(of_network("third", "input").limits == fqt::code_limits{0, 255});
}

TEST_CASE("details are shown to those alone who want them") {
    network n = made();
    recorder<false> plain;
    recorder<true> detailed;
    pass(n, plain);
    pass(n, detailed);
    for (const char* detail : {"b output_gradient", "second weight_scale", "second exact input_gradient",
                               "third exact input_gradient", "third exact weight_gradient"}) {
        CHECK_FALSE(plain.seen.contains(detail));
        CHECK(detailed.seen.contains(detail));
    }
    CHECK_FALSE(detailed.has("first", "weight_scale"));           // images want no gradient
    CHECK_FALSE(detailed.has("second", "exact weight_gradient")); // the same codes
}

TEST_CASE("what a probe says of one draw is what loops in doubles over the observed tensors say") {
    const float weight = 0.05f;
    network n = made(weight);
    probe p{n};
    const fqt::noise_report report = p.measure(images(), labels(), {.draws = 1});
    CHECK(report.rows.size() == 7);

    probe::twin_type twin(fqt::seed{3}, {.batch = samples, .rectification = weight});
    std::vector<std::span<float>> values;
    n.each_parameter([&](const fqt::parameter& q) { values.push_back(q.value); });
    auto from = values.begin();
    twin.each_parameter([&](const fqt::parameter& q) { std::ranges::copy(*from++, q.value.begin()); });
    recorder<true> seen, exact;
    pass(n, seen);
    pass(twin, exact);

    for (const std::string& layer : products) {
        CAPTURE(layer);
        const noise_row& row = report.row(layer);
        const numbers_of true_h = exact(layer, "weight_gradient").values;
        const std::string codes = layer == "first" ? "weight_gradient" : "input_gradient";
        const auto& h = seen(layer, codes);
        numbers_of folded = true_h;
        if (layer != "first") {
            const numbers_of scale = seen(layer, "weight_scale").values;
            const int pixels = h.dims.pixels();
            for (std::size_t i = 0; i < folded.size(); ++i)
                folded[i] *= scale[i / static_cast<std::size_t>(pixels) % scale.size()];
        }
        check(row.h, h.values, folded);
        check(row.arriving, seen(layer, "exact " + codes).values, folded);
        check(row.dw, gradient_of(n, layer + ".weight"), gradient_of(twin, layer + ".weight"));

        const auto added = [&](const std::string& what) {
            const numbers_of exactly = seen(layer, "exact " + what).values;
            const numbers_of error = minus(seen(layer, what).values, exactly);
            return dot(error, error) / dot(exactly, exactly);
        };
        CHECK(row.added == doctest::Approx(added(codes)).epsilon(1e-6));
        CHECK(row.added_dw == doctest::Approx(added(layer == "second" ? codes : "weight_gradient")).epsilon(1e-6));

        double zeros = 0, clipped = 0, greatest = 0;
        const int most = layer == "second" ? 3 : layer == "first" ? 31 : 7;
        for (const double q : h.codes) zeros += q == 0, clipped += std::abs(q) == most;
        CHECK(row.zeros == doctest::Approx(zeros / static_cast<double>(h.codes.size())));
        CHECK(row.clipped == doctest::Approx(clipped / static_cast<double>(h.codes.size())));
        for (const double u : seen(layer, "sums").codes)
            greatest = std::max(greatest, std::abs(u) / seen(layer, "sums").unit);
        CHECK(row.head_room == doctest::Approx(31 - std::log2(greatest)));
        CHECK(greatest > 1000);
        const auto w = n.parameter(layer + ".weight").value;
        const numbers_of weights(w.begin(), w.end()), by_weights = gradient_of(twin, layer + ".weight");
        CHECK(row.weight_norm == doctest::Approx(std::sqrt(dot(weights, weights))));
        CHECK(row.weight_gradient_norm == doctest::Approx(std::sqrt(dot(by_weights, by_weights))));
        CHECK(row.gradient_norm == doctest::Approx(std::sqrt(dot(true_h, true_h))));
    }
    for (std::size_t i = 0; i < 3; ++i) {
        const std::string layer = normalizations[i];
        CAPTURE(layer);
        const noise_row& row = report.row(layer);
        const auto &z = exact(products[i], "sums"), &g = exact(layer, "output_gradient");
        check(row.output_gradient, seen(layer, "output_gradient").values, g.values);
        CHECK(row.gradient_norm == doctest::Approx(std::sqrt(dot(g.values, g.values))));
        // The projection and the gains, from the values of the sums.
        const int channels = z.dims.channels, pixels = z.dims.pixels();
        const double count = samples * pixels;
        double removed = 0, mean_gain = 0, logs = 0, squares = 0, most = 0;
        for (int c = 0; c < channels; ++c) {
            const auto sum = [&](auto&& term) {
                double total = 0;
                for (int s = 0; s < samples; ++s)
                    for (int k = 0; k < pixels; ++k) {
                        const auto at = static_cast<std::size_t>((s * channels + c) * pixels + k);
                        total += term(z.values[at], g.values[at]);
                    }
                return total;
            };
            const double mean = sum([](double x, double) { return x; }) / count;
            const double variance = sum([&](double x, double) { return (x - mean) * (x - mean); }) / count;
            const double sigma = std::sqrt(variance + 1e-5);
            removed += std::pow(sum([](double, double d) { return d; }), 2)
                + std::pow(sum([&](double x, double d) { return (x - mean) / sigma * d; }), 2);
            const double r = std::abs(double{n.parameter(layer + ".gamma").value[static_cast<std::size_t>(c)]} / sigma);
            mean_gain += r / channels;
            most = std::max(most, r);
            logs += std::log(r) / channels;
            squares += std::log(r) * std::log(r) / channels;
        }
        CHECK(row.kept == doctest::Approx(1 - removed / (count * dot(g.values, g.values))).epsilon(1e-4));
        CHECK(row.gain.mean == doctest::Approx(mean_gain).epsilon(1e-4));
        CHECK(row.gain.greatest == doctest::Approx(most).epsilon(1e-4));
        CHECK(row.gain.spread == doctest::Approx(std::sqrt(squares - logs * logs)).epsilon(1e-3));
        CHECK(row.quantized.mean > 0);
        CHECK((row.quantized.mean == row.gain.mean) == (layer == "a")); // nothing is folded in behind images
    }
}

TEST_CASE("noise accumulates over a chain as the law says") {
    network n = made();
    const fqt::noise_report report = probe{n}.measure(images(), labels(), {.draws = 48});
    double predicted = report.row("last").added;
    for (int i = 2; i >= 0; --i) {
        CAPTURE(products[static_cast<std::size_t>(i)]);
        const noise_row &product = report.row(products[static_cast<std::size_t>(i)]),
                        &normalization = report.row(normalizations[static_cast<std::size_t>(i)]);
        // The recursion of one step, from what was measured one layer later.
        const double arrives = normalization.noise() / normalization.kept, arrived = product.arriving.noise_to_signal();
        CHECK(arrived == doctest::Approx(arrives).epsilon(0.03));
        CHECK(product.noise() == doctest::Approx((1 + product.added) * arrived + product.added).epsilon(0.02));
        CHECK(product.noise() == doctest::Approx((1 + product.added) * arrives + product.added).epsilon(0.05));
        predicted = (1 + product.added) * predicted / normalization.kept + product.added;
        CHECK(product.noise() == doctest::Approx(predicted).epsilon(0.1));
        CHECK(std::abs(product.h.bias()) < 0.1); // unbiased
    }
}

namespace {
constexpr fqt::shape gaussian{32, 16, 16};
constexpr int gaussians = 4;

/// The noise that a quantizer of Bits bits adds to h, by the probe's meter.
template <int Bits>
double added_noise(const std::vector<float>& h) {
    using codes = fqt::gradient_codes<gaussian, symmetric<Bits, stochastic>>;
    fqt::context c;
    c.samples = gaussians, c.threads = 1;
    std::vector<std::byte> memory(1 << 18), shared(codes::encode_bytes(gaussians));
    fqt::carver carver(memory.data());
    auto coded = codes::carve(carver, gaussians);
    const fqt::plain<gaussian> exact{h.data()};
    coded.template encode<fqt::arch::best>(c, exact, {4, 0, 0}, shared.data(), nullptr, "h");
    const fqt::observed_tensor seen("h", "input_gradient", gaussians, coded), before("h", "exact", gaussians, exact);
    CHECK(seen.limits == fqt::limits_of(Bits, true));
    return compare(seen, fqt::values_of(before, 2), {}, 2).noise_to_signal();
}
} // namespace

TEST_CASE("noise of a Gaussian tensor is that of the closed forms") {
    std::vector<float> h(static_cast<std::size_t>(gaussians * gaussian.size()));
    double square = 0, magnitude = 0, most = 0;
    for (std::uint32_t i = 0; i < h.size(); ++i) {
        const auto b = fqt::random_stream{8, 0, 1}.block(0, i);
        h[i] = std::sqrt(-2 * std::log(fqt::uniform32(b[0])))
            * std::cos(2 * std::numbers::pi_v<float> * fqt::uniform32(b[1]));
        square += double{h[i]} * double{h[i]};
        magnitude += std::abs(double{h[i]});
        most = std::max(most, std::abs(double{h[i]}));
    }
    const double crest = most / std::sqrt(square / static_cast<double>(h.size()));
    CHECK(added_noise<8>(h) == doctest::Approx(crest * crest / (6 * 127 * 127)).epsilon(0.02));
    CHECK(added_noise<2>(h) == doctest::Approx(most * magnitude / square - 1).epsilon(0.02));
}

namespace {
constexpr fqt::scheme<symmetric<8, fqt::nearest, fqt::per_channel>, symmetric<8>, fqt::rotated_blocks<2>,
                      fqt::rotated_blocks<2>, fqt::binary16, float, fqt::binary16, fqt::edges_of<three_bits>>
    blocks_between_edges{};
constexpr auto net_of_blocks = input<2, 7, 7> | named<"first">(conv<16>) | batch_norm<> | relu
    | named<"second">(conv<16>) | batch_norm<> | relu | global_avg_pool | named<"last">(dense<10>);
constexpr fqt::scheme sixteen_bits{
    .weight = symmetric<8, fqt::nearest, fqt::per_channel>{},
    .activation = symmetric<8>{},
    .input_gradient = symmetric<16, stochastic>{},
    .gradient = float{},
};
constexpr fqt::scheme transformed_blocks{
    .weight = symmetric<8, fqt::nearest, fqt::per_channel>{},
    .activation = symmetric<8>{},
    .input_gradient = fqt::hadamard<fqt::mxint8<stochastic>>{},
    .gradient = float{},
};
} // namespace

TEST_CASE("a probe measures transformed codes as h, between edges of another scheme") {
    fqt::network<net_of_blocks, blocks_between_edges> n(fqt::seed{3}, {.batch = samples});
    fqt::probe probe{n};
    const auto report = probe.measure(images(), labels(), {.draws = 8});
    const noise_row &first = report.row("first"), &second = report.row("second"), &last = report.row("last");
    CHECK(second.added > 0.15); // four levels where 16 values share a scale
    CHECK(second.added < 0.45);
    CHECK(second.added_dw == second.added); // the same codes
    const double law = (1 + second.added) * (1 + second.arriving.noise_to_signal()) - 1;
    CHECK(second.h.noise_to_signal() == doctest::Approx(law).epsilon(0.1));
    for (const noise_row* edge : {&first, &last}) CHECK(edge->added_dw > 0.02); // three bits
    CHECK(std::abs(second.dw.bias()) < 0.1);
}

TEST_CASE("a probed run has the bits of one that is not, also when probed between the two passes") {
    const auto run = [](bool probed) {
        network n = made(0.01f);
        recorder<false> watcher;
        fqt::sgd optimizer(n, {.decay = 1e-3f});
        probe p(n, {.batch = 12});
        const auto all_labels = labels();
        const auto l = std::span(all_labels).first(12);
        for (std::uint32_t step = 0; step < 4; ++step) {
            const auto x = images(10 + step);
            const auto logits = n.forward(x, samples);
            std::vector<float> gradient(logits.size());
            fqt::cross_entropy(logits, labels(), gradient);
            if (probed) {
                n.observe(watcher);
                watcher.seen.clear();
                p.measure(std::span(x).first(12 * network::input.size()), l, {.draws = 2});
                CHECK(n.is_observed());
                CHECK(watcher.seen.empty());
                n.stop_observing();
            }
            n.backward(gradient);
            optimizer.step(0.1f);
        }
        CHECK(n.step() == 4);
        CHECK(n.seed_value() == 3);
        CHECK(n.rectification() == 0.01f);
        return bits_of(n);
    };
    CHECK(run(false) == run(true));
}

TEST_CASE("two measurements of one state are equal, and a label or a gradient of one's own is the same loss") {
    network n = made();
    probe p{n};
    const auto report = p.measure(images(), labels(), {.draws = 2}),
               again = p.measure(images(), labels(), {.draws = 2});
    const auto own = p.measure(images(), samples,
                               [](std::span<const float> logits, std::span<float> gradient) {
                                   fqt::cross_entropy(logits, labels(), gradient);
                               },
                               {.draws = 2});
    for (std::size_t i = 0; i < report.rows.size(); ++i) {
        CHECK(report.rows[i].noise() == again.rows[i].noise());
        CHECK(report.rows[i].noise() == own.rows[i].noise());
    }
    const auto other = p.measure(images(), labels(), {.draws = 2, .label_smoothing = 0.2f});
    CHECK(report.rows[0].noise() != other.rows[0].noise());
}

TEST_CASE("a probe measures the rectifier that a network was given at run time, also through sigma") {
    const auto gradient_of = [](auto& probed) {
        fqt::probe p(probed);
        return p.measure(images(), labels(), {.draws = 1}).row("first").weight_gradient_norm;
    };
    using form = fqt::gain_energy<fqt::layer_gain, fqt::through_sigma>;
    fqt::network<rectified<fqt::any_rectifier>, fqt::w8a8g8> chosen(
        fqt::seed{7}, {.batch = samples, .threads = 1, .rectification = 1, .rectifier = fqt::rule_of<form>});
    fqt::network<rectified<form>, fqt::w8a8g8> typed(fqt::seed{7},
                                                     {.batch = samples, .threads = 1, .rectification = 1});
    CHECK(gradient_of(chosen) == gradient_of(typed));
    chosen.set_rectification(0);
    CHECK(gradient_of(chosen) != gradient_of(typed));
}

TEST_CASE("exact gradients have the rectifier of the quantized gain, too, with its scales") {
    using form = fqt::gain_crest<fqt::quantized_gain, fqt::through_sigma>;
    fqt::network<rectified<form>, sixteen_bits> n(fqt::seed{7}, {.batch = samples, .rectification = 1});
    fqt::probe p(n);
    const auto report = p.measure(images(), labels(), {.draws = 1});
    for (const char* layer : {"first", "second"}) CHECK(report.row(layer).noise() < 1e-6);
}

TEST_CASE("a probe sees h where it is transformed and rounded in blocks, before either") {
    fqt::network<net_of_blocks, transformed_blocks> n(fqt::seed{3}, {.batch = samples});
    CHECK(fqt::probe{n}.measure(images(), labels(), {.draws = 1}).row("second").noise() < 0.05);
}

TEST_CASE("a measurement that cannot be made says why") {
    network n = made();
    probe p(n, {.batch = 8});
    const auto x = images();
    CHECK_THROWS_WITH_AS(p.measure(x, labels()),
                         doctest::Contains("given 20 samples and made for 8; make it with probe_options{.batch = 20}"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(p.measure(x, labels(), {.draws = 0}), doctest::Contains("asked for 0 draws"), fqt::error);
    CHECK_THROWS_WITH_AS(probe(n, {.batch = -1}), doctest::Contains("batches of -1 samples"), fqt::error);
    const fqt::plain<fqt::shape{2, 7, 7}> tensor{x.data()};
    CHECK_THROWS_WITH_AS(compare(fqt::observed_tensor("first", "input", 1, tensor), std::vector<float>(3)),
                         doctest::Contains("has 98 values in 2 channels and is compared with 3 values"), fqt::error);
}
