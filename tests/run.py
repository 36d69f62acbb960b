#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Configures, builds and runs the tests, and counts: a doctest program counts by its cases, any other test as one.

Usage: run.py [--long] [suite ...], which tests/run.sh calls after it has seen to the packages
"""
import argparse
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

from set_up import ROOT, set_up

CASES = re.compile(r"\[doctest\] test cases: +\d+ \| +(\d+) passed \| +(\d+) failed")


def configure(build, **environment):
    """Sets up a build folder, and says what will not be tested. Returns whether it is set up."""
    output, good = set_up(build, "-Dtests=enabled", **environment)
    if not good:
        print(output)
    for line in output.splitlines():
        if line.startswith("Message: No test"):
            print(line.removeprefix("Message: "), flush=True)
    return good


def introspect(build, what):
    return json.loads(subprocess.run(["meson", "introspect", build, what], check=True, stdout=subprocess.PIPE).stdout)


def selected(build, suites, long):
    """The tests to run: those of the suites, or all."""
    for test in introspect(build, "--tests"):
        of = {suite.removeprefix("fqt:") for suite in test["suite"]}
        if (not suites or of & suites) and (long or "long" not in of):
            yield test


def ninja(build, *arguments, **options):
    return subprocess.run(["ninja", "-C", build, *arguments], **options)


def compile_tests(build, tests):
    """Builds what the tests need, each program that can be built. Returns the tests whose programs are up to date."""
    files = {target["id"]: [os.path.relpath(file, build) for file in target["filename"]]
             for target in introspect(build, "--targets")}
    programs = {test["name"]: [file for target in test["depends"] for file in files[target]] for test in tests}
    needed = sorted({file for some in programs.values() for file in some})
    print(f"building {len(needed)} programs in {build.relative_to(ROOT)}", flush=True)
    if not needed or ninja(build, "--quiet", "-k", "0", *needed).returncode == 0:
        return tests

    def is_built(file):
        return "no work to do" in ninja(build, "-n", file, text=True, stdout=subprocess.PIPE).stdout

    missing = {file for file in needed if not is_built(file)}
    return [test for test in tests if not missing & set(programs[test["name"]])]


def run(build, tests):
    """Runs tests by name. Returns how many passed and failed."""
    names = [test["name"] for test in tests]
    log = build / "meson-logs/testlog.json"
    log.unlink(missing_ok=True)
    subprocess.run(["meson", "test", "-C", build, "--no-rebuild", "--print-errorlogs", *names])
    passed = failed = 0
    results = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    failed += max(0, len(names) - len(results))  # what meson did not come to
    for result in results:
        good = result["result"] in ("OK", "EXPECTEDFAIL")
        cases = CASES.search(result.get("stdout", ""))
        if result["result"] == "SKIP":
            continue
        if cases:
            passed, failed = passed + int(cases[1]), failed + max(int(cases[2]), not good)
        else:
            passed, failed = passed + good, failed + (not good)
    return passed, failed


def test(build, suites, long, **environment):
    """Builds and runs the tests of some suites, or all. Returns how many passed and failed, or did not build."""
    start = time.monotonic()
    # The build files come first, so that a test listed since the last run is seen.
    if not configure(build, **environment) or ninja(build, "build.ninja", stdout=subprocess.DEVNULL).returncode:
        return 0, 1
    known = {suite.removeprefix("fqt:") for test in introspect(build, "--tests") for suite in test["suite"]}
    if not suites <= known:
        print(f"there is no suite {', '.join(sorted(suites - known))}; there are {', '.join(sorted(known))}")
        return 0, 1
    tests = list(selected(build, suites, long))
    built = compile_tests(build, tests)
    middle = time.monotonic()
    passed, failed = run(build, built) if built else (0, 0)
    print(f"built in {middle - start:.0f} s, ran in {time.monotonic() - middle:.0f} s\n", flush=True)
    for name in sorted({test["name"] for test in tests} - {test["name"] for test in built}):
        print(f"not built: {name}")
    return passed, failed + len(tests) - len(built)


def main():
    parser = argparse.ArgumentParser(prog="tests/run.sh")
    parser.add_argument("--long", action="store_true")
    parser.add_argument("suites", nargs="*", metavar="suite")
    options = parser.parse_args()
    suites = set(options.suites)
    long = options.long or "long" in suites

    builds = [test(ROOT / "build/tests", suites, long)]
    clang = shutil.which("clang++-19") or shutil.which("clang++")
    if options.long and not clang:
        print("No tests with clang: clang++ is missing (Debian: clang-19)")
    if options.long and clang:
        print(f"again with {clang}")
        builds.append(test(ROOT / "build/tests-clang", suites, False, CXX=clang))

    passed, failed = (sum(column) for column in zip(*builds))
    if passed + failed == 0:
        print("nothing ran: no test is in these suites, or only ones that need --long")
    print(f"{passed} passed, {failed} failed")
    return 0 if passed and not failed else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError, KeyError, subprocess.CalledProcessError, KeyboardInterrupt) as problem:
        print(f"the tests ended early: {problem or 'interrupted'}\n0 passed, 1 failed")
        sys.exit(1)
