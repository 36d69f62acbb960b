#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""What the suites of benchmarks make of the times that programs report, with stand-ins for the programs and the clock:
rounds in turn, ratios within a round, spreads, shares of a peak, what is kept; and what they refuse.

Usage: benchmarks.py <benchmarks>
"""
import contextlib
import io
import json
import os
import pathlib
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import measure  # noqa: E402
from suites import accuracy, kernels, scaling, step  # noqa: E402

# Gives the next of its answers, and notes that it was called, with what.
STAND_IN = """#!/usr/bin/env -S python3 -ISB
import json, os, pathlib, sys
own = pathlib.Path(sys.argv[0])
calls = own.parent.parent / "calls"
with calls.open("a") as file:
    json.dump([own.name, sys.argv[1:], os.environ.get("OMP_NUM_THREADS"), os.environ.get("MALLOC_TOP_PAD_")], file)
    file.write("\\n")
made = sum(json.loads(line)[0] == own.name for line in calls.read_text().splitlines())
answers = json.loads(own.with_suffix(".json").read_text())
answer = answers[min(made, len(answers)) - 1]
if answer is None: sys.exit(3)
print(json.dumps(answer))
"""


class Machine:
    """A clock, and processors that this process uses as much as it does, and others `load` of a core."""
    def __init__(self):
        self.now, self.load, self.busy = 0.0, [], 0.0

    def monotonic(self):
        return self.now

    def strftime(self, _):
        return "now"

    def sleep(self, seconds):
        self.pass_by(seconds)

    def pass_by(self, seconds):
        self.now += seconds
        self.busy += seconds * (self.load.pop(0) if self.load else 0)

    def busy_seconds(self):
        return self.busy + sum(os.times()[:4])


def made_up(folder, **programs):
    """A Bench whose programs give these answers in turn, the last one again and again."""
    (folder / "benchmarks").mkdir()
    for name, answers in programs.items():
        path = folder / "benchmarks" / name
        path.write_text(STAND_IN)
        path.chmod(0o755)
        path.with_suffix(".json").write_text(json.dumps(answers))
    return measure.Bench(folder, False, "c++")


def calls(bench):
    return [json.loads(line) for line in (bench.build / "calls").read_text().splitlines()]


def results(bench):
    return [json.loads(line) for line in bench.results.read_text().splitlines()]


def printed(function, *arguments):
    with contextlib.redirect_stdout(io.StringIO()) as text:
        function(*arguments)
    return text.getvalue()


def refusal(function, *arguments):
    try:
        function(*arguments)
    except SystemExit as end:
        return str(end)
    raise AssertionError("nothing was refused")


def check_company(machine, folder):
    """A run beside other processes is made again; where they stay, nothing is measured."""
    taken = []

    def a_second():
        machine.pass_by(1)
        taken.append(machine.now)
        return len(taken)

    assert measure.alone(a_second) == 1
    taken.clear()
    machine.load = [0.9, 0, 0.05, 0, 0, 0.03]  # before a run, before, in it, after, before, in it
    assert measure.alone(a_second) == 2, "the run beside 5 % of a core was taken, or one beside 3 % was not"
    taken.clear()
    machine.load = [0.05] * 1000
    assert "other processes use the CPU" in refusal(measure.alone, a_second) and len(taken) == measure.TRIES
    machine.load = []


def check_runs(machine, folder):
    """Programs get the settings of memory and none of the user's threads; what fails or learns nothing is refused."""
    os.environ["OMP_NUM_THREADS"] = "1"
    bench = made_up(folder, good=[{"first": 2.0, "last": 1.0}], dull=[{"first": 1.0, "last": 1.0}], broken=[None])
    assert bench.run("good", "word", 2) == {"first": 2.0, "last": 1.0}
    assert calls(bench) == [["good", ["word", "2"], None, measure.SETTINGS["MALLOC_TOP_PAD_"]]]
    assert "does not learn: its loss went from 1.0 to 1.0" in refusal(bench.run, "dull")
    assert "failed: " in refusal(bench.run, "broken")
    assert bench.has("good") and not bench.has("good.json") and not bench.has("better")


def check_compare(machine, folder):
    """The machine slows down by the round; ratios are those of each round."""
    bench = made_up(folder, own=[{"times": [9, 10, 12]}, {"times": [20]}, {"times": [40]}],
                    other=[{"times": [30]}, {"times": [60]}, {"times": [100]}])
    bench.suite = "step"
    bench.results.write_text('{"kept": true}\n')
    text = printed(measure.compare, bench, "Net", {"fqt w8a8g4": ("own", 2), "peer": ("other",)}, 2, 3)
    assert [name for name, *_ in calls(bench)] == ["own", "other"] * 3
    assert "| fqt w8a8g4 | 20.0 | 10.0 to 40.0 | 6400 | 3.00x |" in text, text
    assert "| peer | 60.0 | 30.0 to 100.0 | 2133 | 1.00x |" in text, text
    kept, own, peer = results(bench)
    assert kept == {"kept": True}
    assert own == {"run": "now", "suite": "step", "name": "Net fqt w8a8g4", "metric": "time of a step", "value": 20,
                   "least": 10, "most": 40, "unit": "ms", "seed": 1, "threads": 2, "command": "benchmarks/run.sh step",
                   "peer": "peer", "peer_value": 60, "ratio": 3.0}
    assert (peer["name"], peer["ratio"]) == ("Net peer", 1.0)


def check_kernels(machine, folder):
    """10^6 multiply-adds of 128 samples in 1 ms are 256 GOP/s."""
    layer = {"macs L": 10**6, "nominal macs L": 2 * 10**6}
    bench = made_up(
        folder,
        kernels=[{"peak": [511, 512, 513], "peak of vectors": [64, 63, 65], **layer, "forward L": [time],
                  "input gradient L": [2.0], "weight gradient L": [4.0]} for time in (1.0, 1.0, 0.8)],
        peer_onednn=[{"forward L": [0.5], "weight gradient fp32 L": [10.0]}])
    text = printed(kernels.run, bench)
    assert "peak of 8-bit products in the same run: 512 GOP/s, on matrix registers; of vectors 64." in text, text
    assert "| L | 50% (512) | 0.50x | 25% (256) | - | 12% (128) | 2.50x | - |" in text, text
    assert "over 0 points typically, over 12 at most (forward of L)" in text, text
    line = next(line for line in results(bench) if (line["name"], line["metric"]) == ("forward L", "share of the peak"))
    assert [line[key] for key in ("value", "least", "most", "peer_value", "ratio")] == [0.5, 0.5, 0.625, 512, 0.5]
    line = next(line for line in results(bench) if line["metric"] == "time" and line["peer"] == "oneDNN fp32")
    assert (line["value"], line["peer_value"], line["ratio"]) == (4.0, 10.0, 2.5)


def check_step(machine, folder):
    """A pass that takes as long as its products at the peak is at the roof; random numbers cost what rounding to
    nearest saves."""
    operations, _ = step.resnet20.costs(measure.BATCH)
    passes = {"forward": 2 * operations["forward"] * 10, "encode_h": 5.0, "gradients": operations["gradients"] * 10,
              "rest": 1.0}
    bench = made_up(folder, machine=[{"peak": [100.0], "peak 4 bits": [100.0], "copies": 1e15}],
                    resnet20_w8a8g4=[{"times": [12.0], **passes}], resnet20_w8a8g4nearest=[{"times": [11.5], **passes}],
                    other=[{"times": [20.0]}])
    for scheme in ("fp32", "w8a8", "w8a8g8", "w8a8g2", "w8a8_blocks2", "w4a4g4", "w2a2g2"):
        bench.programs[f"resnet20_{scheme}"] = bench.programs["other"]
    for network in ("vgg", "small_cnn"):
        bench.programs[f"{network}_w8a8g4"] = bench.programs["other"]
    text = printed(step.run, bench)
    assert "Random numbers cost 0.5 ms of a step (0.5 to 0.5 by round)" in text, text
    rows = {line.split(" | ")[0]: line for line in text.splitlines()}
    assert rows["| " + step.PASSES["forward"]].endswith("| 0.0 | 50% |"), text
    assert rows["| " + step.PASSES["gradients"]].endswith("| 0.0 | 100% |"), text


def check_scaling(machine, folder):
    """1.8 times as fast where the peak loop is twice; 128 x 6 * 10^7 multiply-adds in 300 ms are 39 ps each."""
    scaling.thread_counts = lambda: [1, 2]
    bench = made_up(folder, machine=[{"peak": [100.0]}, {"peak": [200.0]}],
                    resnet20_w8a8g4=[{"times": [90.0], "macs": 10**7}, {"times": [50.0], "macs": 10**7}],
                    resnet110_w8a8g4=[{"times": [300.0], "macs": 6 * 10**7}])
    bench.quick = True
    text = printed(scaling.run, bench)
    assert "| the first of the second | 90% | 90% to 90% |" in text, text
    assert "| ResNet-110, batch 128 | 300.0 | 300.0 to 300.0 | 39.06 | 1.000x |" in text, text


def check_accuracy(machine, folder):
    """The first epoch that tests at a goal counts."""
    curve = {"seconds": [10, 20, 30], "accuracy": [0.7, 0.86, 0.84]}
    bench = made_up(folder, training_w8a8g8=[curve], training_w8a8g4=[{**curve, "accuracy": [0.7, 0.8, 0.84]}],
                    libtorch_training=[{"seconds": [30, 60, 90], "accuracy": [0.8, 0.8, 0.85]}])
    bench.data, bench.epochs = "pictures", 3
    text = printed(accuracy.run, bench)
    assert all(words[-4:] == ["pictures", words[-3], "3", "0"] for _, words, *_ in calls(bench))
    assert "| fqt w8a8g8 | 84.00 % | 30 | 20 | 20 |  |" in text, text
    assert "| fqt w8a8g4 | 84.00 % | 30 | 20 (1.00x) |  |  |" in text, text
    assert "| libtorch fp32 | 85.00 % | 90 | 30 (1.50x) | 90 (4.50x) |  |" in text, text
    ratios = [(line["peer"], line["ratio"]) for line in results(bench) if line.get("ratio")]
    assert ("libtorch fp32", 4.5) in ratios and all(peer.startswith("libtorch") for peer, _ in ratios)


def main():
    machine = Machine()
    measure.time, measure.busy_seconds = machine, machine.busy_seconds
    for check in (check_company, check_runs, check_compare, check_kernels, check_step, check_scaling, check_accuracy):
        with tempfile.TemporaryDirectory() as folder:
            check(machine, pathlib.Path(folder))


if __name__ == "__main__":
    main()
