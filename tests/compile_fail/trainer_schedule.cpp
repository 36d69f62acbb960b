// SPDX-License-Identifier: BSD-3-Clause
// A trainer that is given a rate where it wants a schedule.
// expect: fqt: a trainer's schedule is called with the number of a step and returns the learning rate
#include <fqt/train/trainer.hpp>

struct network {
    static constexpr fqt::shape input{1, 4, 4}, output{3, 1, 1};
    int batch() const { return 8; }
    std::span<const float> forward(std::span<const float> images, int) { return images; }
    void backward(std::span<const float>) {}
    std::span<const float> predict(std::span<const float> images, int, int) { return images; }
};
struct optimizer {
    void step(float) {}
};

int main() {
    network net;
    optimizer unchanging;
#if FQT_FAIL
    const float rate = 0.1f;
#else
    const auto rate = [](std::int64_t) { return 0.1f; };
#endif
    fqt::trainer trainer(net, unchanging, rate, {.batch = 8});
    static_cast<void>(trainer);
}
