#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What the options of `fqt train` say, and the rectifiers, schedules and weight laws that they name.

#include <fqt/fqt.hpp>

#include <algorithm>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace program {

/// The greatest rate of a network without batch normalization, unless one is given.
inline constexpr float rate_without_normalization = 0.02f;

struct settings {
    std::string network = "resnet20", scheme = "w8a8g4", optimizer = "sgd";
    std::string rectifier = "none"; ///< a name of rectifiers()
    float rectification = 0;        ///< its weight
    std::string data;               ///< a folder, or "fashion-mnist", "generated", "generated-grey"
    int held_out = 0;               ///< training images to test on instead of the test set; 0: none
    int train_images = 0;           ///< the first so many training images; 0: all
    int epochs = 30, batch = 128;
    float rate = 0.1f;
    std::string schedule = "one-cycle"; ///< a name of schedules()
    float momentum = 0.9f, decay = 5e-4f, decay_gamma = 0;
    bool nesterov = false;
    float label_smoothing = 0;
    float mixup = 0;                       ///< alpha of mixed pairs of images; 0: none
    int pad = -1;                          ///< of random crops; -1: 4 for colour pictures, 0 for grey ones
    bool flip = false, no_flip = false;    ///< neither: flip colour pictures
    bool scale_pictures = false;           ///< of folders, to the network's input
    int cutout = 0;                        ///< side of the square that is hidden in each picture
    std::string initialise = "he-uniform"; ///< a name of weight_laws()
    float last_gamma = 1;                  ///< of the last batch normalization of each residual block, at the beginning
    std::uint64_t seed = 1;
    int threads = 0;
    std::string run;     ///< folder of the log, the checkpoint and the report; empty: none of them
    bool resume = false; ///< go on from the folder's checkpoint
    bool quiet = false;

    std::string checkpoint() const { return run + "/checkpoint.fqt"; }
    std::string log() const { return run + "/log.jsonl"; }
    std::string report() const { return run + "/report.html"; }
};

/// Edits (insertions, deletions, changes of a letter) that make one word another (Levenshtein 1966).
inline int distance(std::string_view a, std::string_view b) {
    std::vector<int> row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) row[j] = static_cast<int>(j);
    for (std::size_t i = 1; i <= a.size(); ++i) {
        int diagonal = row[0];
        row[0] = static_cast<int>(i);
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const int changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = std::min({row[j] + 1, row[j - 1] + 1, changed});
        }
    }
    return row[b.size()];
}

/// "'w8a8g4', 'w8a8g8'": the three of `names` that are nearest to `word`.
inline std::string nearest(std::string_view word, std::vector<std::string> names) {
    std::ranges::sort(names);
    names.erase(std::unique(names.begin(), names.end()), names.end());
    std::ranges::stable_sort(names, {}, [&](const std::string& n) { return distance(word, n); });
    std::string text;
    for (std::size_t i = 0; i < std::min<std::size_t>(3, names.size()); ++i)
        text += (i == 0 ? "'" : ", '") + names[i] + "'";
    return text;
}

/// What options name, by its name.
template <class Value>
using names = std::vector<std::pair<std::string, Value>>;

template <class Value>
std::vector<std::string> words_of(const names<Value>& list) {
    std::vector<std::string> words;
    for (const auto& [word, value] : list) words.push_back(word);
    return words;
}

/// Errors: a word that is not in the list, with the nearest ones.
template <class Value>
Value named(const names<Value>& list, const std::string& word) {
    for (const auto& [key, value] : list)
        if (key == word) return value;
    fqt::fail("there is nothing called '%s'; the nearest are %s", word.c_str(), nearest(word, words_of(list)).c_str());
}

/// The rules of the rectifiers, by the names of their types without default arguments.
inline const names<fqt::rectifier_rule>& rectifiers() {
    using namespace fqt;
    static const names<rectifier_rule> list{
        {"none", nullptr},
        {"gain_energy", rule_of<gain_energy<>>},
        {"gain_energy-quantized", rule_of<gain_energy<quantized_gain>>},
        {"gain_energy-through_sigma", rule_of<gain_energy<layer_gain, through_sigma>>},
        {"gain_energy-at_block_ends", rule_of<at_block_ends<gain_energy<>>>},
        {"gain_hinge", rule_of<gain_hinge<>>},
        {"gain_hinge-quantized", rule_of<gain_hinge<quantized_gain>>},
        {"gain_crest", rule_of<gain_crest<>>},
        {"gain_crest-quantized", rule_of<gain_crest<quantized_gain>>},
        {"gain_crest-through_sigma", rule_of<gain_crest<layer_gain, through_sigma>>},
        {"even_gains", rule_of<even_gains<>>},
        {"even_gains-quantized", rule_of<even_gains<quantized_gain>>},
        {"bounded_branches", rule_of<bounded_branches<>>},
        {"unit_gain", rule_of<unit_gain<>>},
        {"unit_gain-through_sigma", rule_of<unit_gain<layer_gain, through_sigma>>},
    };
    return list;
}

inline const names<fqt::weight_law>& weight_laws() {
    static const names<fqt::weight_law> list{
        {"he-uniform", fqt::weight_law::he_uniform},
        {"he-normal", fqt::weight_law::he_normal},
        {"he-fan-out", fqt::weight_law::he_fan_out},
        {"glorot-uniform", fqt::weight_law::glorot_uniform},
    };
    return list;
}

/// The rate of each step; schedules make one from the greatest rate and the steps of the run.
using rate_rule = std::function<float(std::int64_t)>;
using schedule_maker = rate_rule (*)(float rate, std::int64_t steps);
inline const names<schedule_maker>& schedules() {
    using rule = rate_rule;
    using namespace fqt::schedule;
    static const names<schedule_maker> list{
        {"one-cycle", [](float rate, std::int64_t steps) -> rule { return one_cycle{.rate = rate, .steps = steps}; }},
        {"cosine",
         [](float rate, std::int64_t steps) -> rule {
             return cosine{.rate = rate, .steps = steps, .warmup = steps / 50};
         }},
        {"step", // to a tenth after each third
         [](float rate, std::int64_t steps) -> rule {
             return step_decay{.rate = rate, .every = std::max<std::int64_t>(1, (steps + 2) / 3)};
         }},
        {"constant", [](float rate, std::int64_t) -> rule { return constant{.rate = rate}; }},
    };
    return list;
}

inline fqt::augmentation augmentation_of(const settings& s, fqt::shape image) {
    const bool colour = image.channels == 3;
    return {.pad = s.pad >= 0 ? s.pad : (colour ? 4 : 0), .flip = s.flip || (colour && !s.no_flip), .cutout = s.cutout};
}

} // namespace program
