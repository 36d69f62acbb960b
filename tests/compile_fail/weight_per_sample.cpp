// SPDX-License-Identifier: BSD-3-Clause
// Weights have no samples.
// expect: fqt: scheme.weight is per sample, but weights have no samples; use per_channel or per_tensor
#include <fqt/quant/scheme.hpp>

#if FQT_FAIL
using granularity = fqt::per_sample;
#else
using granularity = fqt::per_channel;
#endif
constexpr fqt::scheme mine{.weight = fqt::symmetric<8, fqt::nearest, granularity>{}, .activation = fqt::symmetric<8>{}};

int main() { return sizeof(mine) == 0; }
