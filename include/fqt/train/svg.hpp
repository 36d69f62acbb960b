#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Line plots as SVG: enough for measured numbers against a layer, a step or a setting, with linear or logarithmic axes
// and a legend. Text in, text out; no dependency.

#include <fqt/core/fail.hpp>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fqt {

/// A line through points, each of which is marked. Points that are not finite, and on logarithmic axes those that are
/// not positive, are left out and break the line.
struct plot_line {
    std::string name;
    std::vector<std::pair<double, double>> points{};
    bool dashed = false; ///< and without marks: predictions
    int colour = -1;     ///< of the palette; -1: the line's number

    void add(double x, double y) { points.emplace_back(x, y); }
};

/// A plot; the members may be filled in any order.
struct plot {
    std::string title{}, x_label{}, y_label{};
    bool log_x = false, log_y = false;
    std::vector<std::string> x_names{}; ///< of x = 0, 1, 2, ...; none: x is a number
    std::vector<plot_line> lines{};

    /// The picture, an SVG document of 760 x 460 units.
    std::string svg() const {
        const range x = span_of(&std::pair<double, double>::first, log_x, x_names.size());
        const range y = span_of(&std::pair<double, double>::second, log_y, 0);
        std::string out =
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 460\" font-family=\"sans-serif\" "
            "font-size=\"12\">\n<rect width=\"760\" height=\"460\" fill=\"white\"/>\n";
        text(out, (left + right) / 2, 24, "middle", title, " font-size=\"15\"");
        text(out, (left + right) / 2, 450, "middle", x_label);
        text(out, 0, 0, "middle", y_label,
             " transform=\"translate(16 " + number((top + bottom) / 2) + ") rotate(-90)\"");
        for (const double tick : ticks(y, log_y)) {
            const double at = place(tick, y, log_y, bottom, top);
            out += segment(left, at, right, at, "#dddddd");
            text(out, left - 6, at + 4, "end", number(tick));
        }
        if (x_names.empty())
            for (const double tick : ticks(x, log_x)) {
                const double at = place(tick, x, log_x, left, right);
                out += segment(at, top, at, bottom, "#dddddd");
                text(out, at, bottom + 16, "middle", number(tick));
            }
        for (std::size_t i = 0; i < x_names.size(); ++i) {
            const double at = place(static_cast<double>(i), x, log_x, left, right);
            text(out, 0, 0, "end", x_names[i],
                 " transform=\"translate(" + number(at) + " " + number(bottom + 14) + ") rotate(-35)\"");
        }
        out += segment(left, bottom, right, bottom, "black") + segment(left, top, left, bottom, "black");
        for (std::size_t i = 0; i < lines.size(); ++i) draw(out, i, x, y);
        return out + "</svg>\n";
    }

    /// Writes svg() to a file. Errors: a path that cannot be written.
    void write(const std::string& path) const {
        const std::string picture = svg();
        const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), &std::fclose);
        if (!file || std::fwrite(picture.data(), 1, picture.size(), file.get()) != picture.size()
            || std::fflush(file.get()) != 0)
            fail("the picture %s cannot be written (%s); check its folder, your permissions and free space",
                 path.c_str(), std::strerror(errno));
    }

private:
    struct range {
        double low, high;
    };
    static constexpr double left = 80, right = 540, top = 40, bottom = 370;

    static bool shows(double v, bool log) { return std::isfinite(v) && (!log || v > 0); }

    range span_of(double std::pair<double, double>::*coordinate, bool log, std::size_t names) const {
        range r{HUGE_VAL, -HUGE_VAL};
        for (const plot_line& line : lines)
            for (const auto& point : line.points)
                if (shows(point.first, log_x) && shows(point.second, log_y))
                    r = {std::min(r.low, point.*coordinate), std::max(r.high, point.*coordinate)};
        if (names > 0) return {-0.3, static_cast<double>(names) - 0.7};
        if (r.low > r.high) return log ? range{0.1, 10} : range{0, 1}; // no values
        if (log) return {r.low / 1.5, r.high * 1.5};
        const double room = r.high > r.low ? (r.high - r.low) * 0.06 : std::max(1.0, std::abs(r.high)) * 0.1;
        return {r.low - room, r.high + room};
    }

    /// Powers of ten, every few of them where there are many, with 2 and 5 between where there are few; or multiples
    /// of 1, 2 or 5.
    static std::vector<double> ticks(range r, bool log) {
        std::vector<double> result;
        if (log) {
            const int first = static_cast<int>(std::floor(std::log10(r.low))),
                      last = static_cast<int>(std::ceil(std::log10(r.high))), every = std::max(1, (last - first) / 6);
            for (int e = first; e <= last; e += every)
                for (const double m : {1.0, 2.0, 5.0}) {
                    const double tick = m * std::pow(10.0, e);
                    if (tick >= r.low && tick <= r.high && (m == 1 || last - first <= 3)) result.push_back(tick);
                }
            return result;
        }
        const double rough = (r.high - r.low) / 6, power = std::pow(10.0, std::floor(std::log10(rough)));
        double step = 10 * power;
        for (const double m : {5.0, 2.0, 1.0})
            if (m * power >= rough) step = m * power;
        for (double i = std::ceil(r.low / step); i * step <= r.high; ++i) result.push_back(i * step);
        return result;
    }

    static double place(double v, range r, bool log, double from, double to) {
        if (log) return from + (to - from) * std::log(v / r.low) / std::log(r.high / r.low);
        return from + (to - from) * (v - r.low) / (r.high - r.low);
    }

    /// At most four digits, in any locale.
    static std::string number(double v) {
        char digits[32];
        const auto [end, problem] = std::to_chars(digits, digits + sizeof digits, v, std::chars_format::general, 4);
        static_cast<void>(problem); // 32 characters hold it
        return {digits, end};
    }

    static std::string segment(double x1, double y1, double x2, double y2, const char* colour) {
        return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) + "\" y2=\"" + number(y2)
            + "\" stroke=\"" + colour + "\"/>\n";
    }

    static void text(std::string& out, double x, double y, const char* anchor, std::string_view words,
                     const std::string& more = {}) {
        out += "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor + "\"" + more + ">";
        for (const char c : words)
            if (c == '<') out += "&lt;";
            else if (c == '&') out += "&amp;";
            else out += c;
        out += "</text>\n";
    }

    void draw(std::string& out, std::size_t index, range x, range y) const {
        // Okabe and Ito's colours, which colour-blind readers can tell apart.
        constexpr const char* palette[] = {"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"};
        const plot_line& line = lines[index];
        const auto choice = line.colour >= 0 ? static_cast<std::size_t>(line.colour) : index;
        const std::string colour = palette[choice % std::size(palette)];
        const std::string style = "\" fill=\"none\" stroke=\"" + colour + "\" stroke-width=\"1.6\""
            + (line.dashed ? " stroke-dasharray=\"6 4\"" : "") + "/>\n";
        std::string points, marks;
        const auto end_of_piece = [&] {
            if (!points.empty()) out += "<polyline points=\"" + points + style;
            points.clear();
        };
        for (const auto& [u, v] : line.points) {
            if (!shows(u, log_x) || !shows(v, log_y)) {
                end_of_piece();
                continue;
            }
            const std::string a = number(place(u, x, log_x, left, right)), b = number(place(v, y, log_y, bottom, top));
            points += a + "," + b + " ";
            if (!line.dashed) marks += "<circle cx=\"" + a + "\" cy=\"" + b + "\" r=\"3\" fill=\"" + colour + "\"/>\n";
        }
        end_of_piece();
        out += marks;
        const double row = top + 8 + 18 * static_cast<double>(index);
        out += "<polyline points=\"" + number(right + 12) + "," + number(row) + " " + number(right + 36) + ","
            + number(row) + style;
        text(out, right + 42, row + 4, "start", line.name);
    }
};

} // namespace fqt
