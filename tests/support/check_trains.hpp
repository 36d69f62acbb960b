#pragma once
// SPDX-License-Identifier: BSD-3-Clause

#include <doctest/doctest.h>

#include "training.hpp"

namespace support {

/// That a network trains: some steps on one small batch leave less than half of its loss, in evaluation, too.
template <const auto& Spec, const auto& Scheme = fqt::w8a8g4>
void check_trains(int steps = 40, float rate = 0.1f) {
    using network = fqt::network<Spec, Scheme>;
    network net{fqt::seed{7}, {.batch = 8, .threads = 1}};
    const digest::batch<network> b(8, 0);
    const auto losses = train(net, b, steps, rate);
    CAPTURE(losses.front());
    CHECK(losses.back() < losses.front() / 2);
    const auto logits = net.predict(b.images, 8);
    const float loss = fqt::cross_entropy(logits, b.labels, {}).value;
    CHECK(loss < losses.front() / 2);
}

} // namespace support
