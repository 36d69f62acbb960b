// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/core/path.hpp>

#include <doctest/doctest.h>

#include <string>

using fqt::path;

TEST_CASE("a path joins names and numbers by dots, from the outside in") {
    CHECK((path{} / "stage" / 3 / "body" / 0 / "weight").view() == "stage.3.body.0.weight");
    CHECK((path{} / 0).view() == "0");
    CHECK((path{} / 1207 / "gamma").view() == "1207.gamma");
    CHECK(std::string((path{} / "a" / "b").c_str()) == "a.b");
}

TEST_CASE("an empty name adds nothing to a path") {
    CHECK((path{} / "").view().empty());
    CHECK((path{} / "" / "a" / "" / "b").view() == "a.b");
}

TEST_CASE("a path of 95 characters is whole, and a longer one is refused") {
    const path longest = path{} / std::string(95, 'a');
    CHECK(longest.view().size() == 95);
    CHECK(std::string(longest.c_str()).size() == 95);
    CHECK_THROWS_WITH_AS(longest / "b", doctest::Contains("more than 95 characters; give the parts shorter names"),
                         fqt::error);
}
