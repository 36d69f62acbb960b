#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The smallest network that the trainer takes: one float linear layer, and plain gradient descent. Enough to see a loss
// fall, without a dependency on the layers.

#include <fqt/core/floating_point.hpp>
#include <fqt/core/shape.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace fqt_test {

template <fqt::shape Input, int Classes>
class linear_network {
public:
    static constexpr fqt::shape input = Input, output = {Classes, 1, 1};
    static constexpr std::size_t inputs = static_cast<std::size_t>(Input.size()), classes = Classes;

    explicit linear_network(int batch)
        : batch_(batch), weights(inputs * classes), gradient(inputs * classes),
          logits_(static_cast<std::size_t>(batch) * classes) {}

    int batch() const { return batch_; }
    std::uint64_t step() const { return steps; }

    std::span<const float> forward(std::span<const float> images, int samples) {
        images_.assign(images.begin(), images.end());
        return predict(images, samples);
    }
    std::span<const float> predict(std::span<const float> images, int samples, int first_sample = 0) {
        first_samples.push_back(first_sample);
        for (std::size_t n = 0; n < static_cast<std::size_t>(samples); ++n)
            for (std::size_t k = 0; k < classes; ++k) {
                float sum = 0;
                for (std::size_t i = 0; i < inputs; ++i)
                    sum += fqt::product(images[n * inputs + i], weights[k * inputs + i]);
                logits_[n * classes + k] = sum;
            }
        return std::span<const float>(logits_).first(static_cast<std::size_t>(samples) * classes);
    }
    void backward(std::span<const float> dlogits) {
        for (std::size_t k = 0; k < classes; ++k)
            for (std::size_t i = 0; i < inputs; ++i) {
                float sum = 0;
                for (std::size_t n = 0; n < dlogits.size() / classes; ++n)
                    sum += fqt::product(dlogits[n * classes + k], images_[n * inputs + i]);
                gradient[k * inputs + i] = sum;
            }
    }

private:
    int batch_;

public:
    std::vector<float> weights, gradient; ///< (class, input)
    std::vector<int> first_samples{};     ///< of each prediction
    std::uint64_t steps{};

private:
    std::vector<float> logits_, images_;
};

/// A linear network that keeps the rectifiers' weights that it is told.
template <fqt::shape Input, int Classes>
struct told_network : linear_network<Input, Classes> {
    using linear_network<Input, Classes>::linear_network;
    std::vector<float> rectifications{};
    void set_rectification(float weight) { rectifications.push_back(weight); }
};

/// Gradient descent without momentum.
template <class Network>
struct descent {
    Network& network;
    std::vector<float> rates{};

    void step(float rate) {
        for (std::size_t i = 0; i < network.weights.size(); ++i)
            network.weights[i] -= fqt::product(rate, network.gradient[i]);
        ++network.steps;
        rates.push_back(rate);
    }
};

} // namespace fqt_test
