// SPDX-License-Identifier: BSD-3-Clause
// A quantizer that says it is linear, with a grid that is no struct with a step.
// expect: fqt: a quantizer says linear = true, and its grid has no step; let fit return fqt::grid
#include <fqt/network/network.hpp>

using namespace fqt::layers;

struct mine {
#if FQT_FAIL
    static constexpr bool linear = true;
#endif
    static float fit(fqt::interval range, fqt::code_limits limits) {
        return range.magnitude() / static_cast<float>(limits.high) + 1e-9f;
    }
    static auto encode(auto x, float unit, auto u) { return fqt::stochastic::round(x * (1.0f / unit), u); }
    static auto decode(auto q, float unit) { return q * unit; }
};
constexpr fqt::scheme with_mine{fqt::symmetric<8>{}, fqt::symmetric<8>{}, mine{}};
inline constexpr auto spec = input<1, 4, 4> | dense<16> | relu | dense<16> | relu | dense<3>;

int main() { return fqt::network<spec, with_mine>::memory(1).bytes(1) == 0; }
