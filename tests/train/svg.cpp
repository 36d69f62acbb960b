// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/train/svg.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace {

/// The text of each <text> with this anchor and, where asked for, its x or y.
std::vector<std::string> texts(const std::string& svg, const std::string& anchor) {
    std::vector<std::string> found;
    const std::string key = "text-anchor=\"" + anchor + "\"";
    for (std::size_t at = svg.find(key); at != std::string::npos; at = svg.find(key, at + 1)) {
        const std::size_t from = svg.find('>', at) + 1;
        found.push_back(svg.substr(from, svg.find("</text>", from) - from));
    }
    return found;
}

int count(const std::string& text, std::string_view part) {
    int n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++n;
    return n;
}

/// A plot of one line through (0, low) and (10, high), without names.
fqt::plot between(double low, double high, bool log = false) {
    fqt::plot p{.log_y = log};
    p.lines = {{.name = "", .points = {{0, low}, {10, high}}}};
    return p;
}

using names = std::vector<std::string>;

} // namespace

TEST_CASE("ticks are 1, 2 or 5 times a power of ten, in few digits and never -0") {
    CHECK(texts(between(0, 1).svg(), "end") == names{"0", "0.2", "0.4", "0.6", "0.8", "1"});
    CHECK(texts(between(-1, 1).svg(), "end") == names{"-1", "-0.5", "0", "0.5", "1"});
    CHECK(texts(between(0, 1).svg(), "middle") == names{"0", "2", "4", "6", "8", "10"});
    CHECK(texts(between(1000, 52000).svg(), "end") == names{"0", "10k", "20k", "30k", "40k", "50k"});
    CHECK(texts(between(0, 5e6).svg(), "end") == names{"0", "1M", "2M", "3M", "4M", "5M"});
    const std::string power = "10<tspan dy=\"-4\" font-size=\"9\">−5</tspan>";
    CHECK(texts(between(0, 4.1e-5).svg(), "end") == names{"0", power, "2·" + power, "3·" + power, "4·" + power});
}

TEST_CASE("ticks of logarithmic axes are powers of ten, with others where those are few") {
    const auto power = [](const std::string& e) { return "10<tspan dy=\"-4\" font-size=\"9\">" + e + "</tspan>"; };
    CHECK(texts(between(0.01, 20, true).svg(), "end") == names{"0.01", "0.1", "1", "10"});
    CHECK(texts(between(1, 60, true).svg(), "end") == names{"1", "2", "5", "10", "20", "50"});
    CHECK(texts(between(0.3, 0.45, true).svg(), "end") == names{"0.3", "0.35", "0.4", "0.45"});
    CHECK(texts(between(1e-8, 1e8, true).svg(), "end") == names{power("−6"), "0.001", "1", "1000", power("6")});
}

TEST_CASE("an axis of numbers that are not negative does not go below 0, and a constant has room") {
    CHECK(texts(between(0.001, 100).svg(), "end").front() == "0");
    CHECK(texts(between(0.5, 0.5).svg(), "end").size() >= 3);
    CHECK(texts(between(0, 0).svg(), "end").size() >= 3);
}

TEST_CASE("values that doubles hardly tell apart, or whose distance is no double, are drawn and end") {
    for (const auto& [low, high] : {std::pair{1e16, 1e16 + 2}, {-1.7e308, 1.7e308}, {5e-324, 1e-323}, {-1e-320, 0.0}}) {
        CHECK(between(low, high).svg().ends_with("</svg>\n"));
        CHECK(texts(between(low, high).svg(), "end").size() <= 12);
        CHECK(between(std::abs(low), std::abs(high) + 1e-300, true).svg().ends_with("</svg>\n"));
    }
}

TEST_CASE("what is counted has whole ticks") {
    fqt::plot p{.whole_x = true};
    p.lines = {{.name = "", .points = {{1, 1}, {2, 2}, {3, 3}}}};
    CHECK(texts(p.svg(), "middle") == names{"1", "2", "3"});
}

TEST_CASE("lines of any number have colours of their own and a place in the legend") {
    for (const std::size_t lines : {1u, 7u, 8u, 25u, 60u}) {
        fqt::plot p{.width = 560};
        for (std::size_t i = 0; i < lines; ++i)
            p.lines.push_back({.name = "block" + std::to_string(i) + ".conv", .points = {{0, 1}, {1, double(i)}}});
        const std::string svg = p.svg();
        std::set<std::string> colours, places;
        for (std::size_t at = svg.find("<path d=\"M"); at != std::string::npos; at = svg.find("<path d=\"M", at + 1)) {
            const std::size_t stroke = svg.find("stroke=\"", at) + 8;
            colours.insert(svg.substr(stroke, svg.find('"', stroke) - stroke));
            places.insert(svg.substr(at + 10, svg.find('h', at + 10) - at - 10));
            CHECK(std::atof(svg.c_str() + at + 10) < 560 - 24 - 6 * 12); // so that the name fits
        }
        CHECK(colours.size() == lines);
        CHECK(places.size() == lines);
    }
}

TEST_CASE("names below the axis are turned where they would run into each other, and thinned out where many") {
    fqt::plot p;
    p.lines = {{.name = "", .points = {{0, 1}, {1, 2}}}};
    p.x_names = {"first", "second"};
    CHECK(count(p.svg(), "rotate") == 0);
    for (int i = 0; i < 18; ++i) p.x_names.push_back("block.convolution");
    CHECK(count(p.svg(), "rotate") == 20);
    p.x_names.resize(200, "layer");
    const int shown = count(p.svg(), "rotate");
    CHECK(shown >= 25);
    CHECK(shown <= 50);
}

TEST_CASE("few points are marked, many are a line, and one that stands alone is always seen") {
    fqt::plot p;
    p.lines = {{.name = ""}};
    for (int i = 0; i < 40; ++i) p.lines[0].add(i, i);
    CHECK(count(p.svg(), "<circle") == 40);
    p.lines[0].add(40, 40);
    CHECK(count(p.svg(), "<circle") == 0);
    p.lines[0].add(41, HUGE_VAL);
    p.lines[0].add(42, 0);
    CHECK(count(p.svg(), "<circle") == 1);
    CHECK(count(p.svg(), "<polyline") == 1);
}

TEST_CASE("a document has a white background, and an element takes the page's colours") {
    fqt::plot p{.title = "\"a\" < b & c\x01"};
    CHECK(count(p.svg(), "fill=\"white\"") == 1);
    CHECK(count(p.element(), "white") == 0);
    CHECK(count(p.element(), "black") == 0);
    CHECK(count(p.element(), "aria-label=\"&quot;a&quot; &lt; b &amp; c \"") == 1);
}

TEST_CASE("a plot leaves out what an axis cannot show") {
    fqt::plot p{.title = "a < b & c", .log_y = true};
    p.lines = {{"line", {{0, 1}, {1, 0}, {2, std::nan("")}, {3, 10}, {4, 100}}}};
    const std::string svg = p.svg();
    std::size_t marks = 0;
    for (std::size_t at = svg.find("<circle"); at != std::string::npos; at = svg.find("<circle", at + 1)) ++marks;
    CHECK(marks == 3);
    CHECK(svg.find("nan") == std::string::npos);
    CHECK(svg.find("a &lt; b &amp; c") != std::string::npos);
    CHECK(fqt::plot{}.svg().ends_with("</svg>\n")); // nothing to show
    CHECK_THROWS_WITH_AS(p.write("/tmp/no such folder/plot.svg"),
                         doctest::Contains("the picture /tmp/no such folder/plot.svg cannot be written"), fqt::error);
}
