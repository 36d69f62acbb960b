#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What labels of pictures are.

#include <fqt/core/fail.hpp>

#include <cstdint>
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

/// A range of integers of any type as labels. Errors: one that no class_label holds.
template <class Integers>
std::vector<class_label> class_labels(const Integers& labels) {
    std::vector<class_label> result;
    for (const auto label : labels) {
        if (static_cast<unsigned long long>(label) >= most_classes) // below 0, too
            fail("label %lld of sample %zu is no class; labels are 0 to %d", static_cast<long long>(label),
                 result.size(), most_classes - 1);
        result.push_back(static_cast<class_label>(label));
    }
    return result;
}

} // namespace fqt
