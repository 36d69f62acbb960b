#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What the log of a training run consists of: a struct for each kind of line. run_log.hpp writes and reads them; this
// header needs no JSON, since every network of the program includes it.

#include <fqt/core/shape.hpp>
#include <fqt/train/metrics.hpp>
#include <fqt/train/trainer.hpp>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace program {

/// Bytes that are base64 in the log.
struct byte_string {
    std::vector<std::uint8_t> bytes{};
    friend bool operator==(const byte_string&, const byte_string&) = default;
};

// Each struct names its fields once, by fields(self, field), which calls field(key, member): the writer and the reader
// both go by that list.

/// The first line of a run, and the first of each continuation. Texts are UTF-8.
struct run_header {
    static constexpr const char* kind = "run";
    std::string version{}; ///< of fqt
    std::string network{}, scheme{}, rectifier{}, optimizer{}, data{}, augmentation{};
    double rectification{};                                     ///< weight of the rectifier's loss
    std::vector<std::pair<std::string, std::string>> options{}; ///< whatever else the run was given, in any order
    std::string command{};                                      ///< that reproduces it
    std::uint64_t seed{};
    int threads = 1;
    int epochs = 1;      ///< at which the run ends
    int first_epoch = 0; ///< > 0: continues the run above, of which this and later epochs no longer count
    std::int64_t steps_per_epoch{}, parameters{};
    std::int64_t macs{};                ///< multiplications of one sample's forward pass
    std::int64_t arena_bytes{};         ///< of the network's memory
    std::vector<std::string> classes{}; ///< one name a class, 1 to fqt::most_classes
    fqt::shape image{};                 ///< of one picture
    std::string held_out = "test";      ///< what epochs and the result are tested on: "test" or "validation"

    static void fields(auto& self, auto&& field) {
        field("version", self.version), field("network", self.network), field("scheme", self.scheme);
        field("rectifier", self.rectifier), field("rectification", self.rectification);
        field("optimizer", self.optimizer), field("data", self.data), field("augmentation", self.augmentation);
        field("options", self.options), field("command", self.command), field("seed", self.seed);
        field("threads", self.threads), field("epochs", self.epochs), field("first_epoch", self.first_epoch);
        field("steps_per_epoch", self.steps_per_epoch), field("parameters", self.parameters);
        field("macs", self.macs), field("arena_bytes", self.arena_bytes), field("classes", self.classes);
        field("image", self.image), field("held_out", self.held_out);
    }
    friend bool operator==(const run_header&, const run_header&) = default;
};

/// A layer with weights, after an epoch.
struct layer_norms {
    std::string name{};
    double gradient_norm{}, weight_norm{};

    static void fields(auto& self, auto&& field) {
        field("name", self.name), field("gradient_norm", self.gradient_norm), field("weight_norm", self.weight_norm);
    }
    friend bool operator==(const layer_norms&, const layer_norms&) = default;
};

/// The gains of a normalization's channels, after an epoch.
struct normalization_gains {
    std::string name{};
    double gain_mean{}, gain_max{}, gain_spread{};

    static void fields(auto& self, auto&& field) {
        field("name", self.name), field("gain_mean", self.gain_mean), field("gain_max", self.gain_max);
        field("gain_spread", self.gain_spread);
    }
    friend bool operator==(const normalization_gains&, const normalization_gains&) = default;
};

/// What is known after an epoch.
struct epoch_line {
    static constexpr const char* kind = "epoch";
    int epoch{};                           ///< from 0, over the whole run
    std::int64_t steps{};                  ///< of the run so far
    fqt::evaluation train{};               ///< over the training batches as they came
    std::optional<fqt::evaluation> test{}; ///< on what the header calls held out, where that was tested
    double learning_rate{};                ///< of the last step
    double seconds{};                      ///< that the epoch took, with its test
    double images_per_second{};            ///< in training
    std::vector<layer_norms> layers{};
    std::vector<normalization_gains> normalizations{};

    static void fields(auto& self, auto&& field) {
        field("epoch", self.epoch), field("steps", self.steps), field("train", self.train), field("test", self.test);
        field("learning_rate", self.learning_rate), field("seconds", self.seconds);
        field("images_per_second", self.images_per_second), field("layers", self.layers);
        field("normalizations", self.normalizations);
    }
    friend bool operator==(const epoch_line&, const epoch_line&) = default;
};

/// Losses of consecutive steps: loss[i] stands for the `every` steps from first + i * every on, as their mean or as
/// the first of them.
struct steps_line {
    static constexpr const char* kind = "steps";
    std::int64_t first{};   ///< from 0, over the whole run
    std::int64_t every = 1; ///< at least 1
    std::vector<float> loss{};

    static void fields(auto& self, auto&& field) {
        field("first", self.first), field("every", self.every), field("loss", self.loss);
    }
    friend bool operator==(const steps_line&, const steps_line&) = default;
};

/// A picture that was taken for another class.
struct wrong_image {
    byte_string pixels{}; ///< (channel, y, x) of the header's image
    int label{}, predicted{};
    double confidence{}; ///< softmax of the predicted class, 0 to 1

    static void fields(auto& self, auto&& field) {
        field("pixels", self.pixels), field("label", self.label), field("predicted", self.predicted);
        field("confidence", self.confidence);
    }
    friend bool operator==(const wrong_image&, const wrong_image&) = default;
};

/// The last line of a run that came to its end.
struct result_line {
    static constexpr const char* kind = "result";
    double accuracy{}, loss{};
    std::vector<std::vector<std::int64_t>> confusion{}; ///< a row for each true class; none if there are many
    std::vector<wrong_image> wrong{};                   ///< some of them; the program keeps up to 40
    double seconds{};                                   ///< of all epochs, with their tests

    static void fields(auto& self, auto&& field) {
        field("accuracy", self.accuracy), field("loss", self.loss), field("confusion", self.confusion);
        field("wrong", self.wrong), field("seconds", self.seconds);
    }
    friend bool operator==(const result_line&, const result_line&) = default;
};

/// The counts of a confusion matrix, as result_line has them.
inline std::vector<std::vector<std::int64_t>> counts_of(const fqt::confusion_matrix& matrix) {
    const auto classes = static_cast<std::size_t>(matrix.classes());
    std::vector<std::vector<std::int64_t>> counts(classes, std::vector<std::int64_t>(classes));
    for (int label = 0; label < matrix.classes(); ++label)
        for (int predicted = 0; predicted < matrix.classes(); ++predicted)
            counts[static_cast<std::size_t>(label)][static_cast<std::size_t>(predicted)] =
                matrix.count(label, predicted);
    return counts;
}

} // namespace program
