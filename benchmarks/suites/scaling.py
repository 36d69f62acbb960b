# SPDX-License-Identifier: BSD-3-Clause
"""How a training step grows with threads, depth and batch size."""
from measure import BATCH, median, ratio_within_rounds, ratios_of_rounds, spread, step_times, table, thread_counts


def threads_table(bench, rounds, steps):
    counts = thread_counts()
    if len(counts) == 1:
        print("one core: nothing to compare\n")
        return
    runs = {}
    for threads in counts:
        runs[f"step {threads}"] = ("resnet20_w8a8g4", "train", threads, BATCH, steps)
        runs[f"peak {threads}"] = ("machine", threads)
    reports = bench.rounds(runs, rounds)
    most = counts[-1]
    step = ratios_of_rounds(step_times(reports["step 1"]), step_times(reports[f"step {most}"]))
    peak = ratios_of_rounds([median(r["peak"]) for r in reports[f"peak {most}"]],
                            [median(r["peak"]) for r in reports["peak 1"]])
    share = ratios_of_rounds(step, peak)
    bench.record("resnet20 w8a8g4", f"speed-up from 1 to {most} threads, of the peak loop's", share, "x", most,
                 "peak loop", median(peak), median(share))
    table([f"1 to {most} threads", "speed-up", "least to most"],
          [["a step of ResNet-20 w8a8g4", f"{median(step):.2f}x", spread(step, ".2f")],
           ["the peak loop of 8-bit products", f"{median(peak):.2f}x", spread(peak, ".2f")],
           ["the first of the second", f"{median(share):.0%}", spread(share, ".0%")]])


def size_table(bench, rounds, steps):
    threads = thread_counts()[-1]
    runs = {
        "ResNet-20, batch 128": ("resnet20_w8a8g4", "train", threads, 128, steps),
        "ResNet-110, batch 128": ("resnet110_w8a8g4", "train", threads, 128, max(steps // 3, 2)),
        "ResNet-20, batch 512": ("resnet20_w8a8g4", "train", threads, 512, max(steps // 3, 2)),
    }
    reports = bench.rounds(runs, rounds)
    work = {name: reports[name][0]["macs"] * runs[name][3] for name in runs}
    of_mac = {name: [time / work[name] for time in step_times(reports[name])] for name in runs}
    base = of_mac["ResNet-20, batch 128"]
    rows = []
    for name, values in of_mac.items():
        relative = 1 / ratio_within_rounds(base, values)
        bench.record(f"{name}, w8a8g4", "time of a multiply-add of a step", [v * 1e9 for v in values], "ps", threads,
                     "ResNet-20, batch 128", median(base) * 1e9, 1 / relative)
        steps = step_times(reports[name])
        rows.append([name, f"{median(steps):.1f}", spread(steps), f"{median(values) * 1e9:.2f}", f"{relative:.3f}x"])
    table(["", "ms a step", "least to most", "ps a multiply-add of the forward pass", "of the first"], rows)


def run(bench):
    bench.start("scaling", "threads, depth, batch size")
    steps, rounds = (4, 1) if bench.quick else (10, 5)
    threads_table(bench, rounds, steps)
    size_table(bench, rounds, steps)
