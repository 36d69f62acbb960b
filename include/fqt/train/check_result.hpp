#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What checks of users' parts return, and how they gather it: a property keeps the worst of its measurements and
// becomes one line of the log. A log must say at which values something fails, or nobody can act on it.

#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <deque>
#include <exception>
#include <limits>
#include <string>
#include <utility>

namespace fqt {

/// What a check found.
struct check_result {
    bool ok = true;
    std::string log;  ///< a heading, then a line for each property: "ok", "FAILED" with the values, or "note"
    double worst = 0; ///< the largest error as a share of what is allowed: above 1, or infinite, where a property fails
};

namespace detail {

/// Text in printf's notation.
[[gnu::format(printf, 1, 2)]] inline std::string text(const char* format, ...) {
    char chars[512];
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(chars, sizeof chars, format, arguments);
    va_end(arguments);
    return chars;
}

/// One property under examination.
class property {
    friend class findings;
    std::string name_, where_{};
    double worst_ = 0;
    bool measured_ = false, remark_ = false;

public:
    explicit property(std::string name) : name_(std::move(name)) {}

    /// An error and what is allowed of it; where() says at which values, and is asked for the worst alone.
    template <class Where>
    void measure(double error, double allowed, Where&& where) {
        measured_ = true;
        double share = error == 0 ? 0 : std::abs(error / allowed);
        if (!std::isfinite(share)) share = std::numeric_limits<double>::infinity(); // a NaN is as bad as anything
        if (!(share > worst_)) return;
        worst_ = share;
        where_ = where();
    }
    template <class Where>
    void expect(bool holds, Where&& where) {
        measure(holds ? 0 : std::numeric_limits<double>::infinity(), 1, where);
    }
};

/// The properties of one part, in the order of the log.
class findings {
    std::string heading_;
    std::deque<property> properties_; // stay in place

public:
    findings(const char* kind, const std::string& name) : heading_(std::string(kind) + " " + name + "\n") {}

    property& about(std::string name) { return properties_.emplace_back(std::move(name)); }
    /// A line that judges nothing.
    void remark(std::string what) { about(std::move(what)).remark_ = true; }

    /// Runs a check; an error that it ends with is a failure as well, since a check never ends the program.
    template <class Check>
    void run(Check&& check) {
#if defined(__cpp_exceptions)
        try {
            check();
        } catch (const std::exception& e) {
            about("runs to its end").expect(false, [&] { return std::string(e.what()); });
        }
#else
        check();
#endif
    }

    check_result result() const {
        check_result all{true, heading_, 0};
        for (const property& p : properties_) {
            if (p.remark_) all.log += "  note    " + p.name_ + "\n";
            if (!p.measured_) continue;
            const bool ok = p.worst_ <= 1;
            all.ok = all.ok && ok;
            all.worst = p.worst_ > all.worst ? p.worst_ : all.worst;
            all.log += ok ? "  ok      " + p.name_ + "\n" : "  FAILED  " + p.name_ + ": " + p.where_ + "\n";
        }
        return all;
    }
};

/// What a part calls itself.
template <class Part>
std::string name_of_part(const char* otherwise = "without a name") {
    if constexpr (requires { static_cast<const char*>(Part::name); }) return Part::name;
    else return otherwise;
}

} // namespace detail

} // namespace fqt
