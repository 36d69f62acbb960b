// SPDX-License-Identifier: BSD-3-Clause
// Trains the quickstart's network by every published algorithm that the library has, with and without rectified batch
// normalization, and appends what it measures to a file of JSON lines. What the file has already is not run again.

#include "study.hpp"
#include <cstdio>
#include <cstring>
#include <fstream>
#include <set>
#include <string>

#if __has_include(<fqt/io/fashion_mnist.hpp>)
#include <fqt/io/fashion_mnist.hpp>
#endif

namespace {

constexpr float rectified = 1e-3f;
constexpr const char* command = "examples/algorithms.sh";

fqt::train_and_test load_data(bool quick) {
    if (quick || !fqt::has_fashion_mnist()) {
        std::printf("Data: GENERATED images, ten classes of noisy waves%s. Accuracies say nothing about real images.\n",
                    quick ? ""
                          : ", since Fashion-MNIST is not installed (Debian: apt-get install dataset-fashion-mnist)");
        return fqt::split(fqt::generated_images(10, {1, 28, 28}, quick ? 640 : 24000, fqt::seed{7}),
                          quick ? 512 : 20000);
    }
    return fqt::fashion_mnist();
}

/// A line without its value, so that two measurements of one thing are equal.
std::string key_of(const std::string& line) {
    const auto value = line.find("\"value\""), unit = line.find("\"unit\"");
    return value == std::string::npos || unit == std::string::npos ? line : line.substr(0, value) + line.substr(unit);
}

struct arguments {
    int seeds = 3, epochs = 2, part = 0, parts = 1;
    bool quick = false, speed = false;
    std::string file = "algorithms.jsonl", only;
};

int run(const arguments& a) {
    auto list = study::algorithms();
    std::ranges::sort(list, {}, &study::algorithm::number);
    if (!a.only.empty() && std::ranges::count(list, a.only, &study::algorithm::name) == 0)
        fqt::fail("no algorithm is called '%s'; the first column of docs/algorithms.md has the names", a.only.c_str());
    if (a.seeds < 1) fqt::fail("--seeds takes how many, 1 or more");
    const fqt::train_and_test data = load_data(a.quick);

    std::set<std::string> done;
    std::ifstream before(a.quick ? "" : a.file); // a quick run is for trying out, and always runs
    for (std::string line; std::getline(before, line);) done.insert(key_of(line + "\n"));
    fqt::record_file records(a.file);

    const std::string run = a.quick ? "quick" : fqt::has_fashion_mnist() ? "fashion-mnist" : "generated images";
    const auto record_of = [&](const study::algorithm& one, bool is_rectified, std::uint64_t seed) {
        return fqt::record{.run = run,
                           .suite = is_rectified ? "rectified" : "plain",
                           .name = one.name,
                           .metric = "test accuracy",
                           .unit = "share",
                           .seed = seed,
                           .threads = 0, // any number: the bits are the same
                           .command = command};
    };
    int number = 0;
    for (int seed = 1; seed <= (a.speed ? 0 : a.seeds); ++seed)
        for (const study::algorithm& one : list)
            for (const bool is_rectified : {false, true}) {
                if (!a.only.empty() && a.only != one.name) continue;
                if (number++ % a.parts != a.part) continue;
                fqt::record result = record_of(one, is_rectified, static_cast<std::uint64_t>(seed));
                if (done.contains(key_of(fqt::json_line(result)))) continue;
                std::printf("%-24s %-10s seed %d  ", one.name, result.suite.c_str(), seed);
                std::fflush(stdout);
                try {
                    const study::outcome o = one.train(data,
                                                       {.epochs = a.epochs,
                                                        .rectification = is_rectified ? rectified : 0,
                                                        .seed = static_cast<std::uint64_t>(seed)});
                    result.value = o.accuracy;
                    std::printf("%6.2f %%\n", 100 * o.accuracy);
                    if (seed == 1 && !is_rectified)
                        records.write(
                            {run, "plain", one.name, "memory", static_cast<double>(o.bytes), "bytes", 1, 0, command});
                } catch (const fqt::error& e) { // one that diverges is a result, too
                    result.value = 0;
                    std::printf("diverged: %s\n", e.what());
                }
                std::fflush(stdout);
                records.write(result);
            }
    if (a.speed)
        for (const study::algorithm& one : list) {
            if (!a.only.empty() && a.only != one.name) continue;
            const double ms = one.step(data);
            std::printf("%-24s %8.2f ms a step\n", one.name, ms);
            records.write({run, "plain", one.name, "training step", ms, "ms", 1, fqt::hardware_threads(),
                           std::string(command) + " --speed"});
        }
    return 0;
}

} // namespace

int main(int argc, char** argv) try {
    arguments a;
    for (int i = 1; i < argc; ++i) {
        const std::string word = argv[i];
        const auto number = [&] { return i + 1 < argc ? std::atoi(argv[++i]) : 0; };
        if (word == "--quick") a.quick = true, a.seeds = 1, a.epochs = 1;
        else if (word == "--speed") a.speed = true;
        else if (word == "--seeds") a.seeds = number();
        else if (word == "--part") a.part = number();
        else if (word == "--parts") a.parts = std::max(1, number());
        else if (word == "--only" && i + 1 < argc) a.only = argv[++i];
        else if (word == "--file" && i + 1 < argc) a.file = argv[++i];
        else {
            std::fprintf(stderr,
                         "usage: algorithms [--quick] [--speed] [--seeds N] [--only NAME] [--file FILE.jsonl] "
                         "[--part I --parts N]\n");
            return 2;
        }
    }
    return run(a);
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
