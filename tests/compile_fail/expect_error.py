#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compiles a file as it is, which must succeed, and with -DFQT_FAIL=1, which must fail and say what each line
`// expect: text` of the file says. So what fails cannot fail for another reason.

Usage: expect_error.py <file> -- <compiler and its arguments>
"""
import pathlib
import subprocess
import sys


def check(source, command):
    def compile_with(*flags):
        return subprocess.run([*command, "-fsyntax-only", *flags, source], capture_output=True, text=True)

    text = pathlib.Path(source).read_text()
    expected = [line.removeprefix("// expect: ") for line in text.splitlines() if line.startswith("// expect: ")]
    if not expected:
        return f"{source} has no line '// expect: text'"
    good, bad = compile_with(), compile_with("-DFQT_FAIL=1")
    if good.returncode != 0:
        return f"{source} should compile without FQT_FAIL:\n{good.stderr}"
    if bad.returncode == 0:
        return f"{source} should not compile with FQT_FAIL"
    missing = [text for text in expected if text not in bad.stderr]
    if missing:
        return f"{source}: the error does not say {missing}:\n{bad.stderr}"
    print(f"{len(bad.stderr.splitlines())} lines of error:\n{bad.stderr}")
    return None


if __name__ == "__main__":
    sys.exit(check(sys.argv[1], sys.argv[3:]))
