# SPDX-License-Identifier: BSD-3-Clause
"""Time and memory of compiling a program that trains ResNet-20."""
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile
import time

from measure import alone, median, spread, table

PROGRAMS = pathlib.Path(__file__).resolve().parent.parent / "programs"
INCLUDE = PROGRAMS.parent.parent / "include"


def compile_once(command):
    """Seconds, and bytes that the compiler held at most."""
    def once():
        start = time.monotonic()
        process = subprocess.Popen(command, env=os.environ | {"CCACHE_DISABLE": "1"}, stderr=subprocess.PIPE, text=True)
        problems = process.stderr.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            sys.exit(f"failed: {shlex.join(command)}\n{problems}")
        return time.monotonic() - start, usage.ru_maxrss * 1024

    return alone(once)


def run(bench):
    bench.start("compile", "a program that trains ResNet-20, -O2, one compiler process")
    bench.run("least_trainer")  # which must learn
    with tempfile.TemporaryDirectory() as folder:
        compiler = [*shlex.split(bench.compiler), "-O2", "-march=native", "-o", f"{folder}/object.o", "-c"]
        trainer = [*compiler, "-std=c++20", f"-I{INCLUDE}", str(PROGRAMS / "least_trainer.cpp")]
        commands = {"fqt w8a8g4": trainer, "fqt w8a8g4, all of fqt.hpp": [*trainer, "-include", "fqt/fqt.hpp"]}
        peer = "dlib"
        if bench.has("peer_dlib"):
            commands[peer] = [*compiler, "-std=c++17", "-w", str(PROGRAMS / "dlib.cpp")]
        results = {name: [] for name in commands}
        for _ in range(1 if bench.quick else 3):
            for name, command in commands.items():
                results[name].append(compile_once(command))
    rows = []
    for name, values in results.items():
        seconds, sizes = map(list, zip(*values))
        held = median(sizes)
        of_peer, of_peer_memory = {}, {}
        if peer in results:
            peer_seconds, peer_held = median(v[0] for v in results[peer]), median(v[1] for v in results[peer])
            of_peer = {"peer": peer, "peer_value": peer_seconds, "ratio": peer_seconds / median(seconds)}
            of_peer_memory = {"peer": peer, "peer_value": peer_held, "ratio": peer_held / held}
        bench.record(f"resnet20 {name}", "time to compile", seconds, "s", 1, **of_peer)
        bench.record(f"resnet20 {name}", "memory to compile", sizes, "bytes", 1, **of_peer_memory)
        rows.append([name, f"{median(seconds):.1f}", spread(seconds), f"{held / 2**20:.0f}",
                     f"{1 / of_peer['ratio']:.2f}x" if of_peer else "",
                     f"{1 / of_peer_memory['ratio']:.2f}x" if of_peer_memory else ""])
    table(["", "s", "least to most", "MiB", "time, of dlib's", "memory, of dlib's"], rows)
