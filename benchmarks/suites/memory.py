# SPDX-License-Identifier: BSD-3-Clause
"""Memory of training ResNet-20."""
from measure import BATCH, LIBTORCH_KINDS, table, thread_counts

MIB = 2.0**20
SMALL = 2  # a batch that takes next to nothing: what is left are programs, libraries and parameters


def run(bench):
    bench.start("memory", f"training ResNet-20 on batches of {BATCH}")
    threads = thread_counts()[-1]
    runs = {f"fqt {scheme}": (f"resnet20_{scheme}", "train", threads, BATCH, 10)
            for scheme in ("fp32", "w8a8g8", "w8a8g4", "w4a4g4", "w2a2g2")}
    if bench.has("peer_libtorch"):
        for kind in LIBTORCH_KINDS:
            runs[f"libtorch {kind}"] = ("peer_libtorch", "resnet20", kind, "train", threads, BATCH, 10)
    reports = {name: of_run[0] for name, of_run in bench.rounds(runs, 1).items()}
    small = {name: (*words[:-2], SMALL, words[-1]) for name, words in runs.items()}
    bases = {name: of_run[0]["peak_memory"] for name, of_run in bench.rounds(small, 1).items()}
    eight = reports["fqt w8a8g8"]["arena"]
    peers = [name for name in runs if not name.startswith("fqt")]
    rows = []
    for name, report in reports.items():
        peak = report["peak_memory"]
        row = [name, f"{peak / MIB:.0f}", f"{bases[name] / MIB:.0f}"]
        bench.record(f"resnet20 {name}", f"peak memory with batches of {SMALL}", bases[name], "bytes", threads)
        for peer in peers or [None]:
            of_peer = {} if peer is None else {"peer": peer, "peer_value": reports[peer]["peak_memory"],
                                               "ratio": reports[peer]["peak_memory"] / peak}
            bench.record(f"resnet20 {name}", "peak memory", peak, "bytes", threads, **of_peer)
            row.append(f"1/{of_peer['ratio']:.1f}" if of_peer else "")
        if "arena" in report:
            bench.record(f"resnet20 {name}", "arena", report["arena"], "bytes", threads)
            row += [f"{report['arena'] / MIB:.0f}", f"{report['arena'] / eight:.2f}x"]
        rows.append(row + [""] * (5 + len(peers or [None]) - len(row)))
    table(["", "peak of the process, MiB", f"with batches of {SMALL}",
           *(f"of {peer}'s" for peer in peers or ["no peer"]), "arena, MiB", "of w8a8g8's"], rows)
