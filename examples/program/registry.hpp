#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The networks that the program was built with. A network in a scheme with an optimizer is a type; each is compiled in
// a file of its own, made from one.cpp.in by a line in meson.build, and enters itself here, so that it is found by its
// names at run time.

#include "run_lines.hpp"
#include "settings.hpp"
#include <algorithm>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

namespace program {

/// Who is told of a run while it trains.
struct listener {
    std::function<void(const run_header&)> on_start{}; ///< with what only the network knows filled in
    std::function<void(const epoch_line&)> on_epoch{};
    std::function<void(const steps_line&)> on_steps{}; ///< losses of an epoch's steps
};

/// What became of a run.
struct outcome {
    fqt::history history; ///< of the epochs that this call has trained
    result_line result;   ///< without seconds; what it has beside accuracy and loss is for logs alone
};

struct entry {
    const char *network, *scheme, *optimizer;
    bool own_rates; ///< of the optimizer, which heeds neither rate, schedule, momentum nor decay
    fqt::shape input;
    int classes;
    int parameters;
    std::int64_t macs;
    std::size_t (*arena_bytes)(int batch, int threads);
    outcome (*train)(const settings&, const fqt::train_and_test&, const listener&);
    void (*summarize)(const settings&, std::FILE*);
    bool has_normalization; ///< of batches, somewhere
};

/// Every network x scheme x optimizer of the program, in the order of their names.
inline std::vector<entry>& registry() {
    static std::vector<entry> list;
    return list;
}
struct registered {
    explicit registered(std::initializer_list<entry> entries) {
        auto& list = registry();
        const auto key = [](const entry& x) {
            return std::tuple(std::string_view(x.network), std::string_view(x.scheme), std::string_view(x.optimizer));
        };
        for (const entry& e : entries) list.insert(std::ranges::upper_bound(list, key(e), {}, key), e);
    }
};

/// The network of those names. Errors: a name that is not registered, with the nearest ones.
inline const entry& find(const std::string& network, const std::string& scheme, const std::string& optimizer) {
    std::vector<std::string> networks, schemes, optimizers;
    for (const entry& e : registry()) {
        networks.emplace_back(e.network);
        if (e.network != network) continue;
        schemes.emplace_back(e.scheme);
        if (e.scheme != scheme) continue;
        optimizers.emplace_back(e.optimizer);
        if (e.optimizer == optimizer) return e;
    }
    if (schemes.empty())
        fqt::fail("no network is called '%s'; the nearest are %s, and `fqt list` shows all", network.c_str(),
                  nearest(network, networks).c_str());
    if (optimizers.empty())
        fqt::fail("the network '%s' was not built in a scheme called '%s'; the nearest are %s. `fqt list` shows all, "
                  "and a line in examples/meson.build adds one",
                  network.c_str(), scheme.c_str(), nearest(scheme, schemes).c_str());
    fqt::fail("the network '%s' in %s was not built with an optimizer called '%s'; it was with %s. `fqt list` shows "
              "all, and a line in examples/meson.build adds one",
              network.c_str(), scheme.c_str(), optimizer.c_str(), nearest(optimizer, optimizers).c_str());
}

} // namespace program
