#pragma once
// SPDX-License-Identifier: BSD-3-Clause

#include <doctest/doctest.h>

#include "support/training.hpp"
#include <algorithm>
#include <cmath>

namespace support {

/// That a model becomes a network that learns: three steps on one batch, each with a lower loss, and finite
/// predictions.
template <const auto& Spec>
void check_steps(int samples) {
    using network = fqt::network<Spec, fqt::w8a8g4>;
    network net{fqt::seed{3}, {.batch = samples, .rectification = 1e-3f}};
    const digest::batch<network> b(samples, 0);
    const auto losses = train(net, b, 3, 0.01f);
    CAPTURE(losses[0]);
    CAPTURE(losses[1]);
    CHECK(losses[1] < losses[0]);
    CHECK(losses[2] < losses[1]);
    const auto logits = net.predict(b.images, samples);
    CHECK(std::ranges::all_of(logits, [](float z) { return std::isfinite(z); }));
}

} // namespace support
