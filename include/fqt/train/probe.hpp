#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A probe says where in a network gradient noise comes from, layer by layer (noise.hpp), on one batch, at any time in a
// run. It measures on two networks of its own that take over the parameters: a copy of the same scheme, and a twin with
// the same forward pass, bit for bit, whose gradients are floats. So the probed network is only read, and what it does
// afterwards has the same bits as if it had not been probed.
//
// What a draw is: stochastic roundings draw by (seed, step). The first draw is the one that the probed network itself
// would make next; others redo the backward pass with other step numbers, after the same forward pass.

#include <fqt/core/fail.hpp>
#include <fqt/network/network.hpp>
#include <fqt/quant/float_gradients.hpp>
#include <fqt/train/labels.hpp>
#include <fqt/train/loss.hpp>
#include <fqt/train/noise.hpp>
#include <fqt/train/noise_meter.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fqt {

/// What of a probe is chosen when it is made.
struct probe_options {
    int batch = 0; ///< the largest number of samples of a measurement, which memory goes with; 0: as the network's
};

/// What of a measurement is chosen.
struct noise_options {
    int draws = 4;             ///< backward passes that expectations are means of, >= 1
    float label_smoothing = 0; ///< of the loss, where labels are given
};

namespace detail {

using by_layer = std::map<std::string, std::vector<float>, std::less<>>;

/// Watches the twin: keeps the exact gradients.
struct exact_gradients {
    static constexpr bool wants_details = true;
    int threads{};
    by_layer h{}, output_gradient{};

    void operator()(const observed_tensor& t) {
        if (t.what == "weight_gradient") h[std::string(t.layer)] = values_of(t, threads);
        if (t.what == "output_gradient") output_gradient[std::string(t.layer)] = values_of(t, threads);
    }
};

/// What adds up over the draws of one layer.
struct noise_sums {
    comparison arriving{}, h{}, output_gradient{}, added{}, added_dw{};
    code_counts codes{};
    double greatest_sum = noise_row::none;
    bool has_dx = false, has_dw = false;        ///< codes of h into dX, or into dW, are shown: dW may share those of dX
    bool is_coded = false, is_coded_dw = false; ///< they are codes and not floats
};

/// Watches the copy: compares its gradients with the exact ones, and codes with what they were made of.
struct noise_watcher {
    static constexpr bool wants_details = true;
    const exact_gradients& exact;
    int threads{};
    std::map<std::string, noise_sums, std::less<>> layers{};
    std::vector<float> scale{}, unquantized{}; // of the layer that is being shown

    void operator()(const observed_tensor& t) {
        const std::string layer(t.layer);
        noise_sums& sums = layers[layer];
        if (t.what == "sums" && t.unit > 0) {
            sums.greatest_sum = largest_sum(t, threads);
        } else if (t.what == "output_gradient") {
            sums.output_gradient += compare(t, exact.output_gradient.at(layer), {}, threads);
        } else if (t.what == "weight_scale") {
            scale = values_of(t);
        } else if (t.what == "exact input_gradient" || t.what == "exact weight_gradient") {
            unquantized = values_of(t, threads);
            if (t.what == "exact input_gradient" || !sums.has_dx)
                sums.arriving += compare(t, exact.h.at(layer), scale, threads);
        } else if (t.what == "input_gradient") {
            sums.has_dx = true;
            sums.h += compare(t, exact.h.at(layer), scale, threads);
            add_codes(t, sums.added, sums.is_coded, &sums.codes);
            scale.clear();
        } else if (t.what == "weight_gradient") {
            if (!sums.has_dx) sums.h += compare(t, exact.h.at(layer), {}, threads);
            sums.has_dw = true;
            add_codes(t, sums.added_dw, sums.is_coded_dw, sums.has_dx ? nullptr : &sums.codes);
        }
    }

private:
    void add_codes(const observed_tensor& t, comparison& added, bool& has, code_counts* counts) {
        if (unquantized.empty()) return; // floats
        has = true;
        added += compare(t, unquantized, {}, threads);
        if (counts) *counts += count_codes(t, threads);
        unquantized.clear();
    }
};

inline double norm_of(std::span<const float> values) {
    double sum = 0;
    for (const float v : values) sum += double{v} * double{v};
    return std::sqrt(sum);
}

/// The gradient of every parameter, by its name.
template <class Network>
by_layer gradients_of(Network& network) {
    by_layer result;
    network.each_parameter(
        [&](const parameter& p) { result[std::string(p.name.view())].assign(p.gradient.begin(), p.gradient.end()); });
    return result;
}

} // namespace detail

/// Measures gradient noise of a network, which must outlive it.
///     fqt::probe probe{network};
///     const fqt::noise_report report = probe.measure(images, labels, {.draws = 8});
///     report.print(stdout);
template <const auto& Spec, const auto& Scheme, class Arch = arch::best>
class probe {
public:
    using network_type = network<Spec, Scheme, Arch>;
    /// The same network with gradients in floats.
    using twin_type = network<Spec, float_gradients<typename network_type::scheme_type>, Arch>;

    /// Errors: a batch below 0.
    explicit probe(network_type& subject, probe_options options = {})
        : subject_(subject), copy_(seed{subject.seed_value()}, checked(subject, options)),
          twin_(seed{subject.seed_value()}, checked(subject, options)) {
        copy_.describe([&](const description& d) {
            const std::string_view kind = d.kind;
            if (kind != "conv" && kind != "dense" && kind != "batch_norm") return;
            noise_row row;
            row.layer = d.name.view();
            row.kind = kind;
            rows_.push_back(row);
        });
    }

    /// Measures on images (sample, channel, row, column) with one label each and the cross-entropy of training. Errors:
    /// those of cross_entropy and forward, a batch larger than the probe's, fewer than 1 draw.
    noise_report measure(std::span<const float> images, std::span<const class_label> labels,
                         noise_options options = {}) {
        return measure(
            images, static_cast<int>(labels.size()),
            [&](std::span<const float> logits, std::span<float> gradient) {
                cross_entropy(logits, labels, gradient, {.label_smoothing = options.label_smoothing});
            },
            options);
    }

    /// The same for another loss: loss_gradient(logits, gradient) writes its gradient, (sample, class).
    template <class LossGradient>
    noise_report measure(std::span<const float> images, int samples, LossGradient&& loss_gradient,
                         noise_options options = {}) {
        if (options.draws < 1) fail("the probe was asked for %d draws; options.draws must be 1 or more", options.draws);
        if (samples > copy_.batch())
            fail("the probe was given %d samples and made for %d; make it with probe_options{.batch = %d}", samples,
                 copy_.batch(), samples);
        detail::exact_gradients exact{twin_.threads()};
        const std::vector<float> by_logits = measure_exact(images, samples, loss_gradient, exact);

        noise_report report{rows_, samples, options.draws, subject_.seed_value(), subject_.step(), copy_.threads()};
        detail::noise_watcher watcher{exact, copy_.threads()};
        copy_.observe(watcher);
        for (int draw = 0; draw < options.draws; ++draw) {
            take_over(copy_); // anew, since a forward pass changes what ranges remember
            if (draw > 0) copy_.stop_observing();
            require_equal_logits(copy_.forward(images, samples));
            copy_.observe(watcher);
            copy_.set_step(subject_.step() + static_cast<std::uint32_t>(draw) * 0x9e3779b1u); // odd: all differ
            copy_.backward(by_logits);
            const detail::by_layer gradients = detail::gradients_of(copy_);
            for (noise_row& row : report.rows)
                if (row.is_product())
                    row.dw += compare(gradients.at(row.layer + ".weight"), exact_gradient_.at(row.layer + ".weight"));
        }
        copy_.stop_observing();
        for (noise_row& row : report.rows) finish(row, exact, watcher.layers[row.layer]);
        copy_.each_normalization([&](auto& n) {
            const normalization facts = n.facts();
            const auto row = std::ranges::find(report.rows, n.name().view(), &noise_row::layer);
            if (row == report.rows.end()) return; // within a layer of the user's, which describes itself otherwise
            row->gain = gain_facts::of(facts.gamma, facts.sigma);
            row->quantized = gain_facts::of(facts.gamma, facts.sigma, facts.weight_scale);
        });
        return report;
    }

private:
    static network_options checked(const network_type& subject, probe_options options) {
        if (options.batch < 0)
            fail("a probe is made for batches of %d samples; it must be 1 or more, or 0 for the network's",
                 options.batch);
        network_options copied = subject.options();
        if (options.batch > 0) copied.batch = options.batch;
        return copied;
    }

    /// Makes copy or twin what the network is now. The twin lacks what range rules of gradients remember.
    template <class Mine>
    void take_over(Mine& mine) {
        std::map<std::string, std::span<const float>> values;
        subject_.each_parameter([&](const parameter& p) { values[std::string(p.name.view())] = p.value; });
        subject_.each_state([&](const state& s) { values[std::string(s.name.view())] = s.value; });
        const auto take = [&](const auto& p) {
            std::ranges::copy(values.at(std::string(p.name.view())), p.value.begin());
        };
        mine.each_parameter(take);
        mine.each_state(take);
        mine.set_seed(seed{subject_.seed_value()});
        mine.set_step(subject_.step());
        mine.set_rectification(subject_.rectification());
    }

    /// The twin's pass; returns the loss's gradient by the logits.
    template <class LossGradient>
    std::vector<float> measure_exact(std::span<const float> images, int samples, LossGradient& loss_gradient,
                                     detail::exact_gradients& exact) {
        twin_.stop_observing(); // what a pass before may have left by throwing
        take_over(twin_);
        const std::span<const float> logits = twin_.forward(images, samples);
        logits_.assign(logits.begin(), logits.end());
        std::vector<float> by_logits(logits_.size());
        loss_gradient(std::span<const float>(logits_), std::span<float>(by_logits));
        twin_.observe(exact);
        twin_.backward(by_logits);
        twin_.stop_observing();
        exact_gradient_ = detail::gradients_of(twin_);
        unrectified_gradient_.clear();
        if (subject_.rectification() > 0) { // what the projection removes is the loss's own slope by gamma
            take_over(twin_);
            twin_.set_rectification(0);
            twin_.forward(images, samples);
            twin_.backward(by_logits);
            unrectified_gradient_ = detail::gradients_of(twin_);
        }
        return by_logits;
    }

    void require_equal_logits(std::span<const float> logits) const {
        if (std::memcmp(logits.data(), logits_.data(), logits.size_bytes()) != 0)
            fail("the network and its twin with gradients in floats have other logits, so noise cannot be measured; a "
                 "layer of your own lets formats of gradients change its forward pass");
    }

    void finish(noise_row& row, const detail::exact_gradients& exact, const detail::noise_sums& sums) const {
        const auto& gradients = unrectified_gradient_.empty() ? exact_gradient_ : unrectified_gradient_;
        if (row.is_product()) {
            row.h = sums.h;
            row.arriving = (sums.has_dx ? sums.is_coded : sums.is_coded_dw) ? sums.arriving : sums.h;
            row.gradient_norm = detail::norm_of(exact.h.at(row.layer));
            const double into_dx = sums.is_coded ? sums.added.noise_to_signal() : 0,
                         into_dw = sums.is_coded_dw ? sums.added_dw.noise_to_signal() : 0;
            row.added = sums.has_dx ? into_dx : into_dw;
            row.added_dw = sums.has_dw ? into_dw : into_dx;
            if (sums.codes.codes > 0) {
                row.clipped = sums.codes.clipped_share();
                row.zeros = sums.codes.zero_share();
            }
            row.head_room = 31 - std::log2(sums.greatest_sum);
            row.weight_gradient_norm = detail::norm_of(exact_gradient_.at(row.layer + ".weight"));
            subject_.each_parameter([&](const parameter& p) {
                if (p.name.view() == row.layer + ".weight") row.weight_norm = detail::norm_of(p.value);
            });
        } else {
            row.output_gradient = sums.output_gradient;
            const std::vector<float>& arriving = exact.output_gradient.at(row.layer);
            const std::vector<float>&by_gamma = gradients.at(row.layer + ".gamma"),
                  &by_beta = gradients.at(row.layer + ".beta");
            row.gradient_norm = detail::norm_of(arriving);
            const double values = static_cast<double>(arriving.size()) / static_cast<double>(by_gamma.size());
            const double removed = std::pow(detail::norm_of(by_gamma), 2) + std::pow(detail::norm_of(by_beta), 2);
            row.kept = 1 - removed / (values * row.gradient_norm * row.gradient_norm);
        }
    }

    network_type& subject_;
    network_type copy_;
    twin_type twin_;
    std::vector<noise_row> rows_;
    std::vector<float> logits_;
    detail::by_layer exact_gradient_, unrectified_gradient_;
};

} // namespace fqt
