#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A rectifier is an extra loss on one batch normalization. Its backward pass multiplies every gradient, and the noise
// that earlier gradient quantizers left in it, by the gain r = gamma / sigma; a rectifier shapes these gains. It is
// only the rule: from the channels' gamma and sigma (and the weights before them) to a loss and its slopes. batch_norm
// folds the slopes into the coefficients of its backward pass, so a rectifier costs no pass over the data.
// docs/theory.md derives the forms below; which of them helps where is measured, not assumed.

#include <fqt/core/diagnostic.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/math.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <span>

namespace fqt {

/// What a rectifier sees of one batch normalization; every span has one entry per channel.
struct normalization {
    std::span<const float> gamma; ///< the scale that is learnt
    std::span<const float> sigma; ///< sqrt(variance + epsilon) of this batch, > 0
    std::span<const float>
        weight_scale; ///< what is folded into this channel's gradient before it is quantized (1 if nothing)
    std::span<const float> weight_norm; ///< Euclidean norm of the weights that made this channel (1 if none did)
    int index{}, count{};               ///< the layer's place: index of count batch normalizations, from the input
    bool closes_block{};                ///< the last of a residual block's body

    int channels() const { return static_cast<int>(gamma.size()); }
};

/// A rectifier: penalty(n, by_gamma, by_sigma) returns the loss and writes its slope by each gamma and each sigma.
/// Slopes by sigma that are zero detach it: the loss then acts on gamma alone.
template <class R>
concept rectifier = requires(const normalization& n, std::span<float> slopes) {
    { R::penalty(n, slopes, slopes) } -> std::same_as<float>;
};

/// A rectifier that does nothing.
struct unrectified {
    static constexpr const char* name = "unrectified";
    static float penalty(const normalization&, std::span<float> by_gamma, std::span<float> by_sigma) {
        std::ranges::fill(by_gamma, 0.0f);
        std::ranges::fill(by_sigma, 0.0f);
        return 0;
    }
};

/// Whether a rectifier has no slope by sigma: the library's where they are `detached`; one of your own where it says
/// `static constexpr bool detached = true`.
template <class R>
inline constexpr bool is_detached = [] {
    if constexpr (requires { R::detached; }) return bool{R::detached};
    else return std::same_as<R, unrectified>;
}();

/// A rectifier's rule as a value: what network_options.rectifier takes.
using rectifier_rule = float (*)(const normalization&, std::span<float> by_gamma, std::span<float> by_sigma);
template <rectifier R>
inline constexpr rectifier_rule rule_of = &R::penalty;

/// The rectifier that is chosen at run time, by network_options.rectifier; unrectified where none is. For programs that
/// take it as an option, and for comparisons without a compilation for each rectifier.
struct any_rectifier : unrectified {
    static constexpr const char* name = "chosen at run time";
};

// ---- which gain, and whether sigma learns ----

/// The gain of the layer: r = gamma / sigma.
struct layer_gain {
    static double sum_of_scales(const normalization&) { return 0; }
    static double factor(const normalization&, std::size_t, double) { return 1; }
};
/// The gain of the tensor that is quantized: r times the weight scale that is folded into it, relative to the mean
/// scale. Where nothing is folded - in the network's first product, behind hadamard<...>, in gradients that are floats
/// or in blocks - it is the gain of the layer.
struct quantized_gain {
    static double sum_of_scales(const normalization& n) {
        double sum = 0;
        for (const float s : n.weight_scale) sum += double{s};
        return sum;
    }
    static double factor(const normalization& n, std::size_t c, double sum) {
        return sum > 0 ? double{n.weight_scale[c]} * static_cast<double>(n.channels()) / sum : 1;
    }
};
/// The slope by sigma is dropped (the default: through sigma, a pull on the gain mostly inflates the weights).
struct detached {};
/// The slope by sigma is used: the loss also acts on the layer's input, and so on the weights before it.
struct through_sigma {};

namespace detail {

// Rules below are losses f(r) of the gains r[c]; this turns df/dr into slopes: dr/dgamma = factor / sigma and
// dr/dsigma = -r / sigma. Doubles: a handful of numbers a layer.
template <class Gain, class Flow>
class gains {
    const normalization& n_;
    double sum_of_scales_ = Gain::sum_of_scales(n_);

    double factor(std::size_t c) const { return Gain::factor(n_, c, sum_of_scales_); }

public:
    explicit gains(const normalization& n) : n_(n) {}
    double operator[](std::size_t c) const { return product(double{n_.gamma[c]} / double{n_.sigma[c]}, factor(c)); }
    void slope(std::size_t c, double by_gain, std::span<float> by_gamma, std::span<float> by_sigma) const {
        const double sigma = double{n_.sigma[c]};
        by_gamma[c] = static_cast<float>(by_gain * (factor(c) / sigma));
        by_sigma[c] = std::same_as<Flow, detached> ? 0.0f : static_cast<float>(-by_gain * ((*this)[c] / sigma));
    }
};
template <class Flow>
struct rule_with {
    static constexpr bool detached = std::same_as<Flow, fqt::detached>;
};

} // namespace detail

/// A rectifier: half the mean of r^2, f = (1 / 2C) sum r_c^2. The mean gain bounds the product of gains over layers
/// (arithmetic-geometric mean), which is how absolute noise grows.
template <class Gain = layer_gain, class Flow = detached>
struct gain_energy : detail::rule_with<Flow> {
    static constexpr const char* name = "gain_energy";
    static float penalty(const normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        const detail::gains<Gain, Flow> gains(n);
        double loss = 0;
        const double channels = n.channels();
        for (std::size_t c = 0; c < n.gamma.size(); ++c) {
            const double r = gains[c];
            loss = std::fma(r, r, loss);
            gains.slope(c, r / channels, by_gamma, by_sigma);
        }
        return static_cast<float>(loss / (2 * channels));
    }
};

/// A rectifier: f = (1 / 2C) sum max(0, |r_c| - 1)^2. Acts on channels that amplify, and leaves the others alone.
template <class Gain = layer_gain, class Flow = detached>
struct gain_hinge : detail::rule_with<Flow> {
    static constexpr const char* name = "gain_hinge";
    static float penalty(const normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        const detail::gains<Gain, Flow> gains(n);
        double loss = 0;
        const double channels = n.channels();
        for (std::size_t c = 0; c < n.gamma.size(); ++c) {
            const double r = gains[c], excess = std::max(0.0, std::abs(r) - 1);
            loss = std::fma(excess, excess, loss);
            gains.slope(c, std::copysign(excess, r) / channels, by_gamma, by_sigma);
        }
        return static_cast<float>(loss / (2 * channels));
    }
};

/// A rectifier: f = log |r|_8 - log |r|_2, norms being sums: a smooth logarithm of max|r| over its rms, less half of
/// log C. Blind to a factor common to all channels, it narrows the spread that a grid shared by all channels pays for.
/// 0 and flat where every gain is 0.
template <class Gain = layer_gain, class Flow = detached>
struct gain_crest : detail::rule_with<Flow> {
    static constexpr const char* name = "gain_crest";
    static float penalty(const normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        // Gains relative to the largest, so that the eighth power neither overflows nor vanishes.
        const detail::gains<Gain, Flow> gains(n);
        double largest = 0, second = 0, eighth = 0;
        for (std::size_t c = 0; c < n.gamma.size(); ++c) largest = std::max(largest, std::abs(gains[c]));
        if (!(largest > 0)) return unrectified::penalty(n, by_gamma, by_sigma);
        for (std::size_t c = 0; c < n.gamma.size(); ++c) {
            const double t = gains[c] / largest, t2 = t * t, t4 = t2 * t2;
            second = std::fma(t, t, second);
            eighth = std::fma(t4, t4, eighth);
        }
        for (std::size_t c = 0; c < n.gamma.size(); ++c) {
            const double t = gains[c] / largest, t3 = t * t * t;
            const double peak = t3 * t3 * t / eighth, spread = t / second;
            gains.slope(c, (peak - spread) / largest, by_gamma, by_sigma);
        }
        return math::log(static_cast<float>(eighth)) / 8 - math::log(static_cast<float>(second)) / 2;
    }
};

namespace detail {

/// Losses (1 / 2C) sum (log(|r_c| + 1e-6) - centre)^2, where the centre is a constant or the mean: then its slope adds
/// nothing, since deviations from the mean sum to 0.
template <class Gain, class Flow>
struct log_gain_rule : rule_with<Flow> {
    static double magnitude(double r) { return std::abs(r) + 1e-6; }
    static double log_of(double r) { return double{math::log(static_cast<float>(magnitude(r)))}; }
    static double mean_log(const normalization& n) {
        const detail::gains<Gain, Flow> gains(n);
        double mean = 0;
        for (std::size_t c = 0; c < n.gamma.size(); ++c) mean += log_of(gains[c]) / n.channels();
        return mean;
    }
    static float spread_about(double centre, const normalization& n, std::span<float> by_gamma,
                              std::span<float> by_sigma) {
        const detail::gains<Gain, Flow> gains(n);
        const double channels = n.channels();
        double loss = 0;
        for (std::size_t c = 0; c < n.gamma.size(); ++c) {
            const double r = gains[c], d = log_of(r) - centre;
            loss = std::fma(d, d, loss);
            gains.slope(c, d / (channels * std::copysign(magnitude(r), r)), by_gamma, by_sigma);
        }
        return static_cast<float>(loss / (2 * channels));
    }
};

} // namespace detail

/// A rectifier: f = (1 / 2C) sum (log(|r_c| + 1e-6) - mean)^2, half the variance of the log gains. Evens gains out from
/// both sides, and like gain_crest does not see a common factor. Steep for gains near 0 (slopes of up to 1e6 log): not
/// for networks whose gammas start at 0.
template <class Gain = layer_gain, class Flow = detached>
struct even_gains : detail::log_gain_rule<Gain, Flow> {
    static constexpr const char* name = "even_gains";
    static float penalty(const normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        return even_gains::spread_about(even_gains::mean_log(n), n, by_gamma, by_sigma);
    }
};

/// A rectifier: f = (1 / 2C) sum log(|r_c| + 1e-6)^2. Pulls every gain towards one from both sides: a layer that passes
/// gradients with gain one neither amplifies noise nor starves what lies before it. Steep for gains near 0, as
/// even_gains.
template <class Gain = layer_gain, class Flow = detached>
struct unit_gain : detail::log_gain_rule<Gain, Flow> {
    static constexpr const char* name = "unit_gain";
    static float penalty(const normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        return unit_gain::spread_about(0, n, by_gamma, by_sigma);
    }
};

/// A rectifier: f = (1 / 2C) sum max(0, |gamma_c| - Bound)^2, of the scales themselves; those below the bound are left
/// to training. Its weight is of the order of 1, since the slope is at most weight * |gamma| / C.
template <float Bound>
struct bounded_gammas {
    static_assert(Bound > 0 && Bound < 1e3f, "fqt: bounded_gammas<Bound> takes a positive bound, such as 0.3f");
    static constexpr const char* name = "bounded_gammas";
    static constexpr bool detached = true;
    static float penalty(const normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        double loss = 0;
        const double channels = n.channels();
        for (std::size_t c = 0; c < n.gamma.size(); ++c) {
            const double gamma = double{n.gamma[c]}, excess = std::max(0.0, std::abs(gamma) - double{Bound});
            loss = std::fma(excess, excess, loss);
            by_gamma[c] = static_cast<float>(std::copysign(excess, gamma) / channels);
        }
        std::ranges::fill(by_sigma, 0.0f);
        return static_cast<float>(loss / (2 * channels));
    }
};

// ---- where ----

/// Rectifier R on the last batch normalization of each residual block's body, and none elsewhere. The noise of a body
/// enters beside a clean shortcut, in proportion to the body's share of the gradient, which goes with the square of
/// this gamma (docs/theory.md, residual branches): so gain_energy here trades depth for noise, gradually, as
/// zero_last_gammas does at the beginning.
template <rectifier R>
struct at_block_ends {
    static constexpr note label = [] {
        note text = "at block ends, ";
        if constexpr (requires { R::name; }) text.append(R::name);
        else text.append("own rectifier");
        return text;
    }();
    static constexpr const char* name = label.chars;
    static constexpr bool detached = is_detached<R>;
    static float penalty(const normalization& n, std::span<float> by_gamma, std::span<float> by_sigma) {
        return n.closes_block ? R::penalty(n, by_gamma, by_sigma) : unrectified::penalty(n, by_gamma, by_sigma);
    }
};

/// bounded_gammas at the ends of residual blocks. It bounds a body's share of the gradient, b = 1.467 gamma^2 /
/// (variance of the block's input) (docs/theory.md, section 5), and with it the noise that a block adds. It is for
/// networks whose gammas there begin below the bound, `set_last_gammas(network, 0.1f)`: with 2 bits noise explodes
/// within the first steps, before a loss can lower gammas of 1. Without residual blocks it does nothing.
template <float Bound = 0.3f>
using bounded_branches = at_block_ends<bounded_gammas<Bound>>;

} // namespace fqt
