// SPDX-License-Identifier: BSD-3-Clause
// Parameters and multiply-adds of the models against published counts, at compile time; long_*.cpp make networks.
// long_*.cpp.

#include <fqt/models/mobilenet.hpp>
#include <fqt/models/resnet.hpp>
#include <fqt/models/small.hpp>
#include <fqt/models/vgg.hpp>

#include <doctest/doctest.h>

#include <string>

namespace {

using namespace fqt::models;

template <const auto& Spec>
constexpr int parameters = std::remove_cvref_t<decltype(Spec)>::parameters({});
template <const auto& Spec>
constexpr std::int64_t macs = std::remove_cvref_t<decltype(Spec)>::macs({});
template <const auto& Spec>
constexpr fqt::shape output = std::remove_cvref_t<decltype(Spec)>::output({}).value;

/// The layers of a spec by their kinds, in order; residuals as (body + shortcut).
template <class S>
struct kinds {
    static std::string text() { return S::name; }
};
template <class... S>
struct kinds<fqt::chain_spec<S...>> {
    static std::string text() {
        std::string all;
        ((all += (all.empty() ? "" : " ") + kinds<S>::text()), ...);
        return all;
    }
};
template <fqt::fixed_string Name, class S>
struct kinds<fqt::named_spec<Name, S>> : kinds<S> {};
template <class Body, class Shortcut>
struct kinds<fqt::residual_spec<Body, Shortcut>> {
    static std::string text() { return "(" + kinds<Body>::text() + " + " + kinds<Shortcut>::text() + ")"; }
};
template <fqt::window Window>
struct kinds<fqt::pool_spec<fqt::max_pool_layer, Window>> {
    static std::string text() { return "max_pool"; }
};
template <const auto& Spec>
std::string kinds_of() {
    return kinds<std::remove_cvref_t<decltype(Spec)>>::text();
}
/// How often one of these stands in a text.
int count(const std::string& text, const std::string& what) {
    int found = 0;
    for (auto at = text.find(what); at != text.npos; at = text.find(what, at + 1)) ++found;
    return found;
}

constexpr auto by_convolution = shortcut::convolution;
constexpr auto small = stem::cifar;

} // namespace

// He, Zhang, Ren, Sun 2016, table 6, in millions: .27, .46, .66, .85, 1.7; exact counts as in reimplementations.
TEST_CASE("ResNets for CIFAR have the published parameters") {
    CHECK(parameters<resnet_cifar<20>> == 269'722);
    CHECK(parameters<resnet_cifar<32>> == 464'154);
    CHECK(parameters<resnet_cifar<44>> == 658'586);
    CHECK(parameters<resnet_cifar<56>> == 853'018);
    CHECK(parameters<resnet_cifar<110>> == 1'727'962);
    CHECK(parameters<resnet_cifar<20, 10, any_batch_norm, by_convolution>> == 272'474);
    CHECK(macs<resnet_cifar<20, 10, any_batch_norm, by_convolution>> == 40'813'184);
    // A stage's 3 x 3 convolutions multiply alike: 16 x 16 x 1024 pixels is 32 x 32 x 256 and 64 x 64 x 64.
    constexpr std::int64_t one = 9 * 16 * 16 * 1024, ends = 9 * 3 * 16 * 1024 + 640;
    CHECK(macs<resnet_cifar<20>> == ends + one * (6 + 5 + 5 + 1)); // two have half the channels before them
    CHECK(macs<resnet_cifar<56>> == ends + one * (18 + 17 + 17 + 1));
    CHECK(macs<resnet_cifar<110>> == ends + one * (36 + 35 + 35 + 1));
    CHECK(parameters<resnet_cifar<20, 100>> == 269'722 + 90 * 65);
    CHECK(output<resnet_cifar<56, 100>> == fqt::shape{100, 1, 1});
}

// The body is that of ResNet-56; shortcuts of two stages are 16 x 32 + 32 x 64 weights, and a bn for every conv but the
// first, with one more at the end.
TEST_CASE("pre-activation ResNet-56 has the weights of ResNet-56, and two shortcuts") {
    constexpr int convolutions = 853'018 - 650 - 2 * (19 * 16 + 18 * 32 + 18 * 64);
    constexpr int norms = 2 * (16 * 18 + (16 + 32 * 17) + (32 + 64 * 17) + 64);
    CHECK(parameters<preact_resnet_cifar<56>> == convolutions + 16 * 32 + 32 * 64 + norms + 650);
}

// torchvision's model pages: 11,689,512, 21,797,672, 25,557,032; 1.81, 3.66 and 4.09 billion multiply-adds.
TEST_CASE("ResNets for ImageNet have the published parameters and multiply-adds") {
    CHECK(parameters<resnet<18>> == 11'689'512);
    CHECK(parameters<resnet<34>> == 21'797'672);
    CHECK(parameters<resnet<50>> == 25'557'032);
    CHECK(macs<resnet<18>> == 1'814'073'344);
    CHECK(macs<resnet<34>> == 3'663'761'408);
    CHECK(macs<resnet<50>> == 4'089'184'256);
    CHECK(parameters<resnet<18, 10, small>> == 11'173'962);
    CHECK(parameters<resnet<50, 10, small>> == 23'520'842);
}

// torchvision: 3,504,872 and 0.30 billion. The last layer has 1281 numbers for each class.
TEST_CASE("MobileNetV2 has the published parameters and multiply-adds") {
    CHECK(parameters<mobilenet_v2<>> == 3'504'872);
    CHECK(macs<mobilenet_v2<>> == 300'774'272);
    CHECK(parameters<mobilenet_v2<10, small>> == 3'504'872 - 990 * 1281);
}

TEST_CASE("VGG has the published parameters without the biases that batch normalization makes void") {
    CHECK(parameters<vgg16<>> == 14'728'266 - 4'224);
    constexpr std::int64_t sixteen = 1024 * (3 * 64 + 64 * 64) + 256 * (64 * 128 + 128 * 128)
        + 64 * (128 * 256 + 2 * 256 * 256) + 16 * (256 * 512 + 2 * 512 * 512) + 4 * 3 * 512 * 512;
    CHECK(macs<vgg16<>> == 9 * sixteen + 5120);
    constexpr std::int64_t small_one =
        1024 * (3 * 128 + 128 * 128) + 256 * (128 * 256 + 256 * 256) + 64 * (256 * 512 + 512 * 512);
    CHECK(macs<vgg_small<>> == 9 * small_one + 81'920);
    constexpr int weights = 3 * 128 * 9 + 128 * 128 * 9 + 128 * 256 * 9 + 256 * 256 * 9 + 256 * 512 * 9 + 512 * 512 * 9;
    CHECK(parameters<vgg_small<>> == weights + 4 * (128 + 256 + 512) + 8192 * 10 + 10);
}

// LeCun et al. 1998 with full connections between its feature maps.
TEST_CASE("LeNet-5 and perceptrons have the parameters of their layers") {
    CHECK(parameters<lenet5<>> == 61'706);
    CHECK(macs<lenet5<>> == 416'520);
    CHECK(parameters<mlp<fqt::shape{1, 28, 28}, 10, any_batch_norm, 512,
                         256>> == 784 * 512 + 2 * 512 + 512 * 256 + 2 * 256 + 256 * 10 + 10);
}

TEST_CASE("models have their layers in the order of their papers") {
    const std::string cb = "conv batch_norm", body = cb + " relu " + cb, end = " global_avg_pool dense";
    const auto block = [&](const std::string& shortcut) { return " (" + body + " + " + shortcut + ") relu"; };
    CHECK(kinds_of<resnet_cifar<8>>()
          == "input " + cb + " relu" + block("identity") + block("pad_shortcut") + block("pad_shortcut") + end);
    CHECK(kinds_of<resnet_cifar<8, 10, any_batch_norm, by_convolution>>()
          == "input " + cb + " relu" + block("identity") + block(cb) + block(cb) + end);
    const std::string before = "batch_norm relu conv batch_norm relu conv";
    const std::string changing = " batch_norm relu (conv batch_norm relu conv + conv)";
    CHECK(kinds_of<preact_resnet_cifar<8>>()
          == "input conv (" + before + " + identity)" + changing + changing + " batch_norm relu" + end);
    CHECK(kinds_of<resnet<18>>()
          == "input " + cb + " relu max_pool" + block("identity") + block("identity") + block(cb) + block("identity")
              + block(cb) + block("identity") + block(cb) + block("identity") + end);
    CHECK(kinds_of<resnet<18, 10, small>>().starts_with("input " + cb + " relu ("));
    const std::string bottleneck = "(" + cb + " relu " + cb + " relu " + cb;
    CHECK(count(kinds_of<resnet<50>>(), bottleneck + " + " + cb + ") relu") == 4);
    CHECK(count(kinds_of<resnet<50>>(), bottleneck + " + identity) relu") == 3 + 4 + 6 + 3 - 4);
    CHECK(count(kinds_of<resnet<34>>(), "(" + body + " + ") == 3 + 4 + 6 + 3);

    const std::string cbr = cb + " relu", two = " " + cbr + " " + cbr + " max_pool";
    CHECK(kinds_of<vgg_small<>>() == "input" + two + two + two + " dense");
    CHECK(count(kinds_of<vgg16<>>(), cbr) == 13);
    CHECK(count(kinds_of<vgg16<>>(), cbr + " max_pool") == 5);
    const std::string pooled = " conv relu max_pool";
    CHECK(kinds_of<lenet5<>>() == "input" + pooled + pooled + " dense relu dense relu dense");
    CHECK(kinds_of<mlp<fqt::shape{1, 4, 4}, 3, any_batch_norm, 5, 6>>()
          == "input dense batch_norm relu dense batch_norm relu dense");

    // 17 bottlenecks, the first without widening; those of stride 1 that keep their channels have a shortcut.
    const std::string mobile = kinds_of<mobilenet_v2<>>(), wide = cb + " relu6 " + cb + " relu6 " + cb;
    CHECK(mobile.starts_with("input " + cb + " relu6 " + cb + " relu6 " + cb + " " + wide));
    CHECK(count(mobile, "(" + wide + " + identity)") == 10);
    CHECK(count(mobile, "relu6") == 1 + 1 + 16 * 2 + 1);
    CHECK(count(mobile, "conv") == 1 + 2 + 16 * 3 + 1);
    CHECK(mobile.ends_with(cb + " relu6" + end));
}
