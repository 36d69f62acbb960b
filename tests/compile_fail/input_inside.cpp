// SPDX-License-Identifier: BSD-3-Clause
// A network's images are named again inside of it: what is before would get no gradient.
// expect: fqt: input<C, H, W> stands inside a chain; it says what images are, so a network has it once, in front
// expect: fqt: input<C, H, W> stands inside a residual; a network has it once, in front
#include <fqt/network/network.hpp>

#include "either.hpp"

using namespace fqt::layers;

inline constexpr auto part = conv<4> | relu;
inline constexpr auto network_of_its_own = input<4, 8, 8> | part;
inline constexpr auto chain = input<1, 8, 8> | conv<4> | EITHER(part, network_of_its_own) | dense<10>;
inline constexpr auto block = input<4, 8, 8> | residual(EITHER(part, network_of_its_own)) | dense<10>;

int main() {
    return fqt::network<chain, fqt::fp32>::parameters == 0 || fqt::network<block, fqt::fp32>::parameters == 0;
}
