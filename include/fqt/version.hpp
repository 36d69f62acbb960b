#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The version, as in meson.build.

#define FQT_VERSION_MAJOR 0
#define FQT_VERSION_MINOR 1
#define FQT_VERSION_PATCH 0
