#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Times training steps of ResNet-20 on fqt and on libtorch, in turn, and prints ratios.

Usage: step.py [--quick] <results.jsonl> <fqt program>... [<libtorch program>]

Every round runs each program once, so that a drift of the machine meets all of them. A program must lower its loss, or
nothing is timed. A run during which other processes used more than 4 % of a core is dropped and made again.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

SAMPLES = 128
# The settings at which libtorch was fastest on the machine of benchmarks/README.md.
PEER_SETTINGS = {"OMP_PROC_BIND": "true", "ATEN_CPU_CAPABILITY": "avx512", "MALLOC_MMAP_THRESHOLD_": "1073741824",
                 "MALLOC_TRIM_THRESHOLD_": "4294967296", "MALLOC_TOP_PAD_": "268435456"}
MOST_LOAD, TRIES = 0.04, 5


def busy_seconds():
    """CPU seconds that all processes have used since the machine started."""
    fields = pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    idle = int(fields[3]) + int(fields[4])
    return (sum(map(int, fields[:8])) - idle) / os.sysconf("SC_CLK_TCK")


def timed(command):
    """One run: (first loss, last loss, milliseconds of each step), without company."""
    for _ in range(TRIES):
        start, busy, own = time.monotonic(), busy_seconds(), os.times()
        done = subprocess.run(command, env=os.environ | PEER_SETTINGS, text=True, stdout=subprocess.PIPE)
        if done.returncode:
            sys.exit(f"failed: {' '.join(command)}")
        after = os.times()
        of_children = sum(after[:4]) - sum(own[:4])
        others = busy_seconds() - busy - of_children
        if others / (time.monotonic() - start) <= MOST_LOAD:
            break
    else:
        sys.exit("other processes use the CPU, so times would mean nothing; stop them, or wait, and run this again")
    first, last, *times = map(float, done.stdout.split())
    if not last < first:
        sys.exit(f"{command[0]} does not learn: its loss went from {first} to {last}")
    return times


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("results", type=pathlib.Path)
    parser.add_argument("programs", nargs="+", type=pathlib.Path)
    options = parser.parse_args()
    rounds, steps = (1, 5) if options.quick else (5, 10)

    runs = []  # (name, program, further arguments)
    for program in options.programs:
        if program.name == "libtorch_step":
            runs += [(f"libtorch {kind}", program, [kind]) for kind in ("fp32", "bf16")]
        else:
            runs.append(("fqt " + program.name.removeprefix("fqt_step_"), program, []))
    peers = [name for name, *_ in runs if name.startswith("libtorch")]
    command = "benchmarks/run.sh step" + (" --quick" if options.quick else "")
    run_name = time.strftime("%Y-%m-%dT%H:%M:%S")

    for threads in range(1, os.cpu_count() + 1) if os.cpu_count() <= 2 else (1, os.cpu_count()):
        medians = {name: [] for name, *_ in runs}
        for _ in range(rounds):
            for name, program, more in runs:
                medians[name].append(statistics.median(timed([str(program), str(threads), str(steps), *more])))
        typical = {name: statistics.median(values) for name, values in medians.items()}
        print(f"\nResNet-20 training step, batch {SAMPLES}, {threads} thread{'s' * (threads > 1)}, {rounds} round(s)\n")
        print("| program | ms a step | least to most | images/s | " + "".join(f"against {peer} | " for peer in peers))
        print("|---|---|---|---|" + "---|" * len(peers))
        for name, values in medians.items():
            # Ratios within a round: what drifts between rounds cancels.
            ratios = {peer: statistics.median(p / v for p, v in zip(medians[peer], values)) for peer in peers}
            print(f"| {name} | {typical[name]:.1f} | {min(values):.1f} to {max(values):.1f} | "
                  f"{SAMPLES / typical[name] * 1e3:.0f} | " + "".join(f"{ratios[peer]:.2f}x | " for peer in peers))
            record = {"run": run_name, "suite": "step", "name": "resnet20 " + name, "metric": "time of a step",
                      "value": typical[name], "unit": "ms", "seed": 1, "threads": threads, "command": command}
            with options.results.open("a") as file:
                for peer in peers or [None]:
                    of_peer = {} if peer is None else {"peer": peer, "peer_value": typical[peer],
                                                       "ratio": ratios[peer]}
                    file.write(json.dumps(record | of_peer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
