// SPDX-License-Identifier: BSD-3-Clause
// Quantizers of users, and formats of few bits; each must train.
#include "support/check_trains.hpp"

using namespace fqt::layers;
using support::check_trains;

namespace {

constexpr auto hidden = input<2, 6, 6> | dense<24> | relu | dense<4>;

/// Nothing but the three functions: codes are signed square roots, by 8 bits, one grid a tensor.
struct square_root {
    static float fit(fqt::interval range, fqt::code_limits limits) {
        const float most = static_cast<float>(limits.high);
        return range.magnitude() > 0 ? range.magnitude() / (most * most) : 1.0f;
    }
    static auto encode(auto x, float unit, auto u) {
        const auto root = fqt::stochastic::round(sqrt(abs(x) * (1.0f / unit)), u);
        return where(x < 0.0f, -root, root);
    }
    static auto decode(auto q, float unit) { return q * abs(q) * unit; }
};
constexpr fqt::scheme own_everywhere{square_root{}, square_root{}, square_root{}, square_root{}};
/// Own formats beside the library's: products of integers and of floats in one layer.
constexpr fqt::scheme own_gradients{fqt::symmetric<8, fqt::nearest, fqt::per_channel>{}, fqt::symmetric<8>{},
                                    square_root{}, fqt::symmetric<4, fqt::stochastic, fqt::per_channel>{}};
constexpr fqt::scheme two_bits{fqt::symmetric<4, fqt::nearest, fqt::per_channel>{}, fqt::symmetric<2>{},
                               fqt::symmetric<2, fqt::stochastic, fqt::per_sample>{}};

} // namespace

TEST_CASE("a quantizer with nothing but fit, encode and decode trains, for all four tensors") {
    check_trains<hidden, own_everywhere>();
}
TEST_CASE("a user's quantizer of gradients trains beside the library's formats") {
    check_trains<hidden, own_gradients>();
}
TEST_CASE("activations and gradients of two bits train") { check_trains<hidden, two_bits>(80, 0.05f); }
