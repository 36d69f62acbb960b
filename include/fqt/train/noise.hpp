#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A report of gradient noise: where in a network it comes from. A row for each product and each batch normalization,
// from the input to the output; as a table, as records, and as a picture. docs/noise.md says how to read it;
// train/probe.hpp measures it.
//
// Letters: z the sums of a product, y = gamma xhat + beta its normalization, h = dL/dz, r = gamma / sigma, M values a
// channel. h' is h as it arrives, with the noise of all later layers, and h^ its codes.

#include <fqt/core/fail.hpp>
#include <fqt/train/noise_meter.hpp>
#include <fqt/train/records.hpp>
#include <fqt/train/svg.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

namespace fqt {

/// The gains of a batch normalization's channels.
struct gain_facts {
    double mean{}, greatest{}; ///< of |r|
    double spread{};           ///< standard deviation of log|r| over the channels where r is not 0

    /// Of r times `factor`, relative to the mean factor (none: 1).
    static gain_facts of(std::span<const float> gamma, std::span<const float> sigma,
                         std::span<const float> factor = {}) {
        gain_facts facts;
        double factors = 0, logs = 0, squares = 0, counted = 0;
        for (const float f : factor) factors += double{f};
        const auto channels = static_cast<double>(gamma.size());
        for (std::size_t c = 0; c < gamma.size(); ++c) {
            const double relative = factors > 0 ? double{factor[c]} * channels / factors : 1;
            const double r = std::abs(double{gamma[c]} / double{sigma[c]} * relative);
            facts.mean += r / channels;
            facts.greatest = std::max(facts.greatest, r);
            if (!(r > 0)) continue;
            logs += std::log(r);
            squares = std::fma(std::log(r), std::log(r), squares);
            ++counted;
        }
        if (counted > 0) facts.spread = std::sqrt(std::max(0.0, squares / counted - logs * logs / counted / counted));
        return facts;
    }
};

/// What a report says of one layer. Numbers that a layer does not have are NaN.
struct noise_row {
    static constexpr double none = std::numeric_limits<double>::quiet_NaN();

    std::string layer, kind; ///< kind: "conv", "dense" or "batch_norm"

    // Products.
    comparison arriving;                ///< h', before it is quantized, against the exact h
    comparison h;                       ///< h^ into dX (into dW where there is no dX), against the exact h
    comparison dw;                      ///< the weight gradient, against the exact one
    double added = none;                ///< omega = E|h^ - h'|^2 / |h'|^2 of the codes in `h`
    double added_dw = none;             ///< the same of the codes that enter dW
    double clipped = none;              ///< share of the codes in `h` at the ends of their range
    double zeros = none;                ///< share of them that are 0
    double head_room = none;            ///< 31 - log2 of the largest integer sum of the forward product, in bits
    double weight_norm = none;          ///< |W|
    double weight_gradient_norm = none; ///< exact |dW|

    // Batch normalizations.
    comparison output_gradient;             ///< dL/dy as it arrives, against the exact one
    gain_facts gain{none, none, none};      ///< of r
    gain_facts quantized{none, none, none}; ///< of r times the weight scale that is folded in
    double kept = none; ///< tau = 1 - (|dbeta|^2 + |dgamma|^2) / (M |dL/dy|^2): what the projection leaves

    // Both.
    double gradient_norm = none; ///< exact |h|, or |dL/dy|

    bool is_product() const { return kind != "batch_norm"; }
    /// The noise-to-signal ratio NSR of h, or of dL/dy.
    double noise() const { return (is_product() ? h : output_gradient).noise_to_signal(); }

    /// Calls f(name, value, unit) for every number, also for those that are NaN.
    template <class F>
    void each(F&& f) const {
        const auto against = [&](const std::string& of, const comparison& c) {
            f(of + " noise", c.noise_to_signal(), "ratio");
            f(of + " sqnr", -10 * std::log10(c.noise_to_signal()), "dB");
            f(of + " cosine", c.cosine(), "ratio");
            f(of + " bias", c.bias(), "ratio");
        };
        against(is_product() ? "h" : "output gradient", is_product() ? h : output_gradient);
        f(std::string("gradient norm"), gradient_norm, "norm");
        if (is_product()) {
            against("dW", dw);
            f(std::string("arriving noise"), arriving.noise_to_signal(), "ratio");
            for (const auto& [name, value, unit] : {std::tuple{"added noise", added, "ratio"},
                                                    {"added noise in dW", added_dw, "ratio"},
                                                    {"clipped", clipped, "share"},
                                                    {"zeros", zeros, "share"},
                                                    {"head-room", head_room, "bits"},
                                                    {"weight norm", weight_norm, "norm"},
                                                    {"weight gradient norm", weight_gradient_norm, "norm"}})
                f(std::string(name), value, unit);
        } else {
            for (const auto& [name, facts] : {std::pair{"gain", &gain}, {"quantized gain", &quantized}}) {
                f(std::string(name) + " mean", facts->mean, "ratio");
                f(std::string(name) + " greatest", facts->greatest, "ratio");
                f(std::string(name) + " spread", facts->spread, "log");
            }
            f(std::string("kept energy"), kept, "share");
        }
    }
};

/// What a probe measured of one batch.
class noise_report {
public:
    std::vector<noise_row> rows; ///< from the input to the output
    int samples{}, draws{};
    std::uint64_t seed{};
    std::uint32_t step{};
    int threads = 1;

    /// The row of a layer, by its name. Errors: there is none.
    const noise_row& row(std::string_view layer) const {
        const auto found = std::ranges::find(rows, layer, &noise_row::layer);
        if (found != rows.end()) return *found;
        std::string names;
        for (const noise_row& r : rows) names += (names.empty() ? "" : ", ") + r.layer;
        fail("the report has no layer '%.*s'; it has %s", static_cast<int>(layer.size()), layer.data(), names.c_str());
    }

    /// Two tables: products, then batch normalizations. Errors: what cannot be written.
    void print(std::FILE* to) const {
        print_tables(to);
        if (std::fflush(to) != 0 || std::ferror(to))
            fail("a report on noise cannot be written; free space on the disk, or choose another file");
    }

    /// Appends a record for every finite number: suite "noise", the layer as name. Errors: those of record_file.
    void write(record_file& file, std::string_view run, std::string_view command = {}) const {
        for (const noise_row& r : rows)
            r.each([&](const std::string& metric, double value, const char* unit) {
                if (std::isfinite(value))
                    file.write(
                        {std::string(run), "noise", r.layer, metric, value, unit, seed, threads, std::string(command)});
            });
    }

    /// A picture of added and accumulated noise by product, on a logarithmic axis. Errors: those of plot::write.
    void svg(const std::string& path, const std::string& title = "Gradient noise by layer") const {
        plot picture{.title = title, .x_label = "product", .y_label = "noise / signal", .log_y = true};
        plot_line added{.name = "added by the codes of h"}, h{.name = "accumulated in h"},
            dw{.name = "in the weight gradient"};
        for (const noise_row& r : rows) {
            if (!r.is_product()) continue;
            const auto x = static_cast<double>(picture.x_names.size());
            picture.x_names.push_back(r.layer);
            added.add(x, r.added);
            h.add(x, r.h.noise_to_signal());
            dw.add(x, r.dw.noise_to_signal());
        }
        picture.lines = {added, h, dw};
        picture.write(path);
    }

private:
    void print_tables(std::FILE* to) const {
        std::fprintf(to, "Gradient noise at step %u: %d samples, mean of %d draws\n\n", step, samples, draws);
        const std::size_t width = widest();
        line(to, width, "product",
             {"added", "added dW", "NSR h'", "NSR h", "dB", "cosine", "bias", "NSR dW", "cosine", "bias", "clipped",
              "zeros", "headroom", "|h|", "|W|", "|dW|"});
        for (const noise_row& r : rows)
            if (r.is_product())
                line(to, width, r.layer,
                     {r.added, r.added_dw, r.arriving.noise_to_signal(), r.h.noise_to_signal(), decibels(r.h),
                      r.h.cosine(), r.h.bias(), r.dw.noise_to_signal(), r.dw.cosine(), r.dw.bias(), r.clipped, r.zeros,
                      r.head_room, r.gradient_norm, r.weight_norm, r.weight_gradient_norm});
        if (std::ranges::all_of(rows, &noise_row::is_product)) return;
        std::fprintf(to, "\n");
        line(to, width, "normalization",
             {"mean |r|", "max |r|", "spread", "mean rs", "max rs", "spread", "kept", "NSR dy", "dB", "cosine", "bias",
              "|dy|"});
        for (const noise_row& r : rows)
            if (!r.is_product())
                line(to, width, r.layer,
                     {r.gain.mean, r.gain.greatest, r.gain.spread, r.quantized.mean, r.quantized.greatest,
                      r.quantized.spread, r.kept, r.output_gradient.noise_to_signal(), decibels(r.output_gradient),
                      r.output_gradient.cosine(), r.output_gradient.bias(), r.gradient_norm});
    }

    static double decibels(const comparison& c) { return -10 * std::log10(c.noise_to_signal()); }
    std::size_t widest() const {
        std::size_t width = std::string_view("normalization").size();
        for (const noise_row& r : rows) width = std::max(width, r.layer.size());
        return width;
    }
    static void line(std::FILE* to, std::size_t width, std::string_view name,
                     std::initializer_list<const char*> heads) {
        std::fprintf(to, "%-*.*s", static_cast<int>(width), static_cast<int>(name.size()), name.data());
        for (const char* head : heads) std::fprintf(to, " %9s", head);
        std::fprintf(to, "\n");
    }
    static void line(std::FILE* to, std::size_t width, std::string_view name, std::initializer_list<double> numbers) {
        std::fprintf(to, "%-*.*s", static_cast<int>(width), static_cast<int>(name.size()), name.data());
        for (const double v : numbers)
            if (std::isnan(v)) std::fprintf(to, " %9s", "-");
            else std::fprintf(to, " %9.3g", v);
        std::fprintf(to, "\n");
    }
};

} // namespace fqt
