// SPDX-License-Identifier: BSD-3-Clause
// The tables by which short codes become bytes, against the integers that the codes stand for.
#include <fqt/layers/code_source.hpp>
#include <fqt/quant/asymmetric.hpp>
#include <fqt/quant/block_scaled.hpp>
#include <fqt/quant/minifloat.hpp>

#include <doctest/doctest.h>

namespace {

using generic = fqt::floats<fqt::arch::generic>;

/// Every code's byte, looked up by the bits that memory holds.
template <class Q, bool Signed>
bool holds(const fqt::byte_table<Q, Signed>& table, const auto& grid, int scale) {
    using traits = fqt::quantizer_traits<Q>;
    const fqt::code_limits limits = traits::limits(Signed);
    bool all = true;
    for (int code = limits.low; code <= limits.high; ++code) {
        const float integer = generic(traits::integer(generic(static_cast<float>(code)), grid)).lane(0);
        const int bits = code & ((1 << fqt::simd::slot_bits(traits::stored_bits)) - 1);
        all =
            all && std::to_integer<int>(table.of_code[bits]) == static_cast<int>(integer) * scale + (Signed ? 128 : 0);
    }
    return all;
}
template <class Q, bool Signed>
void check() {
    for (const fqt::interval range : {fqt::interval{-1, 1}, {-3, 0.5f}, {0, 7}}) {
        const auto grid = Q::fit(range, fqt::quantizer_traits<Q>::limits(Signed));
        CHECK(holds(fqt::byte_table<Q, Signed>(grid, 1), grid, 1));
    }
}
template <class Q>
void check_blocks() {
    const auto* tables = fqt::tables_of_blocks<Q>();
    for (const fqt::interval range : {fqt::interval{-1, 1}, {-3, 0.5f}, {0, 0}}) {
        const auto grid = Q::fit(range, fqt::quantizer_traits<Q>::limits(true));
        for (int scale = 1; scale <= Q::greatest_scale; ++scale) CHECK(holds(tables[scale], grid, scale));
    }
}

} // namespace

TEST_CASE("tables hold the bytes of all codes, signed and not") {
    check<fqt::luq<2>, true>();
    check<fqt::luq<4>, true>();
    check<fqt::luq<4>, false>();
    check<fqt::fp4<>, true>();
    check<fqt::dorefa_levels<2>, true>();
    check<fqt::dorefa_levels<4>, true>();
    check<fqt::dorefa_levels<4>, false>();
    check<fqt::sign_of<>, true>();
    check<fqt::asymmetric<2>, true>(); // by the grid's zero point
    check<fqt::asymmetric<4>, true>();
}

TEST_CASE("tables of blocks hold the bytes of all codes times all scales, whatever the tensor's grid") {
    check_blocks<fqt::block_scaled<fqt::dorefa_levels<2>>>();
    check_blocks<fqt::block_scaled<fqt::dorefa_levels<4>>>();
    check_blocks<fqt::block_scaled<fqt::symmetric<2, fqt::stochastic>>>();
    check_blocks<fqt::block_scaled<fqt::symmetric<4, fqt::stochastic>>>();
}
