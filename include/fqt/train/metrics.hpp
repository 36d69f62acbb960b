#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What is counted of a classifier's answers: how many are right, how many are among the k best, and which class is
// taken for which. Everything is a count, so nothing depends on an order of summation.

#include <fqt/core/fail.hpp>
#include <fqt/train/labels.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace fqt {

/// Index of the greatest value; the lowest such index where several are equal. values must not be empty.
inline int argmax(std::span<const float> values) {
    std::size_t best = 0;
    for (std::size_t i = 1; i < values.size(); ++i)
        if (values[i] > values[best]) best = i;
    return static_cast<int>(best);
}

/// Position of the first NaN or infinity, or -1.
inline std::int64_t first_not_finite(std::span<const float> values) {
    for (std::size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i])) return static_cast<std::int64_t>(i);
    return -1;
}

/// Classes of `logits` (samples x classes) for that many labels.
/// Errors: no labels, logits that are not a whole number of values for each label, logits with NaN or infinity.
inline int classes_of(std::span<const float> logits, std::size_t samples) {
    if (samples == 0) fail("the batch has no labels; give at least one sample");
    if (logits.empty() || logits.size() % samples != 0)
        fail("the %zu logits cannot be split over %zu labels; "
             "give samples x classes logits and one label for each sample",
             logits.size(), samples);
    const std::size_t classes = logits.size() / samples;
    if (const std::int64_t bad = first_not_finite(logits); bad >= 0)
        fail("logit %zu of sample %zu is %g; "
             "the network has diverged: lower the learning rate, or check its parameters",
             static_cast<std::size_t>(bad) % classes, static_cast<std::size_t>(bad) / classes,
             static_cast<double>(logits[static_cast<std::size_t>(bad)]));
    return static_cast<int>(classes);
}

/// Share of samples, 0 to 1, whose label is among the k greatest logits. logits: samples x classes; labels: one a
/// sample. Of equal logits the lower class counts as the greater. Errors: those of classes_of, a label that is no
/// class, k < 1.
inline double top_k(std::span<const float> logits, std::span<const class_label> labels, int k) {
    if (k < 1) fail("top_k is asked for the best %d classes; k must be at least 1", k);
    const auto classes = static_cast<std::size_t>(classes_of(logits, labels.size()));
    std::size_t right = 0;
    for (std::size_t n = 0; n < labels.size(); ++n) {
        const std::size_t label = labels[n];
        if (label >= classes)
            fail("label %zu of sample %zu is out of range; labels must be below %zu", label, n, classes);
        const auto row = logits.subspan(n * classes, classes);
        int better = 0;
        for (std::size_t c = 0; c < classes; ++c) better += row[c] > row[label] || (row[c] == row[label] && c < label);
        right += better < k;
    }
    return static_cast<double>(right) / static_cast<double>(labels.size());
}

/// Share of samples, 0 to 1, whose greatest logit is that of the label.
inline double accuracy(std::span<const float> logits, std::span<const class_label> labels) {
    return top_k(logits, labels, 1);
}

/// Counts of (true class, predicted class). One to `most_classes` of them, for which it holds 128 MiB.
class confusion_matrix {
public:
    static constexpr int most_classes = 4096;

    explicit confusion_matrix(int classes) : classes_(classes) {
        if (classes < 1 || classes > most_classes)
            fail("the confusion matrix has %d classes; it takes 1 to %d", classes, most_classes);
        counts_.resize(static_cast<std::size_t>(classes) * static_cast<std::size_t>(classes));
    }

    int classes() const { return classes_; }

    /// Counts one sample. Errors: a class out of range.
    void add(int label, int predicted) { ++counts_[at(label, predicted)]; }

    /// Counts a batch: logits are samples x classes, the prediction is the greatest of each row. Errors: those of
    /// classes_of, other classes than the matrix has.
    void add(std::span<const float> logits, std::span<const class_label> labels) {
        const int given = classes_of(logits, labels.size());
        if (given != classes_)
            fail("the logits have %d classes and the confusion matrix %d; make it with as many", given, classes_);
        const auto width = static_cast<std::size_t>(classes_);
        for (std::size_t n = 0; n < labels.size(); ++n) add(labels[n], argmax(logits.subspan(n * width, width)));
    }

    /// Samples of class `label` that were taken for `predicted`.
    std::int64_t count(int label, int predicted) const { return counts_[at(label, predicted)]; }

    /// Samples of class `label`, and samples taken for class `predicted`.
    std::int64_t of_class(int label) const {
        std::int64_t sum = 0;
        for (int k = 0; k < classes_; ++k) sum += count(label, k);
        return sum;
    }
    std::int64_t taken_for(int predicted) const {
        std::int64_t sum = 0;
        for (int k = 0; k < classes_; ++k) sum += count(k, predicted);
        return sum;
    }

    std::int64_t samples() const {
        std::int64_t sum = 0;
        for (const std::int64_t n : counts_) sum += n;
        return sum;
    }

    /// Share of all samples that were right; NaN where there are none.
    double accuracy() const {
        std::int64_t right = 0;
        for (int k = 0; k < classes_; ++k) right += count(k, k);
        return share(right, samples());
    }
    /// Share of the samples of class k that were found; NaN where there are none.
    double recall(int k) const { return share(count(k, k), of_class(k)); }
    /// Share of the samples taken for class k that are of it; NaN where there are none.
    double precision(int k) const { return share(count(k, k), taken_for(k)); }

    /// Prints a table: a row for each true class, a column for each prediction, then recall and precision in per cent.
    /// Above 16 classes, which no line holds, recall and precision alone. Names may be empty: numbers stand in.
    /// Errors: names that are not one for each class, a file that cannot be written.
    void print(std::FILE* file, std::span<const std::string> names = {}) const {
        if (!names.empty() && names.size() != static_cast<std::size_t>(classes_))
            fail("the confusion matrix has %d classes and %zu names; give one name a class, or none", classes_,
                 names.size());
        const bool counts = classes_ <= 16;
        std::fprintf(file, "%-12s", "true class");
        for (int k = 0; counts && k < classes_; ++k) std::fprintf(file, "%6d", k);
        std::fprintf(file, "%9s%10s\n", "recall", "precision");
        for (int k = 0; k < classes_; ++k) {
            std::fprintf(file, "%3d %-8.8s", k, names.empty() ? "" : names[static_cast<std::size_t>(k)].c_str());
            for (int other = 0; counts && other < classes_; ++other)
                std::fprintf(file, "%6lld", static_cast<long long>(count(k, other)));
            print_share(file, 9, recall(k));
            print_share(file, 10, precision(k));
            std::fputc('\n', file);
        }
        std::fprintf(file, "%lld samples, accuracy", static_cast<long long>(samples()));
        print_share(file, 7, accuracy());
        std::fputs(" %\n", file);
        if (std::fflush(file) != 0 || std::ferror(file))
            fail("a confusion matrix cannot be written; free space on the disk, or choose another file");
    }

    friend bool operator==(const confusion_matrix&, const confusion_matrix&) = default;

private:
    std::size_t at(int label, int predicted) const {
        if (label < 0 || label >= classes_ || predicted < 0 || predicted >= classes_)
            fail("class %d, predicted as %d, is out of range; the confusion matrix has %d classes", label, predicted,
                 classes_);
        return static_cast<std::size_t>(label) * static_cast<std::size_t>(classes_)
            + static_cast<std::size_t>(predicted);
    }
    static double share(std::int64_t part, std::int64_t whole) {
        if (whole == 0) return std::numeric_limits<double>::quiet_NaN();
        return static_cast<double>(part) / static_cast<double>(whole);
    }
    static void print_share(std::FILE* file, int width, double share) {
        if (share != share) std::fprintf(file, "%*s", width, "-");
        else std::fprintf(file, "%*.2f", width, 100 * share);
    }

    int classes_;
    std::vector<std::int64_t> counts_;
};

} // namespace fqt
