// SPDX-License-Identifier: BSD-3-Clause
// A quantizer of 8 bits with 257 codes.
// expect: fqt: a quantizer's limits are codes that its bits cannot hold; give it more bits
#include <fqt/network/network.hpp>

using namespace fqt::layers;

struct mine {
    static constexpr int bits = 8;
    static constexpr fqt::code_limits limits(bool is_signed) {
#if FQT_FAIL
        return {is_signed ? -128 : 0, is_signed ? 128 : 255};
#else
        return {is_signed ? -128 : 0, is_signed ? 127 : 255};
#endif
    }
    static fqt::grid fit(fqt::interval range, fqt::code_limits) { return fqt::grid_of(range.magnitude() / 128); }
    static auto encode(auto x, const auto& g, auto u) { return fqt::stochastic::round(x * g.inverse, u); }
    static auto decode(auto q, const auto& g) { return q * g.step; }
};
constexpr fqt::scheme with_mine{fqt::symmetric<8>{}, fqt::symmetric<8>{}, mine{}};
inline constexpr auto spec = input<1, 4, 4> | dense<16> | relu | dense<16> | relu | dense<3>;

int main() { return fqt::network<spec, with_mine>::memory(1).bytes(1) == 0; }
