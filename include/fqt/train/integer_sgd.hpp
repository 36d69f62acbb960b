#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Optimizers whose weights are integers: a weight is a code times a power of two, a step adds an integer to the code,
// and nothing else is kept. Which integer is a rule's choice: WAGE's, WAGEUBN's or NITI's. The network's floats hold
// the weights exactly, so they are the only copy.

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/parallel.hpp>
#include <fqt/core/random.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/quant/pseudo_stochastic.hpp>
#include <fqt/quant/quantizer.hpp>
#include <fqt/quant/scale.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fqt {

struct integer_sgd_options {
    /// What is not a weight - gamma, beta, biases, learnt ranges - is a float and follows its gradient plainly:
    /// p = p - others * pace * g, where pace is the rate with WAGE and WAGEUBN and 2^rate with NITI. >= 0. Rule and
    /// value are fqt's: the papers' networks have no such parameters (WAGE, NITI) or formats for them (WAGEUBN).
    float others = 0x1p-8f;
    float gradient_scale = 128; ///< g_scale, with `wageubn_update` alone: 1 to 2^15
};

namespace detail {

/// |x| to the integer below or above, up with the probability of its fraction where u is uniform; the sign is kept.
inline double stochastic_magnitude(double x, double u) {
    const double magnitude = std::abs(x), low = std::floor(magnitude);
    return std::copysign(low + (magnitude - low > u ? 1 : 0), x);
}

} // namespace detail

// ---- rules ----
// A rule says how many steps of its grid a weight moves: bits of a code; whether each tensor has its own exponent
// (else the grid's step is 2^(1 - bits)); whether it draws; check(rate); pace(rate); and of(g, greatest) -> moves:
// moves(g, u) is the integer to subtract from the code. All of it is exact in double.

/// WAGE's update (Wu et al., ICLR 2018, and its code, source/Quantize.py): weights in +-(1 - 2^(1-Bits)) on a grid of
/// 2^(1-Bits), and with Shift(m) = 2^round(log2 m) of the tensor's greatest magnitude m
///   u = Q(rate * g / Shift(m), 16), a multiple of 2^-15; w = w - 2^(1-Bits) * sign(u) * SR(|u|), clipped.
/// The draw has 16 bits, so it is unbiased to the last bit: E[SR(|u|)] = |u|. No momentum. 2 <= Bits <= 16.
/// Rate: >= 0 and finite; WAGE has 8, then 1, then 1/8, in steps of the grid for the greatest gradient.
template <int Bits = 8>
struct wage_update {
    static_assert(Bits >= 2 && Bits <= 16, "fqt: wage_update<Bits> takes 2 to 16 bits");
    static constexpr int bits = Bits;
    static constexpr bool own_exponent = false, draws = true;

    static void check(float rate, const integer_sgd_options&) {
        if (!(rate >= 0 && std::isfinite(rate)))
            fail("WAGE's update was asked for a step of rate %g; it must be 0 or more, and finite", double{rate});
    }
    static float pace(float rate) { return rate; }
    static auto of(float greatest, float rate, const integer_sgd_options&) {
        const double per_shift = std::ldexp(double{rate}, -round_log2(double{greatest}));
        return [per_shift](float g, float u) {
            const double moved = std::nearbyint(std::ldexp(product(per_shift, double{g}), 15));
            return detail::stochastic_magnitude(std::ldexp(moved, -15), double{u});
        };
    }
};

/// WAGEUBN's update (Yang et al., Neural Networks 2020, and its code, Quantize.py, fg and flr), without momentum:
///   n = sign(g) SR(g_scale |g| / Shift(max|g|)), clipped to +-(g_scale - 1); w = w - Q(lr * n / 2^14, 15)
/// where lr is the rate on 10 bits: to the nearest multiple of 2^-9, at most 1 - 2^-9. Rate: 0 to 1; below 2^-10 it is
/// 0. g_scale is options.gradient_scale; 128 in the paper, lowered by powers of two in the course of a run. Unlike the
/// code, which clips weights only where it uses them, weights are kept in +-(1 - 2^-14): those beyond would be clipped
/// there.
struct wageubn_update {
    static constexpr int bits = 15;
    static constexpr bool own_exponent = false, draws = true;

    static void check(float rate, const integer_sgd_options& options) {
        if (!(rate >= 0 && rate <= 1))
            fail("WAGEUBN's update was asked for a step of rate %g; it must lie in [0, 1]", double{rate});
        if (!(options.gradient_scale >= 1 && options.gradient_scale <= 0x1p15f))
            fail("WAGEUBN's gradient_scale is %g; it must lie in [1, 32768]", double{options.gradient_scale});
    }
    static float pace(float rate) { return std::min(std::nearbyint(rate * 512.0f), 511.0f) / 512.0f; }
    static auto of(float greatest, float rate, const integer_sgd_options& options) {
        const double scale = std::ldexp(double{options.gradient_scale}, -round_log2(double{greatest}));
        const double most = double{options.gradient_scale} - 1, lr = double{pace(rate)};
        return [=](float g, float u) {
            const double n = detail::stochastic_magnitude(product(scale, double{g}), double{u});
            return std::nearbyint(product(lr, std::clamp(n, -most, most)));
        };
    }
};

/// NITI's update (Wang et al. 2020; wangmaolin/niti, ti_torch.py, grad_calc and weight_update): weights are 8-bit codes
/// in +-127 times a power of two that each tensor keeps for good, and
///   code = code - PSR(g / 2^(ceil(log2 max|g|) - mu)), both clipped to +-127
/// with pseudo-stochastic rounding: magnitudes are below 2^mu, or 2^mu where max|g| is a power of two. The rate is mu,
/// 1 to 7 and whole: 5, then 4 and 3 in the paper's runs; a schedule is any function of the step that gives them. There
/// a gradient is an integer and is never shifted up; here it is a real number without such a unit, so that its greatest
/// magnitude always takes mu bits.
struct niti_update {
    static constexpr int bits = 8;
    static constexpr bool own_exponent = true, draws = false;

    static void check(float rate, const integer_sgd_options&) {
        if (!(rate >= 1 && rate <= 7 && rate == std::floor(rate)))
            fail("NITI's update was asked for a step of rate %g; its rate is the bits of the gradient, mu: a whole "
                 "number from 1 to 7",
                 double{rate});
    }
    static float pace(float rate) { return power_of_two_of(static_cast<int>(rate)); }
    static auto of(float greatest, float rate, const integer_sgd_options&) {
        const int shift = ceil_log2(double{greatest}) - static_cast<int>(rate);
        const double scale = std::ldexp(1.0, -shift);
        return [scale](float g, float) {
            using one = simd::f32x16<arch::generic>;
            // Exact but for values that are 2^-126 steps, which round to 0 as well.
            const one x(static_cast<float>(product(scale, double{g})));
            return std::clamp(double{pseudo_stochastic::round(x, one(0.0f)).lane(0)}, -127.0, 127.0);
        };
    }
};

// ---- the optimizer ----

/// Stochastic gradient descent on integers, by one of the rules above. Random numbers come from the network's seed and
/// step, so results depend neither on threads nor on the compiler.
///   Weights of up to 8 bits enter products as they are where scheme.weight is power_of_two<8>, whose grid is theirs or
/// finer by a power of two, or, with WAGE, fixed_step<8>; fixed_step<2> is WAGE's ternary W. Other quantizers, such as
/// the fitted grids of w8a8g8, round them once more for the product.
template <class Network, class Update = wage_update<8>>
class integer_sgd {
    static constexpr int top = (1 << (Update::bits - 1)) - 1;

    Network& network_;
    integer_sgd_options options_;
    std::vector<std::int32_t> exponents_; // of every parameter's grid; of those that are no weights unused
    struct chunk_facts {
        float greatest;
        bool finite, on_grid;
    };
    std::vector<chunk_facts> chunks_;
    std::vector<float> greatest_; // |g| of every parameter

public:
    /// Puts the weights on the grid: see place_weights().
    explicit integer_sgd(Network& network, integer_sgd_options options = {}) : network_(network), options_(options) {
        if (!(options.others >= 0 && std::isfinite(options.others)))
            fail("integer_sgd's options.others is %g; it must be 0 or more, and finite", double{options.others});
        place_weights();
    }

    const integer_sgd_options& options() const { return options_; }
    /// Sets WAGEUBN's g_scale from the next step on.
    void set_gradient_scale(float scale) { options_.gradient_scale = scale; }

    /// Replaces every weight by the nearest point of the grid, clipping those beyond. Where tensors have exponents
    /// (NITI) they are chosen anew: 2^(ceil(log2 max|w|) - 7), so only a code of 128 is clipped, to 127. Call it after
    /// weights were changed by something else, such as initialise() or a file that another optimizer wrote.
    void place_weights() {
        exponents_.clear();
        network_.each_parameter([&](const parameter& p) {
            exponents_.push_back(1 - Update::bits);
            if (p.kind != parameter_kind::weight) return;
            float most = 0;
            for (const float w : p.value) {
                if (!std::isfinite(w))
                    fail("a weight of '%s' is %g; initialise the network anew, or load another checkpoint",
                         p.name.c_str(), double{w});
                most = std::max(most, std::abs(w));
            }
            if (Update::own_exponent && most > 0)
                exponents_.back() = std::max(ceil_log2(double{most}) + 1 - Update::bits, least_exponent);
            const int exponent = exponents_.back();
            for (float& w : p.value) {
                const double code = std::nearbyint(std::ldexp(double{w}, -exponent));
                w = value_of(std::clamp(code, double{-top}, double{top}), exponent);
            }
        });
    }

    /// One step along the gradients of the last backward(). Which rates are valid is the rule's matter. Errors, each
    /// before anything is changed: such a rate, a gradient that is not finite, a weight that is not on the grid.
    void step(float rate) {
        Update::check(rate, options_);
        check_tensors();
        std::size_t index = 0;
        network_.each_parameter([&](const parameter& p) {
            if (p.kind == parameter_kind::weight) update(p, index, rate);
            else follow(p, product(options_.others, Update::pace(rate)));
            ++index;
        });
    }

    /// Calls f(name, bytes) for everything that must be saved to go on later as if never stopped: the exponents of the
    /// weights' grids. The codes are in the weights.
    template <class F>
    void each_state(F&& f) {
        std::size_t index = 0;
        network_.each_parameter([&](const parameter& p) {
            std::int32_t& exponent = exponents_[index++];
            if (p.kind == parameter_kind::weight)
                f(p.name / "exponent", std::as_writable_bytes(std::span(&exponent, 1)));
        });
    }

    /// Calls f(parameter, exponent) for every weight tensor: its codes are value / 2^exponent.
    template <class F>
    void each_exponent(F&& f) {
        std::size_t index = 0;
        network_.each_parameter([&](const parameter& p) {
            const int exponent = exponents_[index++];
            if (p.kind == parameter_kind::weight) f(p, exponent);
        });
    }

private:
    // Of a chunk, which is one thread's at a time: below this a thread costs more than it saves. A multiple of 8, so
    // that a chunk has its own random blocks.
    static constexpr std::size_t chunk = 4096;
    // Of a grid whose codes are normal floats.
    static constexpr int least_exponent = -126, greatest_exponent = 129 - Update::bits;

    static float value_of(double code, int exponent) { return static_cast<float>(std::ldexp(code, exponent)); }

    template <class Body>
    void in_chunks(std::size_t size, Body&& body) {
        parallel_for(static_cast<int>((size + chunk - 1) / chunk), network_.threads(), [&](int number, int) {
            const std::size_t first = static_cast<std::size_t>(number) * chunk;
            body(static_cast<std::size_t>(number), first, std::min(first + chunk, size));
        });
    }

    void check_tensors() {
        greatest_.clear();
        std::size_t index = 0;
        network_.each_parameter([&](const parameter& p) {
            const int exponent = exponents_[index++];
            const bool weight = p.kind == parameter_kind::weight;
            if (!Update::own_exponent && exponent != 1 - Update::bits)
                fail("'%s' is on a grid of 2^%d, and this integer_sgd's is 2^%d: its file was written by another rule; "
                     "load it with that, or call place_weights()",
                     p.name.c_str(), exponent, 1 - Update::bits);
            if (exponent < least_exponent || exponent > greatest_exponent)
                fail("'%s' is on a grid of 2^%d, whose codes are no floats; load another checkpoint, or call "
                     "place_weights()",
                     p.name.c_str(), exponent);
            chunks_.assign((p.value.size() + chunk - 1) / chunk, {0, true, true});
            in_chunks(p.value.size(), [&](std::size_t number, std::size_t first, std::size_t last) {
                chunk_facts facts{0, true, true};
                for (std::size_t i = first; i < last; ++i) {
                    facts.finite = facts.finite && std::isfinite(p.gradient[i]);
                    facts.greatest = std::max(facts.greatest, std::abs(p.gradient[i]));
                    if (!weight) continue;
                    const double code = std::ldexp(double{p.value[i]}, -exponent);
                    facts.on_grid = facts.on_grid && std::abs(code) <= top && code == std::floor(code);
                }
                chunks_[number] = facts;
            });
            float greatest = 0;
            for (const chunk_facts& facts : chunks_) {
                if (!facts.finite)
                    fail("the gradient of '%s' is not finite (NaN or infinity); lower the learning rate, or check the "
                         "loss",
                         p.name.c_str());
                if (!facts.on_grid)
                    fail("a weight of '%s' is not one of the %d multiples of 2^%d that integer_sgd keeps; call its "
                         "place_weights() after weights were changed by something else",
                         p.name.c_str(), 2 * top + 1, exponent);
                greatest = std::max(greatest, facts.greatest);
            }
            greatest_.push_back(greatest);
        });
    }

    void update(const parameter& p, std::size_t index, float rate) {
        if (!(greatest_[index] > 0)) return;
        const int exponent = exponents_[index];
        const auto moves = Update::of(greatest_[index], rate, options_);
        const random_stream random{network_.seed_value(), network_.step(),
                                   0x80000000u + 2 * static_cast<std::uint32_t>(index)};
        in_chunks(p.value.size(), [&](std::size_t, std::size_t first, std::size_t last) {
            random_block block{};
            for (std::size_t i = first; i < last; ++i) {
                // As random_stream::bits16(0, 0, i, size), with a block drawn once for its eight numbers.
                if (Update::draws && i % 8 == 0) block = random.block(0, static_cast<std::uint32_t>(i / 8));
                const float u = uniform16((block[i % 8 / 2] >> (i % 2 * 16)) & 0xffffu);
                const double code = std::ldexp(double{p.value[i]}, -exponent) - moves(p.gradient[i], u);
                p.value[i] = value_of(std::clamp(code, double{-top}, double{top}), exponent);
            }
        });
    }

    void follow(const parameter& p, float rate) {
        for (std::size_t i = 0; i < p.value.size(); ++i) p.value[i] = std::fma(-rate, p.gradient[i], p.value[i]);
    }
};

// ---- WAGE's initialisation ----

/// What WAGE's initialisation draws from, and the power of two by which WAGE divides the quantized weights so that
/// their variance fits the fan-in n_in again: 2^round(log2(1.5 / s / sqrt(3 / n_in))), at least 1, with
/// s = 2^(weight_bits - 1) (source/myInitializer.py). fqt does not divide: a batch normalization behind the product
/// absorbs the constant, and without one the sums are larger by it.
struct wage_limits {
    float bound;    ///< L = max(sqrt(3 / n_in), 1.5 / s): weights are U(-L, L)
    float constant; ///< of the layer

    /// weight_bits: of the weights in products, 2 or more; n_in >= 1.
    static wage_limits of(int n_in, int weight_bits) {
        if (n_in < 1) fail("WAGE's initialisation was given a fan-in of %d; it must be 1 or more", n_in);
        if (weight_bits < 2)
            fail("WAGE's initialisation was given weights of %d bits; it needs 2 or more", weight_bits);
        const float by_fan_in = std::sqrt(3.0f / static_cast<float>(n_in));
        const float least = 1.5f * power_of_two_of(1 - weight_bits);
        const int power = round_log2(static_cast<double>(least) / static_cast<double>(by_fan_in));
        return {std::max(by_fan_in, least), power_of_two_of(std::max(power, 0))};
    }
};

/// Draws all weights anew as WAGE does: uniform in +-L (wage_limits), to the nearest point of the grid of
/// 2^(1-Bits) within +-(1 - 2^(1-Bits)). L follows from the fan-in and from the bits of the weights in products, those
/// of the network's scheme. Other parameters stay as they are.
template <int Bits = 8, class Network>
void wage_initialise(Network& network, seed s,
                     int weight_bits = bits_of<typename Network::scheme_type::weight_quantizer>) {
    static_assert(Bits >= 2 && Bits <= 16, "fqt: wage_initialise<Bits> takes 2 to 16 bits");
    constexpr float top = (1 << (Bits - 1)) - 1;
    std::uint32_t index = 0;
    network.each_parameter([&](const parameter& p) {
        const random_stream random{s.value, 0, 0xC0000000u + index++};
        if (p.kind != parameter_kind::weight) return;
        const float bound = wage_limits::of(p.shape[1] * p.shape[2] * p.shape[3], weight_bits).bound;
        for (std::size_t i = 0; i < p.value.size(); ++i) {
            const auto bits = random.block(0, static_cast<std::uint32_t>(i / 4))[i % 4];
            const float w = product(std::fma(2.0f, uniform32(bits), -1.0f), bound);
            const float code = std::nearbyint(product(w, power_of_two_of(Bits - 1)));
            p.value[i] = std::clamp(code, -top, top) * power_of_two_of(1 - Bits);
        }
    });
}

} // namespace fqt
