// SPDX-License-Identifier: BSD-3-Clause
// Activations with several grids.
// expect: fqt: scheme.activation has several grids, which do not factor out of the products; use per_tensor
#include <fqt/quant/scheme.hpp>

#if FQT_FAIL
using granularity = fqt::per_sample;
#else
using granularity = fqt::per_tensor;
#endif
constexpr fqt::scheme mine{.weight = fqt::symmetric<8>{}, .activation = fqt::symmetric<8, fqt::nearest, granularity>{}};

int main() { return sizeof(mine) == 0; }
