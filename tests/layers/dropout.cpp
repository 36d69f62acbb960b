// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/layers/dropout.hpp>
#include <fqt/network/network.hpp>
#include <fqt/train/check_layer.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

namespace {

using namespace fqt::layers;

// The output is the thinned input itself.
constexpr auto spec = input<5, 6, 7> | dropout<25>;
using network = fqt::network<spec, fqt::fp32>;
constexpr int size = 5 * 6 * 7, samples = 40;

std::vector<float> ones() { return std::vector<float>(static_cast<std::size_t>(size * samples), 1.0f); }

std::vector<float> thinned(network& net, int first_sample = 0) {
    const auto logits = net.forward(ones(), samples, first_sample);
    return {logits.begin(), logits.end()};
}

} // namespace

TEST_CASE("dropout sets its share of the values to zero, and the others keep the mean") {
    network net{fqt::seed{1}, {.batch = samples, .threads = 1}};
    const std::vector<float> values = thinned(net);
    int dropped = 0;
    for (const float v : values) {
        CHECK((v == 0 || v == doctest::Approx(4.0 / 3)));
        dropped += v == 0;
    }
    const double n = size * samples, expected = n / 4;
    CHECK(std::abs(dropped - expected) < 4 * std::sqrt(n * 0.25 * 0.75));
}

TEST_CASE("dropout draws by seed, step and sample, and not by threads or batches") {
    network net{fqt::seed{1}, {.batch = samples, .threads = 1}},
        threads{fqt::seed{1}, {.batch = samples, .threads = 3}};
    const std::vector<float> first = thinned(net);
    CHECK(thinned(net) == first);
    CHECK(thinned(threads) == first);
    net.set_step(1);
    CHECK(thinned(net) != first);
    network other{fqt::seed{2}, {.batch = samples, .threads = 1}};
    CHECK(thinned(other) != first);
    net.set_step(0);
    const std::vector<float> later = thinned(net, 7);
    CHECK(std::equal(later.begin(), later.end() - 7 * size, first.begin() + 7 * size));
}

TEST_CASE("evaluation drops nothing") {
    network net{fqt::seed{1}, {.batch = samples, .threads = 1}};
    const auto logits = net.predict(ones(), samples);
    CHECK(std::vector<float>(logits.begin(), logits.end()) == ones());
}

TEST_CASE("gradients pass where values did, and a layer of no dropout is none") {
    for (const auto& found :
         {fqt::check_layer<dropout<25>, fqt::shape{5, 6, 7}>(), fqt::check_layer<dropout<0>, fqt::shape{5, 6, 7}>()}) {
        INFO(found.log);
        CHECK(found.ok);
    }
}
