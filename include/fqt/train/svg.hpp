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

namespace detail {

/// Words as SVG or HTML has them, within an element or an attribute.
inline std::string escaped(std::string_view words) {
    std::string out;
    for (const char c : words)
        if (c == '<') out += "&lt;";
        else if (c == '>') out += "&gt;";
        else if (c == '&') out += "&amp;";
        else if (c == '"') out += "&quot;";
        else if (static_cast<unsigned char>(c) < 0x20) out += ' '; // which XML does not take
        else out += c;
    return out;
}

} // namespace detail

/// A line through points, each of which is marked where there are few. Points that are not finite, and on logarithmic
/// axes those that are not positive, are left out and break the line.
struct plot_line {
    std::string name;
    std::vector<std::pair<double, double>> points{};
    bool dashed = false; ///< and without marks: predictions
    bool faint = false;  ///< thin, pale and without marks: single values behind their mean
    int colour = -1;     ///< of the palette; -1: the line's number

    void add(double x, double y) { points.emplace_back(x, y); }
};

/// A plot; the members may be filled in any order. Up to seven colours are ones that colour-blind readers can tell
/// apart; where there are more, they run from blue to amber in the lines' order.
struct plot {
    std::string title{}, x_label{}, y_label{};
    bool log_x = false, log_y = false;
    bool whole_x = false;               ///< x counts something, so that ticks are whole numbers
    std::vector<std::string> x_names{}; ///< of x = 0, 1, 2, ...; none: x is a number
    std::vector<plot_line> lines{};
    int width = 760, height = 460; ///< in pixels at full size; a long legend adds to the height

    /// The picture, an SVG document on white.
    std::string svg() const { return picture(" color=\"black\" font-family=\"sans-serif\"", true); }

    /// The picture as an element of an HTML page, whose background, text colour and font it takes.
    std::string element() const { return picture("", false); }

    /// Writes svg() to a file. Errors: a path that cannot be written.
    void write(const std::string& path) const {
        const std::string text = svg();
        const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file(std::fopen(path.c_str(), "wb"), &std::fclose);
        if (!file || std::fwrite(text.data(), 1, text.size(), file.get()) != text.size()
            || std::fflush(file.get()) != 0)
            fail("the picture %s cannot be written (%s); check its folder, your permissions and free space",
                 path.c_str(), std::strerror(errno));
    }

private:
    struct range {
        double low, high;
    };
    /// Where the axes are, and what they show.
    struct frame {
        double left, right, top, bottom;
        range x, y;
    };
    static constexpr double margin = 12, row = 17; ///< of the picture; from one line of the legend to the next
    static constexpr double letter = 6.5;          ///< width of one of 12 pixels, on average and rather too much

    std::string picture(const char* look, bool background) const {
        const std::vector<std::pair<double, double>> entries = legend_places();
        const double rows = entries.empty() ? 0 : entries.back().second + 1;
        const double legend = margin + (title.empty() ? 0 : 20), below = legend + row * rows;
        const double w = width, h = height + row * std::max(0.0, rows - 2);
        frame f{0, w - margin - 6, below + (y_label.empty() ? 8 : 30), h - (x_label.empty() ? 28 : 48), x_range(), {}};
        f.y = span_of(&std::pair<double, double>::second, log_y);
        const std::vector<double> x_ticks = ticks(f.x, log_x, whole_x), y_ticks = ticks(f.y, log_y, false);
        double widest = 2;
        for (const double tick : y_ticks) widest = std::max(widest, letters(plain(label(tick, log_y))));
        f.left = margin + 7.5 * widest + 8; // digits are wider than letters
        const bool turned = turns_names(f);
        if (turned) { // by 35 degrees
            double longest = 0;
            for (const std::string& name : x_names) longest = std::max(longest, letter * letters(name));
            f.bottom -= longest * 0.57;
            f.left = std::max(f.left, margin + longest * 0.82 - (f.right - f.left) / 2 / slots());
        }

        std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + number(w) + " " + number(h)
            + "\" width=\"" + number(w) + "\" height=\"" + number(h) + "\" role=\"img\" aria-label=\""
            + detail::escaped(title) + "\" font-size=\"12\" fill=\"currentColor\"" + look + ">\n";
        if (background) out += "<rect width=\"" + number(w) + "\" height=\"" + number(h) + "\" fill=\"white\"/>\n";
        if (!title.empty()) {
            const double size = std::min(15.0, (w - 2 * margin) / (0.62 * std::max(1.0, letters(title))));
            text(out, margin, 24, "start", detail::escaped(title),
                 " font-weight=\"600\" font-size=\"" + number(size) + "\"");
        }
        text(out, margin, f.top - 12, "start", detail::escaped(y_label), pale);
        text(out, (f.left + f.right) / 2, h - 11, "middle", detail::escaped(x_label), pale);
        for (const double tick : y_ticks) {
            const double at = place(tick, f.y, log_y, f.bottom, f.top);
            out += segment(f.left, at, f.right, at, "0.13");
            text(out, f.left - 8, at + 4, "end", label(tick, log_y));
        }
        if (x_names.empty())
            for (const double tick : x_ticks) {
                const double at = place(tick, f.x, log_x, f.left, f.right);
                out += segment(at, f.top, at, f.bottom, "0.13");
                text(out, at, f.bottom + 18, "middle", label(tick, log_x));
            }
        write_names(out, f, turned);
        out += segment(f.left, f.bottom, f.right, f.bottom, "0.7") + segment(f.left, f.top, f.left, f.bottom, "0.7");
        // What is faint lies behind what is not.
        for (const bool faint : {true, false})
            for (std::size_t i = 0; i < lines.size(); ++i)
                if (lines[i].faint == faint) draw(out, i, f);
        for (std::size_t i = 0; i < entries.size(); ++i) {
            const double x = entries[i].first, y = legend + 12 + row * entries[i].second;
            out += "<path d=\"M" + number(x) + " " + number(y - 4) + "h18\"" + style(i, false) + "/>\n";
            text(out, x + 24, y, "start", detail::escaped(lines[i].name));
        }
        return out + "</svg>\n";
    }

    static constexpr const char* pale = " fill-opacity=\"0.75\"";

    // ---- what is where ----

    /// Where the legend's entries begin: x, and their row. One row where that holds them, or columns; none where no
    /// line has a name.
    std::vector<std::pair<double, double>> legend_places() const {
        std::vector<std::pair<double, double>> places;
        double x = margin, longest = 0;
        for (const plot_line& line : lines) {
            places.emplace_back(x, 0);
            const double entry = 24 + letter * letters(line.name) + 16;
            x += entry;
            longest = std::max(longest, entry);
        }
        if (longest <= 24 + 16) return {};
        const double room = width - 2 * margin + 16;
        const auto columns = static_cast<std::size_t>(std::max(1.0, std::floor(room / longest)));
        for (std::size_t i = 0; x - margin > room && i < places.size(); ++i)
            places[i] = {margin + static_cast<double>(i % columns) * longest, static_cast<double>(i / columns)};
        return places;
    }

    double slots() const { return static_cast<double>(std::max<std::size_t>(1, x_names.size())); }

    /// Whether names below the axis would run into each other.
    bool turns_names(const frame& f) const {
        return std::ranges::any_of(x_names, [&](const std::string& name) {
            return letter * (letters(name) + 1) > (f.right - f.left) / slots();
        });
    }

    void write_names(std::string& out, const frame& f, bool turned) const {
        const auto every = static_cast<std::size_t>(std::ceil(15 * slots() / (f.right - f.left)));
        for (std::size_t i = 0; i < x_names.size(); i += every) {
            const double at = place(static_cast<double>(i), f.x, log_x, f.left, f.right);
            if (turned)
                text(out, 0, 0, "end", detail::escaped(x_names[i]),
                     " transform=\"translate(" + number(at + 4) + " " + number(f.bottom + 14) + ") rotate(-35)\"");
            else text(out, at, f.bottom + 18, "middle", detail::escaped(x_names[i]));
        }
    }

    /// Numbers near the ends of double, whose distances are none, are left out too.
    static bool shows(double v, bool log) { return std::abs(v) < 1e300 && (!log || v > 1e-300); }

    range x_range() const {
        if (!x_names.empty()) return {-0.5, slots() - 0.5};
        return span_of(&std::pair<double, double>::first, log_x);
    }

    range span_of(double std::pair<double, double>::*coordinate, bool log) const {
        range r{HUGE_VAL, -HUGE_VAL};
        for (const plot_line& line : lines)
            for (const auto& point : line.points)
                if (shows(point.first, log_x) && shows(point.second, log_y))
                    r = {std::min(r.low, point.*coordinate), std::max(r.high, point.*coordinate)};
        if (r.low > r.high) return log ? range{0.1, 10} : range{0, 1}; // no values
        if (log) {
            const double room = r.high > r.low ? std::pow(r.high / r.low, 0.06) : 2;
            return {r.low / room, r.high * room};
        }
        const double room = r.high - r.low > 1e-300 ? (r.high - r.low) * 0.06
            : std::abs(r.low) > 1e-300              ? std::abs(r.low) / 2
                                                    : 1;
        const double low = r.low - room;
        return {r.low >= 0 ? std::max(0.0, low) : low, r.high + room};
    }

    /// Powers of ten, every few of them where there are many, with 2 and 5 between where there are few; or multiples
    /// of 1, 2 or 5, also on a logarithmic axis that is shorter than a power of ten.
    static std::vector<double> ticks(range r, bool log, bool whole) {
        std::vector<double> result;
        if (log && r.high / r.low >= 10) {
            const int first = static_cast<int>(std::floor(std::log10(r.low))),
                      last = static_cast<int>(std::ceil(std::log10(r.high))), every = std::max(1, (last - first) / 6);
            for (int e = first; e <= last; ++e)
                for (const double m : {1.0, 2.0, 5.0}) {
                    const double tick = m * std::pow(10.0, e);
                    if (e % every == 0 && tick >= r.low && tick <= r.high && (m == 1 || last - first <= 3))
                        result.push_back(tick);
                }
            return result;
        }
        const double rough = (r.high - r.low) / 6, power = std::pow(10.0, std::floor(std::log10(rough)));
        double step = 10 * power;
        for (const double m : {5.0, 2.0, 1.0})
            if (m * power >= rough) step = m * power;
        if (whole) step = std::max(1.0, step);
        const double first = std::ceil(r.low / step);
        for (int i = 0; i < 12 && (first + i) * step <= r.high; ++i) // never more, however few digits tell them apart
            result.push_back((first + i) * step + 0.0);              // no -0
        return result;
    }

    static double place(double v, range r, bool log, double from, double to) {
        if (log) return from + (to - from) * std::log(v / r.low) / std::log(r.high / r.low);
        return from + (to - from) * (v - r.low) / (r.high - r.low);
    }

    // ---- text ----

    /// At most four digits, in any locale.
    static std::string number(double v) {
        char digits[32];
        const auto [end, problem] = std::to_chars(digits, digits + sizeof digits, v, std::chars_format::general, 4);
        static_cast<void>(problem); // 32 characters hold it
        return {digits, end};
    }

    /// A tick's number as SVG: 0.02, 1500, 20k, 3M; where digits would be many, and on logarithmic axes from 10,000
    /// on, a power of ten.
    static std::string label(double v, bool log) {
        const double size = std::abs(v);
        if (size == 0 || (size >= 0.99e-3 && size < 0.99e4)) return number(v);
        if (!log && size >= 1 && size < 0.99e6) return number(v / 1e3) + "k";
        if (!log && size >= 1 && size < 0.99e9) return number(v / 1e6) + "M";
        const int power = static_cast<int>(std::floor(std::log10(size) + 1e-9));
        const std::string factor = number(v / std::pow(10.0, power));
        return (factor == "1" ? "" : factor + "·") + "10<tspan dy=\"-4\" font-size=\"9\">" + (power < 0 ? "−" : "")
            + std::to_string(std::abs(power)) + "</tspan>";
    }

    /// Without tags.
    static std::string plain(const std::string& markup) {
        std::string result;
        bool tag = false;
        for (const char c : markup) {
            if (c == '<') tag = true;
            if (!tag) result += c;
            if (c == '>') tag = false;
        }
        return result;
    }

    /// How many characters a UTF-8 text has.
    static double letters(std::string_view text) {
        return static_cast<double>(std::ranges::count_if(text, [](char c) { return (c & 0xc0) != 0x80; }));
    }

    static std::string segment(double x1, double y1, double x2, double y2, const char* opacity) {
        return "<line x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" + number(x2) + "\" y2=\"" + number(y2)
            + "\" stroke=\"currentColor\" stroke-opacity=\"" + opacity + "\"/>\n";
    }

    static void text(std::string& out, double x, double y, const char* anchor, const std::string& markup,
                     const std::string& more = {}) {
        if (markup.empty()) return;
        out += "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor + "\"" + more + ">"
            + markup + "</text>\n";
    }

    // ---- lines ----

    std::size_t colour_number(std::size_t index) const {
        return lines[index].colour >= 0 ? static_cast<std::size_t>(lines[index].colour) : index;
    }

    std::string colour(std::size_t index) const {
        // Okabe and Ito's, without the yellow, and with the page's text colour for black.
        constexpr const char* palette[] = {"#0072b2", "#d55e00", "#009e73",     "#cc79a7",
                                           "#e69f00", "#56b4e9", "currentColor"};
        std::size_t most = 0;
        for (std::size_t i = 0; i < lines.size(); ++i) most = std::max(most, colour_number(i));
        if (most < std::size(palette)) return palette[colour_number(index)];
        // In between, colours are mixed; none is too pale on white or too dark on black.
        constexpr int stops[][3] = {{47, 95, 196}, {109, 79, 194}, {164, 63, 174}, {204, 61, 132},
                                    {224, 82, 79}, {229, 123, 37}, {214, 160, 20}};
        const double at = static_cast<double>(colour_number(index)) / static_cast<double>(most) * 6;
        const auto stop = std::min<std::size_t>(5, static_cast<std::size_t>(at));
        std::string mixed = "rgb(";
        for (std::size_t c = 0; c < 3; ++c)
            mixed += (c == 0 ? "" : ",")
                + std::to_string(
                         std::lround(std::lerp(stops[stop][c], stops[stop + 1][c], at - static_cast<double>(stop))));
        return mixed + ")";
    }

    std::string style(std::size_t index, bool pale_too) const {
        const plot_line& line = lines[index];
        return " fill=\"none\" stroke=\"" + colour(index) + "\" stroke-width=\"" + (line.faint ? "1" : "1.8")
            + "\" stroke-linejoin=\"round\"" + (line.faint && pale_too ? " stroke-opacity=\"0.45\"" : "")
            + (line.dashed ? " stroke-dasharray=\"6 4\"" : "");
    }

    void draw(std::string& out, std::size_t index, const frame& f) const {
        const plot_line& line = lines[index];
        const bool marked = !line.dashed && !line.faint && line.points.size() <= 40 && lines.size() <= 8;
        std::string points, marks, last;
        int count = 0;
        out += "<g><title>" + detail::escaped(line.name) + "</title>\n"; // what a browser shows under the pointer
        const auto mark = [&] { marks += "<circle" + last + " r=\"2.8\" fill=\"" + colour(index) + "\"/>\n"; };
        const auto end_of_piece = [&] {
            if (count > 1) out += "<polyline points=\"" + points + "\"" + style(index, true) + "/>\n";
            if (count == 1 && !marked) mark(); // no line shows it
            points.clear();
            count = 0;
        };
        for (const auto& [u, v] : line.points) {
            if (!shows(u, log_x) || !shows(v, log_y)) {
                end_of_piece();
                continue;
            }
            const std::string a = number(place(u, f.x, log_x, f.left, f.right)),
                              b = number(place(v, f.y, log_y, f.bottom, f.top));
            points += (count++ == 0 ? "" : " ") + a + "," + b;
            last = " cx=\"" + a + "\" cy=\"" + b + "\"";
            if (marked) mark();
        }
        end_of_piece();
        out += marks + "</g>\n";
    }
};

} // namespace fqt
