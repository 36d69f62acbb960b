// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/train/loss.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

using doctest::Approx;
using doctest::Contains;

namespace {

using labels_of = std::vector<fqt::class_label>;

double exact_loss(const std::vector<float>& logits, const labels_of& labels, double smoothing, double share = 1) {
    const std::size_t classes = logits.size() / labels.size();
    double total = 0;
    for (std::size_t n = 0; n < labels.size(); ++n) {
        double sum = 0;
        for (std::size_t c = 0; c < classes; ++c) sum += std::exp(double{logits[n * classes + c]});
        for (std::size_t c = 0; c < classes; ++c) {
            const double own = (c == labels[n] ? share : 0) + (c == labels[labels.size() - 1 - n] ? 1 - share : 0);
            const double target = smoothing / static_cast<double>(classes) + (1 - smoothing) * own;
            total -= target * (double{logits[n * classes + c]} - std::log(sum));
        }
    }
    return total / static_cast<double>(labels.size());
}

} // namespace

TEST_CASE("equal logits give the logarithm of the number of classes, and a gradient that pulls to the label") {
    const std::vector<float> logits(4, 3.0f);
    const labels_of labels = {2};
    std::vector<float> gradient(4);
    const fqt::loss_result loss = fqt::cross_entropy(logits, labels, gradient);
    CHECK(loss.value == Approx(std::log(4.0)).epsilon(1e-7));
    CHECK(loss.correct == 0); // of equal logits the lowest class is the answer
    CHECK(loss.gradient.data() == gradient.data());
    CHECK(gradient == std::vector<float>{0.25f, 0.25f, -0.75f, 0.25f});
}

TEST_CASE("the loss is the mean over samples and agrees with its definition, smoothed and mixed") {
    const std::vector<float> logits = {1.0f, -2.0f, 0.5f, 0.0f, 4.0f, -1.0f, -3.0f, -3.5f, -2.0f};
    const labels_of labels = {0, 1, 0};
    for (const float smoothing : {0.0f, 0.1f, 0.5f})
        for (const float share : {1.0f, 0.75f, 0.0f}) {
            std::vector<float> gradient(logits.size());
            const auto loss =
                fqt::cross_entropy(logits, labels, gradient, {.label_smoothing = smoothing, .share = share});
            CHECK(loss.value == Approx(exact_loss(logits, labels, double{smoothing}, double{share})).epsilon(1e-6));
            CHECK(loss.correct == 2);
        }
}

TEST_CASE("the gradient is that of the loss") {
    std::vector<float> logits = {1.0f, -2.0f, 0.5f, 0.0f, 4.0f, -1.0f};
    const labels_of labels = {2, 1};
    for (const auto& [smoothing, share] : {std::pair{0.0, 1.0}, {0.2, 1.0}, {0.2, 0.25}}) {
        std::vector<float> gradient(logits.size());
        fqt::cross_entropy(logits, labels, gradient,
                           {.label_smoothing = static_cast<float>(smoothing), .share = static_cast<float>(share)});
        for (std::size_t i = 0; i < logits.size(); ++i) {
            std::vector<float> above = logits, below = logits;
            above[i] += 0x1p-8f;
            below[i] -= 0x1p-8f;
            const double slope =
                (exact_loss(above, labels, smoothing, share) - exact_loss(below, labels, smoothing, share)) / 0x1p-7;
            CHECK(double{gradient[i]} == Approx(slope).epsilon(1e-4));
        }
    }
}

TEST_CASE("far apart logits neither overflow nor lose the gradient") {
    const std::vector<float> logits = {1000.0f, -1000.0f, 0.0f};
    std::vector<float> gradient(3);
    const auto right = fqt::cross_entropy(logits, labels_of{0}, gradient);
    CHECK(right.value == 0.0f);
    CHECK(gradient == std::vector<float>{0.0f, 0.0f, 0.0f});
    const auto wrong = fqt::cross_entropy(logits, labels_of{1}, gradient);
    CHECK(wrong.value == 2000.0f);
    CHECK(gradient == std::vector<float>{1.0f, -1.0f, 0.0f});
    const float huge = std::numeric_limits<float>::max();
    CHECK(fqt::cross_entropy(std::vector<float>{huge, -huge}, labels_of{0}, {}).value == 0.0f);
}

TEST_CASE("labels tell apart more classes than a byte counts") {
    std::vector<float> logits(1000), gradient(1000);
    logits[999] = 20;
    const auto loss = fqt::cross_entropy(logits, labels_of{999}, gradient);
    CHECK(loss.correct == 1);
    CHECK(loss.value < 1e-4f);
    CHECK(fqt::cross_entropy(logits, labels_of{999 - 256}, gradient).correct == 0);
    CHECK(gradient[999 - 256] == doctest::Approx(-1));
}

TEST_CASE("an empty gradient buffer means that none is wanted") {
    const std::vector<float> logits = {0.0f, 1.0f};
    const auto loss = fqt::cross_entropy(logits, labels_of{1}, {});
    CHECK(loss.gradient.empty());
    CHECK(loss.correct == 1);
}

TEST_CASE("labels may be ints, and are checked before they are made smaller") {
    const std::vector<float> logits = {0.5f, 1.0f, -0.25f, 2.0f};
    std::vector<float> gradient(4), same(4);
    CHECK(fqt::cross_entropy(logits, std::vector<int>{1, 0}, gradient).value
          == fqt::cross_entropy(logits, labels_of{1, 0}, same).value);
    CHECK(gradient == same);
    for (const int bad : {-1, 65536})
        CHECK_THROWS_WITH_AS(fqt::cross_entropy(logits, std::vector<int>{0, bad}, gradient),
                             Contains(("label " + std::to_string(bad) + " of sample 1 is no class").c_str()),
                             fqt::error);
}

TEST_CASE("bad input to the loss is refused by name") {
    const float nan = std::numeric_limits<float>::quiet_NaN(), infinity = std::numeric_limits<float>::infinity();
    std::vector<float> gradient(6);
    const std::vector<float> good(6);
    const labels_of labels = {0, 1};
    CHECK_THROWS_WITH_AS(fqt::cross_entropy(good, labels_of{0, 3}, gradient), Contains("label 3 of sample 1"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(fqt::cross_entropy(std::vector<float>{0, 0, 0, 0, nan, 0}, labels, gradient),
                         Contains("logit 1 of sample 1 is"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::cross_entropy(std::vector<float>{0, 0, infinity, 0, 0, 0}, labels, gradient),
                         Contains("logit 2 of sample 0 is inf"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::cross_entropy(good, labels_of{}, gradient), Contains("has no labels"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::cross_entropy({}, labels, gradient), Contains("cannot be split"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::cross_entropy(std::vector<float>(5), labels, gradient), Contains("cannot be split"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(fqt::cross_entropy(std::vector<float>(4), labels, gradient),
                         Contains("buffer holds 6 values for 4"), fqt::error);
    for (const float smoothing : {-0.1f, 1.0f, nan})
        CHECK_THROWS_WITH_AS(fqt::cross_entropy(good, labels, gradient, {.label_smoothing = smoothing}),
                             Contains("label_smoothing"), fqt::error);
    for (const float share : {-0.1f, 1.1f, nan})
        CHECK_THROWS_WITH_AS(fqt::cross_entropy(good, labels, gradient, {.share = share}), Contains("share is"),
                             fqt::error);
}
