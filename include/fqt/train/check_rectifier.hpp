#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The check of rectifiers that users write: their slopes are held against finite differences of their loss, on random
// normalizations and at the places where such rules go wrong, a gamma of zero or next to it.

#include <fqt/core/random.hpp>
#include <fqt/quant/rectifier.hpp>
#include <fqt/train/check_result.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace fqt {

namespace detail {

/// The numbers of one normalization, of which a check may change one.
struct tried_normalization {
    std::vector<float> gamma, sigma, weight_scale, weight_norm;
    int index{};

    normalization facts() const { return {gamma, sigma, weight_scale, weight_norm, index % 5, 5, index % 2 == 1}; }
    template <rectifier R>
    double loss() const {
        std::vector<float> unused(2 * gamma.size());
        return double{R::penalty(facts(), std::span(unused).first(gamma.size()), std::span(unused).last(gamma.size()))};
    }
};

/// Gains from 2^-6 to 2^6 of both signs; now and then a gamma of zero, a tiny one, or all of them equal.
inline tried_normalization random_normalization(int channels, int index, const random_stream& random) {
    tried_normalization n;
    n.index = index;
    for (int c = 0; c < channels; ++c) {
        const auto bits = random.block(static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(c));
        const auto power = [&](std::size_t i, float low, float high) {
            return std::exp2(low + (high - low) * uniform32(bits[i]));
        };
        const float gamma = index == 0 ? 0.8125f : power(0, -3, 3) * ((bits[3] & 1u) ? 1.0f : -1.0f);
        n.gamma.push_back(index % 3 == 1 && c == 0                  ? 0.0f
                              : index % 3 == 2 && c == channels - 1 ? gamma * 1e-8f
                                                                    : gamma);
        n.sigma.push_back(index == 0 ? 1.0f : power(1, -3, 3));
        n.weight_scale.push_back(power(2, -10, 2));
        n.weight_norm.push_back(power(3, -2, 4));
    }
    return n;
}

/// What is usual: for the number that is changed, the slopes by its like, and the loss.
struct slope_scales {
    float number;
    double slope, loss;
};

/// How far `slope` is from the finite differences of the loss by `number`, as a share of what is allowed; negative
/// where the differences do not tell: the loss is a 32-bit float, and has kinks and steep places, so steps of many
/// sizes are tried, and a contradiction counts only where the finest of them agree with each other.
template <rectifier R>
double slope_error(tried_normalization& n, float& number, const slope_scales& scales, double slope, double& closest) {
    constexpr double tolerance = 0.02;
    struct difference {
        double value, noise, width;
    };
    std::vector<difference> differences;
    const float kept = number;
    const double here = n.template loss<R>();
    const auto add = [&](float up, float down) {
        number = kept + up;
        const double above = up != 0 ? n.template loss<R>() : here, at_up = double{number};
        number = kept - down;
        const double below = down != 0 ? n.template loss<R>() : here, width = at_up - double{number};
        number = kept;
        const double noise = 0x1p-22 * std::max({std::abs(above), std::abs(below), scales.loss}) / width;
        differences.push_back({(above - below) / width, noise, width});
    };
    for (int power = 3; power <= 30; ++power) {
        for (const float size : {scales.number, std::abs(kept)}) {
            const float h = size * std::exp2(static_cast<float>(-power));
            if (kept + h == kept) continue;
            add(h, h);
            // Zero is where the magnitude of a gain has its kink: beside it one side alone tells, at it either may.
            if (kept >= 0 && kept < h) add(h, 0);
            if (kept <= 0 && -kept < h) add(0, h);
        }
    }
    double most = std::max(std::abs(slope), 0.01 * scales.slope), best = -1;
    for (const difference& d : differences)
        if (d.noise < 0.05 * std::abs(d.value)) most = std::max(most, std::abs(d.value));
    std::erase_if(differences, [&](const difference& d) { return !(d.noise <= 0.05 * most); });
    std::ranges::sort(differences, std::ranges::greater{}, &difference::width);
    for (const difference& d : differences) {
        const double off = std::abs(d.value - slope), size = std::max(std::abs(slope), std::abs(d.value));
        const double error = off == 0 ? 0 : off / (tolerance * size + d.noise);
        if (best >= 0 && !(error < best)) continue;
        best = error;
        closest = d.value;
    }
    if (best <= 1) return best;
    const difference a = differences.back();
    const auto twice = std::ranges::find_if(
        differences.rbegin(), differences.rend(), [&](double w) { return w > 1.9 * a.width; }, &difference::width);
    if (twice == differences.rend()) return -1;
    const difference b = *twice;
    const bool settled = std::abs(a.value - b.value)
        <= 2 * tolerance * std::max(std::abs(a.value), std::abs(b.value)) + a.noise + b.noise;
    return settled ? best : -1;
}

template <rectifier R>
void try_rectifier(findings& found, int channels) {
    constexpr int trials = 24;
    const random_stream random{1, 0, 0xDA7B0000u};
    const auto count = static_cast<std::size_t>(channels);
    bool detached = true, sloped = false;
    int told = 0, asked = 0;
    property& finite = found.about("gives a finite loss and writes finite slopes for every channel");
    property& by_gamma = found.about("has the loss's slope by gamma");
    property& by_sigma = found.about("has the loss's slope by sigma");
    std::vector<tried_normalization> tried;
    std::vector<std::vector<float>> slopes;
    std::vector<double> losses;
    for (int trial = 0; trial < trials; ++trial) {
        tried.push_back(random_normalization(channels, trial, random));
        const tried_normalization& n = tried.back();
        if (trial == trials - 1) std::ranges::fill(tried.back().gamma, 0.0f);
        slopes.emplace_back(2 * count, std::numeric_limits<float>::quiet_NaN());
        const auto all = std::span(slopes.back());
        const float loss = R::penalty(n.facts(), all.first(count), all.last(count));
        losses.push_back(std::isfinite(loss) ? std::abs(double{loss}) : 0);
        finite.expect(std::isfinite(loss), [&] { return text("the loss is %g in trial %d", double{loss}, trial); });
        for (std::size_t i = 0; i < 2 * count; ++i) {
            finite.expect(std::isfinite(all[i]), [&] {
                return text("the slope by %s of channel %zu is %g, or not written; gamma %g, sigma %g",
                            i < count ? "gamma" : "sigma", i % count, double{all[i]}, double{n.gamma[i % count]},
                            double{n.sigma[i % count]});
            });
            if (i >= count) detached = detached && all[i] == 0;
        }
    }
    // The first trial's gains are all equal.
    const double first = losses.front();
    std::ranges::nth_element(losses, losses.begin() + trials / 2);
    const double usual = std::max(first, losses[trials / 2]);
    for (std::size_t trial = 0; trial + 1 < tried.size(); ++trial) { // the last, of zeros, is nothing but kinks
        tried_normalization& n = tried[trial];
        for (std::size_t i = 0; i < (detached ? count : 2 * count); ++i) {
            const std::size_t c = i % count;
            const auto mine = std::span(slopes[trial]).subspan(i < count ? 0 : count, count);
            double square = 0, closest = 0;
            for (const float s : mine) square += double{s} * double{s} / channels;
            float& number = i < count ? n.gamma[c] : n.sigma[c];
            const slope_scales scales{n.sigma[c], std::sqrt(square), usual};
            const double error = slope_error<R>(n, number, scales, double{mine[c]}, closest);
            ++asked;
            if (error < 0) continue;
            ++told;
            sloped = sloped || closest != 0;
            (i < count ? by_gamma : by_sigma).measure(error, 1, [&] {
                return text("channel %zu has %.6g, finite differences give %.6g; gamma %g, sigma %g, weight scale %g",
                            c, double{mine[c]}, closest, double{n.gamma[c]}, double{n.sigma[c]},
                            double{n.weight_scale[c]});
            });
        }
    }
    by_gamma.expect(4 * told >= asked,
                    [&] { return text("the loss is too coarse to tell %d of %d slopes", asked - told, asked); });
    if (detached && sloped) found.remark("detached: the slopes by sigma are zero, so the loss acts on gamma alone");
    if (!sloped) found.remark("the loss does not change with gamma");
}

} // namespace detail

/// Checks a rectifier on random normalizations of `channels` channels, with gammas that are zero, negative or tiny:
/// loss and slopes are finite and all written, and the slopes are those of the loss. Slopes by sigma that are all zero
/// detach the rectifier from sigma, which is noted and no failure.
template <rectifier R>
check_result check_rectifier(int channels) {
    detail::findings found("rectifier", detail::name_of_part<R>());
    if (channels >= 1) found.run([&] { detail::try_rectifier<R>(found, channels); });
    else
        found.about("has a channel").expect(false, [&] {
            return detail::text("%d channels; give 1 or more", channels);
        });
    return found.result();
}

} // namespace fqt
