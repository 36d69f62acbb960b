// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/train/metrics.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

using doctest::Approx;
using doctest::Contains;

namespace {

using labels_of = std::vector<fqt::class_label>;
using strings = std::vector<std::string>;

std::string printed(const fqt::confusion_matrix& matrix, const strings& names) {
    std::FILE* file = std::tmpfile();
    matrix.print(file, names);
    std::string text(static_cast<std::size_t>(std::ftell(file)), ' ');
    std::rewind(file);
    CHECK(std::fread(text.data(), 1, text.size(), file) == text.size());
    std::fclose(file);
    return text;
}

} // namespace

TEST_CASE("argmax takes the lowest of equal values") {
    CHECK(fqt::argmax(std::vector<float>{1, 3, 3, 2}) == 1);
    CHECK(fqt::argmax(std::vector<float>{0}) == 0);
}

TEST_CASE("accuracy and top-k count labels among the greatest logits") {
    const std::vector<float> logits = {3, 2, 1, 0, /**/ 0, 1, 2, 3, /**/ 1, 1, 1, 1};
    const labels_of labels = {0, 1, 1};
    CHECK(fqt::accuracy(logits, labels) == Approx(1.0 / 3));
    CHECK(fqt::top_k(logits, labels, 2) == Approx(2.0 / 3));
    CHECK(fqt::top_k(logits, labels, 3) == 1.0);
    CHECK(fqt::top_k(logits, labels, 100) == 1.0);
}

TEST_CASE("accuracy and top-k refuse bad input") {
    const std::vector<float> logits(8);
    CHECK_THROWS_WITH_AS(fqt::accuracy(logits, labels_of{}), Contains("no labels"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::accuracy(logits, labels_of{0, 0, 0}), Contains("8 logits cannot be split over 3"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(fqt::accuracy(logits, labels_of{0, 4}), Contains("label 4 of sample 1"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::top_k(logits, labels_of{0, 0}, 0), Contains("best 0 classes"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::accuracy(std::vector<float>{1, 2, 3, std::nanf("")}, labels_of{1, 1}),
                         Contains("logit 1 of sample 1 is nan"), fqt::error);
}

TEST_CASE("a confusion matrix counts classes, recall and precision") {
    fqt::confusion_matrix matrix(3);
    CHECK(std::isnan(matrix.accuracy()));
    matrix.add(std::vector<float>{5, 0, 0, /**/ 0, 5, 0, /**/ 5, 0, 0, /**/ 0, 5, 0}, labels_of{0, 0, 0, 1});
    CHECK(matrix.count(0, 0) == 2);
    CHECK(matrix.count(0, 1) == 1);
    CHECK(matrix.samples() == 4);
    CHECK(matrix.accuracy() == 0.75);
    CHECK(matrix.recall(0) == Approx(2.0 / 3));
    CHECK(matrix.precision(0) == 1.0);
    CHECK(matrix.precision(1) == 0.5);
    CHECK(std::isnan(matrix.recall(2)));
    CHECK(std::isnan(matrix.precision(2)));
}

TEST_CASE("a confusion matrix prints as a table") {
    fqt::confusion_matrix matrix(2);
    matrix.add(0, 0);
    matrix.add(1, 0);
    CHECK(printed(matrix, {"cat", "a long name"})
          == "true class       0     1   recall precision\n"
             "  0 cat          1     0   100.00     50.00\n"
             "  1 a long n     1     0     0.00         -\n"
             "2 samples, accuracy  50.00 %\n");
    CHECK(printed(fqt::confusion_matrix(2), {}).find("0 samples, accuracy      - %") != std::string::npos);
    fqt::confusion_matrix large(100);
    large.add(99, 99);
    CHECK(printed(large, {}).find(" 99            100.00    100.00\n") != std::string::npos);
}

TEST_CASE("a confusion matrix refuses bad input") {
    fqt::confusion_matrix matrix(3);
    CHECK_THROWS_WITH_AS(fqt::confusion_matrix(0), Contains("0 classes"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::confusion_matrix(4097), Contains("4097 classes; it takes 1 to 4096"), fqt::error);
    CHECK_THROWS_WITH_AS(matrix.add(3, 0), Contains("class 3, predicted as 0"), fqt::error);
    CHECK_THROWS_WITH_AS(matrix.add(0, -1), Contains("predicted as -1"), fqt::error);
    CHECK_THROWS_WITH_AS(matrix.add(std::vector<float>(4), labels_of{0}), Contains("logits have 4 classes"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(matrix.add(std::vector<float>{0, HUGE_VALF, 0}, labels_of{0}),
                         Contains("logit 1 of sample 0 is inf"), fqt::error);
    CHECK(matrix.samples() == 0);
    const strings names = {"one"};
    CHECK_THROWS_WITH_AS(matrix.print(stderr, names), Contains("1 names"), fqt::error);
}
