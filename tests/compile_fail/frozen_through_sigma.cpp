// SPDX-License-Identifier: BSD-3-Clause
// A rectifier with a slope by sigma, where sigma is a running statistic.
// expect: fqt: frozen statistics do not learn
// expect: detached
#include <fqt/layers/batch_norm.hpp>

#if FQT_FAIL
using flow = fqt::through_sigma;
#else
using flow = fqt::detached;
#endif
constexpr auto spec = fqt::layers::batch_norm<fqt::gain_crest<fqt::quantized_gain, flow>, fqt::frozen>;

int main() { return sizeof(spec) == 0; }
