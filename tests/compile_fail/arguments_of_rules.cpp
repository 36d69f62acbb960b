// SPDX-License-Identifier: BSD-3-Clause
// Arguments of range rules, scales, updates and rectifiers that are out of range.
// expect: fqt: adaptive_resolution<Threshold> takes an error above 0
// expect: fqt: adaptive_resolution<Threshold, Bits> takes 2 to 8 bits
// expect: fqt: bounded_gammas<Bound> takes a positive bound
// expect: fqt: delayed<History, MarginLog2> takes 1 to 4096 steps
// expect: fqt: fixed_point<Bits> takes 16 or 8 bits
// expect: fqt: fixed_point is rounded by `stratified`
// expect: fqt: fixed_range<Low, High> includes 0
// expect: fqt: fixed_scale<Log2Step> takes -126 to 64
// expect: fqt: least_square_error and greatest_cosine search for the best clip of equally distant values
// expect: fqt: magnitude_aware<A> takes the weight of this step, 0 to 1
// expect: fqt: moving_average<Rule, Weight> takes the weight of this step, 0 to 1
// expect: fqt: percentile<Percent> takes what is kept
// expect: fqt: rms_multiple<Multiple> takes a positive multiple
// expect: fqt: wage_update<Bits> takes 2 to 16 bits
#include <fqt/quant/adaptive_resolution.hpp>
#include <fqt/quant/clip_memory.hpp>
#include <fqt/quant/clip_search.hpp>
#include <fqt/quant/clipping.hpp>
#include <fqt/quant/minifloat.hpp>
#include <fqt/quant/rectifier.hpp>
#include <fqt/quant/rounding.hpp>
#include <fqt/quant/scale.hpp>
#include <fqt/train/integer_sgd.hpp>
#include <fqt/train/optimizer.hpp>

#include "either.hpp"

using namespace fqt;

constexpr std::size_t sizes[] = {
    sizeof(adaptive_resolution<EITHER(0.03f, 0.0f)>),
    sizeof(adaptive_resolution<0.03f, EITHER(8, 9)>),
    sizeof(fixed_range<EITHER(-1.0f, 0.5f), 1.0f>),
    sizeof(fixed_scale<EITHER(-8, 65)>),
    sizeof(delayed<EITHER(16, 0)>),
    sizeof(luq<4, stochastic, per_tensor, EITHER(full_range, least_square_error)>),
    sizeof(magnitude_aware<EITHER(0.8f, 0.0f)>),
    sizeof(moving_average<full_range, EITHER(0.1f, 0.0f)>),
    sizeof(percentile<EITHER(99.9f, 101.0f)>),
    sizeof(rms_multiple<EITHER(2.5f, 0.0f)>),
    sizeof(bounded_gammas<EITHER(0.3f, 0.0f)>),
    sizeof(fixed_point<EITHER(16, 12)>),
    sizeof(fixed_point<16, EITHER(stochastic, stratified)>),
    sizeof(wage_update<EITHER(8, 17)>),
};

int main() { return sizes[0] == 0; }
