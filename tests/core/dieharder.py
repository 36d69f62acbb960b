#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Pipes the random numbers of a program (long_random.cpp), layout by layout, through some of dieharder's tests. Fails
where dieharder says FAILED: p < 1e-6 or p > 1 - 1e-6, which none of some hundred p-values of a good generator is.

Usage: dieharder.py <program> [layout ...]
"""
import re
import shutil
import subprocess
import sys

LAYOUTS = ["positions", "samples", "steps", "tensors", "seeds"]
# Birthdays, ranks of 32 x 32 bits, counts of ones, runs, and the monobit, runs and serial tests of NIST's suite.
TESTS = [0, 2, 8, 15, 100, 101, 102]
SKIPPED = 77


def verdicts(program, layout, test):
    """Dieharder's lines of one test: (name, size of tuples, p-value, PASSED, WEAK or FAILED)."""
    # A layout ends with the pipe: by SIGPIPE, which Python would otherwise have it ignore.
    numbers = subprocess.Popen([program, layout], stdout=subprocess.PIPE, restore_signals=True)
    command = ["dieharder", "-g", "200", "-d", str(test), "-c", ",", "-D", "test_name", "-D", "ntuple", "-D", "pvalues",
               "-D", "assessment"]
    done = subprocess.run(command, stdin=numbers.stdout, stdout=subprocess.PIPE, text=True, check=True)
    numbers.stdout.close()
    numbers.wait()
    return re.findall(r"^ *(\w+) *, *(\d+) *, *([\d.]+) *, *(PASSED|WEAK|FAILED)", done.stdout, re.MULTILINE)


def main(program, layouts):
    if not shutil.which("dieharder"):
        print("skipped: dieharder is missing (Debian: dieharder)")
        return SKIPPED
    failed = 0
    for layout in layouts or LAYOUTS:
        for test in TESTS:
            found = verdicts(program, layout, test)
            failed += not found or any(verdict == "FAILED" for *_, verdict in found)
            if not found:
                print(f"{layout}: test {test} says nothing")
            for name, size, p, verdict in found:
                print(f"{layout}: {name} {size} p = {p} {verdict}", flush=True)
    print(f"{failed} tests failed" if failed else "dieharder finds nothing")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
