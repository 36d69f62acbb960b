#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What every benchmark program shares: a clock, the process's peak of memory, and its report, one line of JSON.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <string>
#include <sys/resource.h>
#include <vector>

namespace benchmark {

inline double milliseconds() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    return std::chrono::duration<double, std::milli>(now).count();
}

/// Bytes of memory that this process held at most.
inline double peak_memory() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) * 1024.0;
}

/// Milliseconds of one call, of as many calls as fill 5 ms, so that the clock and the threads' start do not matter.
template <class Run>
double time_of(Run&& run) {
    const double start = milliseconds();
    run();
    const int calls = std::max(1, static_cast<int>(5.0 / (milliseconds() - start)));
    const double first = milliseconds();
    for (int i = 0; i < calls; ++i) run();
    return (milliseconds() - first) / calls;
}

/// Numbers by name; prints {"name": number, "name": [numbers], ...}.
class report {
public:
    void add(const char* name, double value) { begin(name) += number(value); }
    void add(const char* name, const std::vector<double>& values) {
        std::string& text = begin(name);
        text += '[';
        for (std::size_t i = 0; i < values.size(); ++i) text += (i ? ", " : "") + number(values[i]);
        text += ']';
    }
    /// What every network's program tells: "first" and "last" loss, "times" of each step in ms, "peak_memory" in bytes.
    /// Calls step(), which gives the loss, `warm_up` times without and `repetitions` times with a clock.
    template <class Step>
    void add_steps(double first, int warm_up, int repetitions, Step&& step) {
        double last = first;
        std::vector<double> times;
        for (int i = 0; i < warm_up + repetitions; ++i) {
            const double start = milliseconds();
            last = step();
            if (i >= warm_up) times.push_back(milliseconds() - start);
        }
        add("first", first);
        add("last", last);
        add("times", times);
        add("peak_memory", benchmark::peak_memory());
    }
    void print() const { std::printf("{%s}\n", text_.c_str()); }

private:
    std::string& begin(const char* name) {
        if (!text_.empty()) text_ += ", ";
        return text_ += '"' + std::string(name) + "\": ";
    }
    static std::string number(double value) {
        if (std::isnan(value)) return "NaN"; // as Python reads it
        char digits[32];
        std::snprintf(digits, sizeof digits, "%.9g", value);
        return digits;
    }
    std::string text_;
};

} // namespace benchmark
