// SPDX-License-Identifier: BSD-3-Clause
// The bar's line fits a terminal of 80 columns, whatever the numbers.
#include <fqt/train/progress.hpp>

#include <doctest/doctest.h>

#include <string>

namespace {

std::string line(int epoch, int epochs, double loss, double accuracy, double rate, double left) {
    const fqt::progress_facts facts{.loss = loss, .accuracy = accuracy, .learning_rate = 0.0999f, .images = 0};
    return fqt::detail::progress_line(epoch, epochs, 300, 400, facts, rate, left);
}

} // namespace

TEST_CASE("a line has the epoch, a bar and numbers") {
    CHECK(line(2, 30, 1.25, 0.5, 1200, 125.7)
          == "3/30 [#######---] loss 1.2500 acc 50.00 % 1200 images/s lr 0.0999 left 2:06");
}

TEST_CASE("long numbers shorten the bar, and all of them are there") {
    const std::string text = line(99, 200, 12.5, 1, 12164, 7200);
    CHECK(text == "100/200 [####--] loss 12.5000 acc 100.00 % 12164 images/s lr 0.0999 left 120:00");
    CHECK(text.size() == 79);
}

TEST_CASE("longer ones are cut off") {
    CHECK(line(99999, 100000, 123456.5, 1, 1234567, 1e6).size() == 79);
    CHECK(line(0, 1, 1e300, 1, 1e300, 9e15).size() == 79);
}
