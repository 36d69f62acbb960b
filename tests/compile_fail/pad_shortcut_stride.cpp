// SPDX-License-Identifier: BSD-3-Clause
// A shortcut without weights that takes every 0-th pixel.
// expect: fqt: pad_shortcut<Out, Stride> needs Out >= 1 channels and Stride >= 1
#include <fqt/network/network.hpp>

using namespace fqt::layers;

#if FQT_FAIL
constexpr int stride = 0;
#else
constexpr int stride = 1;
#endif
inline constexpr auto spec = input<1, 8, 8> | conv<16> | residual(conv<32>, pad_shortcut<32, stride>) | dense<10>;

int main() { return fqt::network<spec, fqt::fp32>::parameters == 0; }
