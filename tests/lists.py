#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Checks that the lists in meson.build files, the umbrella header and version.hpp agree with the files on disk.

Usage: lists.py <root of the repository> <version> <file with the names of listed files>
"""
import pathlib
import re
import sys


TESTS = ["core", "simd", "quant", "kernels", "layers", "models", "network", "train", "io", "program",
         "compile_fail"]


def on_disk(root):
    for folder, pattern in [("include/fqt", "**/*.hpp"), *((f"tests/{name}", "*.cpp") for name in TESTS)]:
        for path in (root / folder).glob(pattern):
            yield str(path.relative_to(root))


def errors(root, version, listed):
    files = set(on_disk(root))
    for name in sorted(files - set(listed)):
        yield f"{name} is in no list; add it to {'include' if name.startswith('include') else 'tests'}/meson.build"
    for name in sorted({name for name in listed if listed.count(name) > 1}):
        yield f"{name} is listed twice"

    for folder in ["examples", "benchmarks"]:
        text = (root / folder / "meson.build").read_text()
        for path in sorted((root / folder).rglob("*.cpp")):
            if not re.search(rf"['/]{path.stem}(\.cpp)?'", text):
                yield f"{path.relative_to(root)} is not in {folder}/meson.build"

    runner = (root / "benchmarks/run.sh").read_text()
    known = set(re.search(r'all="([^"]*)"', runner)[1].split())
    suites = {path.stem for path in (root / "benchmarks/suites").glob("*.py") if "def run(bench)" in path.read_text()}
    for name in sorted(suites ^ known):
        yield f"benchmarks/run.sh and benchmarks/suites disagree on the suite {name}"
    for name in sorted(suites):
        if not re.search(rf"^# {name} ", runner, re.MULTILINE):
            yield f"benchmarks/run.sh does not say what the suite {name} is"

    umbrella = set(re.findall(r"#include <fqt/([^>]+)>", (root / "include/fqt/fqt.hpp").read_text()))
    wanted = {name.removeprefix("include/fqt/") for name in files if name.startswith("include/")}
    wanted -= {"fqt.hpp", "io/xtensor.hpp", "io/image_folder.hpp", "io/picture_file.hpp"}
    for name in sorted(wanted - umbrella):
        yield f"fqt.hpp does not include fqt/{name}"
    for name in sorted(umbrella - wanted):
        yield f"fqt.hpp includes fqt/{name}"

    header = (root / "include/fqt/version.hpp").read_text()
    written = ".".join(re.findall(r"#define FQT_VERSION_(?:MAJOR|MINOR|PATCH) (\d+)", header))
    if written != version:
        yield f"version.hpp says {written}, meson.build {version}"
    if f"## [{version}]" not in (root / "CHANGELOG.md").read_text():
        yield f"CHANGELOG.md has no section [{version}]"


if __name__ == "__main__":
    listed = pathlib.Path(sys.argv[3]).read_text().split()
    found = list(errors(pathlib.Path(sys.argv[1]), sys.argv[2], listed))
    print("\n".join(found) or "lists agree with the disk")
    sys.exit(1 if found else 0)
