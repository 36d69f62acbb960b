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

TEST_CASE("a path that is too long is cut, not written beyond its end") {
    path p;
    for (int i = 0; i < 100; ++i) p = p / "long_name" / i;
    CHECK(p.view().size() == 95);
    CHECK(std::string(p.c_str()).size() == 95);
    CHECK(p.view().starts_with("long_name.0.long_name.1."));
}
