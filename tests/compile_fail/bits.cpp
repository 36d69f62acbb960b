// SPDX-License-Identifier: BSD-3-Clause
// A number of bits that no code has.
// expect: fqt: symmetric<Bits> takes 2 to 16 bits
#include <fqt/quant/quantizer.hpp>

#if FQT_FAIL
constexpr int bits = 17;
#else
constexpr int bits = 3;
#endif

int main() { return fqt::symmetric<bits>::bits == 0; }
