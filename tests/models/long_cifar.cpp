// SPDX-License-Identifier: BSD-3-Clause
// Models for small images become networks that learn.
#include <fqt/models/resnet.hpp>
#include <fqt/models/small.hpp>
#include <fqt/models/vgg.hpp>

#include "models/check_steps.hpp"

using namespace fqt::models;
using support::check_steps;

TEST_CASE("ResNet-20 with convolutions as shortcuts") {
    check_steps<resnet_cifar<20, 10, any_batch_norm, shortcut::convolution>>(8);
}
TEST_CASE("ResNet-110, whose blocks are ResNet-20's") { check_steps<resnet_cifar<110>>(4); }
TEST_CASE("pre-activation ResNet-20") { check_steps<preact_resnet_cifar<20>>(8); }
TEST_CASE("ResNet-18 with a stem for small images") { check_steps<resnet<18, 10, stem::cifar>>(4); }
TEST_CASE("VGG-small") { check_steps<vgg_small<>>(8); }
TEST_CASE("VGG-16 with batch normalization") { check_steps<vgg16<>>(8); }
TEST_CASE("LeNet-5") { check_steps<lenet5<>>(8); }
TEST_CASE("a perceptron") { check_steps<mlp<fqt::shape{1, 28, 28}, 10, any_batch_norm, 64, 32>>(8); }
