#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The log of a training run on file: one JSON object a line, whose "kind" says which struct of run_lines.hpp it is.
// Lines rather than one document, so that a run which is cut short leaves what it measured, a continued run appends,
// and any tool reads them. Needs nlohmann-json; report.hpp makes a page of it.

#include <fqt/core/fail.hpp>
#include <fqt/train/labels.hpp>

#include "run_lines.hpp"
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <system_error>
#include <type_traits>
#include <unistd.h>
#include <utility>
#include <vector>

namespace program {

/// A log as read: what counts of the lines, once continuations have replaced what they did anew.
struct run_log {
    std::vector<run_header> runs{};   ///< the run and its continuations, at least one
    std::vector<epoch_line> epochs{}; ///< by number
    std::vector<steps_line> steps{};  ///< by number
    std::optional<result_line> result{};
    std::vector<std::string> notes{}; ///< what a reader should know, such as a last line that was cut short

    const run_header& run() const { return runs.back(); }
};

namespace detail {

using json = nlohmann::ordered_json;

/// What is wrong with a line; read_log adds the file and the line's number.
struct damage : std::runtime_error {
    using std::runtime_error::runtime_error;
};

template <class T>
concept with_fields = requires(T line) {
    T::fields(line, [](const char*, auto&) {});
};

inline std::string base64(std::span<const std::uint8_t> bytes) {
    constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    for (std::size_t i = 0; i < bytes.size(); i += 3) {
        std::uint32_t three = 0;
        for (std::size_t k = 0; k < 3; ++k)
            three = three << 8 | (i + k < bytes.size() ? std::uint32_t{bytes[i + k]} : 0u);
        for (std::size_t k = 0; k < 4; ++k) text += i + k > bytes.size() ? '=' : digits[three >> (18 - 6 * k) & 63];
    }
    return text;
}

inline std::vector<std::uint8_t> from_base64(std::string_view text) {
    std::vector<std::uint8_t> bytes;
    const std::size_t length = std::min(text.find('='), text.size());
    if (text.size() % 4 != 0 || text.size() - length > 2) throw damage("pixels that are not base64");
    std::uint32_t bits = 0;
    int count = 0;
    for (const char c : text.substr(0, length)) {
        const int digit = c >= 'A' && c <= 'Z' ? c - 'A'
            : c >= 'a' && c <= 'z'             ? c - 'a' + 26
            : c >= '0' && c <= '9'             ? c - '0' + 52
            : c == '+'                         ? 62
            : c == '/'                         ? 63
                                               : -1;
        if (digit < 0) throw damage("pixels that are not base64");
        bits = bits << 6 | static_cast<std::uint32_t>(digit);
        count += 6;
        if (count >= 8) bytes.push_back(static_cast<std::uint8_t>(bits >> (count -= 8) & 255));
    }
    return bytes;
}

// ---- values to JSON ----

/// NaN and infinity, which JSON lacks, become null.
inline json written(double v) { return std::isfinite(v) ? json(v) : json(nullptr); }
/// The float's own few digits, not those of the double.
inline json written(float v) {
    char digits[32];
    const char* end = std::to_chars(digits, digits + sizeof digits, v).ptr;
    double shortest = 0;
    if (std::isfinite(v)) std::from_chars(digits, end, shortest);
    return std::isfinite(v) ? json(shortest) : json(nullptr);
}
inline json written(std::integral auto v) { return v; }
inline json written(const std::string& v) { return v; }
inline json written(const byte_string& v) { return base64(v.bytes); }
inline json written(const fqt::shape& v) { return {v.channels, v.height, v.width}; }
inline json written(const fqt::evaluation& v) { return {{"loss", written(v.loss)}, {"accuracy", written(v.accuracy)}}; }
inline json written(const std::vector<std::pair<std::string, std::string>>& v) {
    json object = json::object();
    for (const auto& [key, value] : v) object[key] = value;
    return object;
}
template <with_fields T>
json written(const T& line);
template <class T>
json written(const std::vector<T>& list) {
    json array = json::array();
    for (const T& item : list) array.push_back(written(item));
    return array;
}
template <with_fields T>
json written(const T& line) {
    json object = json::object();
    if constexpr (requires { T::kind; }) object["kind"] = T::kind;
    T::fields(line, [&]<class V>(const char* key, const V& value) {
        if constexpr (requires { value.has_value(); }) {
            if (value) object[key] = written(*value);
        } else {
            object[key] = written(value);
        }
    });
    return object;
}

// ---- JSON to values ----

inline void expect(bool holds, const char* what) {
    if (!holds) throw damage(what);
}

inline void read(const json& j, std::floating_point auto& v) {
    expect(j.is_number() || j.is_null(), "a value that is not a number");
    using number = std::remove_reference_t<decltype(v)>;
    v = j.is_null() ? std::numeric_limits<number>::quiet_NaN() : static_cast<number>(j.template get<double>());
}
inline void read(const json& j, std::integral auto& v) {
    using number = std::remove_reference_t<decltype(v)>;
    expect(j.is_number_integer(), "a value that is not an integer");
    const bool fits = j.is_number_unsigned() ? std::in_range<number>(j.template get<std::uint64_t>())
                                             : std::in_range<number>(j.template get<std::int64_t>());
    expect(fits, "an integer that is out of range");
    v = j.template get<number>();
}
inline void read(const json& j, std::string& v) {
    expect(j.is_string(), "a value that is not a text");
    v = j.get<std::string>();
}
inline void read(const json& j, byte_string& v) {
    std::string text;
    read(j, text);
    v.bytes = from_base64(text);
}
inline void read(const json& j, fqt::shape& v) {
    expect(j.is_array() && j.size() == 3, "an image that is not [channels, height, width]");
    read(j[0], v.channels), read(j[1], v.height), read(j[2], v.width);
}
inline void read_field(const json& j, const char* key, auto& v);
inline void read(const json& j, fqt::evaluation& v) {
    read_field(j, "loss", v.loss), read_field(j, "accuracy", v.accuracy);
}
inline void read(const json& j, std::vector<std::pair<std::string, std::string>>& v) {
    expect(j.is_object(), "options that are not an object");
    for (const auto& [key, value] : j.items()) read(value, v.emplace_back(key, "").second);
}
template <with_fields T>
void read(const json& j, T& line);
template <class T>
void read(const json& j, std::vector<T>& list) {
    expect(j.is_array(), "a value that is not a list");
    for (const json& item : j) read(item, list.emplace_back());
}
template <with_fields T>
void read(const json& j, T& line) {
    T::fields(line, [&](const char* key, auto& value) {
        if constexpr (requires { value.has_value(); }) {
            if (j.is_object() && j.contains(key)) read_field(j, key, value.emplace());
        } else {
            read_field(j, key, value);
        }
    });
}
inline void read_field(const json& j, const char* key, auto& v) try {
    expect(j.is_object() && j.contains(key), "no value");
    read(j.at(key), v);
} catch (const damage& wrong) {
    throw damage(std::string("\"") + key + "\": " + wrong.what());
}

// ---- what lines mean together ----

/// Forgets epochs and steps of the run from this epoch on.
inline void forget(run_log& log, const run_header& next) {
    std::erase_if(log.epochs, [&](const epoch_line& e) { return e.epoch >= next.first_epoch; });
    const std::int64_t step = next.first_epoch * next.steps_per_epoch;
    std::erase_if(log.steps, [&](const steps_line& s) { return s.first >= step; });
    for (steps_line& s : log.steps) {
        const auto kept = static_cast<std::size_t>((step - s.first + s.every - 1) / s.every);
        s.loss.resize(std::min(s.loss.size(), kept));
    }
    log.result.reset();
}

inline void take(run_log& log, run_header&& next) {
    const auto [c, h, w] = next.image;
    expect(c >= 1 && h >= 1 && w >= 1 && std::int64_t{c} * h <= (1 << 24) / w, "an image of an impossible size");
    expect(!next.classes.empty() && next.classes.size() <= fqt::most_classes, "class names that are none or too many");
    expect(next.first_epoch >= 0 && next.steps_per_epoch >= 0 && next.steps_per_epoch <= std::int64_t{1} << 31,
           "a first epoch or steps per epoch out of range");
    expect(next.first_epoch == 0 || !log.runs.empty(), "a continuation of no run");
    forget(log, next);
    if (next.first_epoch == 0) log.runs.clear();
    log.runs.push_back(std::move(next));
}

inline void take(run_log& log, epoch_line&& next) {
    expect(next.epoch >= 0 && next.epoch < 1 << 30, "an epoch that is out of range");
    const auto at = std::ranges::lower_bound(log.epochs, next.epoch, {}, &epoch_line::epoch);
    if (at != log.epochs.end() && at->epoch == next.epoch) *at = std::move(next);
    else log.epochs.insert(at, std::move(next));
}

inline void take(run_log& log, steps_line&& next) {
    expect(next.first >= 0 && next.every >= 1 && next.every <= std::int64_t{1} << 31, "steps that are out of range");
    const auto at = std::ranges::lower_bound(log.steps, next.first, {}, &steps_line::first);
    if (at != log.steps.end() && at->first == next.first) *at = std::move(next);
    else log.steps.insert(at, std::move(next));
}

inline void take(run_log& log, result_line&& next) {
    const std::size_t classes = log.run().classes.size(), pixels = static_cast<std::size_t>(log.run().image.size());
    expect(next.confusion.empty() || next.confusion.size() == classes, "a confusion matrix of other classes");
    for (const auto& row : next.confusion) {
        expect(row.size() == classes, "a confusion matrix of other classes");
        for (const std::int64_t count : row) expect(count >= 0 && count < std::int64_t{1} << 48, "a count below 0");
    }
    for (const wrong_image& image : next.wrong) {
        expect(image.pixels.bytes.size() == pixels, "pixels of another number than the image's");
        for (const int k : {image.label, image.predicted})
            expect(k >= 0 && static_cast<std::size_t>(k) < classes, "a class that there is not");
    }
    log.result = std::move(next);
}

inline void take_line(run_log& log, const json& line) {
    std::string kind;
    read_field(line, "kind", kind);
    const auto as = [&]<class Line>(Line next) {
        expect(std::is_same_v<Line, run_header> || !log.runs.empty(), "a line before the first \"run\"");
        read(line, next);
        take(log, std::move(next));
    };
    if (kind == run_header::kind) as(run_header{});
    else if (kind == epoch_line::kind) as(epoch_line{});
    else if (kind == steps_line::kind) as(steps_line{});
    else if (kind == result_line::kind) as(result_line{});
    else throw damage("unknown kind \"" + kind + "\"");
}

} // namespace detail

/// Reads a log. A last line that was cut short is left out, with a note. Errors: a file that cannot be read, has no
/// run, or is damaged elsewhere, by line.
inline run_log read_log(const std::string& path) {
    std::error_code ignored; // what cannot be looked at cannot be opened either
    const bool folder = std::filesystem::is_directory(path, ignored);
    errno = 0;
    std::ifstream file(path, std::ios::binary);
    if (!file || folder)
        fqt::fail("the log %s cannot be read (%s); name a file that a run has written", path.c_str(),
                  folder ? "it is a folder" : std::strerror(errno));
    const std::string text{std::istreambuf_iterator<char>(file), {}};
    run_log log;
    std::size_t number = 0;
    for (std::size_t from = 0; from < text.size();) {
        const std::size_t end = std::min(text.find('\n', from), text.size());
        const std::string_view line = std::string_view(text).substr(from, end - from);
        from = end + 1;
        ++number;
        if (line.empty()) continue;
        const detail::json parsed = detail::json::parse(line, nullptr, false);
        if (parsed.is_discarded() && end == text.size()) {
            log.notes.push_back("Line " + std::to_string(number) + ", the last, is cut short and left out.");
            break;
        }
        try {
            detail::expect(!parsed.is_discarded(), "not JSON");
            detail::take_line(log, parsed);
        } catch (const detail::damage& wrong) {
            fqt::fail("the log %s is damaged in line %zu (%.300s); repair or delete that line", path.c_str(), number,
                      wrong.what());
        }
    }
    if (log.runs.empty()) fqt::fail("the log %s has no run; name a file that a run has written", path.c_str());
    return log;
}

/// A log that is made where it is missing and otherwise appended to, a line at a time.
class log_writer {
public:
    /// Cuts off a last line that is incomplete. Errors: a path that cannot be opened for writing, another kind of file,
    /// one that another writer has open.
    explicit log_writer(std::string path) : path_(std::move(path)) {
        errno = 0;
        file_.reset(std::fopen(path_.c_str(), "ab"));
        if (!file_) refuse("opened", "check its folder and your permissions");
        if (::flock(::fileno(file_.get()), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
            fqt::fail("the log %s is being written by another run; wait for its end, or choose another path",
                      path_.c_str());
        repair();
    }

    /// Appends a line and hands it to the system at once. Errors: a full disk, or any other failed write.
    void write(const run_header& line) { append(line); }
    /// An epoch is on the disk when this returns, so that no checkpoint outlives its line.
    void write(const epoch_line& line) {
        append(line);
        static_cast<void>(::fsync(::fileno(file_.get()))); // not every kind of file can be asked
    }
    void write(const steps_line& line) { append(line); }
    void write(const result_line& line) { append(line); }

private:
    struct closer {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };

    void repair() const {
        std::error_code ignored; // what cannot be looked at cannot be opened either
        if (!std::filesystem::is_regular_file(path_, ignored)) return;
        std::ifstream file(path_, std::ios::binary);
        const std::string text{std::istreambuf_iterator<char>(file), {}};
        if (text.empty()) return;
        constexpr std::string_view start = "{\"kind\":\"run\"";
        if (!std::string_view(text).starts_with(start.substr(0, text.size())))
            fqt::fail("the file %s is not the log of a run, so nothing is added to it; choose another path",
                      path_.c_str());
        const std::size_t complete = text.rfind('\n') + 1; // 0 where there is none
        if (complete == text.size()) return;
        std::error_code problem;
        std::filesystem::resize_file(path_, complete, problem);
        if (problem)
            fqt::fail("the last line of the log %s is cut short and cannot be removed (%s); check your permissions",
                      path_.c_str(), problem.message().c_str());
    }

    void append(const auto& line) {
        const std::string text =
            detail::written(line).dump(-1, ' ', false, detail::json::error_handler_t::replace) + "\n";
        errno = 0;
        if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() || std::fflush(file_.get()) != 0)
            refuse("written", "free space on its disk, or choose another path");
    }

    [[noreturn]] void refuse(const char* what, const char* remedy) const {
        fqt::fail("the log %s cannot be %s (%s); %s", path_.c_str(), what, std::strerror(errno), remedy);
    }

    std::string path_;
    std::unique_ptr<std::FILE, closer> file_;
};

} // namespace program
