// SPDX-License-Identifier: BSD-3-Clause
// What this machine does at most: 10^9 operations a second of 8-bit products, by matrix registers where it has them
// ("peak"), and of those of gradients of 4 bits ("peak 4 bits"), bytes copied a second ("copies").
//
//     machine <threads>
#include "peak.hpp"
#include <cstdlib>

int main(int argc, char** argv) {
    const int threads = argc == 2 ? std::atoi(argv[1]) : 0;
    if (threads < 1) {
        std::fprintf(stderr, "usage: machine <threads>\n");
        return 1;
    }
    benchmark::report report;
    std::vector<double> peaks, of_4_bits;
    for (int i = 0; i < 5; ++i) {
        peaks.push_back(benchmark::peak_of_products<fqt::arch::best>(threads));
        of_4_bits.push_back(benchmark::peak_of_products<fqt::arch::best, benchmark::dx_of_4_bits>(threads));
    }
    report.add("peak", peaks);
    report.add("peak 4 bits", of_4_bits);
    report.add("copies", benchmark::peak_of_copies(threads) * 1e9);
    report.print();
}
