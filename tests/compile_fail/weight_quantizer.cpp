// SPDX-License-Identifier: BSD-3-Clause
// A scheme whose weight is no quantizer.
// expect: fqt: scheme.weight is not a quantizer
#include <fqt/quant/scheme.hpp>

struct no_quantizer {
    static constexpr int bits = 4;
};
#if FQT_FAIL
constexpr fqt::scheme mine{.weight = no_quantizer{}, .activation = fqt::symmetric<8>{}};
#else
constexpr fqt::scheme mine{.weight = fqt::symmetric<4>{}, .activation = fqt::symmetric<8>{}};
#endif

int main() { return sizeof(mine) == 0; }
