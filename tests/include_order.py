#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks what is included where, the size of files, and that no file names a path of somebody's machine.

Usage: include_order.py <root of the repository>
"""
import pathlib
import re
import sys

# Each may include those to its left.
FOLDERS = ["core", "simd", "quant", "kernels", "layers", "models", "network", "train", "io"]
WITHOUT_STREAMS = FOLDERS[:7]
INTRINSICS = re.compile(r"(\w*mmintrin|immintrin|x86intrin|arm_\w+)\.h$")
THIRD_PARTY = {"xsimd": "only simd/ includes xsimd", "xtensor": "only io/xtensor.hpp includes xtensor"}
ALLOWED = {("core/floating_point.hpp", "xmmintrin.h")}  # the control register of floating point; no arithmetic

MOST_LINES, MOST_COLUMNS = 500, 120
CODE = {".hpp", ".cpp", ".py", ".sh", ".build", ".in"}
MACHINE = re.compile(r"(?<![\w.$}~-])/(home|root|work|workspace|mnt|Users)/\w")
SKIPPED = {".git", "build", "subprojects", "__pycache__"}


def include_errors(name, included):
    """What is wrong with `#include <included>` in include/fqt/<name>."""
    folder = name.split("/")[0] if "/" in name else ""
    top = included.split("/")[0]
    if top == "fqt":
        target = included[len("fqt/"):]
        if target == "fqt.hpp":
            yield "includes the whole library"
        elif folder and "/" in target and FOLDERS.index(target.split("/")[0]) > FOLDERS.index(folder):
            yield f"{folder}/ does not include {target.split('/')[0]}/, which is to its right in {' '.join(FOLDERS)}"
    elif (name, included) in ALLOWED:
        return
    elif INTRINSICS.search(included) and folder != "simd":
        yield "only simd/ includes intrinsics"
    elif top == "xsimd" and folder != "simd" or top in ("xtensor", "xtl") and name != "io/xtensor.hpp":
        yield THIRD_PARTY["xsimd" if top == "xsimd" else "xtensor"]
    elif included in ("iostream", "random", "sstream", "fstream") and folder in WITHOUT_STREAMS:
        yield f"{folder}/ does without streams and <random>, which are slow to compile"


def header_errors(name, lines):
    if lines[0] != "#pragma once" or not lines[1].startswith("// SPDX-License-Identifier: "):
        yield 1, "a header begins with #pragma once and its license"
    if "/" in name and name.split("/")[0] not in FOLDERS:
        yield 1, f"a folder beside {' '.join(FOLDERS)}"
        return
    if len(lines) > MOST_LINES:
        yield MOST_LINES, f"{len(lines)} lines, more than {MOST_LINES}; split it by idea"
    for number, line in enumerate(lines, 1):
        if match := re.match(r"\s*#\s*include\s*([<\"])([^>\"]+)", line):
            if match[1] == '"':
                yield number, "headers are included as <fqt/folder/name.hpp>"
            for error in include_errors(name, match[2]):
                yield number, error


def text_errors(path, lines):
    for number, line in enumerate(lines, 1):
        if path.suffix in CODE and len(line) > MOST_COLUMNS:
            yield number, f"{len(line)} columns, more than {MOST_COLUMNS}"
        if match := MACHINE.search(line):
            yield number, f"{match[0]}... is a path of one machine"


def errors(root):
    for path in sorted(root.rglob("*")):
        inside = path.relative_to(root)
        if not path.is_file() or SKIPPED & set(inside.parts) or (root / inside.parts[0] / "build.ninja").exists():
            continue
        try:
            lines = path.read_text().splitlines()
        except UnicodeDecodeError:
            continue  # binary
        found = list(text_errors(path, lines))
        if path.suffix == ".hpp" and inside.parts[:2] == ("include", "fqt"):
            found += header_errors("/".join(inside.parts[2:]), lines or ["", ""])
        for number, error in sorted(found):
            yield f"{inside}:{number}: {error}"


if __name__ == "__main__":
    found = list(errors(pathlib.Path(sys.argv[1])))
    print("\n".join(found) or "include order, sizes and paths are in order")
    sys.exit(1 if found else 0)
