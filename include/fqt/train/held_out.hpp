#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Samples held out of a training set, so that choices made by looking at results leave the test set untouched.

#include <fqt/core/fail.hpp>
#include <fqt/core/random.hpp>
#include <fqt/train/batches.hpp>
#include <fqt/train/dataset.hpp>

#include <cstddef>
#include <cstdint>
#include <vector>

namespace fqt {

/// `samples` samples of `data` for testing, drawn by `seed` as an epoch's order is, and the others for training; both
/// in the order of `data`, with its classes and scale. 1 <= samples < data.size(), or an error.
inline train_and_test held_out(const dataset& data, int samples, fqt::seed seed) {
    data.check();
    if (samples < 1 || samples >= data.size())
        fail("%d samples cannot be held out of a data set of %d; both parts need a sample, so hold out 1 to %d",
             samples, data.size(), data.size() - 1);
    std::vector<std::uint32_t> order(data.labels.size());
    // An epoch that no run reaches, so that the choice has nothing to do with the order of an epoch.
    shuffled_order(seed, 0xFFFFFFFFu, order);
    std::vector<bool> chosen(order.size());
    for (std::size_t i = 0; i < static_cast<std::size_t>(samples); ++i) chosen[order[i]] = true;

    train_and_test parts;
    for (dataset* part : {&parts.train, &parts.test})
        *part = dataset{data.image, data.classes, {}, {}, data.class_names, data.scale};
    for (std::size_t n = 0; n < chosen.size(); ++n) {
        dataset& part = chosen[n] ? parts.test : parts.train;
        const auto pixels = data.pixels_of(static_cast<int>(n));
        part.pixels.insert(part.pixels.end(), pixels.begin(), pixels.end());
        part.labels.push_back(data.labels[n]);
    }
    return parts;
}

} // namespace fqt
