// SPDX-License-Identifier: BSD-3-Clause
// ResNets for ImageNet's images become networks that learn.
#include <fqt/models/resnet.hpp>

#include "models/check_steps.hpp"

using namespace fqt::models;
using support::check_steps;

TEST_CASE("ResNet-18") { check_steps<resnet<18>>(2); }
TEST_CASE("ResNet-34") { check_steps<resnet<34>>(2); }
TEST_CASE("ResNet-50") { check_steps<resnet<50>>(2); }
