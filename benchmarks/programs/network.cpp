// SPDX-License-Identifier: BSD-3-Clause
// Times a network on one generated batch: training steps (forward, loss, backward, optimizer, all of it that trains) or
// predictions. The build names the network (NETWORK) and the scheme (SCHEME).
//
//     <network>_<scheme> train|infer <threads> <batch> <repetitions>
//
// Prints "first" and "last", the loss of the first and the last training step; "times" of each repetition in ms; bytes
// of the arena and the process's peak; in training also the ms a step of each kind of pass.
#include "networks.hpp"
#include "report.hpp"
#include <algorithm>
#include <array>
#include <cstdlib>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace {

using network = fqt::network<benchmark::NETWORK, benchmark::schemes::SCHEME>;
constexpr fqt::shape image = network::input, output = network::output;

/// Where a step's time goes. Observers are called between passes, so the time since the last call belongs to the pass
/// that the call tells of.
struct passes {
    static constexpr std::array names{"forward", "encode_h", "gradients", "rest"};
    std::array<double, names.size()> total{};
    double last = 0;

    void end(std::size_t pass) {
        const double now = benchmark::milliseconds();
        total[pass] += now - last;
        last = now;
    }
    void operator()(const fqt::observed_tensor& t) {
        if (t.what == "input" || t.what == "sums") end(0);
        else if (t.what == "input_gradient" || t.what == "weight_gradient") end(1);
        else if (t.what == "gradient") end(2);
    }
};

class trainer {
public:
    trainer(network& net, int samples)
        : net_(net), data_(fqt::generated_images(output.channels, image, samples, fqt::seed{7})),
          batches_(data_, {.size = samples, .shuffle = false}), batch_(batches_.next()),
          optimizer_(net, {.momentum = 0.9f, .decay = 1e-4f}),
          gradient_(static_cast<std::size_t>(samples) * output.channels) {}

    double step() {
        const auto loss = fqt::cross_entropy(net_.forward(images(), samples()), batch_->labels, gradient_);
        net_.backward(loss.gradient);
        optimizer_.step(0.005f);
        return double{loss.value};
    }
    /// The loss of predictions.
    double predict() { return double{fqt::cross_entropy(net_.predict(images(), samples()), batch_->labels, {}).value}; }

    std::span<const float> images() const { return batch_->images; }
    int samples() const { return static_cast<int>(batch_->labels.size()); }

private:
    network& net_;
    fqt::dataset data_;
    fqt::batches batches_;
    std::optional<fqt::batch> batch_;
    fqt::sgd<network> optimizer_;
    std::vector<float> gradient_;
};

/// Predictions must not depend on who else is in the batch.
void check_predictions(network& net, const trainer& t) {
    const auto whole = net.predict(t.images(), t.samples());
    const std::vector<float> expected(whole.begin(), whole.end());
    const std::size_t half = static_cast<std::size_t>(t.samples() / 2);
    if (half == 0) return;
    const auto logits = net.predict(t.images().subspan(0, half * image.size()), t.samples() / 2);
    if (!std::equal(logits.begin(), logits.end(), expected.begin()))
        fqt::fail("predictions of half a batch differ from those of the whole; that is a defect of fqt");
}

} // namespace

int main(int argc, char** argv) try {
    const std::string_view mode = argc == 5 ? argv[1] : "";
    if (mode != "train" && mode != "infer")
        fqt::fail("this program takes train|infer <threads> <batch> <repetitions>; see its first lines");
    const int threads = std::atoi(argv[2]), batch = std::atoi(argv[3]), repetitions = std::atoi(argv[4]);
    if (repetitions < 1) fqt::fail("%d repetitions; give 1 or more", repetitions);

    network net{fqt::seed{1}, {.batch = batch, .threads = threads, .rectification = 1e-3f}};
    trainer t(net, batch);
    const double first = t.step();
    benchmark::report report;
    if (mode == "train") {
        report.add_steps(first, 4, repetitions, [&] { return t.step(); });
    } else {
        for (int i = 0; i < 9; ++i) t.step();
        check_predictions(net, t);
        report.add_steps(first, 3, repetitions, [&] { return t.predict(); });
    }
    report.add("arena", static_cast<double>(network::arena_bytes(batch, net.threads())));
    report.add("macs", static_cast<double>(network::macs));
    if (mode == "train") {
        passes where;
        net.observe(where);
        for (int i = 0; i < repetitions; ++i) {
            where.last = benchmark::milliseconds();
            t.step();
            where.end(passes::names.size() - 1);
        }
        for (std::size_t i = 0; i < passes::names.size(); ++i)
            report.add(passes::names[i], where.total[i] / repetitions);
    }
    report.print();
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
