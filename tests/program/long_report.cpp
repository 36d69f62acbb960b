// SPDX-License-Identifier: BSD-3-Clause
// Writes the log and the report of a made-up run into a folder, log.jsonl and report.html, for browser.py.
#include "../../examples/program/report.hpp"
#include "made_run.hpp"
#include <cstdio>
#include <string>

int main(int count, char** arguments) {
    if (count != 2) {
        std::fprintf(stderr, "usage: long_report <folder>\n");
        return 2;
    }
    const std::string folder = arguments[1];
    fqt_test::write_made_log(folder + "/log.jsonl");
    program::write_report(program::read_log(folder + "/log.jsonl"), folder + "/report.html");
    return 0;
}
