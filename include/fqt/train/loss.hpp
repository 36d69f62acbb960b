#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Softmax cross-entropy: the loss whose gradient, softmax minus target, starts every backward pass. Computed in a fixed
// order with fqt's own exp and log, because the gradient's bits decide those of all that is trained.

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/math.hpp>
#include <fqt/train/labels.hpp>
#include <fqt/train/metrics.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

namespace fqt {

struct loss_result {
    float value{};                     ///< mean over the samples, in nats
    int correct{};                     ///< samples whose greatest logit is that of the label (the lowest of equals)
    std::span<const float> gradient{}; ///< of the mean loss, samples x classes; lies in the caller's buffer
};

struct cross_entropy_options {
    /// Share s of each target that is spread evenly over all classes, 0 <= s < 1.
    float label_smoothing = 0;
    /// Share of sample n's label in its target, 0 to 1; the rest is that of the label of sample samples - 1 - n, as
    /// mixup wants it (mixup.hpp).
    float share = 1;
};

/// Softmax cross-entropy of `logits` (samples x classes) for one label a sample, and its gradient
/// (softmax - target) / samples in `gradient` (samples x classes, or empty: no gradient is written).
/// Errors: sizes that disagree, a label that is no class, logits with NaN or infinity, smoothing outside [0, 1), share
/// outside [0, 1].
inline loss_result cross_entropy(std::span<const float> logits, std::span<const class_label> labels,
                                 std::span<float> gradient, cross_entropy_options options = {}) {
    const auto classes = static_cast<std::size_t>(classes_of(logits, labels.size()));
    if (!gradient.empty() && gradient.size() != logits.size())
        fail("the gradient's buffer holds %zu values for %zu logits; make it samples x classes, or leave it empty",
             gradient.size(), logits.size());
    if (!(options.label_smoothing >= 0.0f && options.label_smoothing < 1.0f))
        fail("label_smoothing is %g; it must be at least 0 and below 1", static_cast<double>(options.label_smoothing));
    if (!(options.share >= 0.0f && options.share <= 1.0f))
        fail("share is %g; it must be 0 to 1, such as the share of a batch", static_cast<double>(options.share));
    for (std::size_t n = 0; n < labels.size(); ++n)
        if (labels[n] >= classes)
            fail("label %d of sample %zu is out of range; %zu logits for %zu labels make %zu classes, and labels must "
                 "be below that",
                 labels[n], n, logits.size(), labels.size(), classes);

    // Targets: t_c = (1 - s) (share [c = label] + rest [c = partner's label]) + s / classes.
    const double smoothing = static_cast<double>(options.label_smoothing);
    const double share = static_cast<double>(options.share), rest = 1.0 - share;
    const double off = smoothing / static_cast<double>(classes);
    const double samples = static_cast<double>(labels.size());
    loss_result result;
    double total = 0;
    for (std::size_t n = 0; n < labels.size(); ++n) {
        const std::size_t label = labels[n], partner = labels[labels.size() - 1 - n];
        const auto row = logits.subspan(n * classes, classes);
        const auto best = static_cast<std::size_t>(argmax(row));
        result.correct += best == label;
        const auto difference = [&](std::size_t c) {
            return static_cast<double>(row[c]) - static_cast<double>(row[best]);
        };
        // Differences to the greatest logit keep every exponential in (0, 1] and their sum in [1, classes].
        double sum = 0, differences = 0;
        for (std::size_t c = 0; c < classes; ++c) {
            const float exponential = math::exp(row[c] - row[best]);
            sum += static_cast<double>(exponential);
            differences += difference(c);
            if (!gradient.empty()) gradient[n * classes + c] = exponential;
        }
        // -sum over c of t_c log p_c = log(sum) - sum over c of t_c (z_c - greatest), because the targets sum to 1.
        const double chosen = product(share, difference(label)) + product(rest, difference(partner));
        const double expected = product(1.0 - smoothing, chosen) + product(off, differences);
        total += static_cast<double>(math::log(static_cast<float>(sum))) - expected;

        if (gradient.empty()) continue;
        for (std::size_t c = 0; c < classes; ++c) {
            float& g = gradient[n * classes + c];
            const double own = (c == label ? share : 0.0) + (c == partner ? rest : 0.0);
            const double target = product(1.0 - smoothing, own) + off;
            g = static_cast<float>((static_cast<double>(g) / sum - target) / samples);
        }
    }
    result.value = static_cast<float>(total / samples);
    result.gradient = gradient;
    return result;
}

/// The same for labels that are ints. Errors also: a label that no class_label holds.
inline loss_result cross_entropy(std::span<const float> logits, std::span<const int> labels, std::span<float> gradient,
                                 cross_entropy_options options = {}) {
    return cross_entropy(logits, class_labels(labels), gradient, options);
}

} // namespace fqt
