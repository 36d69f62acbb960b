#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Optimizers: the rule that turns gradients into weights, and the formats of what it keeps. Between steps a weight is
// known only to its master format, and momentum only to its own; both may be fixed point of 16 or 8 bits.

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/parallel.hpp>
#include <fqt/core/random.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/quant/rounding.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstdint>
#include <vector>

namespace fqt {

/// Kept as 32-bit floats.
struct full_precision {
    static constexpr int bits = 32;
    using storage = float;
    static constexpr bool draws = false;
};

/// Kept as integers of 16 or 8 bits times a step that is a power of two, one per tensor: the smallest that holds the
/// tensor's largest magnitude. With `nearest`, updates below half a step are lost; `stochastic` keeps them in the mean.
template <int Bits, rounding Rounding = stochastic>
struct fixed_point {
    static_assert(Bits == 16 || Bits == 8, "fqt: fixed_point<Bits> takes 16 or 8 bits");
    static_assert(!std::derived_from<Rounding, stratified>,
                  "fqt: fixed_point is rounded by `stratified`, which pairs neighbouring pixels, and parameters have "
                  "none; use stochastic");
    static constexpr int bits = Bits;
    using storage = std::conditional_t<Bits == 16, std::int16_t, std::int8_t>;
    using rounding = Rounding;
    static constexpr bool draws = Rounding::draws;
    static constexpr float greatest = static_cast<float>((1 << (Bits - 1)) - 1);
};

/// What `sgd` does besides following the gradient. Decay is added to the gradient: g + decay * w.
struct sgd_options {
    float momentum = 0.9f; ///< in [0, 1)
    float decay = 0;       ///< of weights, >= 0
    float decay_gamma = 0; ///< of the scales of batch normalization, >= 0
    float decay_beta = 0;  ///< of their shifts and of biases, >= 0
    float decay_range = 0; ///< of ranges that are learnt, >= 0
    bool nesterov = false; ///< look ahead: move along g + momentum * v instead of v
};

/// Stochastic gradient descent: v = momentum * v + g, w = w - rate * v (Sutskever et al. 2013, as in common libraries).
/// Master and Momentum are full_precision or fixed_point<bits, rounding>; with a fixed-point Master the weights are
/// rounded at once. The network must outlive it and stay in its place. Errors: a momentum outside [0, 1), a decay that
/// is negative or not finite.
template <class Network, class Master = full_precision, class Momentum = full_precision>
class sgd {
    Network& network_;
    sgd_options options_;
    struct tensor_state {
        std::vector<typename Momentum::storage> velocity;
        float step{}; // of the velocity's grid
    };
    std::vector<tensor_state> states_;
    std::vector<float> rates_; // of every parameter, in a step

public:
    explicit sgd(Network& network, sgd_options options = {}) : network_(network), options_(options) {
        if (!(options.momentum >= 0 && options.momentum < 1))
            fail("sgd's momentum is %g; it must lie in [0, 1)", double{options.momentum});
        for (const float decay : {options.decay, options.decay_gamma, options.decay_beta, options.decay_range})
            if (!(decay >= 0 && std::isfinite(decay)))
                fail("a decay of sgd is %g; it must be 0 or more, and finite", double{decay});
        network_.each_parameter([&](const parameter& p) {
            states_.push_back({std::vector<typename Momentum::storage>(p.value.size()), 0});
            if constexpr (Master::bits < 32) {
                values_.assign(p.value.begin(), p.value.end());
                store_master(p, states_.size() - 1);
            }
        });
    }

    const sgd_options& options() const { return options_; }

    /// One step along the gradients of the last backward(); rate >= 0.
    void step(float rate) {
        step(rate, [](const parameter&) { return 1.0f; });
    }
    /// The same with rate * factor_of(p) for parameter p; factors >= 0 and finite. Where one is not, nothing is
    /// changed.
    template <class FactorOf>
    void step(float rate, FactorOf&& factor_of) {
        if (!(rate >= 0 && std::isfinite(rate)))
            fail("sgd was asked for a step of rate %g; it must be 0 or more, and finite", double{rate});
        rates_.clear();
        network_.each_parameter([&](const parameter& p) {
            const float factor = factor_of(p);
            if (!(factor >= 0 && std::isfinite(factor)))
                fail("sgd was given the factor %g for the rate of '%s'; it must be 0 or more, and finite",
                     double{factor}, p.name.c_str());
            rates_.push_back(product(rate, factor));
        });
        std::size_t index = 0;
        network_.each_parameter([&](const parameter& p) {
            update(p, index, rates_[index]);
            ++index;
        });
    }

    /// Calls f(name, bytes) for everything that must be saved to go on later as if never stopped.
    template <class F>
    void each_state(F&& f) {
        std::size_t index = 0;
        network_.each_parameter([&](const parameter& p) {
            tensor_state& s = states_[index++];
            f(p.name / "velocity", std::as_writable_bytes(std::span(s.velocity)));
            f(p.name / "velocity_step", std::as_writable_bytes(std::span(&s.step, 1)));
        });
    }

private:
    std::vector<float> values_, velocities_; // of one tensor, before they are rounded to their formats

    float decay_of(parameter_kind kind) const {
        switch (kind) {
        case parameter_kind::weight:
            return options_.decay;
        case parameter_kind::gamma:
            return options_.decay_gamma;
        case parameter_kind::range:
            return options_.decay_range;
        default:
            return options_.decay_beta;
        }
    }

    void update(const parameter& p, std::size_t index, float rate) {
        tensor_state& s = states_[index];
        const float decay = decay_of(p.kind), momentum = options_.momentum;
        const bool nesterov = options_.nesterov;
        if constexpr (Master::bits < 32) values_.resize(p.value.size());
        if constexpr (Momentum::bits < 32) velocities_.resize(p.value.size());
        // Below this a thread costs more than it saves.
        constexpr std::size_t chunk = 4096;
        parallel_for(static_cast<int>((p.value.size() + chunk - 1) / chunk), network_.threads(), [&](int number, int) {
            const std::size_t first = static_cast<std::size_t>(number) * chunk;
            for (std::size_t i = first; i < std::min(first + chunk, p.value.size()); ++i) {
                const float w = p.value[i], g = std::fma(decay, w, p.gradient[i]);
                const float v = std::fma(momentum, velocity(s, i), g);
                const float direction = nesterov ? std::fma(momentum, v, g) : v;
                const float moved = std::fma(-rate, direction, w);
                if constexpr (Momentum::bits < 32) velocities_[i] = v;
                else s.velocity[i] = v;
                if constexpr (Master::bits < 32) values_[i] = moved;
                else p.value[i] = moved;
            }
        });
        if constexpr (Momentum::bits < 32) store_momentum(s, index);
        if constexpr (Master::bits < 32) store_master(p, index);
    }

    static float velocity(const tensor_state& s, std::size_t i) {
        if constexpr (Momentum::bits == 32) return s.velocity[i];
        else return product(static_cast<float>(s.velocity[i]), s.step);
    }

    void store_momentum(tensor_state& s, std::size_t index) {
        s.step = step_for<Momentum>(velocities_);
        round_to<Momentum>(velocities_, s.step, stream(index, 1));
        for (std::size_t i = 0; i < velocities_.size(); ++i)
            s.velocity[i] = static_cast<typename Momentum::storage>(velocities_[i]);
    }
    // The network computes with floats, so a master weight is kept there as the float that its code stands for.
    void store_master(const parameter& p, std::size_t index) {
        const float step = step_for<Master>(values_);
        round_to<Master>(values_, step, stream(index, 0));
        for (std::size_t i = 0; i < values_.size(); ++i) p.value[i] = product(values_[i], step);
    }

    random_stream stream(std::size_t index, std::uint32_t use) const {
        return {network_.seed_value(), network_.step(), 0x80000000u + 2 * static_cast<std::uint32_t>(index) + use};
    }

    /// The least power of two whose multiples within the format reach the largest magnitude.
    template <class Format>
    static float step_for(const std::vector<float>& values) {
        float most = 0;
        for (const float v : values) {
            if (!(std::abs(v) < std::numeric_limits<float>::infinity()))
                fail("a weight or its momentum is not finite (NaN or infinity); lower the learning rate");
            most = std::max(most, std::abs(v));
        }
        float step = 0x1p-60f;
        while (product(step, Format::greatest) < most) step *= 2;
        return step;
    }
    /// Replaces values by codes.
    template <class Format>
    static void round_to(std::vector<float>& values, float step, const random_stream& random) {
        using one = simd::f32x16<arch::generic>;
        const float inverse = 1.0f / step; // exact: a power of two
        for (std::size_t i = 0; i < values.size(); i += lanes) {
            const std::size_t count = std::min<std::size_t>(lanes, values.size() - i);
            float v[lanes]{}, u[lanes]{};
            std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(i), count, v);
            if constexpr (Format::draws)
                for (std::size_t j = 0; j < count; ++j)
                    u[j] = uniform16(random.bits16(0, 0, static_cast<int>(i + j), static_cast<int>(values.size())));
            const one q = Format::rounding::round(one::load(v) * inverse, one::load(u));
            min(max(q, one(-Format::greatest)), one(Format::greatest)).store(v);
            std::copy_n(v, count, values.begin() + static_cast<std::ptrdiff_t>(i));
        }
    }
};

} // namespace fqt
