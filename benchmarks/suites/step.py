# SPDX-License-Identifier: BSD-3-Clause
"""Training steps beside libtorch's, and where a step's time goes."""
from measure import BATCH, LIBTORCH_KINDS, compare, median, spread, step_times, table, thread_counts
from suites import resnet20

PASSES = {
    "forward": "normalize, ReLU, residual sum, quantize; products; batch norm's sums",
    "encode_h": "batch norm backward; ranges; stochastic rounding",
    "gradients": "dX and dW",
    "rest": "loss, optimizer, last layers",
}


def runs_of(bench, network, schemes, mode, threads, steps):
    runs = {f"fqt {scheme}": (f"{network}_{scheme}", mode, threads, BATCH, steps) for scheme in schemes}
    if bench.has("peer_libtorch"):
        for kind in LIBTORCH_KINDS:
            runs[f"libtorch {kind}"] = ("peer_libtorch", network, kind, mode, threads, BATCH, steps)
    return runs


def roofline(bench, reports, threads):
    limits = bench.run("machine", threads)
    peak, copies = median(limits["peak"]), limits["copies"] * 1e-9
    peaks = {"forward": peak, "encode_h": peak, "gradients": median(limits["peak 4 bits"])}
    operations, moved = resnet20.costs(BATCH)
    print(f"ResNet-20 w8a8g4, one step by pass, {threads} thread(s); roofs from {peak:.0f} GOP/s of 8-bit products, "
          f"{peaks['gradients']:.0f} of those with 4-bit gradients, and {copies:.0f} GB/s of copies\n")
    rows = []
    for key, what in PASSES.items():
        times = [report[key] for report in reports]
        time = median(times)
        bench.record(f"resnet20 w8a8g4, {what}", "time in a step", times, "ms", threads)
        row = [what, f"{time:.1f}", spread(times)]
        if key in moved:
            compute, memory = operations[key] / peaks[key] * 1e3, moved[key] / copies
            row += [f"{operations[key]:.1f}", f"{moved[key]:.0f}", f"{compute:.1f}", f"{memory:.1f}",
                    f"{max(compute, memory) / time:.0%}"]
        rows.append(row + [""] * (8 - len(row)))
    table(["pass", "ms", "least to most", "GOP", "MB", "roof of products, ms", "roof of memory, ms",
           "of the higher roof"], rows)


def run(bench):
    bench.start("step", "training: forward, loss, backward, SGD with momentum; rectified, all quantization on")
    steps, rounds = (5, 1) if bench.quick else (10, 5)
    for threads in thread_counts():
        schemes = ("fp32", "w8a8", "w8a8g8", "w8a8g4", "w8a8g2", "w8a8_blocks2", "w4a4g4", "w2a2g2", "w8a8g4nearest")
        reports = compare(bench, "ResNet-20", runs_of(bench, "resnet20", schemes, "train", threads, steps), threads,
                          rounds)
        roofline(bench, reports["fqt w8a8g4"], threads)
        drawn, nearest = step_times(reports["fqt w8a8g4"]), step_times(reports["fqt w8a8g4nearest"])
        costs = [d - n for d, n in zip(drawn, nearest)]
        bench.record("resnet20 w8a8g4, random numbers", "time in a step", costs, "ms", threads)
        print(f"Random numbers cost {median(costs):.1f} ms of a step ({spread(costs)} by round): w8a8g4 less the same "
              "with rounding to nearest.\n")
    threads = thread_counts()[-1]
    for title, network in (("VGG 64-64-128-128-256-256", "vgg"), ("small CNN 32-64-64", "small_cnn")):
        compare(bench, title, runs_of(bench, network, ("w8a8g4",), "train", threads, steps), threads, rounds)
