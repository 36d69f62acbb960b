// SPDX-License-Identifier: BSD-3-Clause
// The three products on matrix registers. Other tests of kernels try these where the processor has them; here they run
// everywhere, and on sizes that concern them alone.
#include <fqt/kernels/forward.hpp>
#include <fqt/kernels/input_gradient.hpp>
#include <fqt/kernels/weight_gradient.hpp>

#include "support/kernels.hpp"

using namespace fqt;
using namespace fqt::test;

namespace {

/// Which of the three products a geometry has on matrices.
struct expectation {
    geometry g;
    bool forward = true, input_gradient = true, weight_gradient = true;
    bool by_columns = false; // how samples are staged for the former two
};
constexpr expectation cases[] = {
    {geometry_of({16, 4, 32}, 16, {3, 1, 1})},                         // two matrices in a row, one block
    {geometry_of({32, 5, 19}, 48, {3, 1, 1})},                         // sites that two share; an odd block left
    {geometry_of({80, 3, 5}, 20, {3, 1, 1})},                          // a row of taps in four parts; padded outputs
    {geometry_of({64, 7, 7}, 64, {1, 1, 0}), true, true, true, true},  // steps in one part of 14; no window
    {geometry_of({128, 5, 5}, 48, {5, 1, 2})},                         // weights in spans, sums put aside
    {geometry_of({128, 5, 4}, 64, {5, 1, 2}), true, true, true, true}, // the same, four rows of sites a matrix
    {geometry_of({96, 7, 3}, 48, {3, 1, 1}), true, true, true, true},  // matrices that share sites; halves of channels
    {geometry_of({64, 4, 4}, 64, {3, 1, 0}), true, true, false, true}, // no border forward, a wider one backward
    {geometry_of({64, 2, 2}, 64, {3, 1, 1}), true, true, false, true}, // a matrix of four sites
    {geometry_of({32, 8, 10}, 32, {3, 2, 1})},                         // stride 2: phases of 1 to 4 taps
    {geometry_of({32, 9, 9}, 64, {1, 2, 0})},                          // phases without taps
    {geometry_of({16, 9, 9}, 34, {5, 2, 1})},                          // rows of the image by their remainders
    {geometry_of({12, 8, 8}, 32, {3, 1, 1}), true, true, false},       // narrow pixels, 36 codes under a row of taps
    {geometry_of({8, 9, 9}, 16, {5, 2, 1}), true, true, false},        // the same at stride 2
    {geometry_of({20, 6, 6}, 32, {3, 1, 1}), true, true, false},       // channels that do not fill a block
    {geometry_of({4, 9, 9}, 16, {7, 1, 3}), false, true, false},       // no part of 28 codes is long enough
    {geometry_of({16, 18, 3}, 16, {3, 1, 1}), false, false, true},     // few sites in a row
    {geometry_of({16, 3, 3}, 16, {3, 1, 0}), false, false, false},     // few sites at all
};

bool same(const std::vector<std::int64_t>& expected, const collect<std::int64_t>& sums) {
    return sums.complete() && sums.sums == expected;
}

/// An epilogue that leaves writing to the kernel where it multiplies on matrices, and counts what it writes itself.
struct kept {
    std::int32_t* sums;
    int* written;
    static constexpr std::ptrdiff_t pixel_sums = 8 * lanes, pixel_bytes = pixel_sums * 4;

    std::int32_t* at(int p, int b) const { return sums + p * pixel_sums + b * lanes; }
    std::byte* place(int p, int b) const { return reinterpret_cast<std::byte*>(at(p, b)); }
    void operator()(int p, int b, auto exact) const {
        exact.store(at(p, b));
        ++*written;
    }
};
/// Whether a product gives the same so, and writes nothing beside. Adds to `written` what the epilogue wrote.
template <class Product>
bool keeps(shape s, const std::byte* staged, const std::byte* packed, const std::vector<std::int64_t>& expected,
           int& written) {
    constexpr std::int32_t never = 0x7fffffff;
    std::vector<std::int32_t> sums(static_cast<std::size_t>(s.pixels() * kept::pixel_sums), never);
    Product::run(staged, packed, kept{sums.data(), &written});
    const auto right = [&](int p, int c) -> std::int64_t {
        if (c >= padded(s.channels)) return never;
        return c < s.channels ? expected[static_cast<std::size_t>(p * s.channels + c)] : 0;
    };
    for (int p = 0; p < s.pixels(); ++p)
        for (int c = 0; c < kept::pixel_sums; ++c)
            if (sums[static_cast<std::size_t>(p * kept::pixel_sums + c)] != right(p, c)) return false;
    return true;
}

template <expectation E, class Arch>
void check(const code_case& c) {
    constexpr geometry g = E.g;
    using forward = kernels::forward_product<g, kernels::integer, Arch>;
    using input_gradient = kernels::input_gradient_product<g, kernels::integer, Arch>;
    using weight_gradient = kernels::weight_gradient_product<g, kernels::integer, Arch>;
    constexpr auto longest = kernels::longest_sum;
    CHECK(kernels::in_matrices<kernels::forward_correlation(g), kernels::integer, Arch, longest> == E.forward);
    CHECK(kernels::in_matrices<kernels::input_gradient_correlation(g, 0, 0), kernels::integer, Arch,
                               longest> == E.input_gradient);
    CHECK(kernels::by_columns<kernels::forward_correlation(g), kernels::integer> == E.by_columns);
    CHECK(kernels::by_columns<kernels::input_gradient_correlation(g, 0, 0), kernels::integer> == E.by_columns);
    CHECK(kernels::gradient_in_matrices<g, kernels::integer, Arch, longest> == E.weight_gradient);

    const auto x = random_codes(g.in.size(), c.low, c.high, 1),
               w = random_codes(g.weights(), c.weight_low, c.weight_high, 2),
               h = random_codes(g.out().size(), -127, 127, 3);
    const std::vector<std::int8_t> weights(w.begin(), w.end());
    std::vector<std::int64_t> y(static_cast<std::size_t>(g.out().size())), dx(x.size()), dw(w.size());
    kernels::reference::forward(g, x.data(), w.data(), y.data());
    kernels::reference::input_gradient(g, h.data(), w.data(), dx.data());
    kernels::reference::weight_gradient(g, x.data(), h.data(), dw.data());
    const code_source from_x{x, g.in.channels, c.is_signed}, from_h{h, g.outputs, true};

    collect<std::int64_t> sums_y(g.out()), sums_dx(g.in);
    {
        buffer packed(forward::packed_bytes), staged(forward::staged_bytes);
        forward::pack(weights.data(), c.is_signed, packed);
        forward::stage(from_x, staged);
        forward::run(staged, packed, std::ref(sums_y));
        CHECK(same(y, sums_y));
        int written = 0;
        CHECK(keeps<forward>(g.out(), staged, packed, y, written));
        CHECK((written == 0) == E.forward);
    }
    {
        buffer packed(input_gradient::packed_bytes), staged(input_gradient::staged_bytes);
        input_gradient::pack(weights.data(), true, packed);
        input_gradient::stage(from_h, staged);
        input_gradient::run(staged, packed, std::ref(sums_dx));
        CHECK(same(dx, sums_dx));
    }
    buffer activation(weight_gradient::staged_activation_bytes), gradient(weight_gradient::staged_gradient_bytes);
    weight_gradient::stage_activation(from_x, c.is_signed, activation);
    weight_gradient::stage_gradient(from_h, gradient);
    // Two samples, the first of which finds rubbish.
    constexpr float scale = 0x1.91p-9f;
    const kernels::staged_sample twice[] = {{activation, gradient, 1.0f}, {activation, gradient, scale}};
    std::vector<float> sums(weight_gradient::sums, rubbish), logical(dw.size()), expected;
    weight_gradient::run(twice, 2, c.is_signed, true, sums.data());
    CHECK(unpack<weight_gradient>(sums, logical));
    for (std::int64_t sum : dw) expected.push_back(std::fma(scale, static_cast<float>(sum), static_cast<float>(sum)));
    CHECK(logical == expected);
}

} // namespace

TEST_CASE_TEMPLATE("products on matrix registers equal the reference", A, FQT_ARCHS_WITH_MATRICES) {
    for_each_index<cases>(
        [](auto i) {
            CAPTURE(i.value);
            for (const code_case& c : code_cases) {
                CAPTURE(c.is_signed);
                CAPTURE(c.high);
                check<cases[i], A>(c);
            }
        },
        std::make_integer_sequence<int, static_cast<int>(std::size(cases))>{});
}

TEST_CASE_TEMPLATE("sums that int32 cannot hold, and those of an image too large for one, are left to vectors", A,
                   FQT_ARCHS_WITH_MATRICES) {
    constexpr geometry g = geometry_of({32, 8, 8}, 16, {3, 1, 1});
    CHECK(kernels::in_matrices<kernels::forward_correlation(g), kernels::integer, A, 9 * 32>);
    CHECK_FALSE(kernels::in_matrices<kernels::forward_correlation(g), kernels::integer, A, 9 * 32 - 1>);
    CHECK(kernels::gradient_in_matrices<g, kernels::integer, A, 64>);
    CHECK_FALSE(kernels::gradient_in_matrices<g, kernels::integer, A, 63>);
}

namespace {

/// The forward product of a sample that lies in memory: read there if it needs no border, or else copied row by row.
template <geometry G, class Arch>
void check_stored() {
    using forward = kernels::forward_product<G, kernels::integer, Arch>;
    static_assert(kernels::in_matrices<kernels::forward_correlation(G), kernels::integer, Arch, kernels::longest_sum>);
    struct stored_source : code_source {
        const std::byte* sample;
        const std::byte* stored_bytes() const { return sample; }
    };
    const auto x = random_codes(G.in.size(), 0, 255, 1), w = random_codes(G.weights(), -127, 127, 2);
    const std::vector<std::int8_t> weights(w.begin(), w.end());
    std::vector<std::byte> sample; // of the sample's size, so that a sanitizer sees what is read beyond it
    for (int code : x) sample.push_back(std::byte(code));
    std::vector<std::int64_t> y(static_cast<std::size_t>(G.out().size()));
    kernels::reference::forward(G, x.data(), w.data(), y.data());
    buffer packed(forward::packed_bytes), staged(forward::staged_bytes);
    forward::pack(weights.data(), false, packed);
    collect<std::int64_t> sums(G.out());
    const std::byte* operands = forward::operands_of(stored_source{{x, G.in.channels, false}, sample.data()}, staged);
    CHECK((operands == sample.data()) == (G.pad == 0 && G.taps() == 1));
    forward::run(operands, packed, std::ref(sums));
    CHECK(same(y, sums));
}

} // namespace

TEST_CASE_TEMPLATE("a sample that is read as it is stored is not read beyond its end", A, FQT_ARCHS_WITH_MATRICES) {
    check_stored<geometry_of({32, 3, 19}, 32, {1, 1, 0}), A>();
    check_stored<geometry_of({64, 7, 7}, 32, {1, 1, 0}), A>(); // rows of sites as one line
}
TEST_CASE_TEMPLATE("a stored sample is copied for each column of a window", A, FQT_ARCHS_WITH_MATRICES) {
    check_stored<geometry_of({64, 8, 4}, 32, {3, 1, 1}), A>();
    check_stored<geometry_of({64, 6, 6}, 32, {3, 1, 0}), A>();
}
