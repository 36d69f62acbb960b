#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The check of a layer, or a small chain of layers, that users write. It runs alone on random numbers, in floats, so
// that its gradients can be held against finite differences of its output, and its lazy tensors against what they
// promise: shapes, zeros in the padded lanes, ranges that hold, equal bits on any number of threads.

#include <fqt/core/random.hpp>
#include <fqt/layers/chain.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/layers/pointwise.hpp>
#include <fqt/network/memory.hpp>
#include <fqt/train/check_result.hpp>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

namespace fqt {

/// How a layer is checked.
struct check_layer_options {
    int samples = 3;         ///< of a batch, at least 1
    float rectification = 0; ///< weight of rectifiers' losses; where it is not 0 they must be through_sigma
    fqt::seed seed{1};       ///< of inputs, parameters and gradients
};

namespace detail {

/// Numbers as layers load them: an input that wants a gradient, or the gradient of an output.
template <shape Shape>
struct tried_tensor {
    static constexpr shape dims = Shape;
    static constexpr bool nonnegative = false, learns = true;
    const float* data;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        return floats<Arch>::load(data + offset_of(Shape, n, p, b));
    }
};

/// Element (n, c, p), as a text.
template <shape Shape>
std::string place_of(std::size_t i) {
    constexpr int channels = padded(Shape.channels);
    const int site = static_cast<int>(i) / channels, pixel = site % Shape.pixels();
    return text("sample %d, channel %d, row %d, column %d", site / Shape.pixels(), static_cast<int>(i) % channels,
                pixel / Shape.width, pixel % Shape.width);
}

/// One layer in memory of its own.
template <class S, shape In>
class tried_layer {
    using formats = std::remove_cvref_t<decltype(fp32)>;
    // As part of a chain, which tells batch normalizations what comes before them.
    using layer_type = typename as_chain<S>::type::template layer<In, placed<formats, false, false>, arch::best>;
    static constexpr shape out = S::output(In).value;
    static constexpr int threads = 3;

public:
    using input = tried_tensor<In>;
    std::vector<float> x, v;                   // the input, and the loss's slope by each output: loss = sum of v y
    std::vector<float> y, seen, dx, evaluated; // seen: what view() gives
    std::vector<std::vector<float>> gradients;

    explicit tried_layer(const check_layer_options& options) : options_(options) {
        planner counter(options.samples);
        layer_.plan(counter, input{});
        std::vector<timetable::stay> training(counter.tensors().training), evaluation(counter.tensors().evaluation);
        planner noted(options.samples, training, evaluation);
        layer_.plan(noted, input{});
        const memory_plan plan = noted.plan();
        memory_.take({}, plan.bytes(threads));
        const memory_places places(memory_.data(), plan);
        planner hands_out(noted, places);
        layer_.plan(hands_out, input{});
        context_.samples = options.samples;
        context_.threads = 1;
        context_.seed = options.seed.value;
        context_.rectification = options.rectification;
        context_.use(places, plan);
        layer_.prepare(naming{{}, &counters_[0], &counters_[1], false});
        layer_.initialise(options.seed.value);
        // Away from their first values, where symmetries may hide a wrong gradient.
        layer_.each_parameter([&](const parameter& p) {
            const std::vector<float> noise = numbers(p.value.size(), 3 + static_cast<std::uint32_t>(gradients.size()));
            for (std::size_t i = 0; i < p.value.size(); ++i) p.value[i] = std::fma(0.4f, noise[i], p.value[i]);
            gradients.emplace_back(p.value.size());
        });
        x = padded_numbers<In>(1);
        v = padded_numbers<out>(2);
        y.resize(v.size());
        seen.resize(v.size());
        evaluated.resize(v.size());
        dx.resize(x.size());
    }

    layer_type& layer() { return layer_; }
    void set_threads(int n) { context_.threads = n; }
    auto view() { return layer_.view(input{x.data()}); }

    /// The loss, in double; fills y.
    double loss() {
        evaluate(layer_.forward(context_, input{x.data()}), options_.samples, y);
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i) sum += double{y[i]} * double{v[i]};
        if (options_.rectification != 0) {
            // The penalty is computed on the way back.
            static_cast<void>(layer_.backward(context_, input{x.data()}, tried_tensor<out>{v.data()}, nothing{}));
            layer_.each_normalization([&](auto& n) { sum += double{options_.rectification} * double{n.penalty()}; });
        }
        return sum;
    }
    /// Forward and backward; `plus` is added to the input's gradient.
    template <class Plus>
    void both(const Plus& plus) {
        evaluate(layer_.forward(context_, input{x.data()}), options_.samples, y);
        evaluate(layer_.view(input{x.data()}), options_.samples, seen);
        evaluate(layer_.backward(context_, input{x.data()}, tried_tensor<out>{v.data()}, plus), options_.samples, dx);
        std::size_t i = 0;
        layer_.each_parameter([&](const parameter& p) { gradients[i++].assign(p.gradient.begin(), p.gradient.end()); });
    }
    void again() { both(nothing{}); }
    void infer(int samples) {
        context c = context_;
        c.samples = samples;
        std::ranges::fill(evaluated, 0.0f);
        evaluate(finished(c, layer_.infer(c, input{x.data()})), samples, evaluated);
    }

    template <shape Shape>
    std::vector<float> padded_numbers(std::uint32_t use) const {
        std::vector<float> result =
            numbers(static_cast<std::size_t>(options_.samples) * static_cast<std::size_t>(padded_size(Shape)), use);
        constexpr auto channels = static_cast<std::size_t>(padded(Shape.channels));
        for (std::size_t i = 0; i < result.size(); ++i)
            if (i % channels >= static_cast<std::size_t>(Shape.channels)) result[i] = 0;
        return result;
    }

private:
    check_layer_options options_;
    owned_or_borrowed_memory memory_{};
    layer_type layer_{};
    context context_{};
    int counters_[2]{};

    std::vector<float> numbers(std::size_t count, std::uint32_t use) const {
        const random_stream random{options_.seed.value, 0, 0xDA7B0000u + use};
        std::vector<float> result(count);
        for (std::size_t i = 0; i < count; ++i)
            result[i] = 2 * uniform32(random.block(0, static_cast<std::uint32_t>(i))[0]) - 1;
        return result;
    }
    template <class X>
    static void evaluate(const X& lazy, int samples, std::vector<float>& to) {
        for (int n = 0; n < samples; ++n)
            for (int p = 0; p < X::dims.pixels(); ++p)
                for (int b = 0; b < blocks(X::dims.channels); ++b)
                    lazy.template load<arch::best>(n, p, b).store(to.data() + offset_of(X::dims, n, p, b));
    }
};

/// The distance between `slope` and the closest of some central differences of the loss by `number`, as a share of what
/// is allowed. Steps of several sizes serve, since losses have kinks and are rounded.
template <class Tried>
double slope_error(Tried& tried, float& number, double slope, double typical, double& closest) {
    constexpr double tolerance = 0.01;
    const float kept = number;
    double best = std::numeric_limits<double>::infinity();
    for (const float h : {0x1p-4f, 0x1p-6f, 0x1p-8f, 0x1p-10f, 0x1p-12f}) {
        number = kept + h;
        const double above = tried.loss(), up = double{number};
        number = kept - h;
        const double d = (above - tried.loss()) / (up - double{number});
        const double size = std::max({std::abs(d), std::abs(slope), 0.1 * typical});
        const double error = d == slope ? 0 : std::abs(d - slope) / (tolerance * size);
        if (error < best) best = error, closest = d;
    }
    number = kept;
    return best;
}

/// Holds the loss's slopes by numbers[i], for i in `where`, against its differences. One that seems wrong is tried
/// again elsewhere: a kink next to a number may hide a right slope once, but not a wrong one thrice.
template <class Tried, class Slope, class Place>
void check_slopes(property& right, Tried& tried, std::span<float> numbers, const std::vector<std::size_t>& where,
                  Slope&& slope_of, Place&& place) {
    double typical = 0;
    for (const std::size_t i : where)
        typical += double{slope_of(i)} * double{slope_of(i)} / static_cast<double>(where.size());
    for (const std::size_t i : where) {
        const float kept = numbers[i];
        double error = 0, closest = 0, slope = 0;
        for (const float shift : {0.0f, 0.11f, -0.07f}) {
            numbers[i] = kept + shift;
            if (shift != 0) tried.again();
            slope = double{slope_of(i)};
            error = slope_error(tried, numbers[i], slope, std::sqrt(typical), closest);
            if (error <= 1) break;
        }
        right.measure(error, 1, [&] {
            return text("at %s the layer has %.6g, finite differences give %.6g", place(i).c_str(), slope, closest);
        });
        numbers[i] = kept;
        tried.again();
    }
}

/// At most 160 of `count` numbers, evenly spread; of tensors in blocks of 16 lanes, those of the first `channels`
/// alone.
inline std::vector<std::size_t> spread(std::size_t count, int channels = 0) {
    std::vector<std::size_t> all, some;
    for (std::size_t i = 0; i < count; ++i)
        if (channels == 0 || static_cast<int>(i) % padded(channels) < channels) all.push_back(i);
    for (std::size_t i = 0; i < all.size(); i += all.size() / 160 + 1) some.push_back(all[i]);
    return some;
}

inline bool equal_bits(std::span<const float> a, std::span<const float> b) {
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](float s, float t) {
               return std::bit_cast<std::uint32_t>(s) == std::bit_cast<std::uint32_t>(t);
           });
}

/// What a lazy tensor promises beside its values.
template <class X>
void check_promises(findings& found, const X& lazy, const std::vector<float>& values) {
    constexpr auto channels = static_cast<std::size_t>(padded(X::dims.channels));
    property& padding = found.about("leaves the padded lanes zero");
    property& positive = found.about("has no negative value, as its type promises");
    property& held = found.about("stays within range(channel)");
    for (std::size_t i = 0; i < values.size(); ++i) {
        const auto at = [&] { return text("%g at %s", double{values[i]}, place_of<X::dims>(i).c_str()); };
        const auto c = static_cast<int>(i % channels);
        if (c >= X::dims.channels) {
            padding.expect(values[i] == 0, at);
            continue;
        }
        if constexpr (X::nonnegative) positive.expect(values[i] >= 0, at);
        if constexpr (has_range<X>) {
            const interval r = lazy.range(c);
            held.expect(values[i] >= r.low && values[i] <= r.high,
                        [&] { return at() + text(", range [%g, %g]", double{r.low}, double{r.high}); });
        }
    }
}

/// The values of a rule on single numbers, as check_slopes wants them.
template <class Rule>
struct tried_rule {
    std::vector<float> x;
    static float forward(float v) { return floats<arch::generic>(Rule::forward(floats<arch::generic>(v))).lane(0); }
    static float backward(float v, float g) {
        return floats<arch::generic>(Rule::backward(floats<arch::generic>(v), floats<arch::generic>(g))).lane(0);
    }
    void again() {}
    double loss() const {
        double sum = 0;
        for (const float v : x) sum += double{forward(v)};
        return sum;
    }
};

template <class Rule>
void check_rule(findings& found) {
    tried_rule<Rule> rule;
    std::vector<float> slopes;
    for (int i = -200; i <= 200; ++i) rule.x.push_back(static_cast<float>(i) * 0.04f + 0.0123f);
    for (const float v : rule.x) slopes.push_back(rule.backward(v, 1));
    check_slopes(
        found.about("backward(x, 1) is the slope of forward(x) for x from -8 to 8"), rule, rule.x,
        spread(rule.x.size()), [&](std::size_t i) { return rule.backward(rule.x[i], 1); },
        [&](std::size_t i) { return text("x = %g", double{rule.x[i]}); });
    property& linear = found.about("backward(x, g) is proportional to g");
    property& agree = found.about("has the same bits on every instruction set");
    property& rises = found.about("is monotonic, as it says");
    property& positive = found.about("is nonnegative, as it says");
    int up = 0, down = 0;
    for (std::size_t i = 0; i < rule.x.size(); ++i) {
        const float v = rule.x[i], f = rule.forward(v), slope = slopes[i];
        const auto at = [&] { return text("at x = %g", double{v}); };
        for (const float g : {0.0f, -1.0f, 4.0f})
            linear.measure(std::abs(double{rule.backward(v, g)} - double{g} * double{slope}),
                           0x1p-20 * std::abs(double{slope}), at);
        const float fast = floats<arch::best>(Rule::forward(floats<arch::best>(v))).lane(0);
        const float fast_slope =
            floats<arch::best>(Rule::backward(floats<arch::best>(v), floats<arch::best>(1.0f))).lane(0);
        agree.expect(equal_bits({&fast, 1}, {&f, 1}) && equal_bits({&fast_slope, 1}, {&slope, 1}), at);
        if constexpr (requires { requires Rule::nonnegative; }) positive.expect(f >= 0, at);
        if constexpr (requires { requires Rule::monotonic; }) {
            if (i > 0 && f > rule.forward(rule.x[i - 1])) ++up;
            if (i > 0 && f < rule.forward(rule.x[i - 1])) ++down;
            rises.expect(up == 0 || down == 0, at);
        }
    }
}

template <class S, shape In>
void check_tried_layer(findings& found, const check_layer_options& options) {
    constexpr shape out = S::output(In).value;
    tried_layer<S, In> tried(options);
    tried.again();
    const std::vector<float> y = tried.y, dx = tried.dx;
    const std::vector<std::vector<float>> gradients = tried.gradients;
    property& same = found.about("view() is what forward() returned");
    for (std::size_t i = 0; i < y.size(); ++i)
        same.expect(equal_bits({&y[i], 1}, {&tried.seen[i], 1}), [&] { return "at " + place_of<out>(i); });
    check_promises(found, tried.view(), y);

    property& padding = found.about("leaves the padded lanes of the gradient zero");
    property& added = found.about("adds what it is given to the input's gradient");
    const std::vector<float> plus = tried.template padded_numbers<In>(90);
    tried.both(tried_tensor<In>{plus.data()});
    for (std::size_t i = 0; i < dx.size(); ++i) {
        const double sum = double{dx[i]} + double{plus[i]};
        const auto at = [&] {
            return text("at %s: %g instead of %g", place_of<In>(i).c_str(), double{tried.dx[i]}, sum);
        };
        if (static_cast<int>(i) % padded(In.channels) >= In.channels) padding.expect(tried.dx[i] == 0, at);
        else added.measure(std::abs(double{tried.dx[i]} - sum), 0x1p-16 * (1 + std::abs(double{dx[i]})), at);
    }

    property& threads = found.about("has the same bits on three threads");
    const auto differs = [] { return text("something is summed in an order that depends on threads"); };
    tried.set_threads(3);
    tried.again();
    threads.expect(equal_bits(tried.y, y) && equal_bits(tried.dx, dx), differs);
    for (std::size_t i = 0; i < gradients.size(); ++i)
        threads.expect(equal_bits(tried.gradients[i], gradients[i]), differs);
    tried.set_threads(1);

    property& alone = found.about("evaluates a sample alone as it does among others");
    tried.infer(options.samples);
    const std::vector<float> together = tried.evaluated;
    tried.infer(1);
    for (std::size_t i = 0; i < together.size() / static_cast<std::size_t>(options.samples); ++i)
        alone.expect(equal_bits({&tried.evaluated[i], 1}, {&together[i], 1}), [&] {
            return text("at %s: %g and %g", place_of<out>(i).c_str(), double{tried.evaluated[i]}, double{together[i]});
        });

    tried.again();
    check_slopes(
        found.about("has the right gradient by its input"), tried, tried.x, spread(dx.size(), In.channels),
        [&](std::size_t i) { return tried.dx[i]; }, [](std::size_t i) { return place_of<In>(i); });
    std::size_t which = 0;
    tried.layer().each_parameter([&](const parameter& p) {
        check_slopes(
            found.about("has the right gradient by " + std::string(p.name.view())), tried, p.value,
            spread(p.value.size()), [&](std::size_t i) { return tried.gradients[which][i]; },
            [](std::size_t i) { return "number " + std::to_string(i); });
        ++which;
    });
}

} // namespace detail

/// Checks a layer or a small chain on inputs of one shape, alone and in floats (the scheme fp32):
///     fqt::check_layer<conv<4> | batch_norm<> | relu, fqt::shape{3, 6, 6}>()
/// Gradients by the input and by every parameter are held against finite differences of the output; lazy tensors
/// against what they promise. For a rule on single values, forward and backward are also examined by themselves. Shapes
/// should be small: every number checked costs some ten forward passes.
template <layer_spec auto Spec, shape In>
check_result check_layer(const check_layer_options& options = {}) {
    using S = std::remove_cv_t<decltype(Spec)>;
    const std::string name = detail::name_of_part<S>();
    detail::findings found("layer", name.empty() ? "chain" : name);
    constexpr inferred out = S::output(In);
    if constexpr (!out.ok) {
        found.about("fits the shape").expect(false, [&] { return std::string(out.error.what.view()); });
    } else if (options.samples < 1) {
        found.about("has a sample").expect(false, [&] {
            return detail::text("options.samples is %d; give 1 or more", options.samples);
        });
    } else {
        found.run([&] {
            if constexpr (std::derived_from<S, pointwise<S>>) detail::check_rule<S>(found);
            detail::check_tried_layer<S, In>(found, options);
        });
    }
    return found.result();
}

} // namespace fqt
