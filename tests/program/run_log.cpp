// SPDX-License-Identifier: BSD-3-Clause
#include "../../examples/program/run_log.hpp"

#include <doctest/doctest.h>

#include "../io/files.hpp"
#include <cmath>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <unistd.h>
#include <vector>

using doctest::Contains;
using fqt_test::folder;

namespace {

program::run_header header(int first_epoch = 0) {
    return {.version = "0.1.0",
            .network = "resnet20",
            .scheme = "w8a8g4",
            .rectifier = "gain_crest",
            .optimizer = "sgd",
            .data = "a \"set\"",
            .augmentation = "flip",
            .rectification = 1e-3,
            .options = {{"rate", "0.1"}, {"batch", "128"}, {"a\tb", "\xc3\xa9"}},
            .command = "fqt train --data \"a\\b\"",
            .seed = 18446744073709551615u,
            .threads = 2,
            .epochs = 4,
            .first_epoch = first_epoch,
            .steps_per_epoch = 10,
            .parameters = 272474,
            .macs = 41000000000,
            .arena_bytes = 12345678901,
            .classes = {"cat", "dog", "<b>"},
            .image = {3, 2, 1},
            .held_out = "validation"};
}

program::epoch_line epoch(int number, double loss = 0.1) {
    return {.epoch = number,
            .steps = 10 * (number + 1),
            .train = {loss, 1.0 / 3},
            .test = number % 2 == 0 ? std::optional<fqt::evaluation>({loss + 1, 0.25}) : std::nullopt,
            .learning_rate = 0.05,
            .seconds = 1.5,
            .images_per_second = 850.25,
            .layers = {{"conv1", 0.5, 12}, {"dense", 1e-30, 3}},
            .normalizations = {{"bn1", 0.9, 2.5, 1e10}}};
}

program::result_line result() {
    return {.accuracy = 0.9125,
            .loss = 0.3,
            .confusion = {{5, 0, 1}, {0, 6, 0}, {2, 2, 2}},
            .wrong = {{{{0, 255, 1, 128, 7, 9}}, 0, 2, 0.75}, {{{1, 2, 3, 4, 5, 6}}, 2, 1, 1.0}},
            .seconds = 6.5};
}

template <class... Lines>
std::string logged(const folder& in, const Lines&... lines) {
    program::log_writer writer(in.path + "/log.jsonl");
    (writer.write(lines), ...);
    return in.path + "/log.jsonl";
}

std::string text_of(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
}

std::string file_of(const folder& in, const std::string& text) {
    return in.write("made.jsonl", {text.begin(), text.end()});
}

std::vector<int> numbers(const program::run_log& log) {
    std::vector<int> result;
    for (const program::epoch_line& e : log.epochs) result.push_back(e.epoch);
    return result;
}

/// The second line of a log that has this one.
std::string line_of(const auto& line) {
    const folder in;
    const std::string text = text_of(logged(in, header(), line));
    return text.substr(text.find('\n') + 1, text.size() - text.find('\n') - 2);
}

/// A log of a header and this line, which is damaged.
void check_refused(const std::string& line, const char* message) {
    const folder in;
    const std::string before = text_of(logged(in, header()));
    const std::string path = file_of(in, before + line + "\n" + line_of(epoch(0)) + "\n");
    CAPTURE(line);
    CHECK_THROWS_WITH_AS(program::read_log(path), Contains("made.jsonl is damaged in line 2"), fqt::error);
    CHECK_THROWS_WITH_AS(program::read_log(path), Contains(message), fqt::error);
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
}

} // namespace

TEST_CASE("a log reads back as it was written") {
    const folder in;
    const program::steps_line first{0, 2, {2.5f, 0.1f, 1e-20f}}, second{6, 2, {0.3f}};
    const program::run_log log =
        program::read_log(logged(in, header(), first, second, epoch(0), epoch(1), epoch(2), epoch(3), result()));
    CHECK(log.runs == std::vector{header()});
    CHECK(log.steps == std::vector{first, second});
    CHECK(log.epochs == std::vector{epoch(0), epoch(1), epoch(2), epoch(3)});
    REQUIRE(log.result);
    CHECK(*log.result == result());
    CHECK(log.notes.empty());
}

TEST_CASE("a line is a JSON object that begins with its kind, and a float has its own digits") {
    CHECK(line_of(program::steps_line{3, 2, {0.1f, 2}}) == R"({"kind":"steps","first":3,"every":2,"loss":[0.1,2.0]})");
    CHECK(Contains("{\"kind\":\"epoch\",\"epoch\":0,\"steps\":10,\"train\":{\"loss\":0.1,\"accuracy\":0.33333333333")
              .checkWith(doctest::String(line_of(epoch(0)).c_str())));
}

TEST_CASE("bytes of every length are base64 as RFC 4648 has it") {
    const char* expected[] = {"", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    const std::vector<std::uint8_t> text = {'f', 'o', 'o', 'b', 'a', 'r'};
    for (std::size_t n = 0; n <= 6; ++n) {
        const auto part = std::span(text).first(n);
        CHECK(program::detail::base64(part) == expected[n]);
        CHECK(program::detail::from_base64(expected[n]) == std::vector<std::uint8_t>(part.begin(), part.end()));
    }
    for (const char* wrong : {"Zg=", "Zg", "Z===", "Zm9*", "Z=9v", "===="})
        CHECK_THROWS(program::detail::from_base64(wrong));
}

TEST_CASE("what is not finite is null, and reads back as NaN") {
    const folder in;
    program::epoch_line diverged = epoch(0);
    diverged.train.loss = std::numeric_limits<double>::infinity();
    const program::run_log log = program::read_log(logged(in, header(), diverged));
    CHECK(std::isnan(log.epochs.at(0).train.loss));
}

TEST_CASE("a text that is not UTF-8 is written with replacements") {
    const folder in;
    program::run_header odd = header();
    odd.command = "a\xff b";
    CHECK(program::read_log(logged(in, odd)).run().command == "a\xef\xbf\xbd b");
}

TEST_CASE("a continuation takes the place of the epochs and steps from where it began") {
    const folder in;
    const program::steps_line across{16, 3, {1, 2, 3, 4}}, after{28, 3, {5}}, before{0, 4, {9, 8, 7, 6}};
    logged(in, header(), before, across, after, epoch(0), epoch(1), epoch(2), result());
    program::run_log log = program::read_log(logged(in, header(2), epoch(2, 0.7)));
    CHECK(log.runs == std::vector{header(), header(2)});
    CHECK(log.epochs == std::vector{epoch(0), epoch(1), epoch(2, 0.7)});
    CHECK(log.steps == std::vector{before, program::steps_line{16, 3, {1, 2}}}); // 16, 19 | 22, 25, which is anew
    CHECK(!log.result);

    log = program::read_log(logged(in, header(1)));
    CHECK(numbers(log) == std::vector{0});
    log = program::read_log(logged(in, epoch(2), epoch(1), epoch(2, 0.6)));
    CHECK(log.epochs == std::vector{epoch(0), epoch(1), epoch(2, 0.6)});
}

TEST_CASE("a run from the beginning takes the place of all that was") {
    const folder in;
    const program::run_log log =
        program::read_log(logged(in, header(), epoch(0), epoch(1), result(), header(), epoch(0)));
    CHECK(log.runs.size() == 1);
    CHECK(numbers(log) == std::vector{0});
    CHECK(!log.result);
}

TEST_CASE("a last line that was cut short is left out with a note, and cut off by the next writer") {
    const folder in;
    const std::string path = logged(in, header(), epoch(0)), whole = text_of(path);
    const std::size_t first = whole.find('\n') + 1;
    for (std::size_t size = first; size < whole.size(); ++size) {
        const std::string cut = file_of(in, whole.substr(0, size));
        const program::run_log log = program::read_log(cut);
        const bool complete = size == whole.size() - 1; // but for its newline
        CHECK(log.epochs.size() == (complete ? 1 : 0));
        CHECK(log.notes.size() == (size == first || complete ? 0 : 1));
        program::log_writer(cut).write(epoch(1));
        CHECK(numbers(program::read_log(cut)) == std::vector{1});
    }
    const std::string cut = file_of(in, whole.substr(0, first / 2));
    CHECK_THROWS_WITH_AS(program::read_log(cut), Contains("made.jsonl has no run; name a file"), fqt::error);
    program::log_writer(cut).write(header());
    CHECK(program::read_log(cut).runs == std::vector{header()});
}

TEST_CASE("other damage is refused by file and line") {
    check_refused("{\"kind\":\"epoch\",", "not JSON");
    check_refused("7", "\"kind\": no value");
    check_refused("{\"kind\":\"story\"}", "unknown kind \"story\"");
    check_refused(replaced(line_of(epoch(0)), "\"steps\":10,", ""), "\"steps\": no value");
    check_refused(replaced(line_of(epoch(0)), "\"steps\":10", "\"steps\":10.5"),
                  "\"steps\": a value that is not an int");
    check_refused(replaced(line_of(epoch(0)), "\"epoch\":0", "\"epoch\":3000000000"),
                  "\"epoch\": an integer that is out");
    for (const char* beyond : {"-1", "2147483647"})
        check_refused(replaced(line_of(epoch(0)), "\"epoch\":0", std::string("\"epoch\":") + beyond),
                      "an epoch that is out of range");
    check_refused(replaced(line_of(epoch(0)), "\"loss\":0.1", "\"loss\":\"low\""),
                  "\"train\": \"loss\": a value that is");
    check_refused(replaced(line_of(epoch(0)), "\"name\":\"bn1\"", "\"name\":1"),
                  "\"normalizations\": \"name\": a value");
    check_refused(line_of(program::steps_line{0, 0, {1}}), "steps that are out of range");
    check_refused(replaced(line_of(result()), "[5,0,1],", ""), "a confusion matrix of other classes");
    check_refused(replaced(line_of(result()), "[5,0,1]", "[5,0]"), "a confusion matrix of other classes");
    check_refused(replaced(line_of(result()), "[5,0,1]", "[5,0,-1]"), "a count below 0");
    check_refused(replaced(line_of(result()), "AP8BgAcJ", "AP8B"), "pixels of another number");
    check_refused(replaced(line_of(result()), "AP8BgAcJ", "AP8B*AcJ"), "pixels that are not base64");
    check_refused(replaced(line_of(result()), "\"predicted\":2", "\"predicted\":3"), "a class that there is not");
    check_refused(replaced(line_of(header()), "\"image\":[3,2,1]", "\"image\":[3,2]"), "an image that is not");
    check_refused(replaced(line_of(header()), "[3,2,1]", "[70000,70000,1]"), "an image of an impossible size");
}

TEST_CASE("a log begins with a run, and a continuation continues one") {
    const folder in;
    CHECK_THROWS_WITH_AS(program::read_log(file_of(in, line_of(epoch(0)) + "\n")),
                         Contains("damaged in line 1 (a line before the first \"run\")"), fqt::error);
    CHECK_THROWS_WITH_AS(program::read_log(file_of(in, line_of(header(1)) + "\n")),
                         Contains("a continuation of no run"), fqt::error);
}

TEST_CASE("a log that cannot be opened, read or written is refused by name") {
    const folder in;
    CHECK_THROWS_WITH_AS(program::read_log(in.path + "/none"), Contains("/none cannot be read (No such file"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(program::read_log(in.path), Contains("cannot be read"), fqt::error);
    CHECK_THROWS_WITH_AS(program::log_writer("/no/such/folder/x.jsonl"),
                         Contains("/no/such/folder/x.jsonl cannot be opened (No such file or directory)"), fqt::error);
    if (access("/dev/full", W_OK) == 0) {
        program::log_writer full("/dev/full");
        CHECK_THROWS_WITH_AS(full.write(epoch(0)), Contains("/dev/full cannot be written (No space left on device)"),
                             fqt::error);
    }
}

TEST_CASE("a file that is no log is not appended to") {
    const folder in;
    const program::log_writer first(in.path + "/shared.jsonl");
    CHECK_THROWS_WITH_AS(program::log_writer(in.path + "/shared.jsonl"), Contains("being written by another run"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(program::log_writer(file_of(in, "precious")), Contains("is not the log of a run"), fqt::error);
    CHECK(text_of(in.path + "/made.jsonl") == "precious");
}
