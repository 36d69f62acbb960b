// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/kernels/input_gradient.hpp>

#include "support/kernels.hpp"

using namespace fqt;
using namespace fqt::test;

namespace {

/// An epilogue that says it is much code, which at a stride is not repeated for each sum of a tile.
struct long_collect {
    static constexpr bool is_long = true;
    collect<std::int64_t>& sums;
    void operator()(int pixel, int block, const auto& v) const { sums(pixel, block, v); }
};

template <geometry G, bool AllArchs>
void check_codes(const code_case& c) {
    const auto h = random_codes(G.out().size(), c.low, c.high, 1);
    const auto w = random_codes(G.weights(), c.weight_low, c.weight_high, 2);
    const std::vector<std::int8_t> weights(w.begin(), w.end());
    std::vector<std::int64_t> expected(static_cast<std::size_t>(G.in.size()));
    kernels::reference::input_gradient(G, h.data(), w.data(), expected.data());
    for_each_arch<AllArchs>([&](auto arch) {
        CAPTURE(arch.name);
        using product = kernels::input_gradient_product<G, kernels::integer, decltype(arch)>;
        buffer packed(product::packed_bytes), staged(product::staged_bytes);
        product::pack(weights.data(), c.is_signed, packed);
        product::stage(code_source{h, G.outputs, c.is_signed}, staged);
        collect<std::int64_t> sums(G.in);
        product::run(staged, packed, long_collect{sums});
        CHECK(sums.complete());
        CHECK(sums.sums == expected);
    });
}

template <geometry G, bool AllArchs>
void check_floats() {
    const auto h = random_floats(G.out().size(), 1), w = random_floats(G.weights(), 2);
    std::vector<float> expected(static_cast<std::size_t>(G.in.size()));
    kernels::reference::input_gradient(G, h.data(), w.data(), expected.data());
    for_each_arch<AllArchs>([&](auto arch) {
        CAPTURE(arch.name);
        using product = kernels::input_gradient_product<G, kernels::real, decltype(arch)>;
        buffer packed(product::packed_bytes), staged(product::staged_bytes);
        product::pack(w.data(), false, packed);
        product::stage(float_source{h, G.outputs}, staged);
        collect<float> sums(G.in);
        product::run(staged, packed, std::ref(sums));
        CHECK(sums.complete());
        CHECK(sums.sums == expected);
    });
}

} // namespace

TEST_CASE("the input gradient of codes equals the reference on every instruction set") {
    for_each_geometry<geometries>([](auto i) {
        for (const code_case& c : code_cases) {
            CAPTURE(c.is_signed);
            CAPTURE(c.high);
            check_codes < geometries[i], i<geometries_on_every_arch>(c);
        }
    });
}

TEST_CASE("the input gradient of floats equals the reference bit for bit on every instruction set") {
    for_each_geometry<geometries>([](auto i) {
        if constexpr (i < geometries_in_floats) check_floats < geometries[i], i<geometries_on_every_arch>();
    });
}
