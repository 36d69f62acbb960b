// SPDX-License-Identifier: BSD-3-Clause
// Evaluation in integers against the trained network as a function of real numbers: its weights, gains and running
// statistics as they are, in doubles, without a code.
#include <doctest/doctest.h>

#include "support/training.hpp"
#include <algorithm>
#include <cmath>
#include <string>

using namespace fqt::layers;

namespace {

constexpr auto spec = input<2, 8, 8> | conv<12> | batch_norm<> | relu
    | residual(conv<20, fqt::window{.kernel = 3, .stride = 2}> | batch_norm<>, pad_shortcut<20, 2>) | relu
    | global_avg_pool | dense<4>;
using numbers = std::vector<double>;
std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// One image at a time through a frozen network of this shape.
template <class Network>
struct function {
    Network& net;

    numbers parameter(const std::string& name) const {
        const auto v = net.parameter(name).value;
        return {v.begin(), v.end()};
    }
    numbers state(const std::string& name) const {
        numbers found;
        net.each_state([&](const fqt::state& s) {
            if (s.name.view() == name) found.assign(s.value.begin(), s.value.end());
        });
        REQUIRE(!found.empty());
        return found;
    }
    /// A 3x3 convolution with padding 1 of `size` x `size` pixels, and its normalization by running statistics.
    numbers convolution(const numbers& x, int size, int stride, const std::string& conv,
                        const std::string& norm) const {
        const numbers w = parameter(conv + ".weight");
        const numbers gamma = parameter(norm + ".gamma"), beta = parameter(norm + ".beta");
        const numbers mean = state(norm + ".mean"), variance = state(norm + ".variance");
        const int outputs = static_cast<int>(gamma.size()), channels = static_cast<int>(w.size()) / outputs / 9;
        const int out = size / stride;
        numbers y(at(outputs * out * out));
        for (int k = 0; k < outputs; ++k)
            for (int p = 0; p < out * out; ++p) {
                double sum = 0;
                for (int r = 0; r < 3; ++r)
                    for (int s = 0; s < 3; ++s) {
                        const int v = p / out * stride + r - 1, u = p % out * stride + s - 1;
                        if (v < 0 || v >= size || u < 0 || u >= size) continue;
                        for (int c = 0; c < channels; ++c)
                            sum += w[at(((k * 3 + r) * 3 + s) * channels + c)] * x[at((c * size + v) * size + u)];
                    }
                const double gain = gamma[at(k)] / std::sqrt(variance[at(k)] + 1e-5);
                y[at(k * out * out + p)] = gain * (sum - mean[at(k)]) + beta[at(k)];
            }
        return y;
    }
    numbers operator()(std::span<const float> image) const {
        numbers x = convolution(numbers(image.begin(), image.end()), 8, 1, "1", "2");
        for (double& v : x) v = std::max(v, 0.0);
        numbers y = convolution(x, 8, 2, "4.body.0", "4.body.1");
        for (int c = 0; c < 12; ++c)
            for (int p = 0; p < 16; ++p) y[at(c * 16 + p)] += x[at((c * 8 + p / 4 * 2) * 8 + p % 4 * 2)];
        const numbers w = parameter("7.weight");
        numbers logits = parameter("7.bias");
        for (int k = 0; k < 4; ++k)
            for (int i = 0; i < 20 * 16; ++i) logits[at(k)] += w[at(k * 20 + i / 16)] * std::max(y[at(i)], 0.0) / 16;
        return logits;
    }
};

struct difference {
    double relative; // root mean square of what differs, by that of the logits
    int agree;       // samples with the same greatest logit, of 256
};

template <const auto& Scheme>
difference of_predictions() {
    using network = fqt::network<spec, Scheme>;
    network net{fqt::seed{1}, {.batch = 64, .threads = 1}};
    const digest::batch<network> seen(64, 0);
    const auto losses = support::train(net, seen, 30);
    CHECK(losses.back() < losses.front() / 2);
    // Running ranges and statistics come to rest, so that no value is clamped to the range of an earlier network.
    for (int i = 0; i < 50; ++i) net.forward(seen.images, 64);

    const function<network> exact{net};
    double squares = 0, errors = 0;
    difference d{};
    for (std::uint32_t number = 1; number <= 4; ++number) {
        const digest::batch<network> b(64, number);
        const auto logits = net.predict(b.images, 64);
        for (int n = 0; n < 64; ++n) {
            const numbers expected = exact(std::span(b.images).subspan(at(n * 128), 128));
            const auto found = logits.subspan(at(n * 4), 4);
            for (std::size_t k = 0; k < 4; ++k) {
                squares += expected[k] * expected[k];
                errors += (double{found[k]} - expected[k]) * (double{found[k]} - expected[k]);
            }
            const auto found_class = std::ranges::max_element(found) - found.begin();
            d.agree += found_class == std::ranges::max_element(expected) - expected.begin();
        }
    }
    d.relative = std::sqrt(errors / squares);
    MESSAGE("relative error ", d.relative, ", ", d.agree, " of 256 samples agree");
    return d;
}

} // namespace

TEST_CASE("8-bit predictions are those of the network in real numbers, within quantization") {
    const difference d = of_predictions<fqt::w8a8g4>();
    CHECK(d.relative < 0.02);
    CHECK(d.agree >= 252);
}

TEST_CASE("predictions of the fp32 scheme are those of the network in real numbers, within float's last places") {
    const difference d = of_predictions<fqt::fp32>();
    CHECK(d.relative < 1e-5);
    CHECK(d.agree == 256);
}
