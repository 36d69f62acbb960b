#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What labels of pictures are.

#include <fqt/core/fail.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fqt {

/// The number of a picture's class, from 0.
using class_label = std::uint16_t;

/// Classes that labels tell apart.
inline constexpr int most_classes = 65536;

/// Refuses a number of classes that is not 1 to most_classes; `what` has them, such as "the data set".
inline void check_classes(int classes, const char* what) {
    if (classes < 1 || classes > most_classes)
        fail("%s has %d classes; labels have 16 bits, so it takes 1 to %d", what, classes, most_classes);
}

/// Labels as class_label. Errors: a label below 0 or beyond most_classes.
inline std::vector<class_label> class_labels(std::span<const int> labels) {
    std::vector<class_label> result;
    result.reserve(labels.size());
    for (std::size_t n = 0; n < labels.size(); ++n) {
        if (labels[n] < 0 || labels[n] >= most_classes)
            fail("label %d of sample %zu is out of range; labels are 0 to %d", labels[n], n, most_classes - 1);
        result.push_back(static_cast<class_label>(labels[n]));
    }
    return result;
}

} // namespace fqt
