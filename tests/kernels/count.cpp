// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/kernels/forward.hpp>
#include <fqt/kernels/input_gradient.hpp>
#include <fqt/kernels/weight_gradient.hpp>

#include "support/kernels.hpp"

using namespace fqt;

namespace {

/// The best instruction set's vectors, counting multiply-adds.
using vectors = arch::best::registers;
struct counting : vectors {
    static inline std::int64_t count = 0;
};

template <class Sums, class Repeated, class Vector>
void multiply_add(counting, Sums& sums, const Repeated& repeated, const Vector& vector) {
    using simd::multiply_add;
    constexpr bool one_lane = std::is_arithmetic_v<Sums>, floats = std::is_same_v<Sums, simd::f32x16<vectors>>;
    counting::count += one_lane ? 1 : floats ? lanes : lanes * 4;
    multiply_add(vectors{}, sums, repeated, vector);
}

/// Matrix registers, counting theirs.
struct counting_matrices : counting {
    using matrices = counting_matrices;
};

} // namespace

template <int Rows, int Codes>
class fqt::simd::matrix_registers<counting_matrices, Rows, Codes>
    : public fqt::simd::matrix_registers<arch::generic, Rows, Codes> {
public:
    template <int Sums, int I, int J, class A>
    void multiply_add() {
        counting::count += std::int64_t{Rows} * Codes * lanes;
    }
};

namespace {

/// Multiply-adds of the forward product, of the input gradient, and of the weight gradient for unsigned activations and
/// for signed ones.
struct counts {
    std::int64_t forward, input_gradient, weight_gradient, signed_weight_gradient;
    friend bool operator==(counts, counts) = default;
};

std::ostream& operator<<(std::ostream& out, counts c) {
    return out << c.forward << ", " << c.input_gradient << ", " << c.weight_gradient << ", "
               << c.signed_weight_gradient;
}

template <geometry G, class Kind, class Arch = counting>
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
    using forward = kernels::forward_product<G, Kind, Arch>;
    using input_gradient = kernels::input_gradient_product<G, Kind, Arch>;
    using weight_gradient = kernels::weight_gradient_product<G, Kind, Arch>;
    std::vector<float> sums(weight_gradient::sums);
    const auto count_weight_gradient = [&](bool is_signed) {
        return counted([&] {
            weight_gradient::run(zeros(weight_gradient::staged_activation_bytes),
                                 zeros(weight_gradient::staged_gradient_bytes), is_signed, 1.0f, sums.data());
        });
    };
    return {
        counted([&] { forward::run(zeros(forward::staged_bytes), zeros(forward::packed_bytes), ignore); }),
        counted([&] {
            input_gradient::run(zeros(input_gradient::staged_bytes), zeros(input_gradient::packed_bytes), ignore);
        }),
        count_weight_gradient(false),
        count_weight_gradient(true),
    };
}

/// Nominal multiply-adds less those of rows of the window that lie in the border.
template <geometry G>
constexpr std::int64_t needed = [] {
    int rows = 0;
    for (int y = 0; y < G.out().height; ++y)
        for (int r = 0; r < G.kernel_height; ++r) {
            const int in_y = y * G.stride + r - G.pad;
            rows += in_y >= 0 && in_y < G.in.height;
        }
    return G.macs() / (G.out().height * G.kernel_height) * rows;
}();
/// The same, but weight gradients of signed codes multiply every row.
template <geometry G>
constexpr counts least_of_codes{needed<G>, needed<G>, needed<G>, G.macs()};
template <geometry G>
constexpr counts least_of_floats{needed<G>, needed<G>, needed<G>, needed<G>};

/// Each count times a factor of its own.
constexpr counts times(counts c, std::int64_t forward, std::int64_t input_gradient, std::int64_t weight_gradient) {
    return {c.forward * forward, c.input_gradient * input_gradient, c.weight_gradient * weight_gradient,
            c.signed_weight_gradient * weight_gradient};
}

} // namespace

TEST_CASE("a step of a padded 3x3 convolution executes each nominal multiply-add once, but for rows of border") {
    constexpr geometry g = geometry_of({16, 8, 12}, 32, {3, 1, 1});
    static_assert(needed<g> == std::int64_t{22} * 3 * 12 * 16 * 32); // by hand: of 24 rows two are border
    CHECK(count<g, kernels::integer>() == least_of_codes<g>);
    CHECK(count<g, kernels::real>() == least_of_floats<g>);
}

TEST_CASE("rows of a window that is higher than its image are left out on both sides") {
    constexpr geometry g = geometry_of({16, 2, 4}, 16, {5, 1, 2});
    static_assert(needed<g> == std::int64_t{4} * 5 * 4 * 16 * 16); // by hand: of each window of five rows two remain
    CHECK(count<g, kernels::integer>() == least_of_codes<g>);
    constexpr geometry wide = geometry_of({16, 2, 4}, 16, {7, 1, 3});
    CHECK(count<wide, kernels::integer>() == least_of_codes<wide>);
    CHECK(count<wide, kernels::real>() == least_of_floats<wide>);
}

TEST_CASE("a row of sites whose window meets border alone keeps one row") {
    // Input rows 6 and 7 are in no window. Each of 8 x 7 input pixels meets one tap; dW has two pixels of four.
    constexpr geometry g = geometry_of({16, 8, 7}, 16, {3, 3, 0});
    constexpr std::int64_t dw = 9 * 2 * 4 * 16 * 16;
    CHECK(count<g, kernels::integer>() == counts{needed<g>, 8 * 7 * 16 * 16, dw, dw});
}

TEST_CASE("first layers multiply every row in forward products, which have few steps") {
    constexpr geometry g = geometry_of({4, 8, 8}, 16, {3, 1, 1});
    const counts c = count<g, kernels::integer>();
    CHECK(c.forward == g.macs());
    CHECK(c.input_gradient == 4 * needed<g>); // 4 channels in 16 lanes
}

TEST_CASE("at stride 2 no inserted zero is multiplied") {
    constexpr geometry g = geometry_of({16, 8, 16}, 16, {3, 2, 1});
    CHECK(count<g, kernels::integer>() == least_of_codes<g>);
    CHECK(count<g, kernels::real>() == least_of_floats<g>);
    constexpr geometry shortcut = geometry_of({32, 8, 8}, 48, {1, 2, 0});
    CHECK(count<shortcut, kernels::integer>() == least_of_codes<shortcut>);
}

TEST_CASE("odd widths waste nothing but the last pixels of a group of four in the weight gradient") {
    constexpr geometry g = geometry_of({16, 5, 7}, 16, {3, 1, 1});
    constexpr counts codes{needed<g>, needed<g>, needed<g> / 7 * 8, g.macs() / 7 * 8};
    CHECK(count<g, kernels::integer>() == codes);
    CHECK(count<g, kernels::real>() == least_of_floats<g>);
}

TEST_CASE("a dense layer's gradient meets each weight once") {
    constexpr geometry g = geometry_of_dense({16, 3, 4}, 32);
    CHECK(count<g, kernels::integer>() == counts{g.macs(), g.macs(), g.macs() * 4, g.macs() * 4});
    CHECK(count<g, kernels::real>() == least_of_floats<g>);
}

TEST_CASE("groups of whole blocks of outputs multiply only within themselves") {
    constexpr geometry g = geometry_of({16, 6, 8}, 32, {3, 1, 1, 2});
    CHECK(count<g, kernels::integer>() == times(least_of_codes<g>, 1, 2, 2));
    constexpr geometry wide = geometry_of({32, 6, 8}, 32, {3, 1, 1, 2});
    CHECK(count<wide, kernels::integer>() == least_of_codes<wide>);
    CHECK(count<wide, kernels::real>() == least_of_floats<wide>);
}

TEST_CASE("a block of 16 outputs of narrow groups meets the channels of all of them") {
    constexpr geometry g = geometry_of({16, 4, 4}, 16, {3, 1, 1, 4});
    CHECK(count<g, kernels::integer>() == times(least_of_codes<g>, 4, 4, 4));
}

TEST_CASE("a depthwise convolution multiplies its own channels alone, in groups of four taps of a row or four pixels") {
    constexpr geometry g = geometry_of({32, 4, 4}, 32, {3, 1, 1, 32});
    CHECK(count<g, kernels::integer>() == counts{g.macs() / 3 * 4, g.macs() / 3 * 4, g.macs(), g.macs()});
    CHECK(count<g, kernels::real>() == counts{g.macs(), g.macs(), g.macs(), g.macs()});
    // At stride 2 each row of the window is two groups of an input gradient, one for each phase.
    constexpr geometry strided = geometry_of({16, 8, 16}, 16, {3, 2, 1, 16});
    constexpr std::int64_t n = strided.macs();
    CHECK(count<strided, kernels::integer>() == counts{n / 3 * 4, n / 3 * 8, n, n});
    CHECK(count<strided, kernels::real>() == counts{n, n, n, n});
}

TEST_CASE("matrices multiply each nominal multiply-add once, rows of border included") {
    constexpr geometry g = geometry_of({16, 8, 8}, 32, {3, 1, 1});
    // In dW a row of 8 pixels is 12, since kernel columns shift it by up to two.
    constexpr counts all{g.macs(), g.macs(), g.macs() / 8 * 12, g.macs() / 8 * 12};
    CHECK(count<g, kernels::integer, counting_matrices>() == all);
    // At stride 2 no inserted zero is multiplied; the input gradient's phases have 1, 2, 2 and 4 taps for 4 x 4 sites.
    constexpr geometry strided = geometry_of({32, 8, 8}, 32, {3, 2, 1});
    constexpr std::int64_t n = strided.macs();
    CHECK(count<strided, kernels::integer, counting_matrices>() == counts{n, n, n / 4 * 8, n / 4 * 8});
}

TEST_CASE("the last matrix of a row of sites repeats what it shares with the one before") {
    constexpr geometry g = geometry_of({32, 4, 19}, 32, {1, 1, 0});
    constexpr std::int64_t n = g.macs() / 19;
    CHECK(count<g, kernels::integer, counting_matrices>() == counts{n * 20, n * 20, n * 20, n * 20});
}

TEST_CASE("what matrices have no use for is left to vectors: few sites, few codes, groups, first layers' gradients") {
    constexpr geometry dense = geometry_of_dense({16, 3, 4}, 32), narrow = geometry_of({3, 8, 8}, 16, {3, 1, 1}),
                       grouped = geometry_of({32, 6, 8}, 32, {3, 1, 1, 2});
    CHECK(count<dense, kernels::integer, counting_matrices>() == count<dense, kernels::integer>());
    constexpr geometry wide_dense = geometry_of_dense({16, 1, 16}, 16);
    CHECK(count<wide_dense, kernels::integer, counting_matrices>() == count<wide_dense, kernels::integer>());
    CHECK(count<grouped, kernels::integer, counting_matrices>() == count<grouped, kernels::integer>());
    const counts of_matrices = count<narrow, kernels::integer, counting_matrices>(),
                 of_vectors = count<narrow, kernels::integer>();
    CHECK(of_matrices.forward == of_vectors.forward);
    CHECK(of_matrices.weight_gradient == of_vectors.weight_gradient);
}
