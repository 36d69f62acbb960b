// SPDX-License-Identifier: BSD-3-Clause
// Uses floating point before main and in it, so that every instruction set beyond the oldest shows.

#include <fqt/simd/cpu.hpp>

#include <cstdio>

struct table {
    float values[64];
    table() {
        for (int i = 0; i < 64; ++i) values[i] = static_cast<float>(i) * 0.5f;
    }
};
const table halves;

int main(int count, char**) {
    float sum = 0;
    for (const float v : halves.values) sum += v * static_cast<float>(count);
    std::printf("sum %g\n", sum);
}
