// SPDX-License-Identifier: BSD-3-Clause
// What this machine does at most: 10^9 operations a second of the 8-bit atom ("peak"), bytes copied a second
// ("copies").
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
    std::vector<double> peaks;
    for (int i = 0; i < 5; ++i) peaks.push_back(benchmark::peak_of_products<fqt::arch::best>(threads));
    report.add("peak", peaks);
    report.add("copies", benchmark::peak_of_copies(threads) * 1e9);
    report.print();
}
