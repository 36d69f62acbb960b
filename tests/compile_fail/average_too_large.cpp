// SPDX-License-Identifier: BSD-3-Clause
// The sum of 4096 codes of 16 bits is not exact in a float.
// expect: fqt: an average over so many pixels of codes that are so large would not be exact
#include <fqt/network/network.hpp>

using namespace fqt::layers;

#if FQT_FAIL
constexpr int bits = 16;
#else
constexpr int bits = 12;
#endif
constexpr fqt::scheme wide{.weight = fqt::symmetric<8>{},
                           .activation = fqt::symmetric<bits>{},
                           .input_gradient = fqt::symmetric<8>{},
                           .weight_gradient = fqt::symmetric<8>{}};
inline constexpr auto spec = input<3, 64, 64> | conv<16> | relu | global_avg_pool | dense<10>;

int main() {
    fqt::network<spec, wide> net{fqt::seed{1}};
    return net.predict({}, 1).empty();
}
