// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/kernels/weight_gradient.hpp>

#include "support/kernels.hpp"

using namespace fqt;
using namespace fqt::test;

namespace {

/// What `sums` holds before the sample is added, and the factor of the sample.
constexpr float before = 0.375f, scale = 0x1.91p-9f;

template <class Product, geometry G, class X, class H>
std::vector<float> gradient_of(const X& x, const H& h, bool is_signed) {
    buffer activation(Product::staged_activation_bytes), gradient(Product::staged_gradient_bytes);
    Product::stage_activation(x, is_signed, activation);
    Product::stage_gradient(h, gradient);
    std::vector<float> sums(Product::sums, before), dw(static_cast<std::size_t>(G.weights()));
    Product::run(activation, gradient, is_signed, scale, sums.data());
    Product::unpack(sums.data(), dw.data());
    return dw;
}

template <geometry G, bool AllArchs>
void check_codes(const code_case& c) {
    const auto x = random_codes(G.in.size(), c.low, c.high, 1);
    const auto h = random_codes(G.out().size(), c.weight_low, c.weight_high, 2);
    std::vector<std::int64_t> exact(static_cast<std::size_t>(G.weights()));
    kernels::reference::weight_gradient(G, x.data(), h.data(), exact.data());
    std::vector<float> expected;
    for (std::int64_t sum : exact) expected.push_back(std::fma(scale, static_cast<float>(sum), before));
    for_each_arch<AllArchs>([&](auto arch) {
        CAPTURE(arch.name);
        using product = kernels::weight_gradient_product<G, kernels::integer, decltype(arch)>;
        CHECK(gradient_of<product, G>(code_source{x, G.in.channels, c.is_signed}, code_source{h, G.outputs, true},
                                      c.is_signed)
              == expected);
    });
}

template <geometry G, bool AllArchs>
void check_floats() {
    const auto x = random_floats(G.in.size(), 1), h = random_floats(G.out().size(), 2);
    std::vector<float> expected(static_cast<std::size_t>(G.weights()));
    kernels::reference::weight_gradient(G, x.data(), h.data(), expected.data());
    for (float& v : expected) v = std::fma(scale, v, before);
    for_each_arch<AllArchs>([&](auto arch) {
        CAPTURE(arch.name);
        using product = kernels::weight_gradient_product<G, kernels::real, decltype(arch)>;
        CHECK(gradient_of<product, G>(float_source{x, G.in.channels}, float_source{h, G.outputs}, false) == expected);
    });
}

} // namespace

TEST_CASE("the weight gradient of codes equals the reference on every instruction set") {
    for_each_geometry<geometries>([](auto i) {
        for (const code_case& c : code_cases) {
            CAPTURE(c.is_signed);
            CAPTURE(c.high);
            check_codes < geometries[i], i<geometries_on_every_arch>(c);
        }
    });
}

TEST_CASE("the weight gradient of floats equals the reference bit for bit on every instruction set") {
    for_each_geometry<geometries>([](auto i) {
        if constexpr (i < geometries_in_floats) check_floats < geometries[i], i<geometries_on_every_arch>();
    });
}
