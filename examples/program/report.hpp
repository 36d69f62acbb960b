#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A page about a run, made from its log: one HTML file without scripts or anything from elsewhere, with tables, curves
// and pictures inside. It is light or dark as the reader's browser is, fits narrow screens, and prints.

#include <fqt/core/fail.hpp>
#include <fqt/train/check_result.hpp> // detail::text
#include <fqt/train/svg.hpp>

#include "run_log.hpp"
#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace program {

namespace detail {

inline constexpr const char* page_style = R"(
:root { color-scheme: light dark; --text: #1c2024; --pale: #60646c; --back: #f7f8fa; --card: #fff; --edge: #e2e4e9;
  --accent: 0, 114, 178; --wrong: 213, 94, 0; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e8eb; --pale: #9ba1a8; --back: #111315; --card: #1a1d20;
  --edge: #2e3338; --accent: 66, 160, 220; --wrong: 232, 120, 40; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--back); color: var(--text);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
main { max-width: 1180px; margin: 0 auto; padding: 28px 20px 48px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0; }
h2 { font-size: 18px; margin: 36px 0 12px; }
p { margin: 4px 0; }
.pale, th, figcaption small { color: var(--pale); }
.note { border-left: 3px solid rgb(var(--wrong)); padding: 4px 12px; margin: 12px 0; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(160px, 1fr)); gap: 12px; margin: 20px 0; }
.tiles div, .card, figure { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; }
.tiles div { padding: 12px 16px; }
.tiles b { display: block; font-size: 22px; line-height: 1.4; font-weight: 600; white-space: nowrap; }
.tiles span { color: var(--pale); font-size: 13px; }
.card { padding: 6px 16px; overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.facts { columns: 2; column-gap: 32px; margin: 0; padding: 6px 0; }
.facts div { display: flex; gap: 12px; padding: 3px 0; break-inside: avoid; font-size: 14px; }
.facts dt { flex: 0 0 10.5em; color: var(--pale); }
.facts dd { margin: 0; min-width: 0; overflow-wrap: anywhere; }
.command { border-top: 1px solid var(--edge); padding: 8px 0; font: 13px/1.5 ui-monospace, monospace;
  overflow-wrap: anywhere; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 460px), 1fr)); gap: 16px; }
.plot { overflow-x: auto; padding: 8px; }
.plot svg { display: block; width: 100%; height: auto; min-width: 440px; }
.confusion { font-size: 13px; margin: 6px auto; }
.confusion td, .confusion th { padding: 5px 8px; text-align: right; font-weight: 400; white-space: nowrap; }
.confusion thead th { vertical-align: bottom; }
.confusion thead .class span { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left; }
.confusion thead .class { text-align: center; }
.confusion .cell { text-align: center; min-width: 3.4em; border: 1px solid var(--card); border-radius: 4px; }
.confusion .right { font-weight: 600; }
.epochs td, .epochs th { padding: 3px 14px 3px 0; text-align: right; font-size: 14px; font-weight: 400; }
.mistakes :is(td, th):nth-child(-n+2) { text-align: left; }
.gallery { display: grid; grid-template-columns: repeat(auto-fill, minmax(124px, 1fr)); gap: 12px; }
figure { margin: 0; padding: 8px; font-size: 13px; line-height: 1.35; overflow-wrap: anywhere; }
figure img { display: block; width: 100%; height: auto; image-rendering: pixelated; border-radius: 4px;
  margin-bottom: 6px; }
figcaption b { font-weight: 600; }
details summary { cursor: pointer; padding: 4px 0; }
footer { margin-top: 36px; font-size: 13px; color: var(--pale); }
@media (max-width: 720px) { .facts { columns: 1; } main { padding: 16px 12px 32px; } }
@media print { :root { color-scheme: light; --text: #000; --pale: #444; --back: #fff; --card: #fff; --edge: #ccc;
    --accent: 0, 114, 178; --wrong: 213, 94, 0; }
  body { font-size: 11px; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  main { padding: 0; } .facts { columns: 2; } .tiles { grid-template-columns: repeat(3, 1fr); }
  .plot, figure, tr { break-inside: avoid; } h2 { break-after: avoid; }
  .plots { grid-template-columns: 1fr 1fr; gap: 8px; } .plot svg { min-width: 0; } }
)";

using fqt::detail::text;

/// Text as HTML, within an element or an attribute.
inline std::string html(std::string_view words) { return fqt::detail::escaped(words); }

/// 1234567 as 1,234,567.
inline std::string grouped(std::int64_t value) {
    std::string digits = std::to_string(value);
    for (auto at = static_cast<std::ptrdiff_t>(digits.size()) - 3; at > (value < 0 ? 1 : 0); at -= 3)
        digits.insert(static_cast<std::size_t>(at), 1, ',');
    return digits;
}

inline std::string percent(double share, int places = 2) {
    return std::isfinite(share) ? text("%.*f %%", places, 100 * share) : "-";
}

inline std::string bytes(std::int64_t count) {
    if (count >= 1 << 20) return text("%.1f MiB", static_cast<double>(count) / (1 << 20));
    if (count >= 1 << 10) return text("%.1f KiB", static_cast<double>(count) / (1 << 10));
    return grouped(count) + " bytes";
}

inline std::string duration(double seconds) {
    if (!std::isfinite(seconds)) return "-";
    if (seconds < 60) return text("%.1f s", seconds);
    const auto whole = static_cast<long long>(std::llround(seconds));
    if (whole < 3600) return text("%lld min %lld s", whole / 60, whole % 60);
    return text("%lld h %lld min", whole / 3600, whole % 3600 / 60);
}

/// A picture as a data URI of a 24-bit BMP: grey from the first channel where there are fewer than three.
inline std::string bmp_uri(std::span<const std::uint8_t> pixels, fqt::shape image) {
    const auto width = static_cast<std::size_t>(image.width), height = static_cast<std::size_t>(image.height);
    const std::size_t plane = width * height, line = (3 * width + 3) / 4 * 4, size = 54 + line * height;
    std::vector<std::uint8_t> file(size);
    const auto put = [&](std::size_t at, std::size_t value, int count) {
        for (int i = 0; i < count; ++i) file[at++] = static_cast<std::uint8_t>(value >> 8 * i & 255);
    };
    file[0] = 'B', file[1] = 'M';
    put(2, size, 4), put(10, 54, 4), put(14, 40, 4), put(18, width, 4), put(22, height, 4), put(26, 1, 2);
    put(28, 24, 2), put(34, line * height, 4);
    for (std::size_t y = 0; y < height; ++y) // from the lowest line, and blue first
        for (std::size_t x = 0; x < width; ++x)
            for (std::size_t c = 0; c < 3; ++c)
                file[54 + (height - 1 - y) * line + 3 * x + c] =
                    pixels[(image.channels >= 3 ? 2 - c : 0) * plane + y * width + x];
    return "data:image/bmp;base64," + base64(file);
}

/// Makes the page of one log.
class page {
public:
    explicit page(const run_log& log) : log_(log), run_(log.run()) {}

    std::string made() {
        const std::string title = run_.network + (run_.scheme.empty() ? "" : ", " + run_.scheme)
            + (run_.data.empty() ? "" : " on " + run_.data);
        out_ = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
               "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
               "<link rel=\"icon\" href=\"data:,\">\n<title>"
            + html(title) + "</title>\n<style>" + page_style + "</style>\n</head>\n<body>\n<main>\n<h1>" + html(title)
            + "</h1>\n<p class=\"pale\">A training run of fqt " + html(run_.version) + "</p>\n";
        for (const std::string& note : log_.notes) out_ += "<p class=\"note\">" + html(note) + "</p>\n";
        if (!log_.result)
            out_ += "<p class=\"note\">The log has no result: the run is still going on, or was stopped.</p>\n";
        headline();
        facts();
        curves();
        confusion();
        gallery();
        epochs();
        out_ += "<footer>Made by fqt's report from a log of " + grouped(static_cast<std::int64_t>(log_.epochs.size()))
            + " epochs.</footer>\n</main>\n</body>\n</html>\n";
        return std::move(out_);
    }

private:
    // ---- numbers ----

    void headline() {
        out_ += "<section class=\"tiles\">\n";
        const auto tile = [&](const std::string& value, const std::string& name) {
            out_ += "<div><b>" + html(value) + "</b><span>" + html(name) + "</span></div>\n";
        };
        const epoch_line* best = nullptr;
        const epoch_line* last = nullptr;
        double seconds = 0;
        for (const epoch_line& e : log_.epochs) {
            seconds += e.seconds;
            if (e.test) last = &e;
            if (e.test && (!best || e.test->accuracy > best->test->accuracy)) best = &e;
        }
        if (log_.result) {
            tile(percent(log_.result->accuracy), run_.held_out + " accuracy");
            tile(text("%.4g", log_.result->loss), run_.held_out + " loss");
        } else if (last) {
            tile(percent(last->test->accuracy), run_.held_out + text(" accuracy after epoch %d", last->epoch + 1));
        }
        // On a test set this would be a choice that must not see it.
        if (best && run_.held_out == "validation")
            tile(percent(best->test->accuracy), text("best, after epoch %d of %d", best->epoch + 1, run_.epochs));
        if (!log_.epochs.empty()) {
            const epoch_line& e = log_.epochs.back();
            tile(percent(e.train.accuracy), "training accuracy, last epoch");
            tile(text("%.4g", e.images_per_second), "images/s in training");
        }
        tile(duration(log_.result ? log_.result->seconds : seconds), log_.result ? "whole run" : "so far");
        out_ += "</section>\n";
    }

    void facts() {
        out_ += "<h2>The run</h2>\n<div class=\"card\"><dl class=\"facts\">\n";
        const auto fact = [&](const std::string& name, const std::string& value) {
            if (!value.empty()) out_ += "<div><dt>" + html(name) + "</dt><dd>" + html(value) + "</dd></div>\n";
        };
        const auto [c, h, w] = run_.image;
        fact("network", run_.network);
        fact("scheme", run_.scheme);
        fact("data", run_.data);
        fact("images", text("%d × %d × %d, %zu classes", c, h, w, run_.classes.size()));
        fact("augmentation", run_.augmentation);
        fact("rectifier", run_.rectifier);
        fact("rectification", text("%g", run_.rectification));
        fact("optimizer", run_.optimizer);
        fact("parameters", grouped(run_.parameters));
        fact("multiplications", grouped(run_.macs) + " an image");
        fact("memory", bytes(run_.arena_bytes));
        fact("epochs", std::to_string(run_.epochs));
        fact("steps per epoch", grouped(run_.steps_per_epoch));
        fact("seed", std::to_string(run_.seed));
        fact("threads", std::to_string(run_.threads));
        for (const auto& [key, value] : run_.options) fact(key, value);
        std::string continued;
        for (const run_header& run : log_.runs)
            if (run.first_epoch > 0) continued += (continued.empty() ? "" : ", ") + std::to_string(run.first_epoch);
        if (!continued.empty()) fact("continued", "after epoch " + continued);
        out_ += "</dl>\n";
        if (!run_.command.empty()) out_ += "<div class=\"command\">" + html(run_.command) + "</div>\n";
        out_ += "</div>\n";
    }

    void epochs() {
        if (log_.epochs.empty()) return;
        const std::string& test = run_.held_out;
        out_ += "<h2>Epochs</h2>\n<div class=\"card\"><details open><summary>All numbers, epoch by epoch</summary>\n"
                "<table class=\"epochs\"><thead><tr>";
        for (const std::string& name : {std::string("epoch"), std::string("steps"), std::string("training loss"),
                                        std::string("accuracy"), test + " loss", std::string("accuracy"),
                                        std::string("learning rate"), std::string("images/s"), std::string("time")})
            out_ += "<th>" + html(name) + "</th>";
        out_ += "</tr></thead>\n<tbody>\n";
        for (const epoch_line& e : log_.epochs) {
            out_ += "<tr>";
            for (const std::string& value :
                 {std::to_string(e.epoch + 1), grouped(e.steps), text("%.4g", e.train.loss), percent(e.train.accuracy),
                  e.test ? text("%.4g", e.test->loss) : "", e.test ? percent(e.test->accuracy) : "",
                  text("%.4g", e.learning_rate), text("%.4g", e.images_per_second), duration(e.seconds)})
                out_ += "<td>" + value + "</td>";
            out_ += "</tr>\n";
        }
        out_ += "</tbody></table></details></div>\n";
    }

    // ---- curves ----

    void draw(const fqt::plot& plot) {
        for (const fqt::plot_line& line : plot.lines)
            for (const auto& [x, y] : line.points)
                if (std::isfinite(y) && (!plot.log_y || y > 0)) {
                    out_ += "<div class=\"card plot\">\n" + plot.element() + "</div>\n";
                    return;
                }
    }

    /// An empty plot against epochs; those of a log are counted from 1.
    static fqt::plot over_epochs(std::string title, std::string y_label) {
        return {.title = std::move(title),
                .x_label = "epoch",
                .y_label = std::move(y_label),
                .whole_x = true,
                .width = 560,
                .height = 360};
    }

    /// A plot with a line for each of what epochs list, such as layers; `list` and `value` say what and which number.
    template <class Item>
    void draw_each(std::string title, std::string y_label, std::vector<Item> epoch_line::*list, double Item::*value) {
        fqt::plot plot = over_epochs(std::move(title), std::move(y_label));
        plot.log_y = true;
        for (const epoch_line& e : log_.epochs)
            for (const Item& item : e.*list) {
                auto line = std::ranges::find(plot.lines, item.name, &fqt::plot_line::name);
                if (line == plot.lines.end()) line = plot.lines.insert(line, {.name = item.name});
                line->add(e.epoch + 1, item.*value);
            }
        draw(plot);
    }

    void curves() {
        out_ += "<h2>Curves</h2>\n<section class=\"plots\">\n";
        loss_curve();
        fqt::plot accuracy = over_epochs("Accuracy", "right answers, %");
        accuracy.lines = {{.name = "training", .colour = 0}, {.name = run_.held_out, .colour = 1}};
        fqt::plot rate = over_epochs("Learning rate", "at the epoch's end");
        rate.lines = {{.name = ""}};
        for (const epoch_line& e : log_.epochs) {
            accuracy.lines[0].add(e.epoch + 1, 100 * e.train.accuracy);
            if (e.test) accuracy.lines[1].add(e.epoch + 1, 100 * e.test->accuracy);
            rate.lines[0].add(e.epoch + 1, e.learning_rate);
        }
        if (accuracy.lines[1].points.empty()) accuracy.lines.pop_back();
        draw(accuracy);
        draw(rate);
        draw_each("Weight gradients", "norm of each layer's", &epoch_line::layers, &layer_norms::gradient_norm);
        draw_each("Weights", "norm of each layer's", &epoch_line::layers, &layer_norms::weight_norm);
        draw_each("Gains of normalizations: mean", "mean over channels", &epoch_line::normalizations,
                  &normalization_gains::gain_mean);
        draw_each("Gains of normalizations: greatest", "greatest of all channels", &epoch_line::normalizations,
                  &normalization_gains::gain_max);
        draw_each("Gains of normalizations: spread", "spread over channels", &epoch_line::normalizations,
                  &normalization_gains::gain_spread);
        out_ += "</section>\n";
    }

    /// Against steps, where their number is known, in units of epochs: single steps pale, epochs on top.
    void loss_curve() {
        fqt::plot plot = over_epochs("Loss", "cross entropy, nats");
        const auto per_epoch = static_cast<double>(run_.steps_per_epoch);
        fqt::plot_line steps{.name = "steps", .faint = true, .colour = 0};
        std::size_t count = 0;
        for (const steps_line& s : log_.steps) count += s.loss.size();
        const std::size_t merged = count / 1500 + 1; // more cannot be told apart, and would make the file large
        double sum = 0;
        std::size_t in_sum = 0;
        for (const steps_line& s : log_.steps)
            for (std::size_t i = 0; per_epoch > 0 && i < s.loss.size(); ++i) {
                sum += static_cast<double>(s.loss[i]);
                if (++in_sum < merged) continue;
                const auto step =
                    static_cast<double>(s.first) + static_cast<double>(s.every) * (static_cast<double>(i) + 1);
                steps.add(step / per_epoch, sum / static_cast<double>(in_sum));
                sum = 0, in_sum = 0;
            }
        fqt::plot_line train{.name = "training", .colour = 0}, test{.name = run_.held_out, .colour = 1};
        for (const epoch_line& e : log_.epochs) {
            train.add(e.epoch + 1, e.train.loss);
            if (e.test) test.add(e.epoch + 1, e.test->loss);
        }
        for (fqt::plot_line* line : {&steps, &train, &test})
            if (!line->points.empty()) plot.lines.push_back(std::move(*line));
        draw(plot);
    }

    // ---- answers ----

    const std::string& name(int label) const { return run_.classes[static_cast<std::size_t>(label)]; }

    using counts_type = decltype(result_line::confusion);

    void confusion() {
        if (!log_.result || log_.result->confusion.empty()) return;
        const counts_type& counts = log_.result->confusion;
        out_ += "<h2>Which class is taken for which</h2>\n<div class=\"card\">";
        if (counts.size() <= 32) matrix(counts);
        else frequent_mistakes(counts);
        out_ += "</div>\n";
    }

    static std::int64_t sum(const std::vector<std::int64_t>& counts) {
        return std::accumulate(counts.begin(), counts.end(), std::int64_t{0});
    }

    /// What a matrix of many classes would hide: the 40 mistakes that are made most often.
    void frequent_mistakes(const counts_type& counts) {
        struct mistake {
            std::size_t label, predicted;
            std::int64_t images;
        };
        std::vector<mistake> found;
        for (std::size_t label = 0; label < counts.size(); ++label)
            for (std::size_t k = 0; k < counts.size(); ++k)
                if (k != label && counts[label][k] > 0) found.push_back({label, k, counts[label][k]});
        const std::size_t kinds = found.size();
        std::ranges::stable_sort(found, std::greater<>(), &mistake::images);
        found.resize(std::min<std::size_t>(kinds, 40));
        out_ += "<p>" + grouped(static_cast<std::int64_t>(kinds))
            + " pairs of classes are mistaken; these most often."
              "</p>\n<table class=\"epochs mistakes\"><thead><tr><th>true class</th><th>taken for</th><th>images</th>"
              "<th>of its class</th><th>found of its class</th><th>the other way round</th></tr></thead>\n<tbody>\n";
        for (const auto& [label, predicted, images] : found) {
            const std::int64_t all = sum(counts[label]);
            out_ += "<tr>";
            for (const std::string& value :
                 {html(run_.classes[label]), html(run_.classes[predicted]), grouped(images), share_of(images, all),
                  share_of(counts[label][label], all), grouped(counts[predicted][label])})
                out_ += "<td>" + value + "</td>";
            out_ += "</tr>\n";
        }
        out_ += "</tbody></table>";
    }

    void matrix(const counts_type& counts) {
        const std::size_t classes = counts.size();
        out_ += "<table class=\"confusion\">\n<thead><tr><th>true class ↓ &nbsp; taken for →</th>";
        for (std::size_t k = 0; k < classes; ++k)
            out_ += "<th class=\"class\" scope=\"col\"><span>" + html(run_.classes[k]) + "</span></th>";
        out_ += "<th>images</th><th>found</th></tr></thead>\n<tbody>\n";
        std::vector<std::int64_t> taken(classes);
        for (std::size_t label = 0; label < classes; ++label) {
            const std::int64_t all = sum(counts[label]);
            out_ += "<tr><th scope=\"row\">" + html(run_.classes[label]) + "</th>";
            for (std::size_t k = 0; k < classes; ++k) {
                const std::int64_t n = counts[label][k];
                taken[k] += n;
                const double share = all > 0 ? static_cast<double>(n) / static_cast<double>(all) : 0;
                // Mistakes are few, so that their colour grows faster.
                const double strength = k == label ? 0.65 * share : std::min(0.9, 2 * std::sqrt(share) * 0.7);
                out_ += text("<td class=\"cell%s\" style=\"background:rgba(var(--%s),%.2f)\"",
                             k == label ? " right" : "", k == label ? "accent" : "wrong", strength)
                    + " title=\"" + html(run_.classes[label]) + " taken for " + html(run_.classes[k]) + ": "
                    + percent(share, 1) + "\">" + (n > 0 ? std::to_string(n) : "") + "</td>";
            }
            out_ += "<td>" + grouped(all) + "</td><td>" + share_of(counts[label][label], all) + "</td></tr>\n";
        }
        out_ += "<tr><th scope=\"row\">of those taken for it, right</th>";
        for (std::size_t k = 0; k < classes; ++k)
            out_ += "<td class=\"cell\">" + share_of(counts[k][k], taken[k]) + "</td>";
        out_ += "<td></td><td></td></tr>\n</tbody></table>";
    }

    static std::string share_of(std::int64_t part, std::int64_t whole) {
        return whole > 0 ? text("%.1f&nbsp;%%", 100 * static_cast<double>(part) / static_cast<double>(whole)) : "-";
    }

    void gallery() {
        if (!log_.result || log_.result->wrong.empty()) return;
        out_ += "<h2>Images taken for another class</h2>\n<section class=\"gallery\">\n";
        for (const wrong_image& image : log_.result->wrong)
            out_ += "<figure><img alt=\"" + html(name(image.label)) + "\" width=\"" + std::to_string(run_.image.width)
                + "\" height=\"" + std::to_string(run_.image.height) + "\" src=\""
                + bmp_uri(image.pixels.bytes, run_.image) + "\"><figcaption><b>" + html(name(image.label))
                + "</b><br><small>taken for</small> " + html(name(image.predicted)) + "<br><small>"
                + percent(image.confidence, 0) + " sure</small></figcaption></figure>\n";
        out_ += "</section>\n";
    }

    const run_log& log_;
    const run_header& run_;
    std::string out_;
};

} // namespace detail

/// The page, as text.
inline std::string report_of(const run_log& log) { return detail::page(log).made(); }

/// Writes the page to a file. Errors: a log without a run, a path that cannot be written.
inline void write_report(const run_log& log, const std::string& path) {
    if (log.runs.empty()) fqt::fail("the report %s has no run to tell of; read a log first", path.c_str());
    const std::string text = report_of(log);
    errno = 0;
    std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), &std::fclose);
    if (!file || std::fwrite(text.data(), 1, text.size(), file.get()) != text.size() || std::fflush(file.get()) != 0)
        fqt::fail("the report %s cannot be written (%s); check its folder, your permissions and free space",
                  path.c_str(), std::strerror(errno));
}

} // namespace program
