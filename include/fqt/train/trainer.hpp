#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The training loop: batches through a network, the loss back through it, an optimizer's step at the scheduled rate,
// and a test after each epoch. It knows networks, optimizers and schedules by what can be called on them. What it
// returns depends on no clock and no thread, so histories of equal runs compare equal.

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/random.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/train/augment.hpp>
#include <fqt/train/batches.hpp>
#include <fqt/train/dataset.hpp>
#include <fqt/train/loss.hpp>
#include <fqt/train/metrics.hpp>
#include <fqt/train/progress.hpp>

#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace fqt {

/// What the trainer calls. forward and predict take samples x (channel, y, x) and give samples x classes logits;
/// predict is also told the number of its first sample in the data set.
template <class Network>
concept trainable = requires(Network network, std::span<const float> floats, int samples) {
    { Network::input } -> std::convertible_to<shape>;
    { Network::output } -> std::convertible_to<shape>;
    { network.batch() } -> std::convertible_to<int>;
    { network.forward(floats, samples) } -> std::convertible_to<std::span<const float>>;
    network.backward(floats);
    { network.predict(floats, samples, samples) } -> std::convertible_to<std::span<const float>>;
};

struct trainer_options {
    int epochs = 1;         ///< at which the run ends, at least 1
    int first_epoch = 0;    ///< > 0 continues a run: order, augmentation and schedule go on as if never interrupted
    int batch = 128;        ///< samples, 1 to the network's planned batch
    bool drop_last = false; ///< leave out an epoch's last batch where it is smaller
    augmentation augment{};
    float label_smoothing = 0; ///< 0 <= s < 1
    float mixup = 0; ///< alpha, 0 (none) or 1e-3 to 4 (mixup.hpp); right answers are counted by a picture's own label
    /// Weight of the rectifiers' loss at each step: any schedule, or weight(step) of your own. Empty: it stays as the
    /// network has it.
    std::function<float(std::int64_t)> rectification{};
    fqt::seed seed{};        ///< of order and augmentation
    int evaluate_every = 1;  ///< test after so many epochs, and after the last; 0: never
    int threads = 0;         ///< that copy pictures; 0: as many as hardware_threads()
    bool ahead = true;       ///< prepare the next batch during a step (batches.hpp)
    std::FILE* log = stderr; ///< bar or plain lines; null: silence
};

/// Mean loss (nats) and share of right answers (0 to 1) on a whole data set.
struct evaluation {
    double loss{}, accuracy{};
    friend bool operator==(const evaluation&, const evaluation&) = default;
};

/// What a step callback is told, after the step.
struct step_facts {
    std::int64_t step{}; ///< from 0, over the whole run
    int epoch{};         ///< from 0
    float loss{};        ///< mean of the batch, before the step
    int correct{}, samples{};
    float learning_rate{};
};

/// One epoch of a history, and what an epoch callback is told.
struct epoch_facts {
    int epoch{};                    ///< from 0
    std::int64_t steps{};           ///< of the run so far
    double loss{}, accuracy{};      ///< over the training batches as they came, each before its step
    float learning_rate{};          ///< of the last step
    std::optional<evaluation> test; ///< where the epoch was followed by a test
    friend bool operator==(const epoch_facts&, const epoch_facts&) = default;
};

/// What became of a run.
struct history {
    std::vector<epoch_facts> epochs; ///< the last may be cut short, where a callback stopped the run
    bool stopped{};                  ///< by a callback
    friend bool operator==(const history&, const history&) = default;
};

/// A callback that has nothing to say.
struct no_callback {
    void operator()(const auto&) const {}
};

/// Steps of a whole run over `data`: for schedules, which need it beforehand. Errors: no epochs, those of
/// batches_per_epoch.
inline std::int64_t steps_of(source_view data, const trainer_options& options) {
    if (options.epochs < 1) fail("the run has %d epochs; it needs at least 1", options.epochs);
    return std::int64_t{options.epochs} * batches_per_epoch(data, options.batch, options.drop_last);
}

namespace detail {

template <class Network>
void check_fit(Network& network, source_view data, const char* which, int batch) {
    data.check();
    constexpr shape in = Network::input, out = Network::output;
    if (data.image() != in)
        fail("the %s set has images of %d x %d x %d and the network takes %d x %d x %d (channels, height, width); "
             "use a network for these images",
             which, data.image().channels, data.image().height, data.image().width, in.channels, in.height, in.width);
    if (data.classes() != out.size())
        fail("the %s set has %d classes and the network %d outputs; they must be equal", which, data.classes(),
             out.size());
    if (batch < 1) fail("the batch size is %d; it must be at least 1", batch);
    if (batch > static_cast<int>(network.batch()))
        fail("the batch of %d samples exceeds the %d that the network was planned for; "
             "lower it, or plan the network for more",
             batch, static_cast<int>(network.batch()));
}

/// Calls a callback that returns nothing, or whether to go on.
template <class Callback, class Facts>
bool goes_on(Callback& callback, const Facts& facts) {
    if constexpr (std::is_void_v<decltype(callback(facts))>) {
        callback(facts);
        return true;
    } else {
        return static_cast<bool>(callback(facts));
    }
}

/// Mean of losses weighted by samples, and share of right answers; summed in the order of batches.
struct tally {
    double loss{};
    std::int64_t correct{}, samples{};

    void add(const loss_result& result, int count) {
        loss += product(static_cast<double>(result.value), static_cast<double>(count));
        correct += result.correct;
        samples += count;
    }
    double mean_loss() const { return loss / static_cast<double>(samples); }
    double accuracy() const { return static_cast<double>(correct) / static_cast<double>(samples); }
};

} // namespace detail

/// Tests a network in evaluation mode on a whole data set, `batch` samples at a time, and counts its answers in
/// `confusion` where that is not null. The batch changes speed alone, not the result.
/// Errors: a data set or batch that does not fit the network, logits that are not finite.
template <trainable Network>
evaluation evaluate(Network& network, source_view data, int batch, confusion_matrix* confusion = nullptr,
                    int threads = 0) {
    detail::check_fit(network, data, "test", batch);
    batches over(data, {.size = batch, .shuffle = false, .threads = threads, .ahead = true});
    detail::tally tally;
    while (const auto now = over.next()) {
        const std::span<const float> logits =
            network.predict(now->images, now->samples, static_cast<int>(tally.samples));
        if (first_not_finite(logits) >= 0)
            fail("the network's logits on the test set are not finite; "
                 "it has diverged: lower the learning rate, or check its parameters");
        // One sample at a time, so that the order of summation does not depend on the batch.
        const auto classes = static_cast<std::size_t>(data.classes());
        for (std::size_t n = 0; n < now->labels.size(); ++n)
            tally.add(cross_entropy(logits.subspan(n * classes, classes), now->labels.subspan(n, 1), {}), 1);
        if (confusion) confusion->add(logits, now->labels);
    }
    return {tally.mean_loss(), tally.accuracy()};
}
/// The same, as many samples at a time as the network takes.
template <trainable Network>
evaluation evaluate(Network& network, source_view data) {
    return evaluate(network, data, network.batch());
}

/// Trains a network. It, and the optimizer, must outlive the trainer.
///     trainer train(network, optimizer, schedule::cosine{.rate = 0.1f, .steps = steps_of(data, options)}, options);
///     history result = train.run(data, test);
template <trainable Network, class Optimizer, class Schedule>
class trainer {
public:
    trainer(Network& network, Optimizer& optimizer, Schedule schedule, trainer_options options)
        : network_(network), optimizer_(optimizer), schedule_(std::move(schedule)), options_(std::move(options)) {}

    /// Runs epochs first_epoch to epochs - 1 over `data`, testing on `test`. on_step(step_facts) and
    /// on_epoch(epoch_facts) may return nothing, or false to end the run; one that on_step ends is tested as it then
    /// stands. Errors: no epochs, empty or unfitting data sets, sets of unequal scales, a batch larger than planned, a
    /// schedule shorter than the run or all warm-up, a loss that is not finite.
    template <class OnStep = no_callback, class OnEpoch = no_callback>
    history run(source_view data, source_view test, OnStep on_step = {}, OnEpoch on_epoch = {}) {
        return run_epochs(data, options_.evaluate_every > 0 ? &test : nullptr, on_step, on_epoch);
    }
    /// The same without a test.
    history run(source_view data) {
        no_callback silent;
        return run_epochs(data, nullptr, silent, silent);
    }

private:
    static constexpr bool has_rectification = requires(Network n) { n.set_rectification(0.0f); };
    static_assert(
        requires(Schedule & s, std::int64_t step) { static_cast<float>(s(step)); },
        "fqt: a trainer's schedule is called with the number of a step and returns the learning rate; for one rate "
        "write schedule::constant{.rate = 0.1f}");
    static_assert(
        requires(Optimizer & o, float rate) { o.step(rate); },
        "fqt: a trainer's optimizer has step(rate), which changes the network's parameters; see fqt::sgd");

    /// Tests where `test` is not null.
    template <class OnStep, class OnEpoch>
    history run_epochs(source_view data, const source_view* test, OnStep& on_step, OnEpoch& on_epoch) {
        check(data, test);
        batches over(data,
                     {.size = options_.batch,
                      .drop_last = options_.drop_last,
                      .augment = options_.augment,
                      .mixup = options_.mixup,
                      .seed = options_.seed,
                      .threads = options_.threads,
                      .ahead = options_.ahead});
        check_schedule(std::int64_t{options_.epochs} * over.per_epoch());
        gradient_.resize(static_cast<std::size_t>(options_.batch) * static_cast<std::size_t>(data.classes()));

        history result;
        progress shown(options_.log, options_.first_epoch, options_.epochs, over.per_epoch());
        std::int64_t step = std::int64_t{options_.first_epoch} * over.per_epoch();
        for (int epoch = options_.first_epoch; epoch < options_.epochs && !result.stopped; ++epoch) {
            over.start(static_cast<std::uint32_t>(epoch));
            shown.start_epoch(epoch);
            detail::tally tally;
            progress_facts facts;
            std::int64_t steps = 0;
            while (const auto batch = over.next()) {
                const step_facts now = train_on(*batch, epoch, step, tally);
                ++step;
                facts = {tally.mean_loss(), tally.accuracy(), now.learning_rate, tally.samples};
                shown.step(++steps, facts);
                if (!detail::goes_on(on_step, now)) {
                    result.stopped = true;
                    break;
                }
            }
            shown.trained();
            epoch_facts done{epoch, step, facts.loss, facts.accuracy, facts.learning_rate, std::nullopt};
            const bool last = result.stopped || epoch + 1 == options_.epochs;
            if (test && (last || (epoch + 1) % options_.evaluate_every == 0))
                done.test = evaluate(network_, *test, options_.batch, nullptr, options_.threads);
            shown.finish_epoch(facts, done.test ? done.test->accuracy : -1.0);
            result.epochs.push_back(done);
            if (!detail::goes_on(on_epoch, result.epochs.back())) result.stopped = true;
        }
        return result;
    }

    void check(source_view data, const source_view* test) {
        if (options_.epochs < 1) fail("the run has %d epochs; it needs at least 1", options_.epochs);
        if (options_.first_epoch < 0 || options_.first_epoch >= options_.epochs)
            fail("the run begins at epoch %d of %d; first_epoch must be at least 0 and below epochs",
                 options_.first_epoch, options_.epochs);
        if (options_.evaluate_every < 0)
            fail("evaluate_every is %d epochs; it must be 0 (never) or more", options_.evaluate_every);
        detail::check_fit(network_, data, "training", options_.batch);
        if (test) {
            detail::check_fit(network_, *test, "test", options_.batch);
            if (data.scale() != test->scale())
                fail("the training set and the test set have other scales, so the network would see other numbers for "
                     "the same pixel; set test.scale = train.scale");
        }
        if constexpr (!has_rectification)
            if (options_.rectification)
                fail("options.rectification is set, but this network has no set_rectification(weight); leave it empty");
    }

    /// A schedule that knows its steps must cover the run: beyond its end it would train on at its last rate, often 0.
    /// One that warms up must reach its full rate.
    void check_schedule(std::int64_t steps) const {
        if constexpr (requires { schedule_.check(); }) schedule_.check();
        if constexpr (requires { std::int64_t{schedule_.steps}; }) {
            if (schedule_.steps < steps)
                fail("the schedule covers %lld steps and the run has %lld; set its .steps to steps_of(data, options)",
                     static_cast<long long>(schedule_.steps), static_cast<long long>(steps));
        }
        if constexpr (requires { std::int64_t{schedule_.warmup}; }) {
            if (schedule_.warmup >= steps)
                fail("the schedule warms up for %lld steps and the run has %lld; a warm-up must end before the run "
                     "does",
                     static_cast<long long>(schedule_.warmup), static_cast<long long>(steps));
        }
    }

    step_facts train_on(const batch& now, int epoch, std::int64_t step, detail::tally& tally) {
        const auto rate = static_cast<float>(schedule_(step));
        if constexpr (has_rectification)
            if (options_.rectification) network_.set_rectification(options_.rectification(step));
        const std::span<const float> logits = network_.forward(now.images, now.samples);
        if (first_not_finite(logits) >= 0) refuse_loss(step, epoch, rate);
        const auto gradient = std::span(gradient_).first(logits.size());
        const loss_result loss = cross_entropy(logits, now.labels, gradient,
                                               {.label_smoothing = options_.label_smoothing, .share = now.share});
        if (!std::isfinite(loss.value)) refuse_loss(step, epoch, rate);
        network_.backward(loss.gradient);
        optimizer_.step(rate);
        tally.add(loss, now.samples);
        return {step, epoch, loss.value, loss.correct, now.samples, rate};
    }

    [[noreturn]] static void refuse_loss(std::int64_t step, int epoch, float rate) {
        fail("the loss of step %lld (epoch %d, learning rate %g) is not finite; "
             "lower the learning rate, warm it up for longer, or give the quantizers more bits",
             static_cast<long long>(step), epoch, static_cast<double>(rate));
    }

    Network& network_;
    Optimizer& optimizer_;
    Schedule schedule_;
    trainer_options options_;
    std::vector<float> gradient_;
};

} // namespace fqt
