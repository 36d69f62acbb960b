// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/io/xtensor.hpp>
#include <fqt/network/network.hpp>
#include <fqt/train/optimizer.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace {

using namespace fqt::layers;

constexpr auto small_block = residual(conv<4> | batch_norm<> | relu | conv<4> | batch_norm<>) | relu;
constexpr auto spec = input<2, 5, 6> | named<"stem">(conv<4> | batch_norm<> | relu) | named<"stage">(small_block)
    | global_avg_pool | dense<3>;
using network = fqt::network<spec, fqt::w8a8g4>;
using images_type = xt::xtensor<float, 4>;

std::unique_ptr<network> made() {
    return std::make_unique<network>(fqt::seed{3}, fqt::network_options{.batch = 4, .threads = 1});
}

images_type some_images(std::size_t samples = 4) {
    images_type images(std::array<std::size_t, 4>{samples, 2, 5, 6});
    const fqt::random_stream random{5, 0, 0};
    for (std::size_t i = 0; i < images.size(); ++i)
        images.data()[i] = 2 * fqt::uniform32(random.block(0, static_cast<std::uint32_t>(i))[0]) - 1;
    return images;
}

xt::xtensor<float, 2> gradient_for(const xt::xtensor<float, 2>& logits) {
    xt::xtensor<std::uint8_t, 1> labels = {0, 1, 2, 1};
    xt::xtensor<float, 2> gradient;
    fqt::cross_entropy(logits, labels, gradient);
    return gradient;
}

bool same(const xt::xtensor<float, 2>& a, std::span<const float> b) {
    return a.size() == b.size() && std::equal(b.begin(), b.end(), a.data());
}

} // namespace

TEST_CASE("forward, backward and predict of xtensor containers are those of spans") {
    const auto a = made(), b = made();
    const images_type images = some_images();
    const std::span<const float> numbers(images.data(), images.size());

    const xt::xtensor<float, 2> logits = fqt::forward(*a, images);
    CHECK(logits.shape(0) == 4);
    CHECK(logits.shape(1) == 3);
    CHECK(same(logits, b->forward(numbers, 4)));
    const xt::xtensor<float, 2> gradient = gradient_for(logits);
    fqt::backward(*a, gradient);
    b->backward({gradient.data(), gradient.size()});
    b->each_parameter(
        [&](const fqt::parameter& p) { CHECK(std::ranges::equal(p.gradient, a->parameter(p.name.view()).gradient)); });
    CHECK(same(fqt::predict(*a, images), b->predict(numbers, 4)));
    CHECK(same(fqt::predict(*a, some_images(2)), b->predict(numbers.first(2 * 60), 2)));
}

TEST_CASE("arrays of run-time rank and adaptors of other memory are taken too") {
    const auto net = made();
    const images_type images = some_images();
    const xt::xtensor<float, 2> expected = fqt::forward(*net, images);

#if !defined(__clang__) // xarray of xtensor 0.24 does not compile with clang 19
    xt::xarray<float> any = xt::xarray<float>::from_shape({4, 2, 5, 6});
    std::copy(images.data(), images.data() + images.size(), any.data());
    CHECK(same(expected, {fqt::forward(*net, any).data(), 12}));
#endif
    const std::vector<float> memory(images.data(), images.data() + images.size());
    const auto adapted = xt::adapt(memory, std::array<std::size_t, 4>{4, 2, 5, 6});
    CHECK(same(expected, {fqt::forward(*net, adapted).data(), 12}));
}

TEST_CASE("images of another shape, and images that do not lie in row-major order, are refused") {
    const auto net = made();
    const auto images = [](std::array<std::size_t, 4> shape) { return images_type(shape); };
    const images_type turned = images({4, 5, 6, 2});
    CHECK_THROWS_WITH_AS(fqt::forward(*net, turned),
                         doctest::Contains("images have the shape (4, 5, 6, 2), but the network takes (n, 2, 5, 6)"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(fqt::predict(*net, xt::xtensor<float, 2>(std::array<std::size_t, 2>{4, 60})),
                         doctest::Contains("(4, 60)"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::predict(*net, images({5, 2, 5, 6})), doctest::Contains("options.batch = 5"), fqt::error);
    CHECK_THROWS_AS(fqt::predict(*net, images({0, 2, 5, 6})), fqt::error);

    const xt::xtensor<float, 4, xt::layout_type::column_major> columns(std::array<std::size_t, 4>{4, 2, 5, 6});
    CHECK_THROWS_WITH_AS(fqt::predict(*net, columns), doctest::Contains("do not lie in row-major order"), fqt::error);
    const std::vector<float> memory(4 * 2 * 5 * 8);
    const auto with_gaps =
        xt::adapt(memory, std::array<std::size_t, 4>{4, 2, 5, 6}, std::array<std::ptrdiff_t, 4>{80, 40, 8, 1});
    CHECK_THROWS_WITH_AS(fqt::predict(*net, with_gaps), doctest::Contains("do not lie in row-major order"), fqt::error);
}

TEST_CASE("gradients and labels of another shape are refused") {
    const auto net = made();
    const images_type images = some_images();
    const xt::xtensor<float, 2> logits = fqt::forward(*net, images);
    CHECK_THROWS_WITH_AS(fqt::backward(*net, xt::xtensor<float, 2>(std::array<std::size_t, 2>{3, 4})),
                         doctest::Contains("gradients by logits have the shape (3, 4), but the network takes (n, 3)"),
                         fqt::error);
    xt::xtensor<float, 2> gradient;
    CHECK_THROWS_WITH_AS(fqt::cross_entropy(logits, xt::xtensor<std::uint8_t, 1>{0, 1, 2}, gradient),
                         doctest::Contains("do not belong together"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::cross_entropy(logits, xt::xtensor<std::uint8_t, 1>{0, 1, 2, 3}, gradient),
                         doctest::Contains("label 3 of sample 3"), fqt::error);
}

TEST_CASE("a temporary cannot be trained on, since backward() would read it") {
    const auto is_taken = []<class E>(std::type_identity<E>) {
        return requires(network & net, E images) { fqt::forward(net, static_cast<E>(images)); };
    };
    CHECK(is_taken(std::type_identity<const images_type&>{}));
    CHECK(is_taken(std::type_identity<images_type&>{}));
    CHECK_FALSE(is_taken(std::type_identity<images_type&&>{}));
}

TEST_CASE("the loss of xtensor labels is that of spans") {
    const xt::xtensor<float, 2> logits = {{1, 2, 3}, {0, -1, 0.5f}};
    const std::vector<fqt::class_label> labels = {2, 0};
    std::vector<float> expected(6);
    const fqt::loss_result spans = fqt::cross_entropy({logits.data(), 6}, labels, expected, {.label_smoothing = 0.1f});
    CHECK(spans.correct == 1);
    const auto is_that_of_spans = [&]<class Integer>(Integer) {
        const xt::xtensor<Integer, 1> numbers = {2, 0};
        xt::xtensor<float, 2> gradient;
        const fqt::loss_result loss = fqt::cross_entropy(logits, numbers, gradient, {.label_smoothing = 0.1f});
        CHECK(loss.value == spans.value);
        CHECK(same(gradient, expected));
    };
    is_that_of_spans(std::uint8_t{});
    is_that_of_spans(fqt::class_label{});
    is_that_of_spans(std::int64_t{});
    xt::xtensor<float, 2> gradient;
    for (const std::int64_t label : {std::int64_t{-1}, std::int64_t{65536}, std::int64_t{1} << 40})
        CHECK_THROWS_WITH_AS(fqt::cross_entropy(logits, xt::xtensor<std::int64_t, 1>{0, label}, gradient),
                             doctest::Contains(("label " + std::to_string(label) + " of sample 1").c_str()),
                             fqt::error);
}

TEST_CASE("parameters are views in the order (k, r, s, c), and what is written there is what the network uses") {
    const auto net = made();
    const images_type images = some_images();
    fqt::forward(*net, images);
    const xt::xtensor<float, 2> before = fqt::predict(*net, images);

    fqt::tensor_view weight = fqt::parameter_view(*net, "stem.0.weight");
    CHECK(weight.shape() == std::array<std::size_t, 4>{4, 3, 3, 2});
    const std::span<float> memory = net->parameter("stem.0.weight").value;
    CHECK(&weight(1, 2, 0, 1) == &memory[((1 * 3 + 2) * 3 + 0) * 2 + 1]);
    CHECK(fqt::parameter_view(*net, "stem.1.gamma").shape() == std::array<std::size_t, 4>{4, 1, 1, 1});
    CHECK(fqt::parameter_view(*net, "4.bias").shape() == std::array<std::size_t, 4>{3, 1, 1, 1});
    CHECK(fqt::parameter_view(*net, "4.weight").shape() == std::array<std::size_t, 4>{3, 1, 1, 4});

    fqt::parameter_view(*net, "4.bias")(2, 0, 0, 0) += 0.5f;
    const xt::xtensor<float, 2> after = fqt::predict(*net, images);
    for (std::size_t n = 0; n < 4; ++n) {
        CHECK(after(n, 0) == before(n, 0));
        CHECK(after(n, 2) == doctest::Approx(before(n, 2) + 0.5f));
    }
    fqt::tensor_view dense = fqt::parameter_view(*net, "4.weight");
    std::fill(dense.data(), dense.data() + dense.size(), 0.0f);
    const xt::xtensor<float, 2> biases = fqt::predict(*net, images);
    CHECK(biases(3, 0) == 0.0f);
    CHECK(biases(3, 2) == 0.5f);
}

TEST_CASE("gradients are views of what the last backward() left") {
    const auto net = made();
    const images_type images = some_images();
    const xt::xtensor<float, 2> gradient = gradient_for(fqt::forward(*net, images));
    fqt::backward(*net, gradient);
    const fqt::tensor_view bias = fqt::gradient_view(*net, "4.bias");
    for (std::size_t k = 0; k < 3; ++k) {
        double sum = 0;
        for (std::size_t n = 0; n < 4; ++n) sum += double{gradient(n, k)};
        CHECK(bias(k, 0, 0, 0) == doctest::Approx(sum));
    }
    CHECK(fqt::gradient_view(*net, "stem.0.weight").data() == net->parameter("stem.0.weight").gradient.data());
    CHECK_THROWS_WITH_AS(fqt::gradient_view(*net, "stem.0.bias"),
                         doctest::Contains("no parameter is called 'stem.0.bias'"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::parameter_view(*net, "weight"), doctest::Contains("no parameter is called 'weight'"),
                         fqt::error);
}

TEST_CASE("weights go to and from the common order (k, c, r, s)") {
    const auto net = made(), other = made();
    const fqt::tensor_view weight = fqt::parameter_view(*net, "stem.0.weight");
    const xt::xtensor<float, 4> common = fqt::to_kcrs(weight);
    CHECK(common.shape() == std::array<std::size_t, 4>{4, 2, 3, 3});
    CHECK(common(3, 1, 0, 2) == weight(3, 0, 2, 1));
    other->initialise(fqt::seed{99});
    CHECK(fqt::parameter_view(*other, "stem.0.weight") != weight);
    fqt::set_from_kcrs(*other, "stem.0.weight", common);
    CHECK(fqt::parameter_view(*other, "stem.0.weight") == weight);
    CHECK_THROWS_WITH_AS(
        fqt::set_from_kcrs(*other, "stem.0.weight", weight),
        doctest::Contains(
            "weights for 'stem.0.weight' have the shape (4, 3, 3, 2), but the network takes (4, 2, 3, 3)"),
        fqt::error);
    CHECK_THROWS_WITH_AS(fqt::to_kcrs(xt::xtensor<float, 2>(std::array<std::size_t, 2>{4, 18})),
                         doctest::Contains("(k, r, s, c)"), fqt::error);
}

TEST_CASE("a captured input is the images on their grid") {
    const auto net = made();
    const images_type images = some_images();
    fqt::capture seen(*net, "stem.0", "input");
    fqt::forward(*net, images);
    float most = 0;
    for (const float v : std::span(images.data(), images.size())) most = std::max(most, std::abs(v));
    const float step = most / 127;
    CHECK(seen.values().shape() == images.shape());
    for (std::size_t i = 0; i < images.size(); ++i) {
        const float code = seen.codes().data()[i], value = seen.values().data()[i];
        CHECK(std::abs(images.data()[i] - value) <= step * 0.50001f);
        CHECK(code == std::nearbyint(code));
        CHECK(std::abs(code) <= 127);
        CHECK(value == doctest::Approx(code * step));
    }
}

TEST_CASE("several tensors of both passes are captured by one watch, and only while it lasts") {
    const auto net = made();
    const images_type images = some_images();
    {
        fqt::capture seen(*net, "stage.0.body.0", "input_gradient");
        seen.also("stage.0.body.0", "gradient").also("4", "sums").also("stage.0", "input");
        const xt::xtensor<float, 2> logits = fqt::forward(*net, images);
        fqt::backward(*net, gradient_for(logits));
        CHECK(seen.codes().shape() == std::array<std::size_t, 4>{4, 4, 5, 6});
        float greatest = 0;
        for (const float code : std::span(seen.codes().data(), seen.codes().size()))
            greatest = std::max(greatest, std::abs(code));
        CHECK(greatest == 7); // four bits, stochastic: the largest magnitude is a code of its own
        CHECK(seen.values("stage.0.body.0", "gradient").shape() == std::array<std::size_t, 4>{4, 4, 5, 6});
        const auto& sums = seen.values("4", "sums");
        for (std::size_t n = 0; n < 4; ++n)
            for (std::size_t k = 0; k < 3; ++k) CHECK(sums(n, k, 0, 0) == logits(n, k));
        for (const float v : std::span(seen.values("stage.0", "input").data(), 480)) CHECK(v >= 0);

        const xt::xtensor<float, 4> kept = sums;
        const xt::xtensor<float, 2> evaluated = fqt::predict(*net, some_images(2));
        CHECK(kept.shape(0) == 4);
        CHECK(sums.shape(0) == 2);
        CHECK(sums(1, 2, 0, 0) == evaluated(1, 2));
    }
    CHECK_FALSE(net->is_observed());
    fqt::capture again(*net, "4", "sums");
    CHECK(net->is_observed());
}

TEST_CASE("a capture of what does not exist says what there is") {
    const auto net = made();
    const images_type images = some_images();
    CHECK_THROWS_WITH_AS(fqt::capture(*net, "stem.9", "input"),
                         doctest::Contains("no layer is called 'stem.9'; these are: 0, stem.0, stem.1"), fqt::error);
    CHECK_FALSE(net->is_observed());
    fqt::capture seen(*net, "stem.0", "gradient");
    CHECK_THROWS_WITH_AS(seen.values(),
                         doctest::Contains("layer 'stem.0' has shown no 'gradient' so far, but: nothing"), fqt::error);
    fqt::backward(*net, gradient_for(fqt::forward(*net, images)));
    // The images want no gradient.
    CHECK_THROWS_WITH_AS(seen.values(), doctest::Contains("but: input, sums, weight_gradient;"), fqt::error);
    CHECK_THROWS_WITH_AS(seen.codes("stem.0", "input"), doctest::Contains("was not asked for"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::capture(*net, "stem.0", "input"), doctest::Contains("watched already"), fqt::error);
}
