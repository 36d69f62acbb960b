// SPDX-License-Identifier: BSD-3-Clause
// Products of codes of few bits, which some instruction sets add up in 16 bits first: all of them against the
// reference, with the greatest codes of either sign everywhere, where a sum that holds one product too many would show.
#include <fqt/kernels/forward.hpp>
#include <fqt/kernels/input_gradient.hpp>
#include <fqt/kernels/weight_gradient.hpp>

#include "support/kernels.hpp"

using namespace fqt;
using namespace fqt::test;

namespace {

/// Long sums of one tap, of three and five taps a row, at stride 2, dense, of a narrow first layer, in groups, and over
/// rows of many steps.
constexpr geometry few_bits[] = {
    geometry_of({80, 3, 3}, 16, {1, 1, 0}),    geometry_of({32, 6, 7}, 20, {3, 1, 1}),
    geometry_of({16, 7, 9}, 16, {5, 1, 2}),    geometry_of({20, 9, 6}, 48, {3, 2, 1}),
    geometry_of_dense({21, 2, 3}, 70),         geometry_of({3, 9, 8}, 32, {3, 1, 1}),
    geometry_of({32, 5, 5}, 32, {3, 1, 1, 2}), geometry_of({16, 3, 50}, 16, {3, 1, 1}),
};

/// Values between low and high: random ones, all of them the least, all of them the greatest.
std::vector<int> codes_of(int how, int count, int low, int high, std::uint32_t seed) {
    return random_codes(count, how == 2 ? high : low, how == 1 ? low : high, seed);
}
/// f(how first, how second)
template <class F>
void for_each_pair(F f) {
    for (int first = 0; first < 3; ++first)
        for (int second = 0; second < 3; ++second) {
            CAPTURE(first);
            CAPTURE(second);
            f(first, second);
        }
}

template <class Product>
void check_correlation(const std::vector<int>& x, shape from, const std::vector<int>& w, bool is_signed, shape to,
                       const std::vector<std::int64_t>& expected) {
    const std::vector<std::int8_t> weights(w.begin(), w.end());
    buffer packed(Product::packed_bytes), staged(Product::staged_bytes);
    Product::pack(weights.data(), is_signed, packed);
    Product::stage(code_source{x, from.channels, is_signed}, staged);
    collect<std::int64_t> sums(to);
    Product::run(staged, packed, std::ref(sums));
    CHECK(sums.complete());
    CHECK(sums.sums == expected);
}

/// All three products with gradients up to Most in magnitude; forward with weights, then with activations of that size.
template <geometry G, int Most, class Arch>
void check() {
    using kernels::integer_kind;
    using few_weights = integer_kind<Arch, 127, 255, Most>;
    using few_activations = integer_kind<Arch, Most, 2 * Most + 1, 128>;
    using dx_kind = integer_kind<Arch, Most, 0, 128>;
    using dw_kind = integer_kind<Arch, 128, 255, Most>;
    static_assert(kernels::is_short<dx_kind> == simd::has_short_sums<typename Arch::registers>);
    constexpr shape in = G.in, out = G.out();
    for_each_pair([&](int first, int second) {
        std::vector<std::int64_t> y(static_cast<std::size_t>(out.size())), dx(static_cast<std::size_t>(in.size())),
            dw(static_cast<std::size_t>(G.weights()));
        for (const bool is_signed : {false, true}) {
            CAPTURE(is_signed);
            const auto x = codes_of(first, in.size(), is_signed ? -127 : 0, is_signed ? 127 : 255, 1);
            const auto few_w = codes_of(second, G.weights(), -Most, Most, 2);
            kernels::reference::forward(G, x.data(), few_w.data(), y.data());
            check_correlation<kernels::forward_product<G, few_weights, Arch>>(x, in, few_w, is_signed, out, y);

            const auto few_x = codes_of(first, in.size(), is_signed ? -Most : 0, is_signed ? Most : 2 * Most + 1, 3);
            const auto w = codes_of(second, G.weights(), -128, 127, 4);
            kernels::reference::forward(G, few_x.data(), w.data(), y.data());
            check_correlation<kernels::forward_product<G, few_activations, Arch>>(few_x, in, w, is_signed, out, y);

            const auto h = codes_of(second, out.size(), -Most, Most, 5);
            kernels::reference::weight_gradient(G, x.data(), h.data(), dw.data());
            using product = kernels::weight_gradient_product<G, dw_kind, Arch>;
            buffer activation(product::staged_activation_bytes), gradient(product::staged_gradient_bytes);
            product::stage_activation(code_source{x, in.channels, is_signed}, is_signed, activation);
            product::stage_gradient(code_source{h, G.outputs, true}, gradient);
            std::vector<float> sums(product::sums), found(dw.size());
            product::run(activation, gradient, is_signed, 1.0f, sums.data());
            CHECK(unpack<product>(sums, found));
            CHECK(std::vector<std::int64_t>(found.begin(), found.end()) == dw); // below 2^24
        }
        const auto h = codes_of(first, out.size(), -Most, Most, 6), w = codes_of(second, G.weights(), -128, 127, 7);
        kernels::reference::input_gradient(G, h.data(), w.data(), dx.data());
        check_correlation<kernels::input_gradient_product<G, dx_kind, Arch>>(h, out, w, true, in, dx);
    });
}

/// On the instruction sets of this build that have short sums; the others have the products of all codes alone.
template <geometry G, int Most>
void check_on_all() {
    for_each_arch([](auto arch) {
        using set = decltype(arch);
        if constexpr (simd::has_short_sums<typename set::registers>) check<G, Most, set>();
    });
}
template <int Most, int Geometries>
void check_all() {
    for_each_index<few_bits>(
        [](auto i) {
            CAPTURE(int{i});
            check_on_all<few_bits[i], Most>();
        },
        std::make_integer_sequence<int, Geometries>{});
}

} // namespace

TEST_CASE("products of codes of 4 bits equal the reference") { check_all<7, 8>(); }

TEST_CASE("products of codes of 2 bits equal the reference") { check_all<1, 2>(); }

TEST_CASE("products of codes so large that a row of five taps is all that fits equal the reference") {
    static_assert(kernels::adds_of(12, 0, 128) == kernels::fewest_short_adds);
    check_all<12, 3>();
}

TEST_CASE("as many multiply-adds are added up in 16 bits as surely fit") {
    // Two products of four go into each sum, so that n multiply-adds reach 2 n |operand| |weight|.
    for (const int most : {1, 2, 3, 7, 8, 12, 15, 31, 63, 64, 127})
        for (const int other : {1, 7, 127, 128}) {
            const int of_signed = kernels::adds_of(most, 0, other), biased = most < 64 ? 2 * most : 255;
            CHECK(2 * of_signed * biased * other <= 32767);
            CHECK(2 * (of_signed + 1) * biased * other > 32767);
            const int of_unsigned = kernels::adds_of(0, most, other);
            CHECK(2 * of_unsigned * most * other <= 32767);
            CHECK(most + kernels::bias_of(most) <= 255);
            CHECK(kernels::bias_of(most) >= most);
        }
}

TEST_CASE("larger codes take the products of all codes") {
    for_each_arch([](auto arch) {
        using set = decltype(arch);
        CHECK(std::is_same_v<kernels::integer_kind<set, 127, 255, 127>, kernels::integer>);
        CHECK(std::is_same_v<kernels::integer_kind<set, 31, 0, 127>, kernels::integer>);
    });
}
