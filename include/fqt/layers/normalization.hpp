#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What batch normalization divides by: y = gamma xhat + beta, xhat = (x - mean) / sigma. A policy is only the rule, on
// numbers of one channel; loops, sums and gradients are batch_norm's. It says how sigma follows the batch,
//     static sigma_squared of(const channel_statistics& s)
// by the square S and its slopes; then sigma = sqrt(S + epsilon), and the library knows how the statistics follow x:
//     dsigma/dx = (by_variance 2 (x - mean) + by_deviation (sign(x - mean) - mean(sign))
//                  + by_range ([x = greatest] - [x = least]) M) / (2 sigma M)
// with [.] shared evenly among equal extremes. Slopes that are left 0 detach sigma from x. What else it may say:
//     name                            for summaries
//     uses_range, uses_deviation      true where `of` reads s.range (free) or s.deviation (one pass)
//     epsilon                         1e-5 unless given
//     rounded_mean(m), rounded_sigma(sigma)   what is used of the two; gradients pass straight through
//     steps                           a rule like fixed_steps<8> to which gamma, beta and xhat are rounded, likewise
//     of_batch                        false: the running statistics are used, and kept, in training too; no `of`
// The running average is of S, times M / (M - 1) as for variances; evaluation uses sqrt(S + epsilon) of it. So every
// policy has the same states, and `frozen` goes on with what any other has left.
// docs/batch-normalization.md has formulas, sources and choices side by side.

#include <fqt/core/floating_point.hpp>
#include <fqt/core/math.hpp>
#include <fqt/quant/rectifier.hpp>
#include <fqt/simd/lanes.hpp>

#include <cmath>
#include <concepts>
#include <type_traits>

namespace fqt {

/// What was measured of one channel's x, in real numbers.
struct channel_statistics {
    double count;          ///< M, the number of values
    double mean, variance; ///< the variance is the mean of (x - mean)^2
    double range{};        ///< greatest - least, where the policy uses_range
    double deviation{};    ///< mean of |x - mean|, where the policy uses_deviation
};

/// The square S of sigma, before epsilon, and its slopes by the statistics.
struct sigma_squared {
    double value;
    double by_variance{}, by_range{}, by_deviation{};
};

// ---- policies ----

/// The standard deviation: S = variance (Ioffe and Szegedy 2015).
struct standard {
    static constexpr const char* name = "standard";
    static sigma_squared of(const channel_statistics& s) { return {.value = s.variance, .by_variance = 1}; }
};

/// The range: sqrt(S) = C(M) (greatest - least), C(M) = (0.35 / 2) (1 + sqrt(pi ln 4)) / sqrt(2 ln M) = 0.5402 / sqrt(2
/// ln M) (Banner, Hubara, Hoffer, Soudry 2018). The constant is that of the authors' code; the paper has 1 / sqrt(2 ln
/// n) (from memory), twice as much, which would halve every y. Theirs averages the ranges of chunks of the batch; here
/// the batch is one chunk, whose extremes cost no pass. The gradient is exact, as theirs is: it goes to the extremes.
struct range_norm {
    static constexpr const char* name = "range_norm";
    static constexpr bool uses_range = true;
    static sigma_squared of(const channel_statistics& s) {
        if (s.count < 2) return {0};
        const double logarithm = double{math::log(static_cast<float>(s.count))};
        const double square = 0.29182507490186166 / (2 * logarithm); // of C
        return {.value = product(square, product(s.range, s.range)), .by_range = 2 * square * s.range};
    }
};

/// The mean absolute deviation: sqrt(S) = sqrt(pi / 2) mean|x - mean|, which is sigma where x is Gaussian (Wu et al.
/// 2018, from memory; ShiftQuant, second hand). The gradient is exact.
struct l1_norm {
    static constexpr const char* name = "l1_norm";
    static constexpr bool uses_deviation = true;
    static sigma_squared of(const channel_statistics& s) {
        return {.value = product(math::pi / 2, product(s.deviation, s.deviation)),
                .by_deviation = math::pi * s.deviation};
    }
};

/// The running statistics, in training too, where they stay as they are: h = r g. For fine-tuning from a checkpoint;
/// without one they are mean 0 and variance 1. A rectifier sees gamma and sigma, but sigma does not learn.
struct frozen {
    static constexpr const char* name = "frozen";
    static constexpr bool of_batch = false;
};

/// A rounding to multiples of 2^(1 - Bits), ties to even. Nothing is clipped: with 8 bits, a number in (-1, 1) is a
/// code of 8 bits times 2^-7, and one in (-8, 8) has 11.
template <int Bits>
struct fixed_steps {
    static constexpr bool monotonic = true;
    static constexpr float per_unit = static_cast<float>(1 << (Bits - 1)), step = 1 / per_unit;
    static auto forward(auto x) { return rint(x * per_unit) * step; }
    static double round(double x) { return std::nearbyint(x * double{per_unit}) * double{step}; }
};

/// Everything on fixed steps: y = gamma_q Q(xhat) + beta_q, xhat = (x - Q16(mean)) / (Q16(deviation) + 2^-15), with Qk
/// a rounding to multiples of 2^(1 - k), unclipped: gamma, beta and xhat have Bits, mean and standard deviation 16.
/// Gradients pass straight through every Q. So in the code of Yang et al. 2020 (WAGEUBN), which has Bits = 8. The
/// running variance is not rounded until it is used.
template <int Bits = 8>
struct quantized_affine {
    static_assert(Bits >= 2 && Bits <= 16, "fqt: quantized_affine<Bits> takes 2 to 16 bits");
    static constexpr const char* name = "quantized_affine";
    static constexpr float epsilon = 0;
    using steps = fixed_steps<Bits>;
    static sigma_squared of(const channel_statistics& s) { return standard::of(s); }
    static double rounded_mean(double mean) { return fixed_steps<16>::round(mean); }
    static double rounded_sigma(double sigma) { return fixed_steps<16>::round(sigma) + 0x1p-15; }
};

// ---- what a policy leaves unsaid ----

/// What the library knows of a policy.
template <class N>
struct normalization_traits {
    static constexpr bool of_batch = [] {
        if constexpr (requires { N::of_batch; }) return bool{N::of_batch};
        else return true;
    }();
    static constexpr bool uses_range = [] {
        if constexpr (requires { N::uses_range; }) return of_batch && bool{N::uses_range};
        else return false;
    }();
    static constexpr bool uses_deviation = [] {
        if constexpr (requires { N::uses_deviation; }) return of_batch && bool{N::uses_deviation};
        else return false;
    }();
    static constexpr bool has_steps = requires { typename N::steps; };
    /// Whether xhat is 0 at the batch's mean.
    static constexpr bool centred = of_batch && !requires { N::rounded_mean(0.0); };
    static constexpr float epsilon = [] {
        if constexpr (requires { N::epsilon; }) return float{N::epsilon};
        else return 1e-5f;
    }();
    static constexpr const char* name = [] {
        if constexpr (requires { N::name; }) return static_cast<const char*>(N::name);
        else return "own";
    }();

    static double mean(double m) {
        if constexpr (requires { N::rounded_mean(m); }) return N::rounded_mean(m);
        else return m;
    }
    /// What is divided by, of sqrt(S + epsilon).
    static double sigma(double s) {
        if constexpr (requires { N::rounded_sigma(s); }) return N::rounded_sigma(s);
        else return s;
    }
    static double stepped(double x) {
        if constexpr (has_steps) return N::steps::round(x);
        else return x;
    }
};

template <class N>
concept normalization_policy = requires(const channel_statistics& s) {
    { N::of(s) } -> std::same_as<sigma_squared>;
}
|| requires { requires !N::of_batch; };

} // namespace fqt
