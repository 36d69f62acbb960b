// SPDX-License-Identifier: BSD-3-Clause
// What a project that uses fqt might be: it prints the version and the shape that a convolution gives.

#include <fqt/fqt.hpp>

#include <cstdio>

int main() {
    constexpr fqt::shape out = fqt::geometry_of({3, 32, 32}, 16, {.kernel = 3, .stride = 2}).out();
    std::printf("fqt %d.%d.%d: 3x32x32 -> %dx%dx%d\n", FQT_VERSION_MAJOR, FQT_VERSION_MINOR, FQT_VERSION_PATCH,
                out.channels, out.height, out.width);
}
