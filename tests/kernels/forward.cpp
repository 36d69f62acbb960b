// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/kernels/forward.hpp>

#include "support/kernels.hpp"

using namespace fqt;
using namespace fqt::test;

namespace {

template <geometry G, bool AllArchs>
void check_codes(const code_case& c) {
    const auto x = random_codes(G.in.size(), c.low, c.high, 1);
    const auto w = random_codes(G.weights(), c.weight_low, c.weight_high, 2);
    const std::vector<std::int8_t> weights(w.begin(), w.end());
    std::vector<std::int64_t> expected(static_cast<std::size_t>(G.out().size()));
    kernels::reference::forward(G, x.data(), w.data(), expected.data());
    for_each_arch<AllArchs>([&](auto arch) {
        CAPTURE(arch.name);
        using product = kernels::forward_product<G, kernels::integer, decltype(arch)>;
        buffer packed(product::packed_bytes), staged(product::staged_bytes);
        product::pack(weights.data(), c.is_signed, packed);
        product::stage(code_source{x, G.in.channels, c.is_signed}, staged);
        collect<std::int64_t> sums(G.out());
        product::run(staged, packed, std::ref(sums));
        CHECK(sums.complete());
        CHECK(sums.sums == expected);
    });
}

template <geometry G, bool AllArchs>
void check_floats() {
    const auto x = random_floats(G.in.size(), 1), w = random_floats(G.weights(), 2);
    std::vector<float> expected(static_cast<std::size_t>(G.out().size()));
    kernels::reference::forward(G, x.data(), w.data(), expected.data());
    for_each_arch<AllArchs>([&](auto arch) {
        CAPTURE(arch.name);
        using product = kernels::forward_product<G, kernels::real, decltype(arch)>;
        buffer packed(product::packed_bytes), staged(product::staged_bytes);
        product::pack(w.data(), false, packed);
        product::stage(float_source{x, G.in.channels}, staged);
        collect<float> sums(G.out());
        product::run(staged, packed, std::ref(sums));
        CHECK(sums.complete());
        CHECK(sums.sums == expected);
    });
}

} // namespace

TEST_CASE("the forward product of codes equals the reference on every instruction set") {
    for_each_geometry<geometries>([](auto i) {
        for (const code_case& c : code_cases) {
            CAPTURE(c.is_signed);
            CAPTURE(c.high);
            check_codes < geometries[i], i<geometries_on_every_arch>(c);
        }
    });
}

TEST_CASE("the forward product of floats equals the reference bit for bit on every instruction set") {
    for_each_geometry<geometries>([](auto i) {
        if constexpr (i < geometries_in_floats) check_floats < geometries[i], i<geometries_on_every_arch>();
    });
}

TEST_CASE("codes that are stored as they would be staged are read where they lie") {
    constexpr geometry point = geometry_of({32, 6, 5}, 20, {1, 2, 0}), padded = geometry_of({32, 6, 5}, 20, {3, 1, 1}),
                       odd = geometry_of({20, 6, 5}, 20, {1, 1, 0}),
                       grouped = geometry_of({16, 6, 5}, 48, {1, 1, 0, 8});
    struct stored_source : code_source {
        const std::byte* bytes_of_sample;
        const std::byte* stored_bytes() const { return bytes_of_sample; }
    };
    const auto x = random_codes(point.in.size(), 0, 255, 1), w = random_codes(padded.weights(), -127, 127, 2);
    const std::vector<std::int8_t> weights(w.begin(), w.end());
    const auto stored = [&](int channels) { // pixel by pixel in whole blocks, of which no lane behind the last counts
        std::vector<std::byte> bytes(static_cast<std::size_t>(point.in.pixels() * fqt::padded(channels)),
                                     std::byte{77});
        for (int i = 0; i < point.in.pixels() * channels; ++i)
            bytes[static_cast<std::size_t>(i / channels * fqt::padded(channels) + i % channels)] =
                static_cast<std::byte>(x[static_cast<std::size_t>(i)]);
        return bytes;
    };
    const auto check = [&]<geometry G>(std::integral_constant<geometry, G>, bool is_copied) {
        const auto of_sample = stored(G.in.channels);
        std::vector<std::int64_t> expected(static_cast<std::size_t>(G.out().size()));
        kernels::reference::forward(G, x.data(), w.data(), expected.data());
        for_each_arch([&](auto arch) {
            CAPTURE(arch.name);
            using product = kernels::forward_product<G, kernels::integer, decltype(arch)>;
            buffer staged(product::staged_bytes), packed(product::packed_bytes);
            product::pack(weights.data(), false, packed);
            const std::byte* operands =
                product::operands_of(stored_source{{x, G.in.channels, false}, of_sample.data()}, staged);
            CHECK(operands == (is_copied ? staged + 0 : of_sample.data()));
            collect<std::int64_t> sums(G.out());
            product::run(operands, packed, std::ref(sums));
            CHECK(sums.sums == expected);
        });
    };
    check(std::integral_constant<geometry, point>{}, false);
    check(std::integral_constant<geometry, padded>{}, true);
    check(std::integral_constant<geometry, odd>{}, true);
    check(std::integral_constant<geometry, grouped>{}, true); // windows of 2 channels, read four at a time
}
