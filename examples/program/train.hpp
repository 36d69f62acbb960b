#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// program::train, compiled once for each network, scheme and optimizer by the files made from one.cpp.in.

#include "registry.hpp"
#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>

namespace program {

namespace detail {

inline double norm(std::span<const float> values) {
    double sum = 0;
    for (const float v : values) sum += double{v} * double{v};
    return std::sqrt(sum);
}

inline normalization_gains gains_of(const std::string& name, const fqt::normalization& n) {
    const auto gain = fqt::gain_facts::of(n.gamma, n.sigma);
    return {name, gain.mean, gain.greatest, gain.spread};
}

/// The images that a network takes for another class, the surest ones first, at most `most`. Counts its answers in
/// `confusion` where that is not null.
template <class Network>
std::vector<wrong_image> wrong_images(Network& net, const fqt::dataset& data, const settings& s, std::size_t most,
                                      fqt::confusion_matrix* confusion) {
    struct mistake {
        int image, label, predicted;
        double confidence;
    };
    std::vector<mistake> found;
    fqt::batches over(data, {.size = s.batch, .shuffle = false, .threads = s.threads});
    int done = 0;
    while (const auto now = over.next()) {
        const auto logits = net.predict(now->images, now->samples, done);
        done += now->samples;
        if (confusion) confusion->add(logits, now->labels);
        const auto classes = static_cast<std::size_t>(data.classes);
        for (std::size_t n = 0; n < now->labels.size(); ++n) {
            const auto row = logits.subspan(n * classes, classes);
            const int predicted = fqt::argmax(row);
            if (predicted == now->labels[n]) continue;
            double sum = 0;
            for (const float z : row) sum += std::exp(double{z} - double{row[static_cast<std::size_t>(predicted)]});
            found.push_back({static_cast<int>(now->origin[n]), now->labels[n], predicted, 1 / sum});
        }
    }
    std::ranges::stable_sort(found, std::greater<>(), &mistake::confidence);
    found.resize(std::min(found.size(), most));
    std::vector<wrong_image> images;
    for (const mistake& m : found) {
        const auto pixels = data.pixels_of(m.image);
        images.push_back({{{pixels.begin(), pixels.end()}}, m.label, m.predicted, m.confidence});
    }
    return images;
}

/// The losses of an epoch's steps, means of so many steps that at most 100 remain.
inline steps_line thinned(std::int64_t first, const std::vector<float>& losses) {
    steps_line line{first, std::max<std::int64_t>(1, (std::ssize(losses) + 99) / 100), {}};
    for (std::size_t i = 0; i < losses.size(); i += static_cast<std::size_t>(line.every)) {
        const std::size_t end = std::min(losses.size(), i + static_cast<std::size_t>(line.every));
        double sum = 0;
        for (std::size_t k = i; k < end; ++k) sum += double{losses[k]};
        line.loss.push_back(static_cast<float>(sum / static_cast<double>(end - i)));
    }
    return line;
}

/// The network as the settings say, before its first step.
template <class Network>
Network made(const settings& s) {
    Network net{fqt::seed{s.seed},
                {.batch = s.batch,
                 .threads = s.threads,
                 .rectification = s.rectification,
                 .rectifier = named(rectifiers(), s.rectifier)}};
    if (const fqt::weight_law law = named(weight_laws(), s.initialise); law != fqt::weight_law::he_uniform)
        fqt::initialise_weights(net, fqt::seed{s.seed}, law);
    if (s.last_gamma != 1 && fqt::set_last_gammas(net, s.last_gamma) == 0)
        fqt::fail(
            "--last-gamma is given, but the network '%s' has no residual blocks that end with a batch normalization; "
            "leave it out",
            s.network.c_str());
    int block_ends = 0;
    net.each_normalization([&](const auto& n) { block_ends += n.facts().closes_block; });
    if (block_ends == 0 && (s.rectifier == "bounded_branches" || s.rectifier.ends_with("-at_block_ends")))
        fqt::fail("the rectifier '%s' acts at the ends of residual blocks, and the network '%s' has none that end with "
                  "a batch normalization; choose another",
                  s.rectifier.c_str(), s.network.c_str());
    return net;
}

/// The network and optimizer of the checkpoint; the epoch with which to go on.
template <class Network, class Optimizer>
int resume(const settings& s, Network& net, Optimizer& optimizer, std::int64_t steps_per_epoch) {
    const std::string file = s.checkpoint();
    fqt::load(file, net, optimizer);
    if (net.seed_value() != s.seed)
        fqt::fail("%s was trained with seed %llu and this run has --seed %llu; give the same", file.c_str(),
                  static_cast<unsigned long long>(net.seed_value()), static_cast<unsigned long long>(s.seed));
    if (net.step() % steps_per_epoch != 0)
        fqt::fail("%s has %u steps, no whole number of epochs of %lld; give the data and batch it was trained with",
                  file.c_str(), net.step(), static_cast<long long>(steps_per_epoch));
    return static_cast<int>(net.step() / steps_per_epoch);
}

} // namespace detail

template <const auto& Spec, const auto& Scheme, class Optimizer>
outcome train(const settings& s, const fqt::train_and_test& data, const listener& listener) {
    using clock = std::chrono::steady_clock;
    const auto seconds_since = [](clock::time_point start) {
        return std::chrono::duration<double>(clock::now() - start).count();
    };
    auto net = detail::made<fqt::network<Spec, Scheme>>(s);
    auto optimizer = Optimizer::made(net, s);
    fqt::trainer_options options{.epochs = s.epochs,
                                 .batch = s.batch,
                                 .augment = augmentation_of(s, data.train.image),
                                 .label_smoothing = s.label_smoothing,
                                 .mixup = s.mixup,
                                 .seed = fqt::seed{s.seed},
                                 .threads = s.threads,
                                 .log = s.quiet ? nullptr : stderr};
    const std::int64_t steps = fqt::steps_of(data.train, options), per_epoch = steps / s.epochs;
    if (s.resume) options.first_epoch = detail::resume(s, net, optimizer, per_epoch);
    if (listener.on_start) {
        run_header known;
        known.threads = net.threads();
        known.first_epoch = options.first_epoch;
        known.steps_per_epoch = per_epoch;
        listener.on_start(known);
    }

    outcome result;
    if (options.first_epoch < s.epochs) {
        auto epoch_start = clock::now(), trained = epoch_start; // the test comes after the last step
        std::vector<float> losses;
        const auto after_step = [&](const fqt::step_facts& step) {
            losses.push_back(step.loss);
            trained = clock::now();
        };
        const auto after_epoch = [&](const fqt::epoch_facts& e) {
            const double seconds = seconds_since(epoch_start);
            epoch_line line{e.epoch, e.steps, {e.loss, e.accuracy}, e.test, double{e.learning_rate}, seconds, 0,
                            {},      {}};
            line.images_per_second =
                static_cast<double>(data.train.size()) / std::chrono::duration<double>(trained - epoch_start).count();
            net.each_parameter([&](const fqt::parameter& p) {
                if (p.kind == fqt::parameter_kind::weight)
                    line.layers.push_back({p.name.c_str(), detail::norm(p.gradient), detail::norm(p.value)});
            });
            net.each_normalization(
                [&](const auto& n) { line.normalizations.push_back(detail::gains_of(n.name().c_str(), n.facts())); });
            // The log before the checkpoint: a run that dies between them logs this epoch again.
            if (listener.on_steps) listener.on_steps(detail::thinned(e.steps - std::ssize(losses), losses));
            if (listener.on_epoch) listener.on_epoch(line);
            if (!s.run.empty()) fqt::save(s.checkpoint(), net, optimizer);
            losses.clear();
            epoch_start = clock::now();
        };
        fqt::trainer trainer{net, optimizer, Optimizer::rates(s, steps), options};
        result.history = trainer.run(data.train, data.test, after_step, after_epoch);
    }
    const auto& epochs = result.history.epochs; // the last of which has tested the network as it is now
    const fqt::evaluation test =
        epochs.empty() ? fqt::evaluate(net, data.test, s.batch, nullptr, s.threads) : *epochs.back().test;
    result.result.accuracy = test.accuracy, result.result.loss = test.loss;
    if (s.run.empty()) return result; // only a log has more of the test
    std::optional<fqt::confusion_matrix> confusion;
    if (data.test.classes <= fqt::confusion_matrix::most_classes) confusion.emplace(data.test.classes);
    result.result.wrong = detail::wrong_images(net, data.test, s, 40, confusion ? &*confusion : nullptr);
    if (confusion) result.result.confusion = counts_of(*confusion);
    return result;
}

template <const auto& Spec, const auto& Scheme>
void summarize(const settings& s, std::FILE* to) {
    auto net = detail::made<fqt::network<Spec, Scheme>>(s);
    fqt::summary(net, to);
}

template <class Optimizer>
concept has_own_rates = requires {
    requires Optimizer::own_rates;
};

template <const auto& Spec, const auto& Scheme, class Optimizer>
entry entry_of(const char* network, const char* scheme, const char* optimizer) {
    using type = fqt::network<Spec, Scheme>;
    return {network,
            scheme,
            optimizer,
            has_own_rates<Optimizer>,
            type::input,
            type::output.size(),
            type::parameters,
            type::macs,
            [](int batch, int threads) { return type::arena_bytes(batch, threads); },
            train<Spec, Scheme, Optimizer>,
            summarize<Spec, Scheme>,
            type::normalizations > 0};
}

} // namespace program
