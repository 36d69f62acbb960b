#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Checks of parts that users write - roundings, quantizers, rectifiers, layers - against what the library relies on. A
// check never ends the program: it returns whether all holds, and a log that says what was examined and, where
// something fails, at which values. Rules are tried at the uniform numbers and on the instruction set that training
// uses.

#include <fqt/core/random.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/quant/quantizer.hpp>
#include <fqt/quant/rounding.hpp>
#include <fqt/train/check_layer.hpp>
#include <fqt/train/check_rectifier.hpp>
#include <fqt/train/check_result.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace fqt {

namespace detail {

/// Whether a part says that its mean over the uniform numbers is the value: by `static constexpr bool unbiased`, which
/// `stochastic` has without saying so; a linear quantizer inherits it from its rounding.
template <class R>
constexpr bool claims_unbiased() {
    if constexpr (requires { R::unbiased; }) return R::unbiased;
    else if constexpr (requires { typename R::rounding; })
        return is_linear<R> && claims_unbiased<typename R::rounding>();
    else return is_unbiased<R>;
}

/// Whether greater values must become greater ones: yes, unless a rounding says `ordered = false`.
template <class R>
constexpr bool keeps_order() {
    if constexpr (requires { R::ordered; }) return R::ordered;
    else if constexpr (requires { typename R::rounding; }) return keeps_order<typename R::rounding>();
    else return true;
}

/// Whether a quantizer says `clips = true`: its grid need not reach the ends of the range.
template <class Q>
constexpr bool may_clip() {
    if constexpr (requires { Q::clips; }) return Q::clips;
    else return false;
}

/// The extremes, the next to them, and the middle of the uniform numbers that a rounding is given.
inline const float telling_uniforms[] = {uniform16(0), uniform16(1), uniform16(32767), uniform16(65534),
                                         uniform16(65535)};
/// Fractions at which a biased rounding shows: the least, a third, a tie and the greatest.
inline constexpr float telling_fractions[] = {0x1p-16f, 1.0f / 3, 0.5f, 1 - 0x1p-16f};

/// The mean of f(u), 16 lanes, over all 65536 uniform numbers.
template <class F>
double mean_over_uniforms(F&& f) {
    double sum = 0;
    for (std::uint32_t first = 0; first < 65536; first += lanes) {
        float u[lanes], v[lanes];
        for (std::uint32_t i = 0; i < lanes; ++i) u[i] = uniform16(first + i);
        floats<arch::best>(f(floats<arch::best>::load(u))).store(v);
        for (const float x : v) sum += double{x};
    }
    return sum / 65536;
}

/// One value through a rule on 16 lanes.
template <class Arch, class F>
float one_lane(float x, float u, F&& f) {
    return floats<Arch>(f(floats<Arch>(x), floats<Arch>(u))).lane(0);
}

inline bool same_bits(float a, float b) { return std::bit_cast<std::uint32_t>(a) == std::bit_cast<std::uint32_t>(b); }

/// Reports a bias: a failure where its absence is claimed, else a remark.
inline void report_bias(findings& found, bool claimed, double bias, double allowed, const std::string& where) {
    if (claimed)
        found.about("is unbiased: the mean over all uniform numbers is the value").measure(bias, allowed, [&] {
            return where;
        });
    else
        found.remark(text("biased by up to %.3g steps: %s; a part that must be unbiased says `unbiased = true`", bias,
                          where.c_str()));
}

// ---- roundings ----

template <rounding R>
void try_rounding(findings& found) {
    const auto rule = [](auto x, auto u) { return R::round(x, u); };
    const auto round = [&](float x, float u) { return one_lane<arch::generic>(x, u, rule); };
    std::vector<float> values;
    for (int i = -3 * 64; i <= 3 * 64; ++i) values.push_back(static_cast<float>(i) / 64);
    for (const float whole : {0.0f, 1.0f, 7.0f, 127.0f, 254.0f})
        for (const float fraction : telling_fractions)
            values.insert(values.end(), {whole + fraction, -whole - fraction});
    for (const float v : {0x1p-126f, 0x1p-40f, 1e5f + 0.25f, 0x1p22f + 0.5f}) values.insert(values.end(), {v, -v});
    std::ranges::sort(values);

    property& stays = found.about("leaves integers alone");
    property& neighbour = found.about("gives one of the two neighbouring integers");
    property& ordered = found.about("keeps order");
    property& drawless = found.about("does not depend on random numbers, as it does not draw");
    property& agree = found.about("has the same bits on every instruction set");
    for (const float u : telling_uniforms) {
        for (int n = -300; n <= 300; ++n) {
            const float r = round(static_cast<float>(n), u);
            stays.expect(r == static_cast<float>(n),
                         [&] { return text("round(%d, %g) is %g", n, double{u}, double{r}); });
        }
        float before = -std::numeric_limits<float>::infinity();
        for (const float x : values) {
            const float r = round(x, u), fast = one_lane<arch::best>(x, u, rule);
            const auto at = [&] { return text("round(%.9g, %.9g) is %g", double{x}, double{u}, double{r}); };
            neighbour.expect(r == std::floor(x) || r == std::ceil(x), at);
            ordered.expect(!keeps_order<R>() || r >= before, at);
            if (!R::draws) drawless.expect(r == round(x, telling_uniforms[0]), at);
            agree.expect(same_bits(fast, r), [&] { return at() + text(" in plain C++ and %g here", double{fast}); });
            before = r;
        }
    }
    if (R::draws) {
        double bias = 0;
        std::string where = "none";
        for (const float whole : {0.0f, 1.0f, 5.0f, 100.0f, 127.0f})
            for (const float fraction : telling_fractions)
                for (const float x : {whole + fraction, -whole - fraction}) {
                    const double mean = mean_over_uniforms([&](auto u) { return R::round(decltype(u)(x), u); });
                    if (std::abs(mean - double{x}) <= bias) continue;
                    bias = std::abs(mean - double{x});
                    where = text("the mean of round(%.9g) is %.9g", double{x}, mean);
                }
        report_bias(found, claims_unbiased<R>(), bias, 0x1p-17, where);
    }
}

// ---- quantizers ----

/// A quantizer's grid for one range: what every code stands for, and the way there and back.
template <class Q>
class tried_grid {
    static constexpr bool is_nearest = [] {
        if constexpr (requires { typename Q::rounding; })
            return is_linear<Q> && std::same_as<typename Q::rounding, nearest>;
        else return false;
    }();
    interval range_;
    code_limits limits_;
    typename quantizer_traits<Q>::grid_type grid_;
    std::vector<float> points_;
    bool ascends_;

public:
    tried_grid(interval range, code_limits limits) : range_(range), limits_(limits), grid_(Q::fit(range, limits)) {
        for (int q = limits.low; q <= limits.high; ++q) points_.push_back(decode(static_cast<float>(q)));
        ascends_ = std::is_sorted(points_.begin(), points_.end());
    }
    const std::vector<float>& points() const { return points_; }
    interval range() const { return range_; }
    int low() const { return limits_.low; }

    template <class Arch>
    floats<Arch> codes(floats<Arch> x, floats<Arch> u) const {
        // As the library does it: whatever the rule gives is clamped.
        const floats<Arch> q = Q::encode(x, grid_, u);
        return min(max(q, floats<Arch>(static_cast<float>(limits_.low))),
                   floats<Arch>(static_cast<float>(limits_.high)));
    }
    template <class Arch = arch::generic>
    float code(float x, float u) const {
        return codes<Arch>(floats<Arch>(x), floats<Arch>(u)).lane(0);
    }
    float decode(float q) const { return floats<arch::generic>(Q::decode(floats<arch::generic>(q), grid_)).lane(0); }
    float through(float x, float u) const { return decode(code(x, u)); }
    /// Whether a linear grid's code stands for a whole number of steps that is not beyond what products are told.
    bool is_integer(float q) const {
        using one = floats<arch::generic>;
        const float n = one(quantizer_traits<Q>::integer(one(q), grid_)).lane(0), v = decode(q);
        const bool is_signed = limits_ == quantizer_traits<Q>::limits(true);
        const auto most = static_cast<float>(quantizer_traits<Q>::greatest_integer(is_signed));
        return n == std::nearbyint(n) && n <= most && n >= (is_signed ? -most : 0.0f)
            && std::abs(double{v} - double{n} * double{step_of(grid_)}) <= std::abs(double{v}) * 0x1p-22 + 0x1p-149;
    }

    /// The distance of the grid points around x, the greater one where x is next to a point; 0 beyond the grid.
    double gap(float x) const {
        double widest = 0;
        // Where points ascend those next to x will do; codes of 16 bits have many.
        std::size_t first = 0, end = points_.size();
        if (ascends_) {
            const auto place = std::lower_bound(points_.begin(), points_.end(), x) - points_.begin();
            first = static_cast<std::size_t>(std::max<std::ptrdiff_t>(place - 2, 0));
            end = std::min(first + 4, end);
        }
        for (std::size_t i = first; i + 1 < end; ++i) {
            const double a = double{points_[i]}, b = double{points_[i + 1]}, slack = (b - a) * 0x1p-10;
            if (double{x} >= a - slack && double{x} <= b + slack) widest = std::max(widest, b - a);
        }
        return widest;
    }
    /// How far a value may come to lie from x: half a step to the nearest point, else a step; for values beyond the
    /// grid to its end.
    double allowed(float x) const {
        const double beyond = std::max({0.0, double{points_.front()} - double{x}, double{x} - double{points_.back()}});
        return beyond + gap(x) * (is_nearest && beyond == 0 ? 0.5 : 1) * (1 + 0x1p-10);
    }
    std::string name() const {
        return text("range [%.4g, %.4g], codes [%d, %d]", double{range_.low}, double{range_.high}, limits_.low,
                    limits_.high);
    }
};

template <class Q>
void check_grid(findings& found, const std::vector<tried_grid<Q>>& grids) {
    if constexpr (is_linear<Q>) {
        property& whole =
            found.about("integers are whole, within the quantizer's greatest, and values that many steps");
        for (const tried_grid<Q>& g : grids)
            for (std::size_t i = 0; i < g.points().size(); ++i) {
                const int code = static_cast<int>(i) + g.low();
                whole.expect(g.is_integer(static_cast<float>(code)),
                             [&] { return text("code %d, %s", code, g.name().c_str()); });
            }
    }
    property& increases = found.about("greater codes stand for greater values, all finite");
    property& fixed = found.about("grid points stay where they are");
    property& near = found.about(
        "values end within a step, or half a step where the rounding is `nearest`, and beyond the grid at its end");
    property& ordered = found.about("keeps order");
    property& agree = found.about("has the same codes on every instruction set");
    for (const tried_grid<Q>& g : grids) {
        const auto& points = g.points();
        for (std::size_t i = 0; i < points.size(); ++i) {
            const float v = points[i];
            const auto code = [&] { return static_cast<int>(i) + g.low(); };
            increases.expect(std::abs(v) <= std::numeric_limits<float>::max() && (i == 0 || v > points[i - 1]),
                             [&] { return text("code %d stands for %g, %s", code(), double{v}, g.name().c_str()); });
            // A point times the inverse of the step may miss the code by a last place, which the extreme uniform
            // numbers see, and where codes have many bits those close to them.
            const bool is_wide = points.size() > 512;
            for (const std::uint32_t bits : {is_wide ? 1000u : 16u, 1000u, 32768u, 64000u, is_wide ? 64000u : 65519u})
                fixed.expect(g.through(v, uniform16(bits)) == v, [&] {
                    return text("code %d comes back as %g, %s", code(), double{g.code(v, uniform16(bits))},
                                g.name().c_str());
                });
        }
        // Both ways beyond the grid, which ends at zero where codes are unsigned.
        const float extent = std::max(std::abs(points.front()), std::abs(points.back()));
        for (const float u : telling_uniforms) {
            float before = -std::numeric_limits<float>::infinity();
            for (int i = -640; i <= 640; ++i) {
                const float x = extent * (static_cast<float>(i) / 512), y = g.through(x, u);
                const auto at = [&] {
                    return text("%.6g became %.6g with u = %.6g, %s", double{x}, double{y}, double{u},
                                g.name().c_str());
                };
                near.measure(std::abs(double{y} - double{x}), g.allowed(x), at);
                ordered.expect(!keeps_order<Q>() || y >= before, at);
                agree.expect(same_bits(g.template code<arch::best>(x, u), g.code(x, u)), at);
                before = y;
            }
            for (const float x : {g.range().low, g.range().high}) {
                if (may_clip<Q>()) continue;
                const float y = g.through(x, u);
                near.measure(std::abs(double{y} - double{x}), g.gap(y) * (1 + 0x1p-10), [&] {
                    return text("the end %.6g of the range became %.6g, %s", double{x}, double{y}, g.name().c_str());
                });
            }
        }
    }
}

template <class Q>
void try_quantizer(findings& found) {
    if constexpr (is_real<Q>) {
        property& same = found.about("changes nothing");
        for (const float x : {-3e38f, -1.0f, -0.0f, 0x1p-149f, 0.1f}) {
            const float y = one_lane<arch::best>(
                x, 0.5f, [](auto v, auto u) { return Q::decode(Q::encode(v, grid{}, u), grid{}); });
            same.expect(same_bits(x, y), [&] { return text("%g became %g", double{x}, double{y}); });
        }
    } else {
        constexpr code_limits with_sign = quantizer_traits<Q>::limits(true),
                              without_sign = quantizer_traits<Q>::limits(false);
        std::vector<tried_grid<Q>> grids;
        for (const float m : {1.0f, 3.7f, 0x1p-60f, 1e30f}) {
            for (const interval range :
                 {interval{-m, m}, interval{-m, m / 3}, interval{-m / 5, m}, interval{0, m}, interval{-m, 0}})
                grids.emplace_back(range, with_sign);
            grids.emplace_back(interval{0, m}, without_sign);
        }
        check_grid(found, grids);
        property& zero = found.about("a tensor of zeros stays zero, and one around 2^-126 does no harm");
        for (const code_limits limits : {with_sign, without_sign})
            for (const float m : {0.0f, 0x1p-149f, 1e-40f, 0x1p-126f, 0x1p-120f}) {
                const tried_grid<Q> g({limits.low < 0 ? -m : 0.0f, m}, limits);
                for (const float x : {0.0f, m / 2, m, limits.low < 0 ? -m : m})
                    for (const float u : telling_uniforms) {
                        const float y = g.through(x, u);
                        zero.measure(std::abs(double{y}), m > 0 ? 0x1p-100 : 0,
                                     [&] { return text("%g became %g, %s", double{x}, double{y}, g.name().c_str()); });
                    }
            }
        if constexpr (quantizer_traits<Q>::draws) {
            double bias = 0, excess = 0;
            std::string where = "none";
            for (const auto& g : grids)
                for (const std::size_t i : {std::size_t{0}, g.points().size() / 2, g.points().size() - 2}) {
                    if (i + 1 >= g.points().size()) continue; // of a grid of one or two points
                    for (const float fraction : telling_fractions) {
                        const double a = double{g.points()[i]}, step = double{g.points()[i + 1]} - a;
                        const auto x = static_cast<float>(a + step * double{fraction});
                        const double place = static_cast<int>(i) + g.low() + (double{x} - a) / step;
                        const double mean =
                            mean_over_uniforms([&](auto u) { return g.template codes<arch::best>(decltype(u)(x), u); });
                        // Finding the place takes a handful of rounded operations.
                        const double allowed =
                            0x1p-17 + std::max(std::abs(place), std::abs(double{x}) / step) * 0x1p-21;
                        if (std::abs(mean - place) / allowed <= excess) continue;
                        excess = std::abs(mean - place) / allowed;
                        bias = std::abs(mean - place);
                        where = text("the mean code of %.9g is %.9g instead of %.9g, %s", double{x}, mean, place,
                                     g.name().c_str());
                    }
                }
            report_bias(found, claims_unbiased<Q>(), bias, excess > 0 ? bias / excess : 1, where);
        }
    }
}

} // namespace detail

/// Checks a rounding: integers stay, every value goes to a neighbour, order is kept (unless it says `static constexpr
/// bool ordered = false`, as one must that takes its random numbers from the values), random numbers matter only where
/// it draws, all instruction sets agree, and, where it is `stochastic` or says `static constexpr bool unbiased = true`,
/// the mean over all 65536 uniform numbers is the value to 2^-17.
template <rounding R>
check_result check_rounding() {
    detail::findings found("rounding", detail::name_of_part<R>());
    found.run([&] { detail::try_rounding<R>(found); });
    return found.result();
}

/// Checks a quantizer with signed and unsigned codes on ranges from 2^-60 to 1e30: grid points are fixed points, values
/// end within a step, or half of one, and beyond the grid at its end (which is that of the range, unless the quantizer
/// says `static constexpr bool clips = true`), order is kept, tensors of zeros give zeros, tiny
/// ones nothing that is not finite, all instruction sets agree, and, where the quantizer is linear and its rounding
/// unbiased, or it says so itself, the mean code over all 65536 uniform numbers is the value's place to 2^-17.
template <quantizer Q>
check_result check_quantizer() {
    detail::findings found("quantizer", detail::name_of_part<Q>(format_of<Q>().chars));
    found.run([&] { detail::try_quantizer<Q>(found); });
    return found.result();
}

} // namespace fqt
