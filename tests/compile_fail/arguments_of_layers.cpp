// SPDX-License-Identifier: BSD-3-Clause
// Arguments of layers, models and networks that are out of range.
// expect: fqt: a conv's window needs kernel >= 1, stride >= 1, 0 <= pad < kernel and groups >= 1
// expect: fqt: a network's first argument is a spec
// expect: fqt: a network's second argument is a scheme
// expect: fqt: a pool's window needs kernel >= 1, stride >= 1 and 0 <= pad < kernel
// expect: fqt: conv<Out> needs at least one output channel
// expect: fqt: dense<Out> needs at least one output
// expect: fqt: dropout<Percent> takes what is dropped, 0 to 99
// expect: fqt: leaky_relu<Slope> takes a slope of 0 to 1
// expect: fqt: mlp needs the width of at least one hidden layer
// expect: fqt: preact_resnet_cifar<Depth> takes depths of 6n + 2
// expect: fqt: quantized_affine<Bits> takes 2 to 16 bits
// expect: fqt: repeat<N> needs N >= 1
// expect: fqt: resnet_cifar<Depth> takes depths of 6n + 2
// expect: fqt: resnet<Depth> takes depths 18, 34 and 50
#include <fqt/layers/dropout.hpp>
#include <fqt/models/resnet.hpp>
#include <fqt/models/small.hpp>
#include <fqt/network/network.hpp>

#include "either.hpp"

using namespace fqt::layers;

constexpr auto a = conv<EITHER(16, 0)>;
constexpr auto b = conv<16, fqt::window{.kernel = 3, .pad = EITHER(1, 3)}>;
constexpr auto c = dense<EITHER(10, 0)>;
constexpr auto d = max_pool<fqt::window{.kernel = 2, .stride = EITHER(2, 0), .pad = 0}>;
constexpr auto e = dropout<EITHER(50, 100)>;
constexpr auto f = leaky_relu<EITHER(0.1f, 2.0f)>;
constexpr auto g = repeat<EITHER(2, 0)>(conv<16>);
static_assert(sizeof(fqt::quantized_affine<EITHER(8, 17)>) > 0);

constexpr auto h = fqt::models::resnet_cifar<EITHER(20, 21)>;
constexpr auto i = fqt::models::preact_resnet_cifar<EITHER(56, 57)>;
constexpr auto j = fqt::models::resnet<EITHER(18, 20)>;
#if FQT_FAIL
constexpr auto k = fqt::models::mlp<fqt::shape{1, 28, 28}, 10, fqt::models::any_batch_norm>;
#endif

inline constexpr auto small = input<1, 8, 8> | conv<8> | dense<10>;
inline constexpr int other = 0;
static_assert(sizeof(fqt::network<EITHER(small, other), fqt::fp32>) > 0);
static_assert(sizeof(fqt::network<small, EITHER(fqt::fp32, other)>) > 0);

int main() {}
