#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Prints the results of the study as a page of Markdown tables; docs/results/tables.md is that of the runs beside it.

Usage: table.py <results.jsonl>
"""
import collections
import math
import pathlib
import sys

from study import OWN_RATES, TIED, chance, lines_of

NAMES = {
    "fp32": ("fp32", "float", ""),
    "w8a8": ("8-bit weights and activations", "float", ""),
    "tensor8": ("linear, a grid a tensor", "8", 255),
    "tensor4": ("linear, a grid a tensor", "4", 15),
    "tensor4-rms6": ("linear, a grid a tensor clipped at 6 rms", "4", 15),
    "tensor4-rms12": ("linear, a grid a tensor clipped at 12 rms", "4", 15),
    "tensor4-rms24": ("linear, a grid a tensor clipped at 24 rms", "4", 15),
    "channel4": ("linear, a grid a tensor, a channel's into dW", "4", 15),
    "tensor3": ("linear, a grid a tensor", "3", 7),
    "tensor2": ("linear, a grid a tensor", "2", 3),
    "w8a8g4": ("linear, a grid a sample", "4", 15),
    "sample3": ("linear, a grid a sample", "3", 7),
    "w8a8g2": ("linear, a grid a sample", "2", 3),
    "sample3-rms6": ("linear, a grid a sample clipped at 6 rms", "3", 7),
    "sample3-rms12": ("linear, a grid a sample clipped at 12 rms", "3", 7),
    "sample2-rms3": ("linear, a grid a sample clipped at 3 rms", "2", 3),
    "sample2-rms6": ("linear, a grid a sample clipped at 6 rms", "2", 3),
    "luq4": ("logarithmic (LUQ), a grid a tensor", "4", 15),
    "luq4-sample": ("logarithmic (LUQ), a grid a sample", "4", 15),
    "luq3": ("logarithmic (LUQ), a grid a tensor", "3", 7),
    "luq2": ("logarithmic (LUQ), a grid a tensor", "2", 3),
    "split4": ("linear, a grid a sample, 8 bits into dW", "4 / 8", "15 / 255"),
    "split3": ("linear, a grid a sample, 8 bits into dW", "3 / 8", "7 / 255"),
    "split2": ("linear, a grid a sample, 8 bits into dW", "2 / 8", "3 / 255"),
    "blocks4": ("16 channels rotated and scaled", "4", 16),
    "blocks3": ("16 channels rotated and scaled", "3", 8),
    "blocks2": ("16 channels rotated and scaled", "2", 4),
    "blocks2-independent": ("16 channels rotated and scaled, independent draws", "2", 4),
    "blocks2-8": ("16 channels rotated and scaled, 8 bits into dW", "2 / 8", "4 / 255"),
    "averaged3": ("linear, a grid a sample, dW the mean of four roundings", "3", 7),
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
    """Mean and standard error of the mean over seeds, in per cent, the latter 0 for one."""
    values = [100 * v for v in values]
    mean = sum(values) / len(values)
    return mean, math.sqrt(sum((v - mean) ** 2 for v in values) / max(len(values) - 1, 1) / len(values))


def accuracy(values):
    if not values:
        return ""
    mean, error = moments(values)
    if len(values) == 1:
        return f"{mean:.2f} (1 seed)"
    return f"{mean:.2f} +- {error:.2f}" + (f" ({len(values)} seeds)" if len(values) != 3 else "")


Row = collections.namedtuple("Row", "scheme rectifier rectification rate last_gamma decay_gamma optimizer network "
                             "epochs split")


def rows(runs, label):
    """Accuracies by seed of each row. A run that two stages ask for has the label of the first alone, so equal runs
    count whatever their label."""
    found, wanted = collections.defaultdict(dict), set()
    for r in runs:
        row = Row(r["scheme"], r["rectifier"], r["rectification"], r["rate"], r.get("last_gamma", 1),
                  r.get("decay_gamma", 0), r.get("optimizer", "sgd"), r["network"], r["epochs"], r["split"])
        found[row][r["seed"]] = r["accuracy"] or chance(r["network"])  # what diverged counts as chance
        if r["label"] == label:
            wanted.add(row)
    return {row: seeds for row, seeds in found.items() if row in wanted}


def rectifier_of(row):
    return "" if row.rectifier == "none" else f"{row.rectifier} {row.rectification:g}" + begins(row.last_gamma)


def of_schemes(runs, label, split=None):
    """Accuracies of each scheme, plain and rectified: of its rows those that have most seeds, and of equals those at
    the rate that whole runs chose."""
    def rank(item):
        row, seeds = item
        return len(seeds), row.rate == TIED.get(row.scheme)
    return {(row.scheme, row.rectifier != "none"): list(seeds.values())
            for row, seeds in sorted(rows(runs, label).items(), key=rank) if split in (None, row.split)}


def tier_1(runs):
    whole = {row: seeds for row, seeds in rows(runs, "whole").items() if row.split == "test"}
    found = rows(runs, "test") | whole
    print("\n## Tuned rows, with and without a rectifier\n")
    print("| gradients | scheme | bits into dX / dW | levels | rectifier | rate | test accuracy, % |")
    print("|---" * 7 + "|")
    for scheme, (name, bits, levels) in NAMES.items():
        for row, seeds in sorted(((r, v) for r, v in found.items() if r.scheme == scheme),
                                 key=lambda item: (item[0].rectifier != "none", item[0])):
            print(f"| {name} | `{scheme}` | {bits} | {levels} | {rectifier_of(row)} | {row.rate:g} "
                  f"| {accuracy(list(seeds.values()))} |")


def gaps(runs):
    """What each row is below fp32, and what a rectifier makes of it, with standard errors."""
    best = of_schemes(runs, "test") | of_schemes(runs, "whole", "test")
    if ("fp32", False) not in best:
        return

    def minus(a, b):
        (mean, error), (other, others) = moments(a), moments(b)
        return mean - other, math.hypot(error, others)

    def text(difference, a, b):
        value, error = difference
        enough = min(len(a), len(b)) > 1
        return f"{value:+.2f} +- {error:.2f}" if enough else f"{value:+.2f}"

    print("\n## What they are below fp32, in points\n\n"
          "| gradients | scheme | bits into dX / dW | less fp32 | rectified less plain | beyond two standard errors "
          "| share of the gap |\n" + "|---" * 7 + "|")
    for scheme, (name, bits, _) in NAMES.items():
        if scheme == "fp32" or (scheme, False) not in best:
            continue
        plain, fp32 = best[scheme, False], best["fp32", False]
        gap = minus(plain, fp32)
        cells = [name, f"`{scheme}`", bits, text(gap, plain, fp32), "", "", ""]
        if (scheme, True) in best:
            rectified = best[scheme, True]
            gain = minus(rectified, plain)
            cells[4] = text(gain, rectified, plain)
            if min(len(plain), len(rectified)) > 2:
                cells[5] = "yes" if abs(gain[0]) > 2 * gain[1] else "no"
                if cells[5] == "yes" and gap[0] < -2 * gap[1]:
                    cells[6] = f"{-100 * gain[0] / gap[0]:.0f} %"
        print("| " + " | ".join(cells) + " |")


def begins(last_gamma):
    return f", last gammas begin at {last_gamma:g}" if last_gamma != 1 else ""


def others(runs, label, title, split=None):
    found = {row: seeds for row, seeds in rows(runs, label).items() if split in (None, row.split)}
    if not found:
        return
    print(f"\n## {title}\n\n| gradients | scheme | bits into dX / dW | change | accuracy, % |\n" + "|---" * 5 + "|")
    for row, seeds in found.items():
        name, bits, _ = NAMES[row.scheme]
        change = [f"{row.network}, {row.epochs} epochs"] * (label == "more") \
            + [f"rate {row.rate:g}"] * (row.optimizer not in OWN_RATES) \
            + [f"optimizer {row.optimizer}"] * (row.optimizer != "sgd") \
            + [f"{row.rectifier} {row.rectification:g}"] * (row.rectifier != "none") \
            + [f"decay of gamma {row.decay_gamma:g}"] * bool(row.decay_gamma)
        print(f"| {name} | `{row.scheme}` | {bits} | {', '.join(change)}{begins(row.last_gamma)} "
              f"| {accuracy(list(seeds.values()))} |")


def main(path):
    if not pathlib.Path(path).exists():
        sys.exit(f"there are no results in {path} yet")
    runs = list(lines_of(pathlib.Path(path)))
    print("# Results in full\n\nEvery run of the study, by examples/study/table.py; what they mean is in results.md.\n"
          "Accuracies are means over three seeds, +- the standard error of the mean, where nothing else is said.")
    tier_1(runs)
    gaps(runs)
    others(runs, "parts", "Other grids, not tuned, test set")
    others(runs, "ablation", "Ablations, test set")
    others(runs, "deep", "ResNet-56, test set")
    others(runs, "more", "Longer and larger, test set")
    others(runs, "whole", "Rates by whole runs, held-out images", "held out")
    others(runs, "decades", "Weights over decades, held-out images")
    for label in ("rates", "forms", "weights"):
        others(runs, label, f"Tuning: {label}, held-out images")


if __name__ == "__main__":
    main(sys.argv[1])
