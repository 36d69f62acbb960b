#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Writes source files that only include headers: one for each, which includes it twice, or one that includes all.

Usage: units.py <folder> each|all <header>...
"""
import pathlib
import sys

folder, mode, *headers = sys.argv[1:]
includes = {header: f"#include <fqt/{header}>\n" for header in headers}
units = {f"{header.replace('/', '_').replace('.', '_')}.cpp": 2 * include for header, include in includes.items()}
if mode == "all":
    units = {"all.cpp": "".join(includes.values()) + "\nint main() {}\n"}
for name, text in units.items():
    pathlib.Path(folder, name).write_text(text)
