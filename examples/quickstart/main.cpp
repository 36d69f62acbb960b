// SPDX-License-Identifier: BSD-3-Clause
// Trains a small ResNet on Fashion-MNIST with 8-bit weights and activations, 4-bit gradients and rectified batch
// normalization, all in integer arithmetic; then compares gradient formats, with and without rectification.

#include "resnet8.hpp"
#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>

#if __has_include(<fqt/io/fashion_mnist.hpp>)
#include <fqt/io/fashion_mnist.hpp>
#endif

// Compiled in fp32.cpp, w8a8.cpp, ...
extern template quickstart::outcome quickstart::train<fqt::fp32>(const fqt::train_and_test&, const quickstart::recipe&,
                                                                 fqt::confusion_matrix*);
extern template quickstart::outcome quickstart::train<fqt::w8a8>(const fqt::train_and_test&, const quickstart::recipe&,
                                                                 fqt::confusion_matrix*);
extern template quickstart::outcome quickstart::train<fqt::w8a8g8>(const fqt::train_and_test&,
                                                                   const quickstart::recipe&, fqt::confusion_matrix*);
extern template quickstart::outcome quickstart::train<fqt::w8a8g4>(const fqt::train_and_test&,
                                                                   const quickstart::recipe&, fqt::confusion_matrix*);
extern template quickstart::outcome quickstart::train<fqt::w8a8g2>(const fqt::train_and_test&,
                                                                   const quickstart::recipe&, fqt::confusion_matrix*);
extern template quickstart::outcome quickstart::train<fqt::w8a8_blocks<2>>(const fqt::train_and_test&,
                                                                           const quickstart::recipe&,
                                                                           fqt::confusion_matrix*);

namespace {

using quickstart::outcome;
using quickstart::recipe;
using quickstart::train;

constexpr float rectified = 1e-3f;
constexpr int seeds = 3, table_images = 20000, epochs = 4, quick_epochs = 4;

fqt::train_and_test load_data() {
    if (fqt::has_fashion_mnist()) {
        std::printf("Data: Fashion-MNIST, 60,000 training and 10,000 test images of 28 x 28 (Debian's "
                    "dataset-fashion-mnist).\n\n");
        return fqt::fashion_mnist();
    }
    std::printf("Data: Fashion-MNIST is not installed (Debian: apt-get install dataset-fashion-mnist), so these are "
                "GENERATED images:\n"
                "ten classes of noisy waves. Accuracies say nothing about real images.\n\n");
    return fqt::split(fqt::generated_images(10, {1, 28, 28}, 24000, fqt::seed{7}), 20000);
}

struct row {
    const char* name;
    outcome (*train)(const fqt::train_and_test&, const recipe&, fqt::confusion_matrix*);
    float rectification;
    std::array<double, seeds> accuracy{};

    double mean() const {
        double sum = 0;
        for (const double a : accuracy) sum += a;
        return sum / seeds;
    }
    /// Standard error of the mean over seeds.
    double error() const {
        double square = 0;
        for (const double a : accuracy) square += (a - mean()) * (a - mean());
        return std::sqrt(square / (seeds - 1) / seeds);
    }
};

/// What a difference between two rows is worth: nothing within two standard errors, those of the test set included.
const char* verdict(const row& a, const row& b, double test_images) {
    const double difference = a.mean() - b.mean();
    const double test = a.mean() * (1 - a.mean()) / test_images;
    const double error = std::sqrt(a.error() * a.error() + b.error() * b.error() + 2 * test / seeds);
    if (std::abs(difference) <= 2 * error) return "within the noise";
    return difference > 0 ? "better" : "worse";
}

void compare(const fqt::train_and_test& data, fqt::record_file& records, const std::string& command) {
    const fqt::train_and_test part{data.train.take(std::min(table_images, data.train.size())), data.test};
    std::array rows{
        row{"fp32", train<fqt::fp32>, 0},
        row{"w8a8, float gradients", train<fqt::w8a8>, 0},
        row{"w8a8, 8-bit gradients", train<fqt::w8a8g8>, 0},
        row{"w8a8, 8-bit gradients, rectified", train<fqt::w8a8g8>, rectified},
        row{"w8a8, 4-bit gradients", train<fqt::w8a8g4>, 0},
        row{"w8a8, 4-bit gradients, rectified", train<fqt::w8a8g4>, rectified},
        row{"w8a8, 2-bit gradients", train<fqt::w8a8g2>, 0},
        row{"w8a8, 2-bit gradients, rectified", train<fqt::w8a8g2>, rectified},
        row{"w8a8, 2-bit blocks", train<fqt::w8a8_blocks<2>>, 0},
        row{"w8a8, 2-bit blocks, rectified", train<fqt::w8a8_blocks<2>>, rectified},
    };
    std::printf("\nOne epoch on %d images each, %d seeds: a comparison of formats, not of what they reach when trained "
                "to the end.\n\n",
                part.train.size(), seeds);
    std::printf("%-36s %16s   %-28s %s\n", "", "test accuracy", "against fp32", "against unrectified");
    for (std::size_t i = 0; i < rows.size(); ++i) {
        row& r = rows[i];
        for (int s = 0; s < seeds; ++s) {
            const auto seed = static_cast<std::uint64_t>(s + 1);
            const outcome result = r.train(part, {.rectification = r.rectification, .seed = seed}, nullptr);
            r.accuracy[static_cast<std::size_t>(s)] = result.accuracy;
            const auto write = [&](const char* metric, double value, const char* unit) {
                records.write(
                    {"quickstart", "formats", r.name, metric, value, unit, seed, fqt::hardware_threads(), command});
            };
            write("test accuracy", result.accuracy, "share");
            write("speed with tests", result.images_per_second, "images/s");
        }
        const auto images = static_cast<double>(data.test.size());
        std::printf("%-36s %7.2f +- %4.2f %%   %-28s %s\n", r.name, 100 * r.mean(), 100 * r.error(),
                    i == 0 ? "" : verdict(r, rows[0], images),
                    r.rectification > 0 ? verdict(r, rows[i - 1], images) : "");
        std::fflush(stdout);
    }
    std::printf("\n+- is the standard error over seeds; \"within the noise\" is a difference of less than two standard "
                "errors.\n");
}

} // namespace

int main(int argc, char** argv) try {
    const bool quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
    if (argc > 1 && !quick) {
        std::fprintf(stderr, "usage: quickstart [--quick]   (--quick: 2,000 images, no table)\n");
        return 2;
    }
    const std::string command = quick ? "examples/quickstart.sh --quick" : "examples/quickstart.sh";
    fqt::train_and_test data = load_data();
    if (quick) data = {data.train.take(2000), data.test.take(1000)};
    fqt::record_file records("quickstart.jsonl");

    fqt::confusion_matrix confusion(10);
    const recipe main_run{.epochs = quick ? quick_epochs : epochs, .rectification = rectified, .log = stderr};
    const outcome result = train<fqt::w8a8g4>(data, main_run, &confusion);
    std::printf("\n");
    confusion.print(stdout, data.test.class_names);
    std::printf("\n8-bit weights and activations, 4-bit gradients, rectified: %.2f %% test accuracy after %d epoch%s, "
                "%.0f images/s\n",
                100 * result.accuracy, main_run.epochs, main_run.epochs == 1 ? "" : "s", result.images_per_second);
    records.write({"quickstart", "main", "w8a8, 4-bit gradients, rectified", "test accuracy", result.accuracy, "share",
                   main_run.seed, fqt::hardware_threads(), command});
    if (!quick) {
        const outcome baseline = train<fqt::fp32>(data, {.epochs = epochs}, nullptr);
        std::printf("the same network and recipe in fp32:                       %.2f %% test accuracy after %d epochs, "
                    "%.0f images/s\n",
                    100 * baseline.accuracy, epochs, baseline.images_per_second);
        records.write({"quickstart", "main", "fp32", "test accuracy", baseline.accuracy, "share", 1,
                       fqt::hardware_threads(), command});
        compare(data, records, command);
    }
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
