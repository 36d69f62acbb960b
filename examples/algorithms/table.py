#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints the results of examples/algorithms.sh as a Markdown table: those on real images, or what else the file has.

Usage: table.py <results.jsonl>
"""
import collections
import math
import pathlib
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "study"))
from study import lines_of  # noqa: E402


def accuracy(values):
    """Mean and standard error over seeds, in per cent; a run that diverged counts as chance."""
    if not values:
        return ""
    diverged = sum(v == 0 for v in values)
    values = [100 * v if v > 0 else 10.0 for v in values]
    mean = sum(values) / len(values)
    text = f"{mean:.2f}"
    if len(values) > 1:
        text += f" +- {math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values)):.2f}"
    notes = [f"{diverged} diverged"] * (diverged > 0) + ["1 seed"] * (len(values) == 1)
    return text + (f" ({', '.join(notes)})" if notes else "")


def main(path):
    shares = collections.defaultdict(dict)
    last = {}
    names = []
    lines = list(lines_of(pathlib.Path(path)))
    real = [r for r in lines if r["run"] == "fashion-mnist"]
    for r in real or lines:
        if r["name"] not in names:
            names.append(r["name"])
        if r["metric"] == "test accuracy":
            shares[r["name"], r["suite"]][r["seed"]] = r["value"]
        else:
            last[r["name"], r["metric"]] = r["value"]
    print("| algorithm | test accuracy, % | rectified, % | ms a step | memory, MB |\n|---|---|---|---|---|")
    for name in names:
        plain, rectified = (accuracy(list(shares[name, suite].values())) for suite in ("plain", "rectified"))
        step, memory = last.get((name, "training step")), last.get((name, "memory"))
        print(f"| {name} | {plain} | {rectified} | {f'{step:.1f}' if step else ''} | "
              f"{f'{memory / 1e6:.1f}' if memory else ''} |")


main(sys.argv[1])
