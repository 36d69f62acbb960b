// SPDX-License-Identifier: BSD-3-Clause
// MobileNetV2 becomes a network that learns, for small images and for ImageNet's.
#include <fqt/models/mobilenet.hpp>

#include "models/check_steps.hpp"

using namespace fqt::models;
using support::check_steps;

TEST_CASE("MobileNetV2 with a stem for small images") { check_steps<mobilenet_v2<10, stem::cifar>>(4); }
TEST_CASE("MobileNetV2") { check_steps<mobilenet_v2<>>(2); }
