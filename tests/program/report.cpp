// SPDX-License-Identifier: BSD-3-Clause
#include "../../examples/program/report.hpp"

#include <doctest/doctest.h>

#include "../io/files.hpp"
#include "made_run.hpp"
#include <array>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

using doctest::Contains;

namespace {

program::run_log made_log() {
    const fqt_test::folder in;
    fqt_test::write_made_log(in.path + "/log");
    return program::read_log(in.path + "/log");
}

int count(const std::string& text, std::string_view part) {
    int n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
}

bool has(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

/// The first tag that closes what is not open, the innermost one that stays open, or "".
std::string unbalanced(const std::string& page) {
    std::vector<std::string> open;
    for (std::size_t at = page.find('<'); at != std::string::npos; at = page.find('<', at + 1)) {
        const std::size_t end = page.find('>', at);
        if (end == std::string::npos) return page.substr(at);
        const std::string tag = page.substr(at + 1, end - at - 1), name = tag.substr(0, tag.find_first_of(" \n"));
        if (name == "!DOCTYPE" || name == "meta" || name == "link" || name == "br" || name == "img") continue;
        if (tag.ends_with('/')) continue;
        if (name[0] != '/') open.push_back(name);
        else if (open.empty() || open.back() != name.substr(1)) return tag;
        else open.pop_back();
    }
    return open.empty() ? "" : open.back();
}

} // namespace

TEST_CASE("a page tells the facts and the numbers of a run") {
    const program::run_log log = made_log();
    const std::string page = program::report_of(log);
    for (const char* fact :
         {"resnet20, w8a8g4 on CIFAR-10</h1>", "gain_crest", "272,474", "40,812,544 an image", "45.0 MiB", "391",
          "3 × 32 × 32, 10 classes", "shift by up to 4 pixels, flip", "one_cycle", "fqt train --network resnet20",
          "10 min 41 s", "0.3521", "sgd, momentum 0.9, decay 0.0001"})
        CHECK_MESSAGE(has(page, fact), fact);
    CHECK(has(page, "<b>" + program::detail::percent(log.result->accuracy) + "</b>"));
    for (std::size_t label = 0; label < 10; ++label) {
        CHECK(has(page, log.run().classes[label]));
        for (const std::int64_t n : log.result->confusion[label])
            if (n > 0) CHECK(has(page, ">" + std::to_string(n) + "</td>"));
    }
    for (const program::epoch_line& e : log.epochs)
        CHECK(has(page, "<td>" + program::detail::percent(e.test->accuracy) + "</td>"));
    for (const auto& layer : log.epochs[0].layers) CHECK(count(page, "<title>" + layer.name + "</title>") == 2);
    for (const auto& n : log.epochs[0].normalizations) CHECK(count(page, "<title>" + n.name + "</title>") == 3);
    CHECK(count(page, "<svg") == 8);
    CHECK(count(page, "src=\"data:image/bmp;base64,") == 40);
}

TEST_CASE("a page is well-formed and needs nothing from elsewhere") {
    std::string page = program::report_of(made_log());
    CHECK(unbalanced(page) == "");
    CHECK(!has(page, "<script"));
    CHECK(!has(page, "nan"));
    CHECK(count(page, "http") == count(page, "xmlns=\"http://www.w3.org/2000/svg\""));
    CHECK(!has(page, "url("));
    CHECK(page.size() < 400000);
}

TEST_CASE("of many classes a page has the mistakes that are made most often instead of a matrix") {
    program::run_log log = made_log();
    constexpr std::size_t classes = 300;
    auto& counts = log.result->confusion;
    counts.assign(classes, std::vector<std::int64_t>(classes));
    log.runs.back().classes.clear();
    for (std::size_t k = 0; k < classes; ++k) {
        log.runs.back().classes.push_back("name" + std::to_string(k));
        counts[k][k] = 60;
        counts[k][(k + 1) % classes] = k % 2 ? 1 : 40;
    }
    counts[7][290] = 1234;
    const std::string page = program::report_of(log);
    CHECK(unbalanced(page) == "");
    CHECK(has(page, "301 pairs of classes"));
    CHECK(has(page, "<td>name7</td><td>name290</td><td>1,234</td><td>95.3&nbsp;%</td><td>4.6&nbsp;%</td><td>0</td>"));
    CHECK(count(page, "<td>40</td>") == 39);
    CHECK(!has(page, "class=\"confusion\""));
}

TEST_CASE("every text is escaped") {
    program::run_log log = made_log();
    const std::string evil = "<script>alert(\"&\")</script>";
    program::run_header& run = log.runs.back();
    for (std::string* text : {&run.version, &run.network, &run.scheme, &run.rectifier, &run.optimizer, &run.data,
                              &run.augmentation, &run.command, &run.held_out, &run.classes[0], &run.classes[3]})
        *text = evil;
    run.options = {{evil, evil}};
    log.notes = {evil};
    for (program::epoch_line& e : log.epochs) e.layers[0].name = e.normalizations[0].name = evil;
    const std::string page = program::report_of(log);
    CHECK(unbalanced(page) == "");
    CHECK(!has(page, "<script"));
    CHECK(!has(page, "(\""));
    CHECK(count(page, "&lt;script&gt;alert(&quot;&amp;&quot;)&lt;/script&gt;") > 20);
}

TEST_CASE("a run that has just begun, was stopped or was continued says so") {
    program::run_log log = made_log();
    log.result.reset();
    log.runs.push_back(log.run());
    log.runs.back().first_epoch = 5;
    std::string page = program::report_of(log);
    CHECK(has(page, "The log has no result"));
    CHECK(has(page, "test accuracy after epoch 15"));
    CHECK(has(page, "after epoch 5</dd>"));
    log.epochs.clear();
    log.steps.clear();
    page = program::report_of(log);
    CHECK(unbalanced(page) == "");
    CHECK(count(page, "<svg") == 0);
}

TEST_CASE("a run without tests has no curves of them, and what is not finite is left out") {
    program::run_log log = made_log();
    for (program::epoch_line& e : log.epochs) e.test.reset();
    log.epochs[3].train.loss = log.epochs[3].layers[0].gradient_norm = std::numeric_limits<double>::quiet_NaN();
    const std::string page = program::report_of(log);
    CHECK(unbalanced(page) == "");
    CHECK(!has(page, "<title>test</title>"));
    CHECK(has(page, "<title>training</title>"));
}

TEST_CASE("a picture becomes a BMP: from the lowest line, blue first, lines filled up to four bytes") {
    const std::vector<std::uint8_t> pixels = {1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16, 21, 22, 23, 24, 25, 26};
    const std::string uri = program::detail::bmp_uri(pixels, {3, 2, 3}), start = "data:image/bmp;base64,";
    REQUIRE(uri.starts_with(start));
    const std::vector<std::uint8_t> file = program::detail::from_base64(uri.substr(start.size()));
    const std::vector<std::uint8_t> expected = {
        'B', 'M', 78, 0,  0, 0,  0,  0, 0,  0,  54, 0, 0, 0, 40, 0,  0, 0,  3,  0, 0,  0,  2, 0, 0, 0,
        1,   0,   24, 0,  0, 0,  0,  0, 24, 0,  0,  0, 0, 0, 0,  0,  0, 0,  0,  0, 0,  0,  0, 0, 0, 0,
        0,   0,   24, 14, 4, 25, 15, 5, 26, 16, 6,  0, 0, 0, 21, 11, 1, 22, 12, 2, 23, 13, 3, 0, 0, 0};
    CHECK(file == expected);
    const std::string grey = program::detail::bmp_uri(std::array<std::uint8_t, 1>{7}, {1, 1, 1});
    const std::vector<std::uint8_t> one = program::detail::from_base64(grey.substr(start.size()));
    CHECK(std::vector(one.begin() + 54, one.end()) == std::vector<std::uint8_t>{7, 7, 7, 0});
}

TEST_CASE("numbers are grouped, and sizes and times have units") {
    using namespace program::detail;
    CHECK(grouped(0) == "0");
    CHECK(grouped(999) == "999");
    CHECK(grouped(1000) == "1,000");
    CHECK(grouped(-123456) == "-123,456");
    CHECK(grouped(1234567) == "1,234,567");
    CHECK(bytes(1023) == "1,023 bytes");
    CHECK(bytes(1536) == "1.5 KiB");
    CHECK(duration(5.25) == "5.2 s");
    CHECK(duration(61.4) == "1 min 1 s");
    CHECK(duration(7260) == "2 h 1 min");
}

TEST_CASE("a report is written to a file, or refused by name") {
    const fqt_test::folder in;
    const program::run_log log = made_log();
    program::write_report(log, in.path + "/page.html");
    std::ifstream file(in.path + "/page.html", std::ios::binary);
    CHECK(std::string{std::istreambuf_iterator<char>(file), {}} == program::report_of(log));
    CHECK_THROWS_WITH_AS(program::write_report(log, in.path + "/no/page.html"),
                         Contains("/no/page.html cannot be written (No such file or directory)"), fqt::error);
    CHECK_THROWS_WITH_AS(program::write_report({}, "page.html"), Contains("has no run"), fqt::error);
}
