// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/kernels/forward.hpp>
#include <fqt/kernels/input_gradient.hpp>
#include <fqt/kernels/weight_gradient.hpp>

#include "support/kernels.hpp"
#include <algorithm>
#include <cmath>
#include <limits>

using namespace fqt;
using namespace fqt::test;

namespace {

/// Its blocks of outputs meet channels 0 to 11, 10 to 21 and 20 to 23: the second one's lie in two blocks, and the last
/// one's are few, so that sums of what would be beyond them are left out.
constexpr geometry narrow_last_block = geometry_of({24, 4, 5}, 36, {1, 1, 1, 12});

constexpr geometry grouped[] = {
    geometry_of({8, 5, 6}, 12, {3, 1, 1, 2}),
    // Depthwise: less than a block, blocks and a part of one, more sites in a column than a tile has, windows of one
    // tap, of groups of four and beyond, strides beyond the window, and a window that is no tile of its own.
    geometry_of({20, 6, 7}, 20, {3, 2, 1, 20}),
    geometry_of({33, 8, 9}, 33, {5, 2, 2, 33}),
    narrow_last_block,
    geometry_of({3, 5, 6}, 3, {3, 1, 1, 3}),
    geometry_of({32, 35, 4}, 32, {3, 1, 1, 32}),
    geometry_of({17, 5, 4}, 17, {1, 3, 0, 17}),
    geometry_of({16, 6, 5}, 16, {2, 3, 1, 16}),
    geometry_of({16, 9, 8}, 16, {4, 1, 2, 16}),
    geometry_of({16, 9, 7}, 16, {7, 1, 3, 16}),
    geometry_of({5, 11, 9}, 5, {9, 2, 4, 5}),
    geometry_of({16, 1, 2}, 16, {5, 1, 2, 16}), // an image smaller than its kernel
    geometry_of({6, 9, 9}, 18, {7, 1, 3, 3}),
};
constexpr int grouped_on_every_arch = 3, grouped_in_floats = 6;

/// The three products of one geometry, with sources, and reference sums of the type Sum.
template <geometry G, class Kind, bool AllArchs, class Sum, class T, class MakeSource>
void check(const std::vector<T>& x, const std::vector<T>& h, const std::vector<T>& w, bool is_signed,
           MakeSource source) {
    std::vector<Sum> y(static_cast<std::size_t>(G.out().size())), dx(static_cast<std::size_t>(G.in.size()));
    std::vector<Sum> exact(static_cast<std::size_t>(G.weights()));
    kernels::reference::forward(G, x.data(), w.data(), y.data());
    kernels::reference::input_gradient(G, h.data(), w.data(), dx.data());
    kernels::reference::weight_gradient(G, x.data(), h.data(), exact.data());
    std::vector<float> dw;
    for (Sum sum : exact) dw.push_back(std::fma(0.75f, static_cast<float>(sum), 0.0f));
    const std::vector<typename Kind::weight> weights(w.begin(), w.end());

    for_each_arch<AllArchs>([&](auto arch) {
        CAPTURE(arch.name);
        const auto equals = [&]<class Product>(Product, const auto& from, bool from_is_signed, shape target,
                                               const auto& expected) {
            buffer packed(Product::packed_bytes), staged(Product::staged_bytes);
            Product::pack(weights.data(), from_is_signed, packed);
            Product::stage(from, staged);
            collect<Sum> sums(target);
            Product::run(staged, packed, std::ref(sums));
            CHECK(sums.complete());
            CHECK(sums.sums == expected);
        };
        equals(kernels::forward_product<G, Kind, decltype(arch)>{}, source(x, G.in, is_signed), is_signed, G.out(), y);
        equals(kernels::input_gradient_product<G, Kind, decltype(arch)>{}, source(h, G.out(), true), true, G.in, dx);

        using product = kernels::weight_gradient_product<G, Kind, decltype(arch)>;
        buffer activation(product::staged_activation_bytes), gradient(product::staged_gradient_bytes);
        product::stage_activation(source(x, G.in, is_signed), is_signed, activation);
        product::stage_gradient(source(h, G.out(), true), gradient);
        std::vector<float> sums(product::sums, rubbish), result(dw.size());
        const typename product::sample first{activation, gradient, 0.75f};
        product::run(&first, 1, is_signed, true, sums.data());
        CHECK(unpack<product>(sums, result));
        CHECK(result == dw);
        const bool all_written = std::ranges::none_of(sums, [](float sum) { return std::isnan(sum); });
        CHECK(all_written == (G != narrow_last_block));
        CHECK((all_written || !product::writes_all_sums));
        sums[0] = std::numeric_limits<float>::infinity();
        CHECK_FALSE(unpack<product>(sums, result));
    });
}

} // namespace

TEST_CASE("the products of grouped and depthwise convolutions equal the reference, in codes") {
    for_each_geometry<grouped>([](auto i) {
        constexpr geometry g = grouped[i];
        for (const bool is_signed : {false, true})
            check < g, kernels::integer,
                i<grouped_on_every_arch, std::int64_t>(
                    random_codes(g.in.size(), is_signed ? -127 : 0, is_signed ? 127 : 255, 1),
                    random_codes(g.out().size(), -127, 127, 2), random_codes(g.weights(), -127, 127, 3), is_signed,
                    [](const auto& codes, shape s, bool of_signed) {
                        return code_source{codes, s.channels, of_signed};
                    });
    });
}

TEST_CASE("the products of grouped and depthwise convolutions equal the reference, in floats") {
    for_each_geometry<grouped>([](auto i) {
        constexpr geometry g = grouped[i];
        if constexpr (i < grouped_in_floats)
            check<g, kernels::real, false, float>(random_floats(g.in.size(), 1), random_floats(g.out().size(), 2),
                                                  random_floats(g.weights(), 3), false,
                                                  [](const auto& floats, shape s, bool) {
                                                      return float_source{floats, s.channels};
                                                  });
    });
}
