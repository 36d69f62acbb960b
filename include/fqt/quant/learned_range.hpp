#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Ranges that the optimizer learns: a rule says with what the range begins and its slope, the library sums the slope
// over the tensor and lists the range as a parameter, "<layer>.input_range" or "<layer>.weight_range".

#include <fqt/quant/range.hpp>

#include <cmath>

namespace fqt {

/// A learned range c = s q_max, s the step of learned step size quantization (Esser, McKinstry, Bablani, Appuswamy,
/// Modha: LSQ, ICLR 2020). In units of c their eq. 3 reads d xhat / d c = (xhat - x) / c inside, -1 or 1 outside. The
/// first step is 2 E|x| / sqrt(q_max) and the gradient of s is scaled by 1 / sqrt(n q_max) (their section 2.2), n
/// the weights of a layer or the features of one sample, whatever the batch. The gradient of c is scaled so that
/// descent moves c by q_max times what it would move s: by q_max^2 / sqrt(n q_max).
struct learned_step {
    static constexpr const char* name = "learned step";
    static constexpr bool learned = true;
    static float initial(const measurement& m, code_limits limits) {
        const double c = 2 * m.mean_magnitude() * std::sqrt(static_cast<double>(limits.high));
        return c > 0 ? static_cast<float>(c) : 1.0f;
    }
    static auto slope(auto x, auto xhat, auto c) {
        const auto inside = (xhat - x) / c;
        return where(abs(x) <= c, inside, where(x < 0.0f, -1.0f, 1.0f));
    }
    static double gradient_scale(double n, code_limits limits) {
        const double q = limits.high;
        return q * q / std::sqrt(n * q);
    }
};

/// A learned range alpha of an activation that cannot be negative, which is clipped to [0, alpha] (Choi, Wang,
/// Venkataramani, Chuang, Srinivasan, Gopalakrishnan: PACT, 2018, eq. 3: the slope is 1 where x >= alpha, else 0).
/// Begins with the largest value of the first batch. Give it decay: sgd_options::decay_range; the paper uses that of
/// weights.
struct clipped_activation {
    static constexpr const char* name = "clipped activation";
    static constexpr bool learned = true, nonnegative = true;
    static float initial(const measurement& m, code_limits) {
        return m.range.magnitude() > 0 ? m.range.magnitude() : 1.0f;
    }
    static auto slope(auto x, auto, auto c) { return where(x < c, decltype(x)(0.0f), 1.0f); }
    static double gradient_scale(double, code_limits) { return 1; }
};

} // namespace fqt
