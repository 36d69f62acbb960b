#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Batch normalization y = gamma * xhat + beta, xhat = (x - mean) / sigma, sigma = sqrt(variance + epsilon), over the M
// = samples * height * width values of each channel (Ioffe and Szegedy 2015), and its rectification.
//
// Backward, with r = gamma / sigma and g = dL/dy:   dx = r (g - mean(g) - xhat mean(g xhat))
// so noise in g passes with the gain r. A rectifier adds the loss lambda * R(gamma, sigma): lambda dR/dgamma to the
// gradient of gamma, and, since dsigma/dx = xhat / M, lambda dR/dsigma xhat / M to dx. Both are only other coefficients
// of
//     dx = A g + B u + C         u: the input in the units in which it is stored
// so rectification costs no pass over the data.

#include <fqt/layers/layer.hpp>
#include <fqt/layers/passes.hpp>

#include <cmath>

namespace fqt {

template <shape In, class Rectifier, class Scheme, class Arch>
class batch_norm_layer {
    static constexpr int channels = In.channels, padded_channels = padded(channels);

    float *gamma_{}, *beta_{}, *gamma_gradient_{}, *beta_gradient_{};
    float *running_mean_{}, *running_variance_{}, *seen_{};
    double *mean_{}, *inverse_{}; // of this batch, in units: xhat = (u - mean) * inverse
    float *sigma_{}, *ones_{};    // sigma in real numbers
    float *scale_{}, *shift_{};   // y = scale * u + shift
    float *a_{}, *b_{}, *c_{};    // dx = a g + b u + c
    float *slope_gamma_{}, *slope_sigma_{};
    double* reduced_{};
    passes::moments own_{}; // where the input does not bring moments along
    const float *weight_scale_{}, *weight_norm_{};
    float penalty_{};
    path name_{};
    int index_{};
    int* count_{};
    bool closes_block_{};

public:
    static constexpr float epsilon = 1e-5f;

    template <class X>
    constexpr auto plan(planner& p, const X& x, int) {
        for (float** place :
             {&gamma_, &beta_, &gamma_gradient_, &beta_gradient_, &running_mean_, &running_variance_, &sigma_, &ones_,
              &scale_, &shift_, &a_, &b_, &c_, &slope_gamma_, &slope_sigma_, &own_.low, &own_.high})
            p.persistent(*place, padded_channels);
        for (double** place : {&mean_, &inverse_, &own_.sum, &own_.square}) p.persistent(*place, padded_channels);
        p.persistent(reduced_, 2 * padded_channels);
        p.persistent(seen_, 1);
        const auto samples = static_cast<std::size_t>(p.batch());
        p.shared(samples * std::max(passes::moment_bytes(channels), passes::reduce_bytes(channels)));
        return view(x);
    }
    void prepare(naming n) {
        name_ = n.name;
        count_ = n.normalizations;
        index_ = (*n.normalizations)++;
        closes_block_ = n.closes_block;
    }
    void initialise(std::uint64_t) {
        std::fill_n(gamma_, channels, 1.0f);
        std::fill_n(ones_, channels, 1.0f);
        std::fill_n(running_variance_, channels, 1.0f);
    }
    template <class F>
    void each_parameter(F&& f) {
        constexpr std::array<int, 4> dims{channels, 1, 1, 1};
        f(parameter{name_ / "gamma", parameter_kind::gamma, {gamma_, channels}, {gamma_gradient_, channels}, dims});
        f(parameter{name_ / "beta", parameter_kind::beta, {beta_, channels}, {beta_gradient_, channels}, dims});
    }
    template <class F>
    void each_state(F&& f) {
        f(state{name_ / "mean", {running_mean_, channels}});
        f(state{name_ / "variance", {running_variance_, channels}});
        f(state{name_ / "seen", {seen_, 1}});
    }
    template <class F>
    void each_normalization(F&& f) {
        f(*this);
    }

    /// What the rectifier saw in the last forward pass.
    normalization facts() const {
        return {{gamma_, channels},
                {sigma_, channels},
                {weight_scale_, channels},
                {weight_norm_, channels},
                index_,
                *count_,
                closes_block_};
    }
    /// The rectifier's loss in the last backward pass, before its weight.
    float penalty() const { return penalty_; }
    const path& name() const { return name_; }

    // ---- forward ----

    template <class X>
    constexpr auto view(const X& x) const {
        return affine<X>{x, scale_, shift_};
    }

    /// Before: the layer whose sums x are, if any: it has their moments and the scales and norms of its weights.
    template <class X, class Before>
    auto forward(const context& c, const X& x, const Before& before) {
        passes::moments m = own_;
        weight_scale_ = weight_norm_ = ones_;
        if constexpr (requires { before.moments(); }) {
            m = before.moments();
            weight_scale_ = before.weight_scales().data();
            weight_norm_ = before.weight_norms().data();
        } else {
            parallel_for(c.samples, c.threads, [&](int n, int) {
                passes::moments_of_sample<Arch>(
                    x, n, c.shared + static_cast<std::size_t>(n) * passes::moment_bytes(channels));
            });
            passes::add_moments(c.samples, padded_channels, c.shared, m);
        }
        const double count = static_cast<double>(c.samples) * In.pixels();
        for (int k = 0; k < channels; ++k) {
            const double unit = unit_scale(x, k), bias = unit_bias(x, k);
            const double mean = m.sum[k] / count;
            const double variance = std::max(0.0, std::fma(-mean, mean, m.square[k] / count));
            const double real_variance = product(product(variance, unit), unit), real_mean = std::fma(mean, unit, bias);
            const double magnitude =
                real_variance + std::abs(real_mean) + std::abs(double{gamma_[k]}) + std::abs(double{beta_[k]});
            if (!std::isfinite(magnitude)) passes::refuse_non_finite("the input, gamma or beta", name_.c_str());
            if (magnitude > 1e38) passes::refuse_too_large("the input, gamma or beta", name_.c_str());
            const double sigma = std::sqrt(real_variance + double{epsilon});
            mean_[k] = mean;
            inverse_[k] = unit / sigma;
            sigma_[k] = static_cast<float>(sigma);
            const double scale = product(double{gamma_[k]}, inverse_[k]);
            scale_[k] = static_cast<float>(scale);
            shift_[k] = static_cast<float>(std::fma(-mean, scale, double{beta_[k]}));
            // Running statistics are in real numbers, since the units change with the grids; the variance is the
            // unbiased one.
            const float weight = *seen_ > 0 ? c.momentum : 1.0f;
            const double unbiased = count > 1 ? real_variance * (count / (count - 1)) : real_variance;
            running_mean_[k] = std::fma(weight, static_cast<float>(real_mean) - running_mean_[k], running_mean_[k]);
            running_variance_[k] =
                std::fma(weight, static_cast<float>(unbiased) - running_variance_[k], running_variance_[k]);
        }
        *seen_ = 1;
        return view(x);
    }

    template <unsigned Held, class X>
    auto infer(const context&, const X& x) {
        for (int k = 0; k < channels; ++k) {
            const double unit = unit_scale(x, k), bias = unit_bias(x, k);
            const double gain = double{gamma_[k]} / std::sqrt(double{running_variance_[k]} + double{epsilon});
            scale_[k] = static_cast<float>(gain * unit);
            shift_[k] = static_cast<float>(std::fma(gain, bias - double{running_mean_[k]}, double{beta_[k]}));
            if (!std::isfinite(scale_[k]) || !std::isfinite(shift_[k]))
                passes::refuse_non_finite("gamma, beta or a running statistic", name_.c_str());
        }
        return view(x);
    }

    // ---- backward ----

    template <unsigned Held, class X, class G, class Plus>
    auto backward(const context& c, const X& x, const G& g, const Plus& plus) {
        passes::reduce_gradient<Arch>(c, x, g, c.shared, reduced_);
        penalty_ = Rectifier::penalty(facts(), {slope_gamma_, channels}, {slope_sigma_, channels});
        const double count = static_cast<double>(c.samples) * In.pixels(), lambda = double{c.rectification};
        for (int k = 0; k < channels; ++k) {
            const double sum = reduced_[k],
                         with_xhat = product(std::fma(-mean_[k], sum, reduced_[padded_channels + k]), inverse_[k]);
            gamma_gradient_[k] = static_cast<float>(std::fma(lambda, double{slope_gamma_[k]}, with_xhat));
            beta_gradient_[k] = static_cast<float>(sum);
            if (!std::isfinite(gamma_gradient_[k]) || !std::isfinite(beta_gradient_[k]))
                passes::refuse_non_finite("the gradient of gamma or beta", name_.c_str());
            const double r = double{gamma_[k]} / double{sigma_[k]};
            const double by_xhat = std::fma(lambda, double{slope_sigma_[k]}, -product(r, with_xhat)) / count;
            const double b = product(by_xhat, inverse_[k]);
            a_[k] = static_cast<float>(r);
            b_[k] = static_cast<float>(b);
            c_[k] = static_cast<float>(std::fma(-b, mean_[k], -product(r, sum) / count));
        }
        return add(normalized_gradient<X, G>{x, g, a_, b_, c_}, plus);
    }

    template <class F, class X>
    auto describe(F&& f, const X& x) {
        description d{name_, "batch_norm", In, In, {}, 2 * channels, 0, 0};
        std::snprintf(d.formats, sizeof d.formats, "statistics fp32, sums fp64, rectifier %s", rectifier_name());
        f(d);
        return view(x);
    }

private:
    template <class X>
    static double unit_scale(const X& x, int k) {
        if constexpr (has_units<X>) return double{x.unit_scale(k)};
        else return 1;
    }
    template <class X>
    static double unit_bias(const X& x, int k) {
        if constexpr (has_units<X>) return double{x.unit_bias(k)};
        else return 0;
    }
    static const char* rectifier_name() {
        if constexpr (requires { Rectifier::name; }) return Rectifier::name;
        else return "own";
    }
};

template <class Rectifier>
struct batch_norm_spec : spec {
    static_assert(rectifier<Rectifier>, "fqt: batch_norm's policy is not a rectifier");
    static constexpr const char* name = "batch_norm";
    static constexpr inferred output(shape in) { return in; }
    static constexpr int parameters(shape in) { return 2 * in.channels; }
    template <shape In, class Scheme, class Arch>
    using layer = batch_norm_layer<In, Rectifier, Scheme, Arch>;
};

namespace layers {
/// Batch normalization with a rectifier: batch_norm<> or batch_norm<gain_crest<>>.
template <class Rectifier = unrectified>
inline constexpr batch_norm_spec<Rectifier> batch_norm{};
} // namespace layers

} // namespace fqt
