# SPDX-License-Identifier: BSD-3-Clause
"""The three integer products of single layers: share of the peak, and oneDNN beside them."""
from measure import BATCH, median, ratio_within_rounds, table, thread_counts

PRODUCTS = ("forward", "input gradient", "weight gradient")


def shares_of_rounds(macs, times, peak):
    """Of the peak, in GOP/s, what so many multiply-adds a sample take of milliseconds, one number a round."""
    return [2e-6 * macs * BATCH / time / peak for time in times]


def share_of_4_bits(bench, own, layers, threads):
    """The backward products of 4-bit gradients, where they have kernels of their own."""
    if "peak 4 bits" not in own[0]:
        return
    peak = median(p for report in own for p in report["peak 4 bits"])
    print(f"Gradients of 4 bits, {threads} thread(s); peak of their products {peak:.0f} GOP/s; in brackets how many "
          "times as fast as with 8 bits\n")
    rows = []
    for layer in layers:
        row = [layer]
        for product in PRODUCTS[1:]:
            name = f"{product} 4 bits {layer}"
            if name not in own[0]:
                row.append("-")
                continue
            times = [median(report[name]) for report in own]
            shares = shares_of_rounds(own[0][f"macs {layer}"], times, peak)
            gain = ratio_within_rounds([median(report[f"{product} {layer}"]) for report in own], times)
            bench.record(name, "share of the peak", shares, "1", threads, "peak loop", peak, median(shares))
            row.append(f"{median(shares):.0%} ({gain:.2f}x)")
        rows.append(row)
    table(["layer", "input gradient", "weight gradient"], rows)


def run(bench):
    bench.start("kernels", f"integer products of single layers, batch {BATCH}, staging, stores and sums included")
    repetitions, rounds = (2, 1) if bench.quick else (5, 3)
    for threads in thread_counts():
        runs = {"fqt": ("kernels", threads, repetitions)}
        if bench.has("peer_onednn"):
            runs["oneDNN"] = ("peer_onednn", threads, repetitions)
        reports = bench.rounds(runs, rounds)
        own = reports["fqt"]
        peak = median(p for report in own for p in report["peak"])
        layers = [key.removeprefix("forward ") for key in own[0] if key.startswith("forward ")]
        vectors = [p for report in own for p in report.get("peak of vectors", [])]
        of_matrices = f", on matrix registers; of vectors {median(vectors):.0f}" if vectors else ""
        print(f"{threads} thread(s); peak of 8-bit products in the same run: {peak:.0f} GOP/s{of_matrices}. Shares "
              "are of required operations (no padding); GOP/s count padding, as peers do\n")
        share_of_4_bits(bench, own, layers, threads)
        rows, reach = [], []
        for layer in layers:
            row = [layer]
            for product in PRODUCTS:
                times = [median(report[f"{product} {layer}"]) for report in own]
                shares = shares_of_rounds(own[0][f"macs {layer}"], times, peak)
                nominal = 2e-6 * own[0][f"nominal macs {layer}"] * BATCH / median(times)
                bench.record(f"{product} {layer}", "share of the peak", shares, "1", threads, "peak loop", peak,
                             median(shares))
                row.append(f"{median(shares):.0%} ({nominal:.0f})")
                reach.append((max(shares) - min(shares), f"{product} of {layer}"))
                # oneDNN's fastest that computes the same product.
                names = [f"{product} {layer}"] if product != PRODUCTS[2] else \
                    [f"{product} {kind} {layer}" for kind in ("fp32", "bf16")]
                for name in names:
                    of_peer = [median(report[name]) for report in reports.get("oneDNN", []) if name in report]
                    if not of_peer:
                        row.append("-")
                        continue
                    kind = name.removeprefix(product).removesuffix(layer).strip() or "u8s8"
                    ratio = ratio_within_rounds(of_peer, times)
                    bench.record(f"{product} {layer}", "time", times, "ms", threads, f"oneDNN {kind}", median(of_peer),
                                 ratio)
                    row.append(f"{ratio:.2f}x")
            rows.append(row)
        table(["layer", "forward", "of oneDNN u8s8", "input gradient", "of oneDNN u8s8", "weight gradient",
               "of oneDNN fp32", "of oneDNN bf16"], rows)
        if len(own) == 1:
            continue
        most, where = max(reach)
        print(f"From the least to the greatest round shares reach over {100 * median(r for r, _ in reach):.0f} points "
              f"typically, over {100 * most:.0f} at most ({where}).\n")
