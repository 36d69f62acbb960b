# SPDX-License-Identifier: BSD-3-Clause
"""What every suite does alike: runs programs in turn on a machine that does nothing else, prints tables, keeps numbers.

Every round runs each program once, so that a drift of the machine meets all of them, and ratios are taken within a
round. A run during which other processes used more than 4 % of a core is dropped and made again.
"""
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

# The settings at which libtorch was fastest on the machine of README.md. All programs get those of memory.
SETTINGS = {"MALLOC_MMAP_THRESHOLD_": "1073741824", "MALLOC_TRIM_THRESHOLD_": "4294967296",
            "MALLOC_TOP_PAD_": "268435456"}
MOST_LOAD, TRIES = 0.04, 8
BATCH = 128

median = statistics.median


def processor():
    """What the system says of it: names to texts; "flags" are the instructions that it knows."""
    info = pathlib.Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}


def knows(*instructions):
    return set(instructions) <= set(processor().get("flags", "").split())


LIBTORCH_SETTINGS = SETTINGS | {"OMP_PROC_BIND": "true"}
if knows("avx512f"):
    LIBTORCH_SETTINGS["ATEN_CPU_CAPABILITY"] = "avx512"


# Without AVX-512 bf16 takes libtorch twenty times as long as fp32.
LIBTORCH_KINDS = ("fp32", "bf16") if knows("avx512bw") else ("fp32",)


def busy_seconds():
    """CPU seconds that all processes have used since the machine started, on the processors that this may run on."""
    names = {f"cpu{number}" for number in os.sched_getaffinity(0)}
    ticks = 0
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name in names:
            ticks += sum(map(int, fields[:8])) - int(fields[3]) - int(fields[4])  # without idle and iowait
    return ticks / os.sysconf("SC_CLK_TCK")


def alone(run):
    """The result of run(), made again until nothing else used the CPU meanwhile, nor directly before."""
    for _ in range(TRIES):
        start, busy = time.monotonic(), busy_seconds()
        time.sleep(0.5)
        if (busy_seconds() - busy) / (time.monotonic() - start) > 0.5:  # half a core: no need to try
            continue
        start, busy, own = time.monotonic(), busy_seconds(), os.times()
        result = run()
        after = os.times()
        others = busy_seconds() - busy - (sum(after[:4]) - sum(own[:4]))
        if others / max(time.monotonic() - start, 0.05) <= MOST_LOAD:
            return result
        time.sleep(1)
    sys.exit("other processes use the CPU, so times would mean nothing; stop them, or wait, and run this again, or "
             "keep to processors that they leave alone: taskset --cpu-list 2-5 benchmarks/run.sh ...")


def thread_counts():
    """1, and as many as there are processors that this may run on."""
    return sorted({1, len(os.sched_getaffinity(0))})


class Bench:
    """One invocation of benchmarks/run.sh: its programs, its options, and where its numbers go."""

    def __init__(self, build, quick, compiler, data=None, epochs=None):
        self.quick, self.compiler, self.build, self.data, self.epochs = quick, compiler, build, data, epochs
        self.programs = {path.name: path for path in (build / "benchmarks").iterdir()
                         if path.is_file() and os.access(path, os.X_OK)}
        self.results = build / "results.jsonl"
        self.name = time.strftime("%Y-%m-%dT%H:%M:%S")
        self.suite = ""

    def has(self, program):
        return program in self.programs

    def start(self, suite, title):
        self.suite = suite
        print(f"\n## {suite}: {title}\n", flush=True)

    def run(self, program, *arguments):
        """The report that a program prints, from a run without company."""
        settings = LIBTORCH_SETTINGS if "libtorch" in program else SETTINGS
        command = [str(self.programs[program]), *map(str, arguments)]
        # Threads are what a suite says, not what the user's shell does.
        environment = {name: value for name, value in os.environ.items()
                       if not name.startswith(("OMP_", "GOMP_", "OPENBLAS_", "ONEDNN_", "DNNL_", "ATEN_", "MKL_"))}

        def once():
            done = subprocess.run(command, env=environment | settings, text=True, stdout=subprocess.PIPE)
            if done.returncode:
                sys.exit(f"failed: {' '.join(command)}")
            return json.loads(done.stdout)

        report = alone(once)
        if "first" in report and not report["last"] < report["first"]:
            sys.exit(f"{' '.join(command)} does not learn: its loss went from {report['first']} to {report['last']}")
        return report

    def rounds(self, runs, count):
        """Each of `runs`, (program, arguments...) by name, once a round: lists of reports by name."""
        reports = {name: [] for name in runs}
        for _ in range(1 if self.quick else count):
            for name, (program, *arguments) in runs.items():
                reports[name].append(self.run(program, *arguments))
        return reports

    def record(self, name, metric, values, unit, threads, peer=None, peer_value=None, ratio=None):
        """Appends a number to the results: of several values, one a round, the median and how far they reach. The ratio
        says how much better fqt is than the peer."""
        values = values if isinstance(values, list) else [values]
        line = {"run": self.name, "suite": self.suite, "name": name, "metric": metric, "value": median(values),
                "least": min(values), "most": max(values), "unit": unit, "seed": 1, "threads": threads,
                "command": "benchmarks/run.sh " + "--data DIR " * (self.data is not None)
                + f"--epochs {self.epochs} " * (self.epochs is not None) + self.suite + " --quick" * self.quick}
        if peer is not None:
            line |= {"peer": peer, "peer_value": peer_value, "ratio": ratio}
        with self.results.open("a") as file:
            file.write(json.dumps(line) + "\n")


def table(headings, rows):
    """Prints Markdown."""
    print("| " + " | ".join(headings) + " |")
    print("|" + "---|" * len(headings))
    for row in rows:
        print("| " + " | ".join(map(str, row)) + " |")
    print(flush=True)


def step_times(reports):
    """The median of each round."""
    return [median(report["times"]) for report in reports]


def ratios_of_rounds(peer, own):
    return [p / o for p, o in zip(peer, own)]


def ratio_within_rounds(peer, own):
    return median(ratios_of_rounds(peer, own))


def spread(values, form=".1f"):
    return f"{min(values):{form}} to {max(values):{form}}"


def compare(bench, what, runs, threads, count, batch=BATCH, metric="time of a step"):
    """Runs, prints and records a table of times; the runs that are not called fqt are the peers. Gives the reports."""
    reports = bench.rounds(runs, count)
    times = {name: step_times(of_run) for name, of_run in reports.items()}
    peers = [name for name in runs if not name.startswith("fqt")]
    rows = []
    for name, values in times.items():
        typical = median(values)
        ratios = {peer: ratio_within_rounds(times[peer], values) for peer in peers}
        rows.append([name, f"{typical:.1f}", spread(values), f"{batch / typical * 1e3:.0f}",
                     *(f"{ratio:.2f}x" for ratio in ratios.values())])
        for peer in peers or [None]:
            of_peer = {} if peer is None else {"peer": peer, "peer_value": median(times[peer]), "ratio": ratios[peer]}
            bench.record(f"{what} {name}", metric, values, "ms", threads, **of_peer)
    print(f"{what}, batch {batch}, {threads} thread{'s' * (threads > 1)}, {len(next(iter(times.values())))} round(s)\n")
    table(["", "ms", "least to most", "images/s", *(f"against {peer}" for peer in peers)], rows)
    return reports
