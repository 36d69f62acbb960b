#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Learning rates that heed the gradient quantizers: the more a layer's gradient is turned by rounding and clipping, the
// smaller the step of its parameters.

#include <fqt/core/fail.hpp>
#include <fqt/core/floating_point.hpp>
#include <fqt/core/math.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/layers/observer.hpp>
#include <fqt/train/noise_meter.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace fqt {

struct deviation_rate_options {
    float alpha = 20;  ///< >= 0
    float beta = 0.1f; ///< the least factor, in [0, 1]
};

/// Deviation counteractive learning rate scaling of UI8 (Zhu et al., CVPR 2020, second hand): a layer's
/// rate is multiplied by phi(d) = max(exp(-alpha d), beta), with d = 1 - cos(h, h^) of its gradient quantizer.
///     deviation_rate deviations;
///     network.observe(deviations);                  // for good, or for a step every now and then
///     ... forward, backward ...
///     optimizer.step(rate, deviations);             // sgd's second argument
/// A `trainer` calls step(rate) of what it is given: give it an object whose step(rate) is that line.
/// d is taken from h itself: the observer shows it as "exact input_gradient" and "exact weight_gradient" directly
/// before what the quantizer made of it, "input_gradient" and "weight_gradient" (layers/observer.hpp). Where a layer
/// quantizes h twice, d is that of "weight_gradient", from which its weights' gradient comes. With weights per channel
/// the h of "input_gradient" has their scales folded in. Sums run in one order, in double: bits depend neither on
/// threads nor on the compiler. Between observed steps the last d of a layer stays.
class deviation_rate {
public:
    static constexpr bool wants_details = true; // the exact gradients

    explicit deviation_rate(deviation_rate_options options = {}) : options_(options) {
        if (!(options.alpha >= 0 && std::isfinite(options.alpha)))
            fail("deviation_rate's alpha is %g; it must be 0 or more, and finite", double{options.alpha});
        if (!(options.beta >= 0 && options.beta <= 1))
            fail("deviation_rate's beta is %g; it must lie in [0, 1]", double{options.beta});
    }

    const deviation_rate_options& options() const { return options_; }

    /// phi(d) for 0 <= d <= 2.
    float factor(double d) const {
        return std::max(math::exp(static_cast<float>(-product(double{options_.alpha}, d))), options_.beta);
    }

    /// Of observers: keeps h, and compares it with what comes next of the same layer.
    void operator()(const observed_tensor& t) {
        constexpr std::string_view exact = "exact ";
        if (t.what.starts_with(exact)) {
            layer_ = t.layer;
            what_ = t.what.substr(exact.size());
            exact_ = values_of(t);
        } else if (t.what == what_ && t.layer == layer_) {
            const comparison coded = compare(t, exact_);
            what_.clear();
            // Nothing deviates from a gradient of zeros; one that has become zeros has lost its direction.
            const double d = coded.reference > 0 ? (coded.value > 0 ? 1 - coded.cosine() : 1.0) : 0.0;
            entry_of(t.layer).deviation = std::max(d, 0.0);
        }
    }

    /// d of the layer of that name; 0 for layers of which no quantized gradient was seen.
    double deviation(std::string_view layer) const {
        for (const entry& e : entries_)
            if (e.layer == layer) return e.deviation;
        return 0;
    }
    /// The factor of a parameter: that of its layer, 1 for layers without gradient quantizers such as batch
    /// normalization. Error: nothing was seen at all.
    float operator()(const parameter& p) const {
        if (entries_.empty())
            fail("deviation_rate has seen no gradient before and after it was quantized; give it to network.observe() "
                 "before backward(), and use a scheme that quantizes gradients");
        const std::string_view name = p.name.view();
        return factor(deviation(name.substr(0, std::min(name.rfind('.'), name.size()))));
    }

private:
    struct entry {
        std::string layer;
        double deviation;
    };
    deviation_rate_options options_;
    std::vector<entry> entries_{};
    std::vector<float> exact_{}; // h that waits for its codes
    std::string layer_{}, what_{};

    entry& entry_of(std::string_view layer) {
        for (entry& e : entries_)
            if (e.layer == layer) return e;
        return entries_.emplace_back(entry{std::string(layer), 0});
    }
};

} // namespace fqt
