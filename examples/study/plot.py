#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Draws the test accuracies of the study against the bits of gradients (needs Debian's python3-matplotlib), with a bar
of one standard error to each side where there are several seeds.

Usage: plot.py <results.jsonl> <picture.svg>
"""
import math
import pathlib
import sys

import matplotlib
matplotlib.use("svg")
import matplotlib.pyplot as plt

from study import lines_of
from table import moments, of_schemes

FAMILIES = [
    ("a grid a tensor", {"tensor8": 8, "tensor4": 4, "tensor3": 3, "tensor2": 2}, "#b5482a", "o"),
    ("a grid a sample", {"w8a8g4": 4, "sample3": 3, "w8a8g2": 2}, "#7a6a1f", "s"),
    ("a grid a tensor, clipped", {"tensor4-rms12": 4}, "#b5482a", "v"),
    ("logarithmic (LUQ)", {"luq4": 4, "luq2": 2}, "#3a6ea5", "^"),
    ("logarithmic, a grid a sample", {"luq4-sample": 4}, "#3a6ea5", "P"),
    ("16 channels rotated and scaled", {"blocks4": 4, "blocks3": 3, "blocks2": 2}, "#2f7d4f", "D"),
]


def main(source, target):
    runs = list(lines_of(pathlib.Path(source)))
    found = {}
    for label in ("parts", "test", "whole"):
        for key, values in of_schemes(runs, label, "test").items():
            mean, error = moments(values)
            found[key] = mean, error if len(values) > 1 else math.nan  # which draws no bar
    plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "fqt", "font.size": 10, "font.family": "sans-serif"})
    figure, axes = plt.subplots(figsize=(7.2, 4.4), layout="constrained")
    for scheme, name, line in (("fp32", "fp32", "-"), ("w8a8", "8-bit weights and activations, float gradients", ":")):
        if (scheme, False) in found:
            axes.axhline(found[scheme, False][0], color="#555555", linestyle=line, linewidth=1, label=name)
    for place, (name, bits, color, marker) in enumerate(FAMILIES):
        shift = 0.04 * (place - 2.5)
        for rectified in (False, True):
            points = [(b + shift, *value) for s, b in bits.items() for (scheme, is_rectified), value in found.items()
                      if scheme == s and is_rectified == rectified]
            if points:
                x, mean, error = zip(*sorted(points))
                if all(map(math.isnan, error)):
                    error = None
                axes.errorbar(x, mean, error, color=color, marker=marker, markersize=5.5, linewidth=1.2, capsize=2,
                              linestyle="--" if rectified else "-", markerfacecolor="white" if rectified else color,
                              label=name + (", rectified" if rectified else ""))
    axes.set_xticks([2, 3, 4, 8])
    axes.set_xlabel("bits of gradients, into both products")
    axes.set_ylabel("test accuracy, %")
    axes.grid(axis="y", color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8.5)
    figure.savefig(target, metadata={"Date": None, "Creator": None})


if __name__ == "__main__":
    main(*sys.argv[1:])
