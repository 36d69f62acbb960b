// SPDX-License-Identifier: BSD-3-Clause
// A residual whose body changes the shape and whose shortcut does not.
// expect: fqt: shapes do not fit; shape_check<fits, where, what, expected, actual> says which
// expect: stage2[2].residual[0]
// expect: body and shortcut disagree
// expect: shape{32, 14, 14}
// expect: shape{16, 28, 28}
#include <fqt/network/network.hpp>

using namespace fqt::layers;

#if FQT_FAIL
constexpr auto block = residual(conv<32, fqt::window{.stride = 2}> | batch_norm<>);
#else
constexpr auto block = residual(conv<32, fqt::window{.stride = 2}> | batch_norm<>, pad_shortcut<32, 2>);
#endif
inline constexpr auto spec = input<1, 28, 28> | conv<16> | named<"stage2">(block | relu) | global_avg_pool | dense<10>;

int main() { return fqt::network<spec, fqt::w8a8g4>::parameters == 0; }
