// SPDX-License-Identifier: BSD-3-Clause
// A trainer that is given a rate where it wants a schedule.
// expect: fqt: a trainer's schedule is called with the number of a step and returns the learning rate
#include <fqt/train/trainer.hpp>

#include "train/linear_network.hpp"

using network = fqt_test::linear_network<fqt::shape{1, 4, 4}, 3>;

int main() {
    network net(8);
    fqt_test::descent<network> optimizer{net};
#if FQT_FAIL
    const float rate = 0.1f;
#else
    const auto rate = [](std::int64_t) { return 0.1f; };
#endif
    fqt::trainer trainer(net, optimizer, rate, {.batch = 8});
    static_cast<void>(trainer);
}
