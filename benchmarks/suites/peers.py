# SPDX-License-Identifier: BSD-3-Clause
"""All peers on all networks they have; fqt beside them."""
from measure import BATCH, compare, thread_counts
from suites.step import runs_of


def run(bench):
    bench.start("peers", "training on every library that was found")
    missing = [name for name in ("libtorch", "dlib") if not bench.has("peer_" + name)]
    if missing:
        print(f"not installed: {', '.join(missing)}\n")
    steps, rounds = (3, 1) if bench.quick else (8, 3)
    threads = thread_counts()[-1]
    for title, network in (("ResNet-20", "resnet20"), ("VGG 64-64-128-128-256-256", "vgg"),
                           ("small CNN 32-64-64", "small_cnn")):
        runs = runs_of(bench, network, ("w8a8g4",), "train", threads, steps)
        if network == "resnet20" and bench.has("peer_dlib"):
            runs["dlib fp32"] = ("peer_dlib", "train", threads, BATCH, max(steps // 4, 2))
        compare(bench, title, runs, threads, rounds)
