// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/layers/product_kind.hpp>
#include <fqt/quant/asymmetric.hpp>
#include <fqt/quant/block_scaled.hpp>
#include <fqt/quant/dorefa.hpp>
#include <fqt/quant/minifloat.hpp>
#include <fqt/quant/quantizer.hpp>

#include <doctest/doctest.h>

#include "support/archs.hpp"
#include <type_traits>

using namespace fqt;

namespace {

constexpr geometry ordinary = geometry_of({16, 8, 8}, 16, {3, 1, 1}),
                   depthwise = geometry_of({16, 8, 8}, 16, {3, 1, 1, 16});
using w8 = symmetric<8, nearest, per_channel>;
using g4 = symmetric<4, stochastic, per_sample>;

/// Whether dX of gradients Q and 8-bit weights has sums of 16 bits on an instruction set that has such.
template <class Arch, class Q, class Weight = w8, geometry G = ordinary>
constexpr bool short_dx = kernels::is_short<dx_kernel_kind<G, Arch, Q, Weight>>;
template <class Arch, class Q, geometry G = ordinary>
constexpr bool short_dw = kernels::is_short<dw_kernel_kind<G, Arch, symmetric<8>, Q>>;
template <class Arch, class Activation, class Weight>
constexpr bool short_forward = kernels::is_short<forward_kernel_kind<ordinary, Arch, Activation, Weight>>;

template <class Arch>
void check(bool has) {
    CAPTURE(Arch::name);
    CHECK(short_dx<Arch, symmetric<2>> == has);
    CHECK(short_dx<Arch, g4> == has);
    CHECK(short_dx<Arch, hadamard<g4>> == has);
    CHECK(short_dw<Arch, g4> == has);
    CHECK(short_forward<Arch, symmetric<4>, symmetric<4>> == has);
    CHECK(short_forward<Arch, symmetric<8>, symmetric<2>> == has);
    CHECK(short_forward<Arch, symmetric<2>, w8> == has);
    // Too large, of two bytes, with zero points, or no integers; and layers that have no use for it.
    CHECK_FALSE(short_dx<Arch, symmetric<8>>);
    CHECK_FALSE(short_dw<Arch, symmetric<8>>);
    CHECK_FALSE(short_forward<Arch, symmetric<8>, w8>);
    CHECK_FALSE(short_dx<Arch, g4, symmetric<9>>);
    CHECK_FALSE(short_dx<Arch, asymmetric<4>>);
    CHECK_FALSE(short_dx<Arch, block_scaled<symmetric<2>>>);
    CHECK_FALSE(short_dx<Arch, block_scaled<dorefa_levels<2, stochastic>>>);
    CHECK_FALSE(short_dx<Arch, real>);
    CHECK_FALSE(short_dx<Arch, e5m2<>>);
    CHECK_FALSE(short_dx<Arch, g4, w8, depthwise>);
    CHECK_FALSE(short_dw<Arch, g4, depthwise>);
}

} // namespace

TEST_CASE("codes of few bits have kernels of their own where the instruction set gains by them") {
    check<arch::generic>(false);
#if defined(FQT_HAS_AVX2)
    check<arch::avx2>(true);
    CHECK(std::is_same_v<dx_kernel_kind<ordinary, arch::avx2, g4, w8>, kernels::short_integer<7, 9>>);
    CHECK(std::is_same_v<dx_kernel_kind<ordinary, arch::avx2, symmetric<2>, w8>, kernels::short_integer<1, 64>>);
    CHECK(std::is_same_v<dw_kernel_kind<ordinary, arch::avx2, symmetric<8>, g4>, kernels::short_integer<128, 9>>);
#endif
#if defined(FQT_HAS_AVX512)
    check<arch::avx512>(false);
    check<arch::amx>(false);
#endif
}

TEST_CASE("products of two linear grids run on integers") {
    CHECK(std::is_same_v<product_kind<w8, g4>, kernels::integer>);
    CHECK(std::is_same_v<product_kind<w8, real>, kernels::real>);
    CHECK(std::is_same_v<dx_kernel_kind<ordinary, arch::best, real, w8>, kernels::real>);
}
