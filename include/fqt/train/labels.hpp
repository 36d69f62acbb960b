#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What labels of pictures are.

#include <fqt/core/fail.hpp>

#include <cstdint>

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

} // namespace fqt
