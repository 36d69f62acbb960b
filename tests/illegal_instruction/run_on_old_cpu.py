#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs a program that was built for a newer processor on an emulated Nehalem: it must say so in one line.

Usage: run_on_old_cpu.py <qemu-x86_64> <program> <an instruction set that it must name>
"""
import subprocess
import sys

emulator, program, lacking = sys.argv[1:]
done = subprocess.run([emulator, "-cpu", "Nehalem", program], capture_output=True, text=True)
print(done)
if done.returncode != 2 or done.stdout or done.stderr.count("\n") != 1:
    sys.exit("not one line and exit code 2")
if not done.stderr.startswith("fqt: this program was built for ") or lacking not in done.stderr:
    sys.exit("the line does not say what is missing")
