#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// One batch normalization by itself, with memory of its own, on numbers (n, c, p), and what compares such numbers.

#include <fqt/layers/batch_norm.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

namespace alone {

using fqt::shape;
using numbers = std::vector<float>;
using wide = std::vector<long double>;

inline std::size_t at(int i) { return static_cast<std::size_t>(i); }

/// Uniform numbers around `mean` with standard deviation `sigma`, (n, c, p).
inline numbers random_numbers(int count, float mean, float sigma, std::uint32_t stream) {
    const fqt::random_stream random{3, 0, stream};
    numbers v;
    for (std::uint32_t i = 0; i < static_cast<std::uint32_t>(count); ++i)
        v.push_back(mean + sigma * std::sqrt(12.0f) * (fqt::uniform32(random.block(0, i)[0]) - 0.5f));
    return v;
}

/// A layer with memory for `planned` samples.
template <shape S, class Rectifier = fqt::unrectified, class Policy = fqt::standard>
struct normalization {
    using input = fqt::plain<S>;
    fqt::batch_norm_layer<S, Rectifier, Policy, void, fqt::arch::best> layer{};
    std::vector<double> persistent, shared; // doubles, for their alignment
    fqt::context c{};
    int products = 0, normalizations = 0;

    explicit normalization(int planned) {
        fqt::planner counter(planned);
        layer.plan(counter, input{});
        persistent.resize(counter.plan().persistent / sizeof(double));
        shared.resize(counter.plan().shared / sizeof(double));
        fqt::planner places(counter, {bytes(persistent), counter.plan()});
        layer.plan(places, input{});
        layer.prepare({fqt::path{} / "norm", &products, &normalizations, true});
        layer.initialise(0);
        c.threads = 1;
        c.shared = bytes(shared);
    }
    static std::byte* bytes(std::vector<double>& v) { return reinterpret_cast<std::byte*>(v.data()); }

    /// gamma or beta, value or gradient.
    std::span<float> parameter(fqt::parameter_kind kind, bool gradient = false) {
        std::span<float> found;
        layer.each_parameter([&](const fqt::parameter& p) {
            if (p.kind == kind) found = gradient ? p.gradient : p.value;
        });
        return found;
    }
    std::span<float> gamma() { return parameter(fqt::parameter_kind::gamma); }
    std::span<float> beta() { return parameter(fqt::parameter_kind::beta); }
    std::span<float> by_gamma() { return parameter(fqt::parameter_kind::gamma, true); }
    std::span<float> by_beta() { return parameter(fqt::parameter_kind::beta, true); }
    std::span<float> running(const std::string& name) {
        std::span<float> found;
        layer.each_state([&](const fqt::state& s) {
            if (s.name.view() == "norm." + name) found = s.value;
        });
        return found;
    }

    template <class X>
    numbers all(const X& x) const {
        numbers v(at(c.samples * S.size()));
        for (int n = 0; n < c.samples; ++n)
            for (int k = 0; k < S.channels; ++k)
                for (int p = 0; p < S.pixels(); ++p) {
                    const auto lanes = x.template load<fqt::arch::best>(n, p, k / 16);
                    v[at((n * S.channels + k) * S.pixels() + p)] = lanes.lane(k % 16);
                }
        return v;
    }
    template <class X>
    numbers forward(int samples, const X& x) {
        c.samples = samples;
        return all(layer.forward(c, x, fqt::nothing{}));
    }
    template <class X>
    numbers backward(const X& x, const numbers& g) {
        return all(layer.backward(c, x, input{g.data()}, fqt::nothing{}));
    }
};

template <class Found>
double furthest(const Found& found, const wide& expected) {
    REQUIRE(found.size() == expected.size());
    long double most = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
        most = std::max(most, std::abs(static_cast<long double>(found[i]) - expected[i]));
    return static_cast<double>(most);
}
template <class Found>
double furthest_relative(const Found& found, const wide& expected) {
    long double most = 0;
    for (std::size_t i = 0; i < expected.size(); ++i)
        most = std::max(most, std::abs(static_cast<long double>(found[i]) / expected[i] - 1));
    return static_cast<double>(most);
}
template <class Values>
std::vector<std::uint32_t> bits(const Values& values) {
    std::vector<std::uint32_t> b;
    for (const float v : values) b.push_back(std::bit_cast<std::uint32_t>(v));
    return b;
}

} // namespace alone
