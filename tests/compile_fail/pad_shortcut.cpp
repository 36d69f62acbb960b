// SPDX-License-Identifier: BSD-3-Clause
// A shortcut without weights cannot drop channels.
// expect: fqt: shapes do not fit
// expect: a pad_shortcut cannot drop channels
#include <fqt/network/network.hpp>

using namespace fqt::layers;

#if FQT_FAIL
constexpr int channels = 8;
#else
constexpr int channels = 32;
#endif
inline constexpr auto spec = input<1, 8, 8> | conv<16> | residual(conv<channels>, pad_shortcut<channels>) | dense<10>;

int main() { return fqt::network<spec, fqt::fp32>::parameters == 0; }
