#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The optimizers that a network of the program can be built with. Each makes itself from the settings, and says the
// rate of each step: that of --schedule, or one of its own.

#include "settings.hpp"
#include <memory>

namespace program::optimizers {

/// SGD with momentum; Master and Momentum: formats of weights and velocities between steps.
template <class Master = fqt::full_precision, class Momentum = fqt::full_precision>
struct momentum {
    template <class Network>
    using type = fqt::sgd<Network, Master, Momentum>;

    template <class Network>
    static type<Network> made(Network& net, const settings& s) {
        return type<Network>{net,
                             {.momentum = s.momentum,
                              .decay = s.decay,
                              .decay_gamma = s.decay_gamma,
                              .decay_range = s.decay,
                              .nesterov = s.nesterov}};
    }
    static rate_rule rates(const settings& s, std::int64_t steps) {
        return named(schedules(), s.schedule)(s.rate, steps);
    }
};

/// The same, where each layer's rate follows the deviation of its gradient's direction (UI8).
struct deviating : momentum<> {
    template <class Network>
    class type {
        fqt::sgd<Network> sgd_;
        // Measured anew in each step, so that no checkpoint needs it.
        std::unique_ptr<fqt::deviation_rate> deviations_ = std::make_unique<fqt::deviation_rate>();

    public:
        type(Network& net, fqt::sgd<Network>&& sgd) : sgd_(std::move(sgd)) { net.observe(*deviations_); }
        void step(float rate) { sgd_.step(rate, *deviations_); }
        template <class F>
        void each_state(F&& f) {
            sgd_.each_state(f);
        }
    };
    template <class Network>
    static type<Network> made(Network& net, const settings& s) {
        return {net, momentum<>::made(net, s)};
    }
};

/// NITI's: gradients of 5, then 4, then 3 bits are subtracted from 8-bit weights; of a half and two quarters of the
/// run, without momentum or decay.
struct niti {
    static constexpr bool own_rates = true;

    template <class Network>
    static auto made(Network& net, const settings&) {
        return fqt::integer_sgd<Network, fqt::niti_update>(net);
    }
    static rate_rule rates(const settings&, std::int64_t steps) {
        return [steps](std::int64_t step) { return step * 2 < steps ? 5.0f : step * 4 < steps * 3 ? 4.0f : 3.0f; };
    }
};

} // namespace program::optimizers
