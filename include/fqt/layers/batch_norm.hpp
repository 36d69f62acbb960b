#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Batch normalization y = gamma * xhat + beta, xhat = (x - mean) / sigma, over the M = samples * height * width values
// of each channel (Ioffe and Szegedy 2015), and its rectification. What sigma is, a policy says (normalization.hpp); by
// default sqrt(variance + epsilon).
//
// Backward, with r = gamma / sigma and g = dL/dy:   dx = r (g - mean(g)) + (lambda dR/dsigma - r sum(g xhat)) dsigma/dx
// so noise in g passes with the gain r. A rectifier adds the loss lambda * R(gamma, sigma): lambda dR/dgamma to the
// gradient of gamma, and its slope by sigma to that of the layer. With the standard deviation dsigma/dx = xhat / M, and
//     dx = A g + B u + C         u: the input in the units in which it is stored
// so rectification costs no pass over the data. Other policies add what extremes, or the sides of the mean, give.

#include <fqt/layers/layer.hpp>
#include <fqt/layers/normalization.hpp>
#include <fqt/layers/passes.hpp>

#include <cmath>

namespace fqt {

template <shape In, class Rectifier, class Normalization, class Scheme, class Arch>
class batch_norm_layer {
    using traits = normalization_traits<Normalization>;
    static constexpr int channels = In.channels, padded_channels = padded(channels);

    float *gamma_{}, *beta_{}, *gamma_gradient_{}, *beta_gradient_{};
    float *running_mean_{}, *running_variance_{}, *seen_{};
    double *mean_{}, *inverse_{}; // of this batch, in units: xhat = (u - mean) * inverse
    double* offset_{};            // + offset, where the policy does not subtract the batch's mean
    float *sigma_{}, *ones_{};    // sigma in real numbers
    float *scale_{}, *shift_{};   // y = scale * u + shift; with steps, that is xhat before it is rounded
    float *stepped_gamma_{}, *stepped_beta_{};
    // M dsigma/dx = along (u - mean) + side (sign(u - mean) - its mean), + M ends ([u = greatest] - [u = least])
    double *along_{}, *side_{}, *ends_{};
    float* centre_{};                           // mean, as it is compared with
    double* deviations_{};                      // sums of |u - centre| and of sign(u - centre)
    const float *low_{}, *high_{};              // extremes of this batch
    float *a_{}, *b_{}, *c_{};                  // dx = a g + b u + c
    float *by_side_{}, *at_low_{}, *at_high_{}; // and what sides and extremes give
    float *slope_gamma_{}, *slope_sigma_{};
    double* reduced_{}; // sums of g and g u, then of g xhat where it is rounded, then counts of extremes
    static constexpr int of_xhat = 2, of_low = of_xhat + traits::has_steps, sums = of_low + 2 * traits::uses_range;
    passes::moments own_{}; // where the input does not bring moments along
    const float *weight_scale_{}, *weight_norm_{};
    float penalty_{};
    path name_{};
    int index_{};
    int* count_{};
    bool closes_block_{};

public:
    static constexpr float epsilon = traits::epsilon;
    static constexpr bool takes_deferred = true;

    template <class X>
    constexpr auto plan(planner& p, const X& x) {
        for (float** place : {&gamma_, &beta_, &gamma_gradient_, &beta_gradient_, &sigma_, &ones_, &scale_, &shift_,
                              &a_, &b_, &c_, &slope_gamma_, &slope_sigma_, &own_.low, &own_.high})
            p.persistent(*place, padded_channels);
        for (double** place : {&mean_, &inverse_, &along_, &own_.sum, &own_.square})
            p.persistent(*place, padded_channels);
        if constexpr (!traits::centred) p.persistent(offset_, padded_channels);
        if constexpr (traits::has_steps)
            for (float** place : {&stepped_gamma_, &stepped_beta_}) p.persistent(*place, padded_channels);
        if constexpr (traits::uses_range) {
            p.persistent(ends_, padded_channels);
            for (float** place : {&at_low_, &at_high_}) p.persistent(*place, padded_channels);
        }
        if constexpr (traits::uses_deviation) {
            p.persistent(side_, padded_channels);
            p.persistent(deviations_, 2 * padded_channels);
            for (float** place : {&centre_, &by_side_}) p.persistent(*place, padded_channels);
        }
        p.persistent(reduced_, sums * padded_channels);
        for (float** place : {&running_mean_, &running_variance_}) p.state(*place, padded_channels);
        p.state(seen_, 1);
        const auto samples = static_cast<std::size_t>(p.batch());
        p.shared(samples * std::max(passes::moment_bytes(channels), passes::reduce_bytes(channels, sums)));
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
        return {{traits::has_steps ? stepped_gamma_ : gamma_, channels},
                {sigma_, channels},
                {weight_scale_, channels},
                {weight_norm_, channels},
                index_,
                *count_,
                closes_block_};
    }
    /// The rectifier's loss in the last backward pass, before its weight.
    float penalty() const { return penalty_; }
    /// Whether the rectifier is the one that network_options name.
    static constexpr bool takes_any_rectifier = std::same_as<Rectifier, any_rectifier>;
    const path& name() const { return name_; }

    template <class F, class X>
    auto describe(F&& f, const X& x) {
        description d{name_, "batch_norm", In, In, {}, 2 * channels, 0, 0};
        constexpr bool is_standard = std::same_as<Normalization, standard>;
        std::snprintf(d.formats, sizeof d.formats, "%s%sstatistics fp32, sums fp64, rectifier %s",
                      is_standard ? "" : traits::name, is_standard ? "" : ", ", rectifier_name());
        f(d);
        return view(x);
    }

    // ---- forward ----

    template <class X>
    constexpr auto view(const X& x) const {
        if constexpr (traits::has_steps)
            return affine<decltype(stepped_xhat(x))>{stepped_xhat(x), stepped_gamma_, stepped_beta_};
        else return affine<X>{x, scale_, shift_};
    }

    /// Before: the layer whose sums x are, if any: it has their moments and the scales and norms of its weights.
    template <class X, class Before = nothing>
    auto forward(const context& c, const X& x, const Before& before = {}) {
        weight_scale_ = weight_norm_ = ones_;
        if constexpr (requires { before.moments(); }) {
            if (const auto scales = before.weight_scales(); !scales.empty()) weight_scale_ = scales.data();
            weight_norm_ = before.weight_norms().data();
        }
        round_parameters();
        if constexpr (!traits::of_batch) {
            use_running(x);
        } else if constexpr (requires { before.moments(); }) {
            use_batch(c, x, before.moments());
        } else {
            parallel_for(c.samples, c.threads, [&](int n, int) {
                passes::moments_of_sample<Arch>(
                    x, n, c.shared + static_cast<std::size_t>(n) * passes::moment_bytes(channels));
            });
            passes::add_moments(c.samples, padded_channels, c.shared, own_);
            use_batch(c, x, own_);
        }
        return view(x);
    }

    template <class X>
    auto infer(const context&, const X& x) {
        round_parameters();
        use_running(x);
        return view(x);
    }

private:
    template <class X>
    void use_batch(const context& c, const X& x, const passes::moments& m) {
        const double count = static_cast<double>(c.samples) * In.pixels();
        low_ = m.low, high_ = m.high;
        if constexpr (traits::uses_deviation) measure_deviations(c, x, m, count);
        for (int k = 0; k < channels; ++k) {
            const double unit = unit_scale(x, k), bias = unit_bias(x, k);
            const double mean = m.sum[k] / count;
            const double variance = std::max(0.0, std::fma(-mean, mean, m.square[k] / count));
            const double real_variance = product(product(variance, unit), unit), real_mean = std::fma(mean, unit, bias);
            const double magnitude =
                real_variance + std::abs(real_mean) + std::abs(double{gamma_[k]}) + std::abs(double{beta_[k]});
            if (!std::isfinite(magnitude)) passes::refuse_non_finite("the input, gamma or beta", name_.c_str());
            if (magnitude > 1e38) passes::refuse_too_large("the input, gamma or beta", name_.c_str());
            channel_statistics statistics{count, real_mean, real_variance};
            if constexpr (traits::uses_range)
                statistics.range = product(double{m.high[k]} - double{m.low[k]}, std::abs(unit));
            if constexpr (traits::uses_deviation)
                statistics.deviation = product(deviations_[k] / count, std::abs(unit));
            const sigma_squared square = Normalization::of(statistics);
            const double exact = std::sqrt(square.value + double{epsilon}), sigma = traits::sigma(exact);
            if (!(sigma > 0 && std::isfinite(sigma)))
                fail("sigma of layer '%s' is %g by its policy '%s'; it must be positive and finite", name_.c_str(),
                     sigma, traits::name);
            mean_[k] = mean;
            inverse_[k] = unit / sigma;
            sigma_[k] = static_cast<float>(sigma);
            set_slopes(k, square, exact, unit);
            if constexpr (!traits::centred) offset_[k] = (real_mean - traits::mean(real_mean)) / sigma;
            const double scale = product(inner_gamma(k), inverse_[k]);
            scale_[k] = static_cast<float>(scale);
            shift_[k] = static_cast<float>(std::fma(-mean, scale, value_at_mean(k)));
            if (count == 1 && *seen_ > 0) continue; // which has no variance
            // Running statistics are in real numbers, since the units change with the grids; the variance is the
            // unbiased one.
            const float weight = *seen_ > 0 ? c.momentum : 1.0f;
            const double unbiased = count > 1 ? square.value * (count / (count - 1)) : square.value;
            running_mean_[k] = std::fma(weight, static_cast<float>(real_mean) - running_mean_[k], running_mean_[k]);
            running_variance_[k] =
                std::fma(weight, static_cast<float>(unbiased) - running_variance_[k], running_variance_[k]);
        }
        *seen_ = 1;
    }

    /// The running statistics instead of the batch's.
    template <class X>
    void use_running(const X& x) {
        for (int k = 0; k < channels; ++k) {
            const double unit = unit_scale(x, k), bias = unit_bias(x, k);
            const double sigma = traits::sigma(std::sqrt(double{running_variance_[k]} + double{epsilon}));
            const double gain = inner_gamma(k) / sigma, from_mean = bias - traits::mean(double{running_mean_[k]});
            scale_[k] = static_cast<float>(gain * unit);
            shift_[k] = static_cast<float>(std::fma(gain, from_mean, inner_beta(k)));
            const double magnitude = std::abs(double{scale_[k]}) + std::abs(double{shift_[k]})
                + std::abs(double{gamma_[k]}) + std::abs(double{beta_[k]});
            if (!std::isfinite(magnitude))
                passes::refuse_non_finite("gamma, beta or a running statistic", name_.c_str());
            if constexpr (!traits::of_batch) { // what the backward pass needs
                mean_[k] = 0;
                inverse_[k] = unit / sigma;
                offset_[k] = from_mean / sigma;
                sigma_[k] = static_cast<float>(sigma);
            }
        }
    }

    /// dsigma/dx, with x = unit * u + bias; a sigma of 0 before rounding has no slope.
    void set_slopes(int k, const sigma_squared& square, double sigma, double unit) {
        const double direction = std::copysign(1.0, unit);
        along_[k] = sigma > 0 ? square.by_variance * unit / sigma : 0;
        if constexpr (traits::uses_deviation) side_[k] = sigma > 0 ? square.by_deviation * direction / (2 * sigma) : 0;
        if constexpr (traits::uses_range) ends_[k] = sigma > 0 ? square.by_range * direction / (2 * sigma) : 0;
    }

    template <class X>
    void measure_deviations(const context& c, const X& x, const passes::moments& m, double count) {
        for (int k = 0; k < channels; ++k) centre_[k] = static_cast<float>(m.sum[k] / count);
        const auto add = [x, centre = centre_](auto& sum, int n, int p, int b) FQT_INLINE_LAMBDA {
            const auto d = units_of<Arch>(x, n, p, b) - floats<Arch>::load(centre + b * lanes);
            sum[0].add(abs(d));
            sum[1].add(where(d > 0.0f, floats<Arch>(1.0f), where(d < 0.0f, floats<Arch>(-1.0f), 0.0f)));
        };
        passes::reduce<Arch, In, 2>(c, c.shared, deviations_, add);
    }

    // With steps, gamma and beta stay outside of what is rounded: y = Q(gamma) Q(xhat) + Q(beta).
    void round_parameters() {
        if constexpr (traits::has_steps)
            for (int k = 0; k < channels; ++k) {
                stepped_gamma_[k] = static_cast<float>(traits::stepped(double{gamma_[k]}));
                stepped_beta_[k] = static_cast<float>(traits::stepped(double{beta_[k]}));
            }
    }
    template <class X>
    constexpr auto stepped_xhat(const X& x) const {
        return mapped<typename Normalization::steps, affine<X>>{{x, scale_, shift_}};
    }
    double inner_gamma(int k) const { return traits::has_steps ? 1 : double{gamma_[k]}; }
    double inner_beta(int k) const { return traits::has_steps ? 0 : double{beta_[k]}; }
    /// y, or xhat before it is rounded, where u is the batch's mean.
    double value_at_mean(int k) const {
        if constexpr (traits::centred) return inner_beta(k);
        else return std::fma(inner_gamma(k), offset_[k], inner_beta(k));
    }

    // ---- backward ----

public:
    template <class X, class G, class Plus>
    auto backward(const context& c, const X& x, const G& g, const Plus& plus) {
        c.watcher.see_detail(name_.view(), "output_gradient", c.samples, g);
        reduce_gradient(c, x, g);
        const rectifier_rule chosen = takes_any_rectifier && c.rectifier ? c.rectifier : rule_of<Rectifier>;
        penalty_ = chosen(facts(), {slope_gamma_, channels}, {slope_sigma_, channels});
        const double count = static_cast<double>(c.samples) * In.pixels(), lambda = double{c.rectification};
        for (int k = 0; k < channels; ++k) {
            const double sum = reduced_[k], with_xhat = sum_with_xhat(k);
            const double by_gamma = traits::has_steps ? reduced_[of_xhat * padded_channels + k] : with_xhat;
            gamma_gradient_[k] = static_cast<float>(std::fma(lambda, double{slope_gamma_[k]}, by_gamma));
            beta_gradient_[k] = static_cast<float>(sum);
            if (!std::isfinite(gamma_gradient_[k]) || !std::isfinite(beta_gradient_[k]))
                passes::refuse_non_finite("the gradient of gamma or beta", name_.c_str());
            const double r = traits::stepped(double{gamma_[k]}) / double{sigma_[k]};
            a_[k] = static_cast<float>(r);
            if constexpr (traits::of_batch) {
                const double by_sigma = std::fma(lambda, double{slope_sigma_[k]}, -product(r, with_xhat)) / count;
                const double b = product(by_sigma, along_[k]);
                double constant = std::fma(-b, mean_[k], -product(r, sum) / count);
                if constexpr (traits::uses_deviation) {
                    const double side = product(by_sigma, side_[k]);
                    by_side_[k] = static_cast<float>(side);
                    constant = std::fma(-side, deviations_[padded_channels + k] / count, constant);
                }
                if constexpr (traits::uses_range) {
                    const double ends = product(by_sigma, ends_[k]) * count;
                    const double* counts = reduced_ + of_low * padded_channels;
                    at_low_[k] = static_cast<float>(-ends / counts[k]);
                    at_high_[k] = static_cast<float>(ends / counts[padded_channels + k]);
                }
                b_[k] = static_cast<float>(b);
                c_[k] = static_cast<float>(constant);
            }
        }
        return add(input_gradient(x, g), plus);
    }

private:
    template <class X, class G>
    auto input_gradient(const X& x, const G& g) const {
        if constexpr (!traits::of_batch) {
            return folded<G>{g, a_};
        } else {
            const auto at_ends = [&] {
                if constexpr (traits::uses_range) return at_extremes<X>{x, low_, high_, at_low_, at_high_};
                else return nothing{};
            }();
            const auto at_sides = [&] {
                if constexpr (traits::uses_deviation) return by_side<X>{x, centre_, by_side_};
                else return nothing{};
            }();
            return add(add(normalized_gradient<X, G>{x, g, a_, b_, c_}, at_ends), at_sides);
        }
    }

    /// What a pixel gives to the sums; xhat is nothing where it is not rounded.
    template <class X, class G, class Xhat>
    struct summands {
        X x;
        G g;
        Xhat xhat;
        const float *low, *high;

        FQT_INLINE void operator()(auto& sum, int n, int p, int b) const {
            const auto v = g.template load<Arch>(n, p, b), u = units_of<Arch>(x, n, p, b);
            sum[0].add(v);
            sum[1].add_product(v, u);
            if constexpr (traits::has_steps) sum[of_xhat].add_product(v, xhat.template load<Arch>(n, p, b));
            if constexpr (traits::uses_range) {
                const floats<Arch> one(1.0f), zero(0.0f);
                sum[of_low].add(where(u == floats<Arch>::load(low + b * lanes), one, zero));
                sum[of_low + 1].add(where(u == floats<Arch>::load(high + b * lanes), one, zero));
            }
        }
    };
    /// The sums that the coefficients are made of.
    template <class X, class G>
    void reduce_gradient(const context& c, const X& x, const G& g) {
        const auto xhat = [&] {
            if constexpr (traits::has_steps) return stepped_xhat(x);
            else return nothing{};
        }();
        if constexpr (sums == 2) passes::reduce_gradient<Arch>(c, x, g, c.shared, reduced_);
        else
            passes::reduce<Arch, In, sums>(
                c, c.shared, reduced_, summands<X, G, std::remove_const_t<decltype(xhat)>>{x, g, xhat, low_, high_});
    }
    /// The sum of g xhat, xhat before it is rounded.
    double sum_with_xhat(int k) const {
        const double from_mean = product(std::fma(-mean_[k], reduced_[k], reduced_[padded_channels + k]), inverse_[k]);
        if constexpr (traits::centred) return from_mean;
        else return std::fma(offset_[k], reduced_[k], from_mean);
    }

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

template <class Rectifier, class Normalization = standard>
struct batch_norm_spec : spec {
    static_assert(rectifier<Rectifier>, "fqt: batch_norm's policy is not a rectifier");
    static_assert(normalization_policy<Normalization>,
                  "fqt: batch_norm's second policy is no normalization: it needs a function of(channel_statistics), or "
                  "of_batch = false");
    static_assert(normalization_traits<Normalization>::of_batch || is_detached<Rectifier>,
                  "fqt: frozen statistics do not learn, so a rectifier cannot act through sigma; make it detached: "
                  "gain_crest<layer_gain, detached>, or detached = true in your own");
    static constexpr const char* name = "batch_norm";
    static constexpr int normalizations = 1;
    static constexpr bool renews = true;
    static constexpr inferred output(shape in) { return in; }
    static constexpr int parameters(shape in) { return 2 * in.channels; }
    template <shape In, class Scheme, class Arch>
    using layer = batch_norm_layer<In, Rectifier, Normalization, Scheme, Arch>;
};

namespace layers {
/// Batch normalization with a rectifier and a normalization policy: batch_norm<>, batch_norm<gain_crest<>>,
/// batch_norm<unrectified, range_norm>.
template <class Rectifier = unrectified, class Normalization = standard>
inline constexpr batch_norm_spec<Rectifier, Normalization> batch_norm{};
} // namespace layers

} // namespace fqt
