#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs a program whose system refuses it matrix registers: it must say so in one line, with a remedy.

Usage: refused.py <program>
"""
import subprocess
import sys

done = subprocess.run([sys.argv[1]], capture_output=True, text=True)
print(done)
if done.returncode != 2 or done.stdout or done.stderr.count("\n") != 1:
    sys.exit("not one line and exit code 2")
if "the system refuses" not in done.stderr or "-mno-amx-tile" not in done.stderr:
    sys.exit("the line does not say what is refused, or what to do")
