// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/kernels/forward.hpp>
#include <fqt/kernels/input_gradient.hpp>
#include <fqt/kernels/weight_gradient.hpp>

#include "support/kernels.hpp"

using namespace fqt;

namespace {

/// The best instruction set, counting multiply-adds.
struct counting : arch::best {
    static inline std::int64_t count = 0;
};

template <class Sums, class Repeated, class Vector>
void multiply_add(counting, Sums& sums, const Repeated& repeated, const Vector& vector) {
    using simd::multiply_add;
    constexpr bool one_lane = std::is_arithmetic_v<Sums>, floats = std::is_same_v<Sums, simd::f32x16<arch::best>>;
    counting::count += one_lane ? 1 : floats ? lanes : lanes * 4;
    multiply_add(arch::best{}, sums, repeated, vector);
}

/// Multiply-adds of the forward product, the input gradient and the weight gradient.
struct counts {
    std::int64_t forward, input_gradient, weight_gradient;
    friend bool operator==(counts, counts) = default;
};

std::ostream& operator<<(std::ostream& out, counts c) {
    return out << c.forward << ", " << c.input_gradient << ", " << c.weight_gradient;
}

template <geometry G, class Kind>
counts count() {
    const auto counted = [](auto run) {
        counting::count = 0;
        run();
        return counting::count;
    };
    const auto ignore = [](int, int, const auto&) {};
    const auto zeros = [](std::size_t bytes) {
        test::buffer b(bytes);
        std::fill(b + 0, b + bytes, std::byte{0});
        return b;
    };
    using forward = kernels::forward_product<G, Kind, counting>;
    using input_gradient = kernels::input_gradient_product<G, Kind, counting>;
    using weight_gradient = kernels::weight_gradient_product<G, Kind, counting>;
    std::vector<float> sums(weight_gradient::sums);
    return {
        counted([&] { forward::run(zeros(forward::staged_bytes), zeros(forward::packed_bytes), ignore); }),
        counted([&] {
            input_gradient::run(zeros(input_gradient::staged_bytes), zeros(input_gradient::packed_bytes), ignore);
        }),
        counted([&] {
            weight_gradient::run(zeros(weight_gradient::staged_activation_bytes),
                                 zeros(weight_gradient::staged_gradient_bytes), true, 1.0f, sums.data());
        }),
    };
}

template <geometry G>
constexpr counts nominal{G.macs(), G.macs(), G.macs()};

} // namespace

TEST_CASE("a step of a padded 3x3 convolution executes each nominal multiply-add once") {
    constexpr geometry g = geometry_of({16, 8, 12}, 32, {3, 1, 1});
    CHECK(count<g, kernels::integer>() == nominal<g>);
    CHECK(count<g, kernels::real>() == nominal<g>);
}

TEST_CASE("at stride 2 no inserted zero is multiplied") {
    constexpr geometry g = geometry_of({16, 8, 16}, 16, {3, 2, 1});
    CHECK(count<g, kernels::integer>() == nominal<g>);
    CHECK(count<g, kernels::real>() == nominal<g>);
    constexpr geometry shortcut = geometry_of({32, 8, 8}, 48, {1, 2, 0});
    CHECK(count<shortcut, kernels::integer>() == nominal<shortcut>);
}

TEST_CASE("odd widths waste nothing but the last pixels of a group of four in the weight gradient") {
    constexpr geometry g = geometry_of({16, 5, 7}, 16, {3, 1, 1});
    CHECK(count<g, kernels::integer>() == counts{g.macs(), g.macs(), g.macs() / 7 * 8});
    CHECK(count<g, kernels::real>() == nominal<g>);
}

TEST_CASE("a dense layer's gradient meets each weight once") {
    constexpr geometry g = geometry_of_dense({16, 3, 4}, 32);
    CHECK(count<g, kernels::integer>() == counts{g.macs(), g.macs(), g.macs() * 4});
    CHECK(count<g, kernels::real>() == nominal<g>);
}

TEST_CASE("groups of whole blocks of outputs multiply only within themselves") {
    constexpr geometry g = geometry_of({16, 6, 8}, 32, {3, 1, 1, 2});
    CHECK(count<g, kernels::integer>() == counts{g.macs(), 2 * g.macs(), 2 * g.macs()});
    constexpr geometry wide = geometry_of({32, 6, 8}, 32, {3, 1, 1, 2});
    CHECK(count<wide, kernels::integer>() == nominal<wide>);
    CHECK(count<wide, kernels::real>() == nominal<wide>);
}

TEST_CASE("a block of 16 outputs of narrow groups meets the channels of all of them") {
    constexpr geometry g = geometry_of({16, 4, 4}, 16, {3, 1, 1, 4});
    CHECK(count<g, kernels::integer>() == counts{4 * g.macs(), 4 * g.macs(), 4 * g.macs()});
}

TEST_CASE("a depthwise convolution multiplies its own channels alone, in groups of four taps of a row or four pixels") {
    constexpr geometry g = geometry_of({32, 4, 4}, 32, {3, 1, 1, 32});
    CHECK(count<g, kernels::integer>() == counts{g.macs() / 3 * 4, g.macs() / 3 * 4, g.macs()});
    CHECK(count<g, kernels::real>() == nominal<g>);
    // At stride 2 each row of the window is two groups of an input gradient, one for each phase.
    constexpr geometry strided = geometry_of({16, 8, 16}, 16, {3, 2, 1, 16});
    CHECK(count<strided, kernels::integer>() == counts{strided.macs() / 3 * 4, strided.macs() / 3 * 8, strided.macs()});
    CHECK(count<strided, kernels::real>() == nominal<strided>);
}
