// SPDX-License-Identifier: BSD-3-Clause
// What most cases read first, read once for all of them.
#include <fqt/network/network.hpp>
