# SPDX-License-Identifier: BSD-3-Clause
"""Predictions beside libtorch's."""
from measure import compare, thread_counts
from suites.step import runs_of


def run(bench):
    bench.start("inference", "predict(): integer products, batch normalization folded; in libtorch folded too")
    steps, rounds = (5, 1) if bench.quick else (15, 5)
    for threads in thread_counts():
        schemes = ("fp32", "w8a8g4", "w4a4g4", "w2a2g2")
        compare(bench, "ResNet-20", runs_of(bench, "resnet20", schemes, "infer", threads, steps), threads, rounds,
                metric="time of a batch")
