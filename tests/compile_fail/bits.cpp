// SPDX-License-Identifier: BSD-3-Clause
// A number of bits that no code has.
// expect: fqt: symmetric<Bits> takes 2 to 8 bits
#include <fqt/quant/quantizer.hpp>

#if FQT_FAIL
constexpr int bits = 9;
#else
constexpr int bits = 3;
#endif

int main() { return fqt::symmetric<bits>::bits == 0; }
