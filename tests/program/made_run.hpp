#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A made-up run such as a ResNet-20's on small colour images, with all that a log can hold.

#include "../../examples/program/run_log.hpp"
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

namespace fqt_test {

inline program::run_header made_header() {
    return {.version = "0.1.0",
            .network = "resnet20",
            .scheme = "w8a8g4",
            .rectifier = "gain_crest",
            .optimizer = "sgd, momentum 0.9, decay 0.0001",
            .data = "CIFAR-10",
            .augmentation = "shift by up to 4 pixels, flip",
            .rectification = 1e-3,
            .options = {{"batch", "128"}, {"rate", "0.1"}, {"schedule", "one_cycle"}},
            .command = "fqt train --network resnet20 --scheme w8a8g4 --data cifar10 --epochs 15 --log run.jsonl",
            .seed = 7,
            .threads = 2,
            .epochs = 15,
            .steps_per_epoch = 391,
            .parameters = 272474,
            .macs = 40812544,
            .arena_bytes = 47185920,
            .classes = {"airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"},
            .image = {3, 32, 32}};
}

/// Between -1 and 1, from a number.
inline double noise(std::uint32_t n) {
    n = (n ^ 61 ^ n >> 16) * 9;
    n = (n ^ n >> 4) * 0x27d4eb2d;
    return static_cast<double>(n ^ n >> 15) / 2147483648.0 - 1;
}

inline program::epoch_line made_epoch(int epoch) {
    const double t = (epoch + 1) / 15.0;
    const auto n = static_cast<std::uint32_t>(1000 * epoch);
    program::epoch_line line{
        .epoch = epoch,
        .steps = 391 * (epoch + 1),
        .train = {0.25 + 1.6 * std::exp(-4 * t), 0.92 - 0.55 * std::exp(-4 * t)},
        .test = {{0.33 + 1.4 * std::exp(-4 * t) + 0.08 * noise(n), 0.89 - 0.5 * std::exp(-4 * t) + 0.02 * noise(n)}},
        .learning_rate = 0.1 * std::sin(3.1 * std::sqrt(t)),
        .seconds = 41.7 + noise(n + 1),
        .images_per_second = 1198 + 30 * noise(n + 1)};
    for (int i = 0; i < 20; ++i) {
        const std::string name = i == 0 ? "first"
            : i == 19                   ? "dense"
                                        : "block" + std::to_string((i + 1) / 2) + (i % 2 == 1 ? ".a" : ".b");
        const double wave = 0.1 * noise(n + static_cast<std::uint32_t>(i) + 2);
        line.layers.push_back({name, std::exp(-0.12 * i - 2 * t + wave), (4 + 0.5 * i) * (1 + 0.2 * t)});
        if (i < 19)
            line.normalizations.push_back({name + ".bn", std::exp(-0.6 * t + 0.08 * i + wave),
                                           std::exp(0.5 + 0.1 * i * t + wave), 0.3 + 0.02 * i * t});
    }
    return line;
}

inline program::result_line made_result() {
    program::result_line line{.accuracy = 0, .loss = 0.3521, .seconds = 641.3};
    line.confusion.assign(10, std::vector<std::int64_t>(10));
    std::int64_t right = 0;
    for (std::uint32_t label = 0; label < 10; ++label) {
        std::int64_t rest = 1000;
        for (std::uint32_t k = 0; k < 10; ++k) {
            if (k == label) continue;
            const bool alike = (label == 3 && k == 5) || (label == 5 && k == 3) || (label + k == 10 && label % 8 == 1);
            line.confusion[label][k] = std::max(0, static_cast<int>(alike ? 80 : 9 + 9 * noise(10 * label + k)));
            rest -= line.confusion[label][k];
        }
        line.confusion[label][label] = rest;
        right += rest;
    }
    line.accuracy = static_cast<double>(right) / 10000;
    for (std::uint32_t i = 0; i < 40; ++i) {
        program::wrong_image image{{}, static_cast<int>(i % 10), static_cast<int>((i * 7 + 3) % 10), 0.5 + 0.012 * i};
        for (int c = 0; c < 3; ++c)
            for (int y = 0; y < 32; ++y)
                for (int x = 0; x < 32; ++x) {
                    const double d = std::hypot(x - 16 + 5 * noise(i), y - 17 + 4 * noise(i + 50));
                    const double level = d < 9 + 3 * noise(i + 100)
                        ? 150 + 90 * noise(3 * i + static_cast<unsigned>(c))
                        : 90 + 2.5 * y + 30 * noise(7 * i + static_cast<unsigned>(c));
                    image.pixels.bytes.push_back(static_cast<std::uint8_t>(std::clamp(level, 0.0, 255.0)));
                }
        line.wrong.push_back(image);
    }
    return line;
}

/// Writes the log of the run to a file, which must not be there.
inline void write_made_log(const std::string& path) {
    program::log_writer log(path);
    log.write(made_header());
    for (int epoch = 0; epoch < 15; ++epoch) {
        program::steps_line steps{391 * epoch, 1, {}};
        for (int i = 0; i < 391; ++i) {
            const double t = (epoch + i / 391.0) / 15;
            steps.loss.push_back(static_cast<float>((0.25 + 2.05 * std::exp(-5 * t))
                                                    * (1 + 0.25 * noise(static_cast<std::uint32_t>(391 * epoch + i)))));
        }
        log.write(steps);
        log.write(made_epoch(epoch));
    }
    log.write(made_result());
}

} // namespace fqt_test
