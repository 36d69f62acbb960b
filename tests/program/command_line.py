#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the program as its users do: trains, is interrupted, resumes, reports, and is misused.

Usage: command_line.py <fqt, with lenet5 in w8a8g4>
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
TRAIN = ["train", "--data", "generated-grey", "--network", "lenet5", "--train-images", "600", "--rate", "0.05",
         "--batch", "32", "--quiet"]
failures = []


def run(*arguments, **options):
    return subprocess.run([PROGRAM, *arguments], text=True, capture_output=True, **options)


def expect(holds, what):
    if not holds:
        failures.append(what)
        print("FAILED:", what)


def refuses(words, *arguments):
    """The program ends with an error that has all these words."""
    done = run(*arguments)
    said = done.stdout + done.stderr
    expect(done.returncode != 0, f"{arguments} is refused")
    for word in words:
        expect(word in said, f"{arguments} is refused with '{word}', not: {said}")


def lines_of(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def without_times(lines):
    timed = {"seconds", "images_per_second", "command", "first_epoch"}
    return [{k: v for k, v in line.items() if k not in timed} for line in lines]


os.chdir(tempfile.mkdtemp())

listed = run("list")
expect(listed.returncode == 0 and "lenet5" in listed.stdout and "gain_crest" in listed.stdout, "list lists")

whole = run(*TRAIN, "--epochs", "2", "--run", "whole", "--results", "results.jsonl", "--label", "first")
expect(whole.returncode == 0, f"a run ends well: {whole.stderr}")
log = lines_of("whole/log.jsonl")
expect([line["kind"] for line in log] == ["run", "steps", "epoch", "steps", "epoch", "result"], "the log is complete")
result = lines_of("results.jsonl")[0]
expect(result["accuracy"] == log[-1]["accuracy"] and result["label"] == "first", "the result is that of the log")
expect(result["accuracy"] > 0.2, "the network learns")
expect(result["rate"] == 0.05 and result["seed"] == 1 and result["split"] == "test", "the result names its settings")
page = pathlib.Path("whole/report.html").read_text()
expect("lenet5" in page and "<svg" in page, "there is a report with curves")

# A run that died after its first epoch: its folder as it was then.
first = run(*TRAIN, "--epochs", "2", "--run", "cut", "--threads", "1")
expect(first.returncode == 0, "another run ends well")
expect(lines_of("cut/log.jsonl")[-1]["accuracy"] == result["accuracy"], "one thread gives the same bits")
kept = [line for line in pathlib.Path("cut/log.jsonl").read_text().splitlines(True)][:3]
pathlib.Path("cut/log.jsonl").write_text("".join(kept) + '{"kind":"st')  # and a line that was cut short
os.remove("cut/report.html")
again = run(*TRAIN, "--epochs", "2", "--run", "cut", "--resume")
expect(again.returncode == 0 and os.path.exists("cut/report.html"), f"a finished run can be resumed: {again.stderr}")

killed = subprocess.Popen([PROGRAM, *TRAIN, "--epochs", "16", "--run", "killed"], stdout=subprocess.DEVNULL)
while not os.path.exists("killed/checkpoint.fqt") and killed.poll() is None:
    pass
killed.kill()
killed.wait()
resumed = run(*TRAIN, "--epochs", "16", "--run", "killed", "--resume")
expect(resumed.returncode == 0, f"a killed run resumes: {resumed.stderr}")
straight = run(*TRAIN, "--epochs", "16", "--run", "straight")
expect(straight.returncode == 0, "a run of 16 epochs ends well")
epochs = {line["epoch"]: line for line in without_times(lines_of("killed/log.jsonl")) if line["kind"] == "epoch"}
expected = {line["epoch"]: line for line in without_times(lines_of("straight/log.jsonl")) if line["kind"] == "epoch"}
expect(epochs == expected, "a run that was killed and resumed has the numbers of one that was not")

reported = run("report", "whole", "-o", "page.html")
expect(reported.returncode == 0 and pathlib.Path("page.html").read_text() == page, "report makes the page again")

refuses(["has a run already", "--resume"], *TRAIN, "--run", "whole")
refuses(["nothing to resume"], *TRAIN, "--run", "none", "--resume")
refuses(["epochs = 2", "go on with 3"], *TRAIN, "--epochs", "3", "--run", "whole", "--resume")
refuses(["seed"], *TRAIN, "--epochs", "2", "--seed", "2", "--run", "whole", "--resume")
refuses(["no network is called 'lenet'", "'lenet5'"], "train", "--data", "generated", "--network", "lenet")
refuses(["scheme called 'w8a8g3'", "'w8a8g4'"], *TRAIN, "--scheme", "w8a8g3")
refuses(["'gain_cest'", "'gain_crest'"], *TRAIN, "--rectifier", "gain_cest")
refuses(["without its weight"], *TRAIN, "--rectifier", "gain_crest")
refuses(["without a --rectifier"], *TRAIN, "--rectification", "0.1")
refuses(["'0' is not a number from 1"], *TRAIN, "--epochs", "0")
refuses(["'cos'", "'cosine'"], *TRAIN, "--schedule", "cos")
refuses(["--no-flip"], *TRAIN, "--flip", "--no-flip")
refuses(["no residual blocks"], *TRAIN, "--last-gamma", "0")
refuses(["'-1' is not a number from 0"], *TRAIN, "--last-gamma", "-1")
refuses(["3 x 32 x 32", "1 x 28 x 28"], "train", "--data", "generated", "--network", "lenet5")
refuses(["holds no data set"], "train", "--data", ".", "--network", "lenet5")
refuses(["nowhere"], "report", "nowhere")
if os.path.exists("/dev/full"):
    os.makedirs("full")
    os.symlink("/dev/full", "full/log.jsonl")
    refuses(["full/log.jsonl", "space"], *TRAIN, "--run", "full")

print(f"{len(failures)} failures")
sys.exit(bool(failures))
