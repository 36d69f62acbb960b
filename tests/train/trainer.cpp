// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/train/generated_images.hpp>
#include <fqt/train/schedule.hpp>
#include <fqt/train/trainer.hpp>

#include <doctest/doctest.h>

#include "linear_network.hpp"
#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <poll.h>
#include <pty.h>
#include <string>
#include <thread>
#include <unistd.h>
#include <vector>

using doctest::Contains;
namespace schedule = fqt::schedule;

namespace {

constexpr fqt::shape picture{1, 12, 12};
using network_type = fqt_test::linear_network<picture, 4>;
using optimizer_type = fqt_test::descent<network_type>;

const fqt::train_and_test& sets() {
    static const fqt::train_and_test both = fqt::split(fqt::generated_images(4, picture, 500, {1}), 400);
    return both;
}

fqt::trainer_options quiet(int epochs) { return {.epochs = epochs, .batch = 32, .seed = {5}, .log = nullptr}; }

struct run_result {
    fqt::history history;
    std::vector<float> weights, rates;
};

run_result run(fqt::trainer_options options, std::vector<float> weights = {}) {
    network_type network(64);
    if (!weights.empty()) network.weights = weights;
    optimizer_type optimizer{network};
    const schedule::cosine rate{.rate = 0.02f, .steps = fqt::steps_of(sets().train, options)};
    fqt::trainer trainer(network, optimizer, rate, options);
    fqt::history history = trainer.run(sets().train, sets().test);
    return {history, network.weights, optimizer.rates};
}

} // namespace

TEST_CASE("training lowers the loss and finds the classes") {
    const run_result result = run(quiet(5));
    const auto& epochs = result.history.epochs;
    REQUIRE(epochs.size() == 5);
    CHECK_FALSE(result.history.stopped);
    CHECK(epochs[4].loss < 0.6 * epochs[0].loss);
    CHECK(epochs[4].accuracy > 0.8);
    REQUIRE(epochs[4].test);
    CHECK(epochs[4].test->accuracy > 0.8);
    CHECK(epochs[0].steps == 13); // 400 samples in batches of 32, the last one smaller
    CHECK(epochs[4].steps == 65);
    CHECK(result.rates.size() == 65);
    CHECK(result.rates[0] == 0.02f);
    CHECK(epochs[4].learning_rate == result.rates[64]);
}

TEST_CASE("a run is the same for the same seed and any number of threads, and another for another seed") {
    fqt::trainer_options options = quiet(2);
    options.augment = {.pad = 1, .flip = true};
    options.label_smoothing = 0.1f;
    options.threads = 1;
    const run_result one = run(options);
    options.threads = 2;
    const run_result two = run(options);
    CHECK(one.history == two.history);
    CHECK(one.weights == two.weights);
    options.ahead = false;
    CHECK(run(options).weights == one.weights);
    options.mixup = 0.4f;
    const run_result mixed = run(options);
    CHECK(mixed.weights != one.weights);
    options.ahead = true;
    options.threads = 1;
    CHECK(run(options).weights == mixed.weights);
    options.seed = {6};
    CHECK(run(options).weights != mixed.weights);
}

TEST_CASE("a run has the same bits under every compiler") {
    std::uint64_t hash = 14695981039346656037u;
    for (const float weight : run(quiet(2)).weights)
        hash = (hash ^ std::bit_cast<std::uint32_t>(weight)) * 1099511628211u;
    CHECK(hash == 10572433212706105021u);
}

TEST_CASE("a run continued at an epoch ends as if never interrupted") {
    fqt::trainer_options options = quiet(4);
    options.augment = {.pad = 2};
    const run_result whole = run(options);

    network_type network(64);
    optimizer_type optimizer{network};
    const schedule::cosine rate{.rate = 0.02f, .steps = fqt::steps_of(sets().train, options)};
    fqt::trainer first(network, optimizer, rate, options);
    const auto stop_after_two = [](const fqt::epoch_facts& facts) { return facts.epoch < 1; };
    const fqt::history begun = first.run(sets().train, sets().test, fqt::no_callback{}, stop_after_two);
    CHECK(begun.stopped);
    CHECK(begun.epochs.size() == 2);

    options.first_epoch = 2;
    const run_result rest = run(options, network.weights);
    CHECK(rest.weights == whole.weights);
    REQUIRE(rest.history.epochs.size() == 2);
    CHECK(rest.history.epochs[1] == whole.history.epochs[3]);
}

TEST_CASE("a step callback sees every step and can stop the run, which is then tested") {
    network_type network(64);
    optimizer_type optimizer{network};
    fqt::trainer trainer(network, optimizer, schedule::constant{.rate = 0.01f}, quiet(3));
    std::vector<std::int64_t> steps;
    const auto on_step = [&](const fqt::step_facts& facts) {
        steps.push_back(facts.step);
        CHECK(facts.epoch == facts.step / 13);
        CHECK(facts.samples == (facts.step == 12 ? 16 : 32));
        CHECK(facts.learning_rate == 0.01f);
        return facts.step < 14;
    };
    const fqt::history history = trainer.run(sets().train, sets().test, on_step);
    CHECK(history.stopped);
    CHECK(steps.size() == 15);
    CHECK(steps.back() == 14);
    REQUIRE(history.epochs.size() == 2);
    CHECK(history.epochs[1].steps == 15);
    REQUIRE(history.epochs[1].test);
    CHECK(*history.epochs[1].test == fqt::evaluate(network, sets().test, 64));
}

TEST_CASE("the rectifiers' weight follows its schedule, and stays where none is given") {
    fqt_test::told_network<picture, 4> network(64);
    fqt_test::descent<decltype(network)> optimizer{network};
    const auto train = [&](fqt::trainer_options options) {
        network.rectifications.clear();
        fqt::trainer(network, optimizer, schedule::constant{.rate = 0.01f}, options).run(sets().train, sets().test);
        return network.rectifications;
    };
    CHECK(train(quiet(1)).empty());
    fqt::trainer_options options = quiet(2);
    options.rectification = [](std::int64_t step) { return 0.5f * static_cast<float>(step); };
    std::vector<float> expected;
    for (int step = 0; step < 26; ++step) expected.push_back(0.5f * static_cast<float>(step));
    CHECK(train(options) == expected);
    const schedule::step_decay falling{.rate = 0.1f, .every = 13, .factor = 0.5f};
    options.rectification = falling;
    CHECK(train(options).back() == falling(25));
}

TEST_CASE("callbacks may return nothing, and tests may be rare or left out") {
    network_type network(64);
    optimizer_type optimizer{network};
    fqt::trainer_options options = quiet(5);
    options.evaluate_every = 2;
    options.drop_last = true;
    int steps = 0, epochs = 0;
    fqt::trainer trainer(
        network, optimizer, [](std::int64_t) { return 0.01f; }, options);
    const auto history = trainer.run(
        sets().train, sets().test, [&](const fqt::step_facts& facts) { steps += facts.samples == 32; },
        [&](const fqt::epoch_facts&) { ++epochs; });
    CHECK(steps == 60);
    CHECK(epochs == 5);
    for (int e = 0; e < 5; ++e)
        CHECK(history.epochs[static_cast<std::size_t>(e)].test.has_value() == (e == 1 || e == 3 || e == 4));
    options.evaluate_every = 0;
    fqt::trainer untested(network, optimizer, schedule::constant{.rate = 0.01f}, options);
    CHECK_FALSE(untested.run(sets().train, fqt::dataset{}).epochs.back().test);
    options.evaluate_every = 1;
    fqt::trainer without_test_set(network, optimizer, schedule::constant{.rate = 0.01f}, options);
    CHECK_FALSE(without_test_set.run(sets().train).epochs.back().test);
}

TEST_CASE("augmentation and label smoothing each reach the training") {
    const std::vector<float> plain = run(quiet(1)).weights;
    fqt::trainer_options options = quiet(1);
    options.augment = {.flip = true};
    const std::vector<float> mirrored = run(options).weights;
    CHECK(mirrored != plain);
    options.augment = {.pad = 1};
    CHECK(run(options).weights != plain);
    CHECK(run(options).weights != mirrored);
    options = quiet(1);
    options.label_smoothing = 0.2f;
    CHECK(run(options).weights != plain);
}

TEST_CASE("an epoch's loss and accuracy are those of its samples, also where the last batch is smaller") {
    network_type network(64);
    optimizer_type optimizer{network};
    fqt::trainer trainer(network, optimizer, schedule::constant{.rate = 0.01f}, quiet(1));
    double loss = 0;
    std::int64_t correct = 0, samples = 0;
    const auto history = trainer.run(sets().train, sets().test, [&](const fqt::step_facts& facts) {
        loss += double{facts.loss} * facts.samples;
        correct += facts.correct;
        samples += facts.samples;
    });
    CHECK(samples == 400);
    CHECK(history.epochs[0].loss == doctest::Approx(loss / 400).epsilon(1e-12));
    CHECK(history.epochs[0].accuracy == static_cast<double>(correct) / 400);
}

TEST_CASE("evaluation is the mean cross-entropy and the share of right answers, sample by sample") {
    network_type network(64);
    network.weights = run(quiet(1)).weights;
    double loss = 0;
    int correct = 0;
    fqt::batches one_by_one(sets().test, {.size = 1, .shuffle = false});
    while (const auto now = one_by_one.next()) {
        const auto z = network.predict(now->images, 1);
        double sum = 0;
        for (const float v : z) sum += std::exp(double{v});
        loss += std::log(sum) - double{z[now->labels[0]]};
        correct += std::ranges::max_element(z) - z.begin() == now->labels[0];
    }
    network.first_samples.clear();
    const fqt::evaluation result = fqt::evaluate(network, sets().test, 32);
    CHECK(result.loss == doctest::Approx(loss / 100).epsilon(1e-6));
    CHECK(result.accuracy == correct / 100.0);
    CHECK(network.first_samples == std::vector<int>{0, 32, 64, 96});
}

TEST_CASE("evaluation does not depend on the batch, and fills a confusion matrix") {
    network_type network(64);
    network.weights = run(quiet(1)).weights;
    fqt::confusion_matrix matrix(4);
    const fqt::evaluation result = fqt::evaluate(network, sets().test, 64, &matrix);
    CHECK(matrix.samples() == 100);
    CHECK(matrix.accuracy() == result.accuracy);
    CHECK(fqt::evaluate(network, sets().test) == result);
    const fqt::evaluation other = fqt::evaluate(network, sets().test, 7);
    CHECK(other == result);
}

TEST_CASE("where the log is no terminal, each epoch is one plain line") {
    std::FILE* file = std::tmpfile();
    fqt::trainer_options options = quiet(2);
    options.log = file;
    run(options);
    std::rewind(file);
    char line[256];
    for (const char* begin : {"epoch 1/2  loss ", "epoch 2/2  loss "}) {
        REQUIRE(std::fgets(line, sizeof line, file));
        const std::string text = line;
        CHECK(text.rfind(begin, 0) == 0);
        CHECK(text.find('\r') == std::string::npos);
        CHECK(text.find("images/s") != std::string::npos);
        CHECK(text.find("test ") != std::string::npos);
    }
    CHECK_FALSE(std::fgets(line, sizeof line, file));
    std::fclose(file);
}

TEST_CASE("on a terminal a bar is drawn over, and each epoch leaves one line") {
    int master = -1, slave = -1;
    REQUIRE(openpty(&master, &slave, nullptr, nullptr, nullptr) == 0);
    std::FILE* terminal = fdopen(slave, "w");
    fqt::trainer_options options = quiet(2);
    options.log = terminal;
    network_type network(64);
    optimizer_type optimizer{network};
    fqt::trainer(network, optimizer, schedule::constant{.rate = 0.01f}, options)
        .run(sets().train, sets().test, [](const fqt::step_facts& facts) {
            if (facts.step % 7 == 0)
                std::this_thread::sleep_for(std::chrono::milliseconds(120)); // drawn at most so often
        });
    std::fflush(terminal);
    // What is written to a terminal comes out of it in parts, in its own time.
    std::string text;
    pollfd output{master, POLLIN, 0};
    while (std::ranges::count(text, '\n') < 2 && poll(&output, 1, 5000) > 0) {
        char part[4096];
        const auto count = read(master, part, sizeof part);
        if (count <= 0) break;
        text.append(part, static_cast<std::size_t>(count));
    }
    std::fclose(terminal);
    close(master);
    CHECK(text.starts_with("\r1/2 ["));
    for (const char* part : {"\r1/2 [#####", "\r2/2 ["}) CHECK(text.find(part) != std::string::npos);
    for (const char* part :
         {" acc ", " images/s lr ", " left 0:0", "\x1b[K", "\repoch 1/2  loss ", "\repoch 2/2  loss "})
        CHECK(text.find(part) != std::string::npos);
    CHECK(std::ranges::count(text, '\n') == 2);
}

TEST_CASE("runs that cannot be made are refused before the first step") {
    network_type network(64);
    optimizer_type optimizer{network};
    const auto refuses = [&](fqt::trainer_options options, const fqt::dataset& data, const fqt::dataset& test,
                             auto rate, const char* what) {
        fqt::trainer trainer(network, optimizer, rate, options);
        CHECK_THROWS_WITH_AS(trainer.run(data, test), Contains(what), fqt::error);
        CHECK(optimizer.rates.empty());
    };
    const fqt::dataset &train = sets().train, &test = sets().test;
    const schedule::constant rate{};
    refuses(quiet(0), train, test, rate, "the run has 0 epochs");
    CHECK_THROWS_WITH_AS(fqt::steps_of(train, quiet(0)), Contains("the run has 0 epochs"), fqt::error);
    fqt::trainer_options options = quiet(2);
    options.first_epoch = 2;
    refuses(options, train, test, rate, "begins at epoch 2 of 2");
    options = quiet(2);
    options.evaluate_every = -1;
    refuses(options, train, test, rate, "evaluate_every is -1");
    options = quiet(2);
    options.batch = 65;
    refuses(options, train, test, rate, "the batch of 65 samples exceeds the 64");
    options.batch = 0;
    refuses(options, train, test, rate, "batch size is 0");
    options = quiet(2);
    options.drop_last = true;
    refuses(options, train.take(10), test, rate, "the batch of 32 samples exceeds the data set of 10");
    fqt::dataset empty = test;
    empty.pixels.clear();
    empty.labels.clear();
    refuses(quiet(2), empty, test, rate, "data set is empty");
    refuses(quiet(2), train, empty, rate, "data set is empty");
    refuses(quiet(2), fqt::generated_images(4, {1, 12, 13}, 40, {1}), test, rate,
            "the training set has images of 1 x 12 x 13");
    refuses(quiet(2), train, fqt::generated_images(5, picture, 40, {1}), rate, "the test set has 5 classes");
    fqt::dataset unscaled = test;
    unscaled.scale = {};
    refuses(quiet(2), train, unscaled, rate, "other scales, so the network would see other numbers");
    refuses(quiet(2), train, test, schedule::cosine{}, "cosine.steps is 0");
    refuses(quiet(2), train, test, schedule::cosine{.steps = 25}, "covers 25 steps and the run has 26");
    refuses(quiet(2), train, test, schedule::constant{.warmup = 26}, "warms up for 26 steps and the run has 26");
    options = quiet(2);
    options.label_smoothing = 1.0f;
    refuses(options, train, test, rate, "label_smoothing is 1");
    options = quiet(2);
    options.rectification = schedule::constant{.rate = 0.1f};
    refuses(options, train, test, rate, "options.rectification is set, but this network has no");
}

TEST_CASE("a loss that is not finite is refused with its step") {
    network_type network(64);
    optimizer_type optimizer{network};
    // The third rate throws the weights to infinity, which the fourth step sees.
    const auto rate = [](std::int64_t step) { return step == 2 ? std::numeric_limits<float>::max() : 0.01f; };
    fqt::trainer trainer(network, optimizer, rate, quiet(1));
    CHECK_THROWS_WITH_AS(trainer.run(sets().train, sets().test),
                         Contains("the loss of step 3 (epoch 0, learning rate 0.01) is not finite; lower the"),
                         fqt::error);
    CHECK(optimizer.rates.size() == 3);
    // A test that meets such a network is refused as well.
    CHECK_THROWS_WITH_AS(fqt::evaluate(network, sets().test, 64), Contains("logits on the test set are not finite"),
                         fqt::error);
}
