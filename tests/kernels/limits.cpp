// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/kernels/forward.hpp>
#include <fqt/kernels/input_gradient.hpp>
#include <fqt/kernels/weight_gradient.hpp>

#include "support/kernels.hpp"

using namespace fqt;
using namespace fqt::test;

namespace {

/// Every sum of a product whose operands are all `x` and weights all `w`, as doubles.
template <class Product>
std::vector<double> sums_of(shape from, shape to, int weights, int x, int w, bool is_signed) {
    buffer packed(Product::packed_bytes), staged(Product::staged_bytes);
    const std::vector<std::int8_t> logical(static_cast<std::size_t>(weights), static_cast<std::int8_t>(w));
    const std::vector<int> codes(static_cast<std::size_t>(from.size()), x);
    Product::pack(logical.data(), is_signed, packed);
    Product::stage(code_source{codes, from.channels, is_signed}, staged);
    collect<double> sums(to);
    Product::run(staged, packed, std::ref(sums));
    CHECK(sums.complete());
    return sums.sums;
}

/// A weight gradient whose int32 sums hold `Longest` products at most, against the reference, where floats are exact:
/// of two samples, which are the first of a group and find rubbish, and of one more.
template <geometry G, std::int64_t Longest>
void check_weight_gradient_in_runs(bool is_signed) {
    CAPTURE(is_signed);
    const auto x = random_codes(G.in.size(), is_signed ? -9 : 0, 9, 1), h = random_codes(G.out().size(), -9, 9, 2);
    std::vector<std::int64_t> exact(static_cast<std::size_t>(G.weights()));
    kernels::reference::weight_gradient(G, x.data(), h.data(), exact.data());
    std::vector<std::int64_t> seven_times;
    for (const std::int64_t sum : exact) seven_times.push_back(7 * sum);
    for_each_arch([&](auto arch) {
        CAPTURE(arch.name);
        using product = kernels::weight_gradient_product<G, kernels::integer, decltype(arch), Longest>;
        buffer activation(product::staged_activation_bytes), gradient(product::staged_gradient_bytes);
        product::stage_activation(code_source{x, G.in.channels, is_signed}, is_signed, activation);
        product::stage_gradient(code_source{h, G.outputs, true}, gradient);
        std::vector<float> sums(product::sums, rubbish), dw(exact.size());
        const typename product::sample first[] = {{activation, gradient, 1.0f}, {activation, gradient, 2.0f}};
        product::run(first, 2, is_signed, true, sums.data());
        product::run(activation, gradient, is_signed, 4.0f, sums.data());
        CHECK(unpack<product>(sums, dw));
        CHECK(std::vector<std::int64_t>(dw.begin(), dw.end()) == seven_times);
    });
}

template <class Product, class Arch>
constexpr bool is_exact = std::is_same_v<typename Product::sums_type, simd::i32x16<Arch>>;

} // namespace

TEST_CASE("a sum of the longest length fits int32 at its greatest and least") {
    constexpr geometry g = geometry_of_dense({static_cast<int>(kernels::longest_sum), 1, 1}, 1);
    for_each_arch([&](auto arch) {
        CAPTURE(arch.name);
        using product = kernels::forward_product<g, kernels::integer, decltype(arch)>;
        static_assert(is_exact<product, decltype(arch)>);
        const double most = 255.0 * 128 * static_cast<double>(kernels::longest_sum);
        CHECK(sums_of<product>(g.in, g.out(), g.weights(), 255, -128, false) == std::vector<double>{-most});
        CHECK(sums_of<product>(g.in, g.out(), g.weights(), 255, 127, false)[0] == most / 128 * 127);
        CHECK(sums_of<product>(g.in, g.out(), g.weights(), -128, -128, true)[0] == most / 255 * 128);
    });
}

TEST_CASE("longer sums are added in float: a dense layer of 70,000 inputs") {
    constexpr geometry g = geometry_of_dense({70000, 1, 1}, 1);
    for_each_arch([&](auto arch) {
        CAPTURE(arch.name);
        using product = kernels::forward_product<g, kernels::integer, decltype(arch)>;
        static_assert(!is_exact<product, decltype(arch)>);
        // The exact sum is beyond int32; runs are exact in float, so that their sum is rounded once.
        const double exact = 70000.0 * 255 * 127;
        CHECK(exact > 2147483647.0);
        CHECK(sums_of<product>(g.in, g.out(), g.weights(), 255, 127, false)[0] == double{static_cast<float>(exact)});
        CHECK(sums_of<product>(g.in, g.out(), g.weights(), -127, 127, true)[0]
              == double{static_cast<float>(-70000.0 * 127 * 127)});
    });
}

TEST_CASE("longer sums are added in float: the input gradient of 70,000 outputs") {
    constexpr geometry g = geometry_of_dense({1, 1, 1}, 70000);
    for_each_arch([&](auto arch) {
        CAPTURE(arch.name);
        using product = kernels::input_gradient_product<g, kernels::integer, decltype(arch)>;
        static_assert(!is_exact<product, decltype(arch)>);
        CHECK(sums_of<product>(g.out(), g.in, g.weights(), 127, -127, true)[0]
              == double{static_cast<float>(-70000.0 * 127 * 127)});
    });
}

TEST_CASE("a weight gradient over 300 x 300 pixels is added in runs of rows") {
    constexpr geometry g = geometry_of({1, 300, 300}, 1, {1, 1, 0});
    for_each_arch([&](auto arch) {
        CAPTURE(arch.name);
        using product = kernels::weight_gradient_product<g, kernels::integer, decltype(arch)>;
        const std::vector<int> x(90000, 255), h(90000, 127);
        buffer activation(product::staged_activation_bytes), gradient(product::staged_gradient_bytes);
        product::stage_activation(code_source{x, 1, false}, false, activation);
        product::stage_gradient(code_source{h, 1, true}, gradient);
        std::vector<float> sums(product::sums), dw(1);
        product::run(activation, gradient, false, 0.5f, sums.data());
        CHECK(unpack<product>(sums, dw));
        // The first run has the 219 rows of 300 pixels that 65,793 products allow.
        const float first = std::fma(0.5f, 219.0f * 300 * 255 * 127, 0.0f);
        CHECK(dw[0] == std::fma(0.5f, 81.0f * 300 * 255 * 127, first));
    });
}

TEST_CASE("sums cut into many runs equal the reference where floats are exact") {
    // 9 taps of 20 channels in runs of at most 64 products; at stride 2 some phases need runs and others do not.
    constexpr geometry g = geometry_of({20, 5, 6}, 20, {3, 2, 1});
    const auto x = random_codes(g.in.size(), -9, 9, 1), h = random_codes(g.out().size(), -9, 9, 2),
               w = random_codes(g.weights(), -9, 9, 3);
    const std::vector<std::int8_t> weights(w.begin(), w.end());
    std::vector<std::int64_t> y(static_cast<std::size_t>(g.out().size())), dx(static_cast<std::size_t>(g.in.size()));
    kernels::reference::forward(g, x.data(), w.data(), y.data());
    kernels::reference::input_gradient(g, h.data(), w.data(), dx.data());
    for_each_arch([&](auto arch) {
        CAPTURE(arch.name);
        const auto equals = [&]<class Product>(Product, const auto& from, shape target, const auto& expected) {
            static_assert(std::is_same_v<typename Product::sums_type, simd::f32x16<decltype(arch)>>);
            buffer packed(Product::packed_bytes), staged(Product::staged_bytes);
            Product::pack(weights.data(), true, packed);
            Product::stage(from, staged);
            collect<std::int64_t> sums(target);
            Product::run(staged, packed, std::ref(sums));
            CHECK(sums.complete());
            CHECK(sums.sums == expected);
        };
        equals(kernels::forward_product<g, kernels::integer, decltype(arch), 64>{}, code_source{x, 20, true}, g.out(),
               y);
        equals(kernels::input_gradient_product<g, kernels::integer, decltype(arch), 64>{}, code_source{h, 20, true},
               g.in, dx);
    });
    for (const bool is_signed : {false, true}) {
        // One row a run, of which some are left out where unsigned; two rows a run, with inputs as lanes; depthwise.
        check_weight_gradient_in_runs<g, 4>(is_signed);
        check_weight_gradient_in_runs<geometry_of({16, 5, 6}, 20, {3, 1, 1}), 12>(is_signed);
        check_weight_gradient_in_runs<geometry_of({20, 5, 6}, 20, {3, 1, 1, 20}), 12>(is_signed);
    }
}
