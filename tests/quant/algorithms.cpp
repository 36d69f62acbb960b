// SPDX-License-Identifier: BSD-3-Clause
// What docs/algorithms.md says of each published algorithm: which of its products run on integers, and the values that
// the gradient into dX has to choose from.
#include <fqt/quant/algorithms.hpp>

#include <doctest/doctest.h>

#include <array>
#include <type_traits>

namespace {

namespace published = fqt::algorithms;

/// The sets of products that run on integers.
enum integers { none = 0, forward = 1, dx = 2, dw = 4, all = 7 };

template <const auto& Scheme>
int integers_of() {
    using scheme = std::remove_cvref_t<decltype(Scheme)>;
    constexpr bool w = fqt::is_linear<typename scheme::weight_quantizer>,
                   a = fqt::is_linear<typename scheme::activation_quantizer>,
                   h = fqt::is_linear<typename scheme::input_gradient_quantizer>,
                   hw = fqt::is_linear<typename scheme::weight_gradient_quantizer>;
    return (w && a ? forward : 0) | (w && h ? dx : 0) | (a && hw ? dw : 0);
}
/// Codes of weights, activations that may be negative, h into dX and h into dW.
using four = std::array<int, 4>;
template <const auto& Scheme>
four all_levels_of() {
    using scheme = std::remove_cvref_t<decltype(Scheme)>;
    const auto levels = []<class Q>(std::type_identity<Q>) {
        const fqt::code_limits limits = fqt::quantizer_traits<Q>::limits(true);
        return limits.high - limits.low + 1;
    };
    return {levels(std::type_identity<typename scheme::weight_quantizer>{}),
            levels(std::type_identity<typename scheme::activation_quantizer>{}),
            levels(std::type_identity<typename scheme::input_gradient_quantizer>{}),
            levels(std::type_identity<typename scheme::weight_gradient_quantizer>{})};
}
template <const auto& Scheme>
int levels_of() {
    using quantizer = typename std::remove_cvref_t<decltype(Scheme)>::input_gradient_quantizer;
    const fqt::code_limits limits = fqt::quantizer_traits<quantizer>::limits(true);
    return limits.high - limits.low + 1;
}

} // namespace

TEST_CASE("integer formats run on integers, and the others are those that the docs name") {
    CHECK(integers_of<published::dorefa<1, 2, 4>>() == all);
    CHECK(integers_of<published::dorefa<7, 8, 7>>() == all);
    CHECK(integers_of<published::dorefa<8, 8, 8>>() == all);
    CHECK(integers_of<published::wage>() == all);
    CHECK(integers_of<published::wageubn>() == all);
    CHECK(integers_of<published::sbm>() == all);
    CHECK(integers_of<published::ui8>() == all);
    CHECK(integers_of<published::daint8>() == all);
    CHECK(integers_of<published::fpbp>() == all);
    CHECK(integers_of<published::statquant_ptq<4>>() == all);
    CHECK(integers_of<published::statquant_psq<8>>() == all);
    CHECK(integers_of<published::statquant_bhq<4>>() == all);
    CHECK(integers_of<published::ultra_low>() == all);
    CHECK(integers_of<published::luq<2>>() == all);
    CHECK(integers_of<published::luq<4>>() == all);
    CHECK(integers_of<published::luq<5>>() == all);
    CHECK(integers_of<published::luq<6>>() == forward); // ratios to 2^30
    CHECK(integers_of<published::luq_smp<>>() == all);
    CHECK(integers_of<published::niti>() == all);
    CHECK(integers_of<published::fp8>() == none);
    CHECK(integers_of<published::hfp8>() == none);
    CHECK(integers_of<published::fp8_delayed<>>() == none);
    CHECK(integers_of<published::jetfire>() == none);
    CHECK(integers_of<published::mxfp8>() == none);
    CHECK(integers_of<published::mxint8>() == none);
    CHECK(integers_of<published::mxfp4>() == none);
    CHECK(integers_of<published::nvfp4>() == none);
}

TEST_CASE("gradients into dX have as many levels as the docs say") {
    CHECK(levels_of<published::dorefa<1, 2, 4>>() == 16);
    CHECK(levels_of<published::wage>() == 255);
    CHECK(levels_of<published::wageubn>() == 253);
    CHECK(levels_of<published::sbm>() == 256);
    CHECK(levels_of<published::fpbp>() == 2 * 32639 + 1);
    CHECK(levels_of<published::statquant_ptq<4>>() == 16);
    CHECK(levels_of<published::statquant_ptq<8>>() == 256);
    CHECK(levels_of<published::statquant_bhq<4>>() == 15);
    CHECK(levels_of<published::ultra_low>() == 15);
    CHECK(levels_of<published::luq<2>>() == 3);
    CHECK(levels_of<published::luq<>>() == 15);
    CHECK(levels_of<published::hfp8>() == 247);
    CHECK(levels_of<published::mxfp8>() == 253);
    CHECK(levels_of<published::mxint8>() == 255);
    CHECK(levels_of<published::nvfp4>() == 15);
}

TEST_CASE("every operand has the codes that its paper gives it") {
    CHECK(all_levels_of<published::dorefa<1, 2, 6>>() == four{2, 3, 64, 64});
    CHECK(all_levels_of<published::wage>() == four{3, 255, 255, 255});
    CHECK(all_levels_of<published::wageubn>() == four{255, 255, 253, 253});
    CHECK(all_levels_of<published::sbm>() == four{256, 256, 256, 65279});
    CHECK(all_levels_of<published::ui8>() == four{255, 255, 255, 255});
    CHECK(all_levels_of<published::daint8>() == four{255, 255, 255, 255});
    CHECK(all_levels_of<published::fpbp>() == four{255, 255, 65279, 65279});
    CHECK(all_levels_of<published::statquant_ptq<4>>() == four{255, 255, 16, 255});
    CHECK(all_levels_of<published::statquant_psq<4>>() == four{255, 255, 16, 255});
    CHECK(all_levels_of<published::statquant_bhq<4>>() == four{255, 255, 15, 255});
    CHECK(all_levels_of<published::ultra_low>() == four{15, 15, 15, 15});
    CHECK(all_levels_of<published::luq<>>() == four{15, 15, 15, 15});
    CHECK(all_levels_of<published::luq_smp<>>() == four{15, 15, 15, 15});
    CHECK(all_levels_of<published::niti>() == four{255, 255, 255, 255});
    CHECK(all_levels_of<published::fp8>() == four{247, 247, 247, 247});
    CHECK(all_levels_of<published::hfp8>() == four{253, 253, 247, 247});
    CHECK(all_levels_of<published::fp8_delayed<>>() == four{253, 253, 247, 247});
    CHECK(all_levels_of<published::jetfire>() == four{255, 255, 255, 255});
    CHECK(all_levels_of<published::mxfp8>() == four{253, 253, 253, 253});
    CHECK(all_levels_of<published::mxint8>() == four{255, 255, 255, 255});
    CHECK(all_levels_of<published::mxfp4>() == four{15, 15, 15, 15});
    CHECK(all_levels_of<published::nvfp4>() == four{15, 15, 15, 15});
}
