#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Results on file: one measured number a line, as a JSON object, appended. Lines rather than one document, so that runs
// can add to a file, a run that is cut short leaves what it measured, and any tool reads them.

#include <fqt/core/fail.hpp>

#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

namespace fqt {

/// One measured number. Texts are UTF-8.
struct record {
    std::string run;    ///< which run: a name that the user chose
    std::string suite;  ///< which family of measurements, such as "accuracy"
    std::string name;   ///< what was measured, such as "resnet8 int4"
    std::string metric; ///< which number of it, such as "test accuracy"
    double value{};     ///< NaN and infinity, which JSON lacks, are written as null
    std::string unit;   ///< such as "%" or "images/s"
    std::uint64_t seed{};
    int threads = 1;
    std::string command; ///< that reproduces it
};

namespace detail {

inline void append_json(std::string& line, std::string_view text) {
    line += '"';
    for (const char c : text) {
        const auto code = static_cast<unsigned char>(c);
        if (c == '"' || c == '\\') {
            line += '\\';
            line += c;
        } else if (code < 0x20) {
            char escaped[8];
            std::snprintf(escaped, sizeof escaped, "\\u%04x", unsigned{code});
            line += escaped;
        } else {
            line += c;
        }
    }
    line += '"';
}

/// The shortest digits that read back as the same number; std::to_chars, since printf follows the locale.
template <class Number>
void append_json_number(std::string& line, Number value) {
    char digits[32];
    const auto [end, problem] = std::to_chars(digits, digits + sizeof digits, value);
    static_cast<void>(problem); // 32 characters hold every double and integer
    line.append(digits, end);
}

} // namespace detail

/// The line of a record, a JSON object with its newline.
inline std::string json_line(const record& r) {
    std::string line = "{";
    const auto text = [&](std::string_view key, std::string_view value) {
        detail::append_json(line, key);
        line += ": ";
        detail::append_json(line, value);
        line += ", ";
    };
    text("run", r.run);
    text("suite", r.suite);
    text("name", r.name);
    text("metric", r.metric);
    line += "\"value\": ";
    if (std::isfinite(r.value)) detail::append_json_number(line, r.value);
    else line += "null";
    line += ", ";
    text("unit", r.unit);
    line += "\"seed\": ";
    detail::append_json_number(line, r.seed);
    line += ", \"threads\": ";
    detail::append_json_number(line, r.threads);
    line += ", ";
    text("command", r.command);
    line.replace(line.size() - 2, 2, "}\n");
    return line;
}

/// A file of records, which is made where it is missing and otherwise appended to.
class record_file {
public:
    /// Errors: a path that cannot be opened for writing.
    explicit record_file(std::string path) : path_(std::move(path)), file_(std::fopen(path_.c_str(), "a+b")) {
        if (!file_)
            fail("the records file %s cannot be opened (%s); check its folder and your permissions", path_.c_str(),
                 std::strerror(errno));
        // A last line that was cut short stays by itself.
        std::fseek(file_.get(), 0, SEEK_END);
        const bool is_cut = std::ftell(file_.get()) > 0 && std::fseek(file_.get(), -1, SEEK_END) == 0
            && std::fgetc(file_.get()) != '\n';
        std::fseek(file_.get(), 0, SEEK_END);
        if (is_cut) append("\n");
    }

    /// Appends one line and hands it to the system at once. Errors: a full disk, or any other failed write.
    void write(const record& r) { append(json_line(r)); }

private:
    void append(const std::string& text) {
        errno = 0;
        if (std::fwrite(text.data(), 1, text.size(), file_.get()) != text.size() || std::fflush(file_.get()) != 0)
            fail("the records file %s cannot be written (%s); free space on its disk, or choose another path",
                 path_.c_str(), std::strerror(errno));
    }

    struct closer {
        void operator()(std::FILE* file) const { std::fclose(file); }
    };
    std::string path_;
    std::unique_ptr<std::FILE, closer> file_;
};

} // namespace fqt
