// SPDX-License-Identifier: BSD-3-Clause
// Sums that are computed when they are read: the same bits whoever reads them, in whatever order, on whatever threads.
#include <fqt/layers/dropout.hpp>
#include <fqt/layers/gate.hpp>
#include <fqt/network/network.hpp>
#include <fqt/quant/algorithms.hpp>

#include <doctest/doctest.h>

#include "support/training.hpp"
#include <cmath>
#include <vector>

using namespace fqt::layers;
using fqt::shape;

namespace {

/// A layer of a user's that knows nothing of deferred sums: what it loads is another pixel of another sample.
template <class X>
struct mirrored {
    static constexpr shape dims = X::dims;
    static constexpr bool nonnegative = X::nonnegative, learns = X::learns;
    X x;
    int samples;

    template <class Arch>
    fqt::floats<Arch> load(int n, int p, int b) const {
        return x.template load<Arch>(samples - 1 - n, dims.pixels() - 1 - p, b);
    }
};
struct mirror_spec : fqt::spec {
    static constexpr const char* name = "mirror";
    static constexpr fqt::inferred output(shape in) { return in; }

    template <shape In, class Scheme, class Arch>
    struct layer : fqt::plain_layer {
        int samples = 1;
        constexpr auto plan(fqt::planner&, const auto& x) { return view(x); }
        template <class X>
        constexpr auto view(const X& x) const {
            return mirrored<X>{x, samples};
        }
        auto forward(const fqt::context& c, const auto& x) {
            samples = c.samples;
            return view(x);
        }
        auto infer(const fqt::context& c, const auto& x) { return forward(c, x); }
    };
};
constexpr mirror_spec mirror{};
constexpr fqt::window point{.kernel = 1}, half{.kernel = 3, .stride = 2};

constexpr auto spec = input<3, 12, 12> | conv<20> | batch_norm<> | relu
    | residual(conv<20> | batch_norm<> | relu | conv<20> | batch_norm<>) | relu
    | residual(conv<24, half> | batch_norm<>, conv<24, half> | batch_norm<>) | relu
    | residual(conv<40> | relu, pad_shortcut<40, 1>) | residual(relu | conv<40, point>)
    | squeeze_excite<40, 8> | conv<16> | mirror
    | conv<16> | max_pool<> | conv<24> | dropout<20> | avg_pool<> | conv<8, point> | dense<5>;
constexpr auto ends_in_a_residual = input<3, 12, 12> | residual(conv<3>) | residual(conv<3, point>, conv<3>);
// Sums in floats, in blocks and in other layers' formats, steps in a normalization, a residual that ends a residual's
// body.
constexpr auto part = conv<16> | batch_norm<> | relu;
constexpr auto formats = input<3, 6, 6> | part | with<fqt::algorithms::mxint8>(part)
    | with<fqt::algorithms::nvfp4>(part)
    | with<fqt::algorithms::wageubn>(conv<16> | batch_norm<fqt::any_rectifier, fqt::quantized_affine<8>> | relu)
    | residual(part | residual(conv<16>)) | with<fqt::fp32>(residual(conv<16>)) | max_pool<> | dense<5>;
constexpr fqt::scheme drawn{.activation = fqt::symmetric<4, fqt::stochastic>{}, .edges = fqt::uniform_edges{}};

template <const auto& Spec>
std::vector<float> waves(int samples) {
    std::vector<float> values;
    for (int i = 0; i < samples * fqt::network<Spec, fqt::fp32>::input.size(); ++i)
        values.push_back(std::sin(0.37f * static_cast<float>(i * i % 977)));
    return values;
}

/// The bits of predictions with so many threads, in which observers see all sums, or nobody does.
template <const auto& Spec, const auto& Scheme>
support::float_bits predicted(int samples, int threads, bool is_observed) {
    fqt::network<Spec, Scheme> net{fqt::seed{3}, {.batch = 7, .threads = threads}};
    net.forward(waves<Spec>(7), 7);
    int seen = 0;
    auto see = [&](const fqt::observed_tensor& t) { seen += t.what == "sums"; };
    if (is_observed) net.observe(see);
    const auto bits = support::bits(net.predict(waves<Spec>(samples), samples));
    CHECK((seen > 0) == is_observed);
    return bits;
}
template <const auto& Spec, const auto& Scheme>
void check() {
    for (int samples : {1, 2, 7}) {
        CAPTURE(samples);
        const auto expected = predicted<Spec, Scheme>(samples, 1, true);
        for (int threads : {1, 2, 3, 16}) {
            CAPTURE(threads);
            CHECK(predicted<Spec, Scheme>(samples, threads, false) == expected);
        }
    }
}

} // namespace

TEST_CASE("a prediction is the same whether sums are computed at once or as they are read") {
    check<spec, fqt::w8a8g4>();
    check<formats, fqt::w8a8g4>();
    check<ends_in_a_residual, fqt::w8a8g4>();
    check<ends_in_a_residual, drawn>();
    check<ends_in_a_residual, fqt::fp32>();
}

TEST_CASE("a layer that knows nothing of deferred sums is given all of them") {
    constexpr int samples = 5, classes = 5;
    fqt::network<spec, fqt::w8a8g4> net{fqt::seed{3}, {.batch = samples}};
    std::vector<float> images = waves<spec>(samples), reversed;
    for (int n = samples; n-- > 0;)
        reversed.insert(reversed.end(), images.begin() + n * net.input.size(),
                        images.begin() + (n + 1) * net.input.size());
    net.forward(images, samples);
    const auto straight = support::bits(net.predict(images, samples)),
               back = support::bits(net.predict(reversed, samples));
    for (int n = 0; n < samples; ++n)
        for (int k = 0; k < classes; ++k) {
            const auto at = [](int sample, int i) { return static_cast<std::size_t>(sample * classes + i); };
            CHECK(straight[at(n, k)] == back[at(samples - 1 - n, k)]);
            if (n > 0) CHECK(straight[at(n, k)] != straight[at(0, k)]);
        }
}
