// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/kernels/weight_gradient.hpp>

#include "support/kernels.hpp"

using namespace fqt;
using namespace fqt::test;

namespace {

/// What `sums` holds before the sample is added, and the factor of the sample.
constexpr float before = 0.375f, scale = 0x1.91p-9f;

/// Channels in whole blocks, whose columns are staged once, by their remainders by the stride.
constexpr geometry whole_blocks[] = {
    geometry_of({16, 9, 10}, 32, {5, 2, 2}), geometry_of({32, 8, 7}, 16, {7, 1, 3}),
    geometry_of({16, 7, 8}, 16, {3, 3, 1}),
    geometry_of({16, 8, 9}, 48, {2, 3, 0}), // columns and rows that no tap reaches
};

template <class Product, geometry G, class X, class H>
std::vector<float> gradient_of(const X& x, const H& h, bool is_signed) {
    buffer activation(Product::staged_activation_bytes), gradient(Product::staged_gradient_bytes);
    Product::stage_activation(x, is_signed, activation);
    Product::stage_gradient(h, gradient);
    std::vector<float> sums(Product::sums, before), dw(static_cast<std::size_t>(G.weights()));
    Product::run(activation, gradient, is_signed, scale, sums.data());
    CHECK(unpack<Product>(sums, dw));
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

TEST_CASE("so it does where channels fill whole blocks, at any stride") {
    for_each_geometry<whole_blocks>([](auto i) {
        for (const code_case& c : code_cases) {
            CAPTURE(c.is_signed);
            check_codes<whole_blocks[i], true>(c);
        }
    });
}

TEST_CASE("the weight gradient of floats equals the reference bit for bit on every instruction set") {
    for_each_geometry<geometries>([](auto i) {
        if constexpr (i < geometries_in_floats) check_floats < geometries[i], i<geometries_on_every_arch>();
    });
}

TEST_CASE("sums of several groups are added in order, times the output's factor, and what is not finite is told") {
    // Whole blocks of inputs, and narrow inputs: lanes are inputs in one and outputs in the other.
    const auto check = []<geometry G>() {
        for_each_arch([](auto arch) {
            CAPTURE(arch.name);
            using tested = kernels::weight_gradient_product<G, kernels::integer, decltype(arch)>;
            constexpr int groups = 3;
            const auto x = random_codes(G.in.size(), 0, 255, 1), h = random_codes(G.out().size(), -127, 127, 2);
            std::vector<std::int64_t> exact(static_cast<std::size_t>(G.weights()));
            kernels::reference::weight_gradient(G, x.data(), h.data(), exact.data());
            buffer activation(tested::staged_activation_bytes), gradient(tested::staged_gradient_bytes);
            tested::stage_activation(code_source{x, G.in.channels, false}, false, activation);
            tested::stage_gradient(code_source{h, G.outputs, true}, gradient);
            // Scales that differ in size, so that another order of groups would round otherwise.
            const float scales[groups] = {0x1.7p-3f, 0x1.91p9f, -0x1.23p4f};
            std::vector<float> sums(groups * tested::sums), factor(static_cast<std::size_t>(padded(G.outputs)));
            for (std::size_t i = 0; i < groups; ++i)
                tested::run(activation, gradient, false, scales[i], sums.data() + i * tested::sums);
            for (int k = 0; k < G.outputs; ++k) factor[static_cast<std::size_t>(k)] = 0.3f * static_cast<float>(k + 1);

            std::vector<float> expected, in_another_order, dw(exact.size());
            for (std::size_t i = 0; i < exact.size(); ++i) {
                const float k = factor[i / (exact.size() / std::size_t{G.outputs})];
                const auto part = [&](int group) { return product(scales[group], static_cast<float>(exact[i])); };
                expected.push_back(product((part(0) + part(1)) + part(2), k));
                in_another_order.push_back(product((part(2) + part(1)) + part(0), k));
            }
            const auto unpacked = [&] {
                bool finite = true;
                for (int block = 0; block < blocks(G.outputs); ++block)
                    finite = tested::unpack(sums.data(), groups, factor.data(), block, dw.data()) && finite;
                return finite;
            };
            CHECK(expected != in_another_order); // else the next but one would not see an order
            CHECK(unpacked());
            CHECK(dw == expected);
            factor[0] = std::numeric_limits<float>::infinity();
            CHECK_FALSE(unpacked());
        });
    };
    check.operator()<geometry_of({16, 6, 6}, 20, {3, 1, 1})>();
    check.operator()<geometry_of({3, 6, 6}, 20, {3, 2, 1})>();
}
