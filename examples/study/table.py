#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints the results of the study as Markdown tables.

Usage: table.py <results.jsonl>
"""
import collections
import json
import math
import pathlib
import sys

NAMES = {
    "fp32": ("fp32", "float", ""),
    "w8a8": ("8-bit weights and activations", "float", ""),
    "tensor8": ("linear, a grid a tensor", "8", 255),
    "tensor4": ("linear, a grid a tensor", "4", 15),
    "channel4": ("linear, a grid a tensor, a channel's into dW", "4", 15),
    "tensor3": ("linear, a grid a tensor", "3", 7),
    "tensor2": ("linear, a grid a tensor", "2", 3),
    "w8a8g4": ("linear, a grid a sample", "4", 15),
    "sample3": ("linear, a grid a sample", "3", 7),
    "w8a8g2": ("linear, a grid a sample", "2", 3),
    "luq4": ("logarithmic (LUQ), a grid a tensor", "4", 15),
    "luq2": ("logarithmic (LUQ), a grid a tensor", "2", 3),
    "split4": ("linear, a grid a sample, 8 bits into dW", "4 / 8", "15 / 255"),
    "split2": ("linear, a grid a sample, 8 bits into dW", "2 / 8", "3 / 255"),
    "blocks4": ("16 channels rotated and scaled", "4", 16),
    "blocks3": ("16 channels rotated and scaled", "3", 8),
    "blocks2": ("16 channels rotated and scaled", "2", 4),
    "blocks2-independent": ("16 channels rotated and scaled, independent draws", "2", 4),
    "blocks2-8": ("16 channels rotated and scaled, 8 bits into dW", "2 / 8", "4 / 255"),
    "averaged2": ("linear, a grid a sample, dW the mean of four roundings", "2", 3),
    "clipped3": ("linear, a grid a sample clipped at 3 rms, 8 bits into dW", "3 / 8", "7 / 255"),
    "clipped2": ("linear, a grid a sample clipped at 2.5 rms, 8 bits into dW", "2 / 8", "3 / 255"),
    "dorefa4": ("DoReFa 8-8-4", "4", 16),
    "bhq4": ("StatQuant's BHQ, 8 bits a sample into dW", "4 / 8", "15 / 255"),
    "ui8": ("UI8's formats", "8", 255),
    "daint8": ("DAINT8", "8", 255),
    "niti": ("NITI's formats", "8", 255),
    "sbm": ("SBM with range normalization", "8 / 16", "256 / 65279"),
}


def moments(values):
    """Mean and standard error over seeds, in per cent, the latter 0 for one; a run that diverged counts as chance."""
    values = [100 * (v or 0.1) for v in values]
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / max(len(values) - 1, 1) / len(values))


def accuracy(values):
    if not values:
        return ""
    mean, error = moments(values)
    if len(values) == 1:
        return f"{mean:.2f} (1 seed)"
    return f"{mean:.2f} +- {error:.2f}" + (f" ({len(values)} seeds)" if len(values) != 3 else "")


def rows(runs, label):
    """Accuracies by scheme and what else differs. A run that two stages ask for has the label of the first alone, so
    equal runs count whatever their label."""
    found, wanted = collections.defaultdict(dict), set()
    for r in runs:
        key = (r["scheme"], r["rectifier"], r["rectification"], r["rate"], r.get("last_gamma", 1),
               r.get("decay_gamma", 0))
        found[key, r["network"], r["epochs"], r["split"]][r["seed"]] = r["accuracy"]
        if r["label"] == label:
            wanted.add((key, r["network"], r["epochs"], r["split"]))
    return {full[0]: seeds for full, seeds in found.items() if full in wanted}


def tier_1(runs):
    found = rows(runs, "test")
    print("| gradients | bits into dX / dW | levels | rectifier | rate | test accuracy, % |")
    print("|---" * 6 + "|")
    for scheme, (name, bits, levels) in NAMES.items():
        for key, seeds in sorted(((k, v) for k, v in found.items() if k[0] == scheme),
                                 key=lambda row: (row[0][1] != "none", row[0])):
            rectifier = "" if key[1] == "none" else f"{key[1]} {key[2]:g}" + begins(key[4])
            print(f"| {name} | {bits} | {levels} | {rectifier} | {key[3]:g} | {accuracy(list(seeds.values()))} |")


def begins(last_gamma):
    return f", last gammas begin at {last_gamma:g}" if last_gamma != 1 else ""


def others(runs, label, title):
    found = rows(runs, label)
    if not found:
        return
    print(f"\n| {title} | bits into dX / dW | change | accuracy, % |\n|---|---|---|---|")
    for (scheme, rectifier, weight, rate, last_gamma, decay), seeds in found.items():
        name, bits, _ = NAMES[scheme]
        change = [f"rate {rate:g}"] + [f"{rectifier} {weight:g}"] * (rectifier != "none") \
            + [f"decay of gamma {decay:g}"] * bool(decay)
        print(f"| {name} | {bits} | {', '.join(change)}{begins(last_gamma)} | {accuracy(list(seeds.values()))} |")


def main(path):
    runs = [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]
    tier_1(runs)
    others(runs, "parts", "other grids, test set")
    others(runs, "ablation", "ablations, test set")
    others(runs, "decades", "weights over decades, held-out images")
    for label in ("rates", "forms", "weights"):
        others(runs, label, f"tuning ({label}), held-out images")


if __name__ == "__main__":
    main(sys.argv[1])
