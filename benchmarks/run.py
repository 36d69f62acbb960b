#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs suites of benchmarks that benchmarks/run.sh has built.

Usage: run.py [--quick] [--data <folder of CIFAR-10>] [--epochs <number>] --build <folder> --compiler <c++> <suite>...
"""
import argparse
import importlib
import pathlib
import platform
import sys

from measure import Bench, LIBTORCH_KINDS, knows, processor


def machine():
    facts = processor()
    name = " ".join(facts[key] for key in ("model name", "cpu family", "model") if key in facts)
    known = [name for name in ("avx2", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16") if knows(name)]
    lines = [f"{name or platform.machine()} ({', '.join(known) or 'no AVX2'}), {platform.system()}"]
    if not knows("avx512_vnni", "avx512vbmi"):
        lines.append("Without AVX-512 VNNI codes are widened to 16 bits, or of few bits and added up in 16, so the "
                     "targets beside peers do not apply here; shares of the peak, scaling, memory and compiling do.")
    if "bf16" not in LIBTORCH_KINDS:
        lines.append("libtorch in bf16 is left out: without AVX-512 it takes twenty times as long as in fp32.")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--data")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    parser.add_argument("--compiler", required=True)
    parser.add_argument("suites", nargs="+")
    options = parser.parse_args()
    print(machine())
    bench = Bench(options.build, options.quick, options.compiler, options.data, options.epochs)
    for suite in options.suites:
        importlib.import_module(f"suites.{suite}").run(bench)
    print(f"numbers: {bench.results}")


if __name__ == "__main__":
    sys.exit(main())
