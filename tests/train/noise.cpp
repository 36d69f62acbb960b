// SPDX-License-Identifier: BSD-3-Clause
// A report of chosen numbers as a table, as records and as a picture.

#include <fqt/train/noise.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>
#include <stdexcept>
#include <string>
#include <unistd.h>

namespace {

/// A product and a normalization, each number another one. NSR 1/4 is 6.02 dB; values of 4/4 along references of 4 have
/// the cosine <x, y> / 4 and the bias <x, y> / 4 - 1.
fqt::noise_report chosen() {
    fqt::noise_row conv;
    conv.layer = "conv", conv.kind = "conv";
    conv.added = 0.5, conv.added_dw = 0.125;
    conv.arriving = {.error = 8, .reference = 4, .value = 4, .product = 1};
    conv.h = {.error = 1, .reference = 4, .value = 4, .product = 3};
    conv.dw = {.error = 40, .reference = 4, .value = 4, .product = 2};
    conv.clipped = 0.0625, conv.zeros = 0.375, conv.head_room = 11.5;
    conv.gradient_norm = 21, conv.weight_norm = 22, conv.weight_gradient_norm = 23;
    fqt::noise_row norm;
    norm.layer = "norm", norm.kind = "batch_norm";
    norm.gain = {31, 32, 33}, norm.quantized = {34, 35, 36};
    norm.kept = 0.75, norm.gradient_norm = 41;
    norm.output_gradient = {.error = 1, .reference = 4, .value = 4, .product = 1};
    return {.rows = {conv, norm}, .samples = 7, .draws = 3, .seed = 9, .step = 5, .threads = 2};
}

/// What `write` puts into the file whose path it is given.
template <class Write>
std::string written(Write&& write) {
    const std::string path = "/tmp/fqt_noise_" + std::to_string(getpid());
    write(path);
    std::ifstream file(path);
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    std::remove(path.c_str());
    return text;
}

} // namespace

TEST_CASE("a report is printed as two tables, a number under its heading") {
    const std::string text = written([](const std::string& path) {
        std::FILE* file = std::fopen(path.c_str(), "w");
        chosen().print(file);
        std::fclose(file);
    });
    CHECK(text
          == "Gradient noise at step 5: 7 samples, mean of 3 draws\n\n"
             "product           added  added dW    NSR h'     NSR h        dB    cosine      bias    NSR dW    cosine"
             "      bias   clipped     zeros  headroom       |h|       |W|      |dW|\n"
             "conv                0.5     0.125         2      0.25      6.02      0.75     -0.25        10       0.5"
             "      -0.5    0.0625     0.375      11.5        21        22        23\n"
             "\n"
             "normalization  mean |r|   max |r|    spread   mean rs    max rs    spread      kept    NSR dy        dB"
             "    cosine      bias      |dy|\n"
             "norm                 31        32        33        34        35        36      0.75      0.25      6.02"
             "      0.25     -0.75        41\n");
}

TEST_CASE("a report that cannot be printed is refused, not lost") {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> full(std::fopen("/dev/full", "w"), &std::fclose);
    REQUIRE(full);
    CHECK_THROWS_WITH_AS(chosen().print(full.get()), doctest::Contains("cannot be written"), std::runtime_error);
}

TEST_CASE("a report is written as one record a number, with its unit, and without those that there are not") {
    fqt::noise_report report = chosen();
    report.rows[0].zeros = fqt::noise_row::none;
    const std::string text = written([&](const std::string& path) {
        fqt::record_file records(path);
        report.write(records, "a run", "a command");
    });
    const auto has = [&](const char* layer, const char* metric, double value, const char* unit) {
        return text.find(fqt::json_line({"a run", "noise", layer, metric, value, unit, 9, 2, "a command"}))
            != std::string::npos;
    };
    CHECK(has("conv", "h noise", 0.25, "ratio"));
    CHECK(has("conv", "h cosine", 0.75, "ratio"));
    CHECK(has("conv", "dW noise", 10, "ratio"));
    CHECK(has("conv", "dW bias", -0.5, "ratio"));
    CHECK(has("conv", "arriving noise", 2, "ratio"));
    CHECK(has("conv", "added noise", 0.5, "ratio"));
    CHECK(has("conv", "added noise in dW", 0.125, "ratio"));
    CHECK(has("conv", "clipped", 0.0625, "share"));
    CHECK(has("conv", "head-room", 11.5, "bits"));
    CHECK(has("conv", "gradient norm", 21, "norm"));
    CHECK(has("conv", "weight norm", 22, "norm"));
    CHECK(has("conv", "weight gradient norm", 23, "norm"));
    CHECK(has("norm", "output gradient noise", 0.25, "ratio"));
    CHECK(has("norm", "gain mean", 31, "ratio"));
    CHECK(has("norm", "gain spread", 33, "log"));
    CHECK(has("norm", "quantized gain greatest", 35, "ratio"));
    CHECK(has("norm", "kept energy", 0.75, "share"));
    CHECK(text.find("zeros") == std::string::npos);
    CHECK(text.find("null") == std::string::npos);
}

TEST_CASE("a report is drawn with a line for each kind of noise") {
    const std::string text = written([](const std::string& path) { chosen().svg(path, "a title"); });
    for (const char* word :
         {"a title", "added by the codes of h", "accumulated in h", "in the weight gradient", ">conv<"})
        CHECK(text.find(word) != std::string::npos);
    CHECK(text.find("norm<") == std::string::npos); // products alone
    CHECK(text.ends_with("</svg>\n"));
    CHECK_THROWS_WITH_AS(fqt::noise_report{}.row("conv"), doctest::Contains("no layer 'conv'"), fqt::error);
}
