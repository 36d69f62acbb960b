// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/train/records.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <unistd.h>

using doctest::Contains;

namespace {

fqt::record sample() {
    const std::uint64_t seed = 18446744073709551615u;
    return {"first run", "accuracy", "small net", "test accuracy", 0.1, "%", seed, 2, "train --net \"a\\b\""};
}

} // namespace

TEST_CASE("a record is one line of JSON with all its keys") {
    CHECK(fqt::json_line(sample())
          == "{\"run\": \"first run\", \"suite\": \"accuracy\", \"name\": \"small net\", \"metric\": "
             "\"test accuracy\", \"value\": 0.1, \"unit\": \"%\", \"seed\": 18446744073709551615, \"threads\": 2, "
             "\"command\": \"train --net \\\"a\\\\b\\\"\"}\n");
}

TEST_CASE("numbers read back exactly, and what JSON cannot write is null") {
    const auto value = [](double v) {
        fqt::record r = sample();
        r.value = v;
        const std::string line = fqt::json_line(r);
        const std::size_t from = line.find("\"value\": ") + 9;
        return line.substr(from, line.find(',', from) - from);
    };
    for (const double v : {0.0, 1.0 / 3, -1e-300, 123456789.0, 0x1.fffffffffffffp+1023, 5e-324})
        CHECK(std::strtod(value(v).c_str(), nullptr) == v);
    CHECK(value(std::numeric_limits<double>::quiet_NaN()) == "null");
    CHECK(value(-std::numeric_limits<double>::infinity()) == "null");
}

TEST_CASE("control characters are escaped and other bytes kept") {
    fqt::record r = sample();
    r.name = "tab\t new\n line, \xc3\xa9";
    CHECK(fqt::json_line(r).find("\"tab\\u0009 new\\u000a line, \xc3\xa9\"") != std::string::npos);
}

TEST_CASE("records are appended to a file") {
    const std::string path = "/tmp/fqt_records_" + std::to_string(getpid()) + ".jsonl";
    for (int i = 0; i < 2; ++i) fqt::record_file(path).write(sample());
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    CHECK(text == fqt::json_line(sample()) + fqt::json_line(sample()));
    // A full disk has cut the last line short.
    std::ofstream(path) << "{\"run\": \"fir";
    fqt::record_file(path).write(sample());
    std::ifstream again(path);
    CHECK(std::string{std::istreambuf_iterator<char>(again), {}} == "{\"run\": \"fir\n" + fqt::json_line(sample()));
    std::remove(path.c_str());
}

TEST_CASE("a records file that cannot be opened or written is refused by name") {
    CHECK_THROWS_WITH_AS(fqt::record_file("/no/such/folder/x.jsonl"),
                         Contains("/no/such/folder/x.jsonl cannot be opened (No such file or directory)"), fqt::error);
    if (access("/dev/full", W_OK) == 0) {
        fqt::record_file full("/dev/full");
        CHECK_THROWS_WITH_AS(full.write(sample()), Contains("/dev/full cannot be written (No space left on device)"),
                             fqt::error);
    }
}
