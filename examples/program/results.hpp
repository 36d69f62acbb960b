#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// One line for each run, for studies of many: what was asked for and what came of it, appended to a file that they
// share. Needs nlohmann-json.

#include <fqt/core/fail.hpp>

#include "registry.hpp"
#include "run_log.hpp"
#include "settings.hpp"
#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <string>
#include <string_view>
#include <sys/file.h>
#include <unistd.h>
#include <vector>

namespace program {

/// A file of results, which several runs may append to at once, and which may be replaced while one trains.
class results_file {
    std::string path_;

    [[noreturn]] void refuse() const {
        fqt::fail("the results file %s cannot be written (%s); free space on its disk, or choose another path",
                  path_.c_str(), std::strerror(errno));
    }
    int opened() const {
        const int file = ::open(path_.c_str(), O_RDWR | O_APPEND | O_CREAT, 0666);
        if (file < 0) refuse();
        return file;
    }

public:
    /// Errors: a path that cannot be written to.
    explicit results_file(const std::string& path) : path_(path) { ::close(opened()); }

    /// Whether it has a line of the same run: with the same settings and label, and the same outcome. How the run was
    /// called, by which fqt, on how many threads and for how long is not asked, nor is the curve, which a damaged log
    /// shortens.
    bool has(const detail::json& line) const {
        const auto run_of = [](detail::json of) {
            for (const char* key : {"command", "version", "threads", "seconds", "curve"}) of.erase(key);
            return of.dump(-1, ' ', false, detail::json::error_handler_t::replace);
        };
        const std::string wanted = run_of(line);
        std::ifstream file(path_);
        for (std::string text; std::getline(file, text);)
            if (const detail::json known = detail::json::parse(text, nullptr, false);
                known.is_object() && run_of(known) == wanted)
                return true;
        return false;
    }

    /// Appends a line, behind what other runs have appended, and on a line of its own where the last one was cut short.
    /// Errors: a full disk.
    void append(const detail::json& line) const {
        std::string text = line.dump(-1, ' ', false, detail::json::error_handler_t::replace) + "\n";
        const int file = opened();
        static_cast<void>(::flock(file, LOCK_EX)); // so that no other run's line comes between, where there are locks
        char last = '\n';
        const off_t size = ::lseek(file, 0, SEEK_END);
        if (size > 0 && ::pread(file, &last, 1, size - 1) == 1 && last != '\n') text.insert(0, "\n");
        for (std::string_view rest = text; !rest.empty();) {
            const ssize_t written = ::write(file, rest.data(), rest.size());
            if (written < 0 && errno != EINTR) refuse();
            rest.remove_prefix(static_cast<std::size_t>(std::max<ssize_t>(written, 0)));
        }
        if (::close(file) != 0) refuse();
    }
};

/// Where a run's line of results goes, and what it says besides the run.
struct results_options {
    std::string file, label, command;
};

inline std::string option_of(const run_header& run, std::string_view name) {
    for (const auto& [key, value] : run.options)
        if (key == name) return value;
    return {};
}

/// What was asked for, and what came of it.
inline detail::json line_of(const settings& s, const run_header& run, const outcome& o,
                            const std::vector<epoch_line>& epochs, const results_options& results) {
    const auto number = [](auto value) { return detail::written(value); };
    detail::json curve = detail::json::array();
    for (const epoch_line& e : epochs)
        curve.push_back({{"epoch", e.epoch + 1},
                         {"loss", e.train.loss},
                         {"train_accuracy", e.train.accuracy},
                         {"accuracy", e.test ? e.test->accuracy : 0.0}});
    return {{"label", results.label},
            {"network", s.network},
            {"scheme", s.scheme},
            {"optimizer", s.optimizer},
            {"rectifier", s.rectifier},
            {"rectification", number(s.rectification)},
            {"rate", number(s.rate)},
            {"schedule", s.schedule},
            {"epochs", s.epochs},
            {"batch", s.batch},
            {"momentum", number(s.momentum)},
            {"nesterov", s.nesterov},
            {"decay", number(s.decay)},
            {"decay_gamma", number(s.decay_gamma)},
            {"label_smoothing", number(s.label_smoothing)},
            {"mixup", number(s.mixup)},
            {"last_gamma", number(s.last_gamma)},
            {"initialise", s.initialise},
            {"augmentation", run.augmentation},
            {"cutout", s.cutout},
            {"train_images", s.train_images},
            {"seed", s.seed},
            {"split", s.held_out > 0 ? "held out" : "test"},
            {"held_out", s.held_out},
            {"training_set", option_of(run, "training set")},
            {"accuracy", o.result.accuracy},
            {"loss", o.result.loss},
            {"seconds", o.result.seconds},
            {"threads", run.threads},
            {"version", run.version},
            {"command", results.command},
            {"curve", curve}};
}

} // namespace program
