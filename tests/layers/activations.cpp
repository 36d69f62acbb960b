// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/layers/activations.hpp>
#include <fqt/train/check_layer.hpp>

#include <doctest/doctest.h>

namespace {

using fqt::shape;
using one = fqt::floats<fqt::arch::best>;

template <class Spec>
float value(float x) {
    return one(Spec::forward(one(x))).lane(0);
}
template <class Spec>
float slope(float x) {
    return one(Spec::backward(one(x), one(1.0f))).lane(0);
}

} // namespace

TEST_CASE("relu6 is x between 0 and 6, and lets gradients through only there") {
    using spec = fqt::relu6_spec;
    CHECK(value<spec>(-1) == 0);
    CHECK(value<spec>(0.5f) == 0.5f);
    CHECK(value<spec>(7) == 6);
    CHECK(slope<spec>(-1) == 0);
    CHECK(slope<spec>(3) == 1);
    CHECK(slope<spec>(7) == 0);
}

TEST_CASE("leaky_relu multiplies what is negative by its slope") {
    using spec = fqt::leaky_relu_spec<0.25f>;
    CHECK(value<spec>(-2) == -0.5f);
    CHECK(value<spec>(3) == 3);
    CHECK(slope<spec>(-2) == 0.25f);
    CHECK(slope<spec>(3) == 1);
}

TEST_CASE("hard_swish is 0 below -3, x above 3, and x (x + 3) / 6 between") {
    using spec = fqt::hard_swish_spec;
    CHECK(value<spec>(-4) == 0);
    CHECK(value<spec>(5) == doctest::Approx(5));
    CHECK(value<spec>(1) == doctest::Approx(4.0 / 6));
    CHECK(slope<spec>(-4) == 0);
    CHECK(slope<spec>(4) == 1);
    CHECK(slope<spec>(1) == doctest::Approx(5.0 / 6));
    CHECK(slope<spec>(-2) == doctest::Approx(-1.0 / 6));
}

TEST_CASE("hard_sigmoid is 0 below -3, 1 above 3, and a line between") {
    using spec = fqt::hard_sigmoid_spec;
    CHECK(value<spec>(-4) == 0);
    CHECK(value<spec>(5) == doctest::Approx(1));
    CHECK(value<spec>(1) == doctest::Approx(4.0 / 6));
    CHECK(slope<spec>(-4) == 0);
    CHECK(slope<spec>(1) == doctest::Approx(1.0 / 6));
    CHECK(slope<spec>(4) == 0);
}

TEST_CASE("activations keep the contract of layers") {
    using namespace fqt::layers;
    const auto passes = [](const fqt::check_result& found) {
        INFO(found.log);
        CHECK(found.ok);
    };
    passes(fqt::check_layer<relu6, shape{5, 4, 3}>());
    passes(fqt::check_layer<leaky_relu<0.125f>, shape{5, 4, 3}>());
    passes(fqt::check_layer<hard_swish, shape{5, 4, 3}>());
    passes(fqt::check_layer<hard_sigmoid, shape{5, 4, 3}>());
}
