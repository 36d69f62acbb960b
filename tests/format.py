#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks that clang-format would leave every C++ file as it is. Other versions than 14 format differently.

Usage: format.py <root of the repository>
"""
import pathlib
import shutil
import subprocess
import sys

SKIPPED = 77

root = pathlib.Path(sys.argv[1])
formatter = shutil.which("clang-format-14") or shutil.which("clang-format")
if not formatter or " 14." not in subprocess.run([formatter, "--version"], capture_output=True, text=True).stdout:
    print("skipped: clang-format 14 is missing (Debian: clang-format-14)")
    sys.exit(SKIPPED)
folders = ["include", "tests", "examples", "benchmarks"]
files = [path for folder in folders for kind in ("*.hpp", "*.cpp") for path in sorted((root / folder).rglob(kind))]
done = subprocess.run([formatter, "--dry-run", "-Werror", *files], capture_output=True, text=True)
errors = [line for line in done.stderr.splitlines() if ": error: " in line]
places = [line.split(": ")[0].removeprefix(f"{root}/") for line in errors]
print("\n".join(places) or f"{len(files)} files are formatted")
sys.exit(1 if places or done.returncode else 0)
