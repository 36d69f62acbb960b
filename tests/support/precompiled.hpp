// SPDX-License-Identifier: BSD-3-Clause
// What most tests read first, read once for a program of many (see Meson's cpp_pch). A test still includes all that it
// uses: builds with sanitizers go without this.
#include <fqt/network/network.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>
