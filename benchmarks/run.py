#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs suites of benchmarks that benchmarks/run.sh has built.

Usage: run.py [--quick] --build <folder> --compiler <c++> <suite>...
"""
import argparse
import importlib
import pathlib
import platform
import sys

from measure import Bench


def machine():
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    facts = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = " ".join(facts.get(key, "") for key in ("model name", "cpu family", "model"))
    known = [flag for flag in ("avx2", "avx512_vnni", "avx512_bf16") if flag in facts.get("flags", "").split()]
    return f"{name or platform.machine()} ({', '.join(known) or 'no AVX2'}), {platform.system()} {platform.release()}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("suites", nargs="+")
    options = parser.parse_args()
    print(machine())
    bench = Bench(options.build, options.quick, options.compiler)
    for suite in options.suites:
        importlib.import_module(f"suites.{suite}").run(bench)
    print(f"numbers: {bench.results}")


if __name__ == "__main__":
    sys.exit(main())
