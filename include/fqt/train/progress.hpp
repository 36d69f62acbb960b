#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What a run shows while it works: on a terminal a bar that is redrawn in place, elsewhere one plain line an epoch. Of
// training the clock is read here alone, so that nothing a run computes can depend on it.

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#if __has_include(<unistd.h>)
#include <unistd.h>
#endif

namespace fqt {

/// What the bar shows of the epoch so far.
struct progress_facts {
    double loss{}, accuracy{}; ///< means over the epoch so far; accuracy from 0 to 1
    float learning_rate{};
    std::int64_t images{}; ///< trained on in this epoch so far
};

namespace detail {

/// The bar's line after `done` of `steps` steps of an epoch, `seconds_left` before the run's end: at most 79 columns,
/// because a terminal of 80 that wraps it could not draw over it. Where the numbers are long, the bar is short.
inline std::string progress_line(int epoch, int epochs, std::int64_t done, std::int64_t steps,
                                 const progress_facts& facts, double images_per_second, double seconds_left) {
    constexpr std::size_t columns = 79, most_cells = 10;
    const auto left = static_cast<long long>(seconds_left + 0.5);
    char numbers[512]; // of which a loss can take 300
    std::snprintf(numbers, sizeof numbers, "] loss %.4f acc %.2f %% %.0f images/s lr %.3g left %lld:%02lld", facts.loss,
                  100 * facts.accuracy, images_per_second, static_cast<double>(facts.learning_rate), left / 60,
                  left % 60);
    std::string line = std::to_string(epoch + 1) + "/" + std::to_string(epochs) + " [";
    const std::string end = numbers;
    const std::size_t taken = line.size() + end.size();
    const std::size_t cells = std::min(most_cells, columns - std::min(columns, taken));
    const auto filled =
        cells * static_cast<std::size_t>(done) / static_cast<std::size_t>(std::max<std::int64_t>(steps, 1));
    for (std::size_t i = 0; i < cells; ++i) line += i < filled ? '#' : '-';
    line += end;
    line.resize(std::min(line.size(), columns));
    return line;
}

} // namespace detail

/// Shows a run of epochs on a file, or nothing where the file is null.
class progress {
public:
    /// `file` may be null. Epochs first_epoch to epochs - 1 of `steps` steps each remain.
    progress(std::FILE* file, int first_epoch, int epochs, std::int64_t steps)
        : file_(file), first_epoch_(first_epoch), epochs_(epochs), steps_(steps), terminal_(is_terminal(file)),
          run_start_(clock::now()), epoch_start_(run_start_), last_drawn_(run_start_) {}

    void start_epoch(int epoch) {
        epoch_ = epoch;
        epoch_start_ = clock::now();
    }

    /// Draws the bar after `step` steps of the epoch, at most ten times a second, and only on a terminal.
    void step(std::int64_t step, const progress_facts& facts) {
        if (!terminal_) return;
        const auto now = clock::now();
        if (now - last_drawn_ < std::chrono::milliseconds(100)) return;
        last_drawn_ = now;
        const double done =
            static_cast<double>(epoch_ - first_epoch_) * static_cast<double>(steps_) + static_cast<double>(step);
        const double all = static_cast<double>(epochs_ - first_epoch_) * static_cast<double>(steps_);
        const double left = seconds(run_start_, now) * (all - done) / std::max(done, 1.0);
        const std::string line = detail::progress_line(epoch_, epochs_, step, steps_, facts, rate(facts, now), left);
        // The line starts over (\r) and clears what is left of the longer line before it (ESC [ K).
        std::fprintf(file_, "\r%s\x1b[K", line.c_str());
        std::fflush(file_);
    }

    /// Notes that training of the epoch is over, so that testing does not count into images per second.
    void trained() { epoch_end_ = clock::now(); }

    /// The line that stays. Negative test_accuracy: not tested.
    void finish_epoch(const progress_facts& facts, double test_accuracy) {
        if (!file_) return;
        std::fprintf(file_, "%sepoch %d/%d  loss %.4f  train %.2f %%", terminal_ ? "\r" : "", epoch_ + 1, epochs_,
                     facts.loss, 100 * facts.accuracy);
        if (test_accuracy >= 0) std::fprintf(file_, "  test %.2f %%", 100 * test_accuracy);
        std::fprintf(file_, "  %.0f images/s  lr %.3g%s\n", rate(facts, epoch_end_),
                     static_cast<double>(facts.learning_rate), terminal_ ? "\x1b[K" : "");
        std::fflush(file_);
    }

private:
    using clock = std::chrono::steady_clock;

    static bool is_terminal(std::FILE* file) {
#if __has_include(<unistd.h>)
        return file && isatty(fileno(file)) == 1;
#else
        static_cast<void>(file);
        return false;
#endif
    }
    static double seconds(clock::time_point from, clock::time_point to) {
        return std::chrono::duration<double>(to - from).count();
    }
    double rate(const progress_facts& facts, clock::time_point now) const {
        return static_cast<double>(facts.images) / std::max(seconds(epoch_start_, now), 1e-9);
    }

    std::FILE* file_;
    int first_epoch_, epochs_, epoch_{};
    std::int64_t steps_;
    bool terminal_;
    clock::time_point run_start_, epoch_start_, epoch_end_{}, last_drawn_;
};

} // namespace fqt
