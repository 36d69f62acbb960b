# SPDX-License-Identifier: BSD-3-Clause
"""Seconds of training until ResNet-20 reaches an accuracy on CIFAR-10, beside libtorch with the same recipe."""
from measure import LIBTORCH_KINDS, table, thread_counts

GOALS = (0.80, 0.85, 0.90)
EPOCHS = 15
OWN = "fqt w8a8g8"  # of which ratios are: the row whose accuracy is that of floats


def time_to(report, goal):
    """Seconds of training at the end of the first epoch that tests at `goal`, or None."""
    return next((s for s, a in zip(report["seconds"], report["accuracy"]) if a >= goal), None)


def run(bench):
    bench.start("accuracy", "seconds of training to a test accuracy: ResNet-20, CIFAR-10, one cycle")
    if bench.data is None:
        print("Left out: give the folder of CIFAR-10's binary files, --data DIR.\n")
        return
    threads = thread_counts()[-1]
    epochs, images = (1, 5000) if bench.quick else (bench.epochs or EPOCHS, 0)
    rest = (bench.data, threads, epochs, images)
    runs = {f"fqt {scheme}": (f"training_{scheme}", *rest) for scheme in ("w8a8g8", "w8a8g4")}
    if bench.has("libtorch_training"):
        runs |= {f"libtorch {kind}": ("libtorch_training", kind, *rest) for kind in LIBTORCH_KINDS}
    reports = {name: bench.run(program, *arguments) for name, (program, *arguments) in runs.items()}
    own = reports[OWN]
    rows = []
    for name, report in reports.items():
        row = [name, f"{100 * report['accuracy'][-1]:.2f} %", f"{report['seconds'][-1]:.0f}"]
        for goal in GOALS:
            seconds, mine = time_to(report, goal), time_to(own, goal)
            ratio = seconds / mine if seconds and mine and report is not own else None
            row.append("" if seconds is None else f"{seconds:.0f}" + (f" ({ratio:.2f}x)" if ratio else ""))
            if seconds is not None:
                bench.record(f"resnet20 {name}", f"time to {goal:.0%}", seconds, "s", threads)
            if ratio is not None and not name.startswith("fqt"):
                bench.record(f"resnet20 {OWN}", f"time to {goal:.0%}", mine, "s", threads, name, seconds, ratio)
        rows.append(row)
        bench.record(f"resnet20 {name}", "test accuracy", report["accuracy"][-1], "share", threads)
    print(f"{epochs} epochs, {threads} thread(s), one seed; how many times as long as {OWN} in brackets\n")
    table(["", "test accuracy", "s in all", *(f"s to {goal:.0%}" for goal in GOALS)], rows)
