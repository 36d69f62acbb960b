#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""The study's plan, with a stand-in for training: rates are sought until the best is inside, a rectified row is the
best of what it was tuned with, and a study that is stopped goes on with what is left, a run from its checkpoint. Of
the script beside it: its words.

Usage: study.py <examples/study>
"""
import argparse
import contextlib
import io
import itertools
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])
import study  # noqa: E402
import table  # noqa: E402

BEST = {"fp32": 1.6, "tensor2": 0.025, "luq2": 0.05}  # others: 0.2
BRANCHES_HELP = {"tensor2", "w8a8g2"}
LEARNS_SLOWLY = "dorefa4"
STAND_IN = """#!/usr/bin/env python3
import pathlib, sys
run = pathlib.Path(sys.argv[sys.argv.index("--run") + 1])
run.mkdir(exist_ok=True)
(run / "checkpoint.fqt").touch()
if (run.parent / "stop").exists(): sys.exit("killed")
print("resumed" if "--resume" in sys.argv else "begun")
"""


def accuracy(run):
    """Falls with the distance to the row's best rate; bounded branches add where they help, at any rate up to 0.4."""
    if run["scheme"] == LEARNS_SLOWLY and run["rate"] > 0.1:
        return 0.1
    off = abs(run["rate"] - BEST.get(run["scheme"], 0.2))
    if run["rectifier"] == "bounded_branches":
        return 0.9 - abs(run["rate"] - 0.4) if run["scheme"] in BRANCHES_HELP else 0.1
    return 0.7 - 0.1 * off + (0.01 if run["rectifier"] == "gain_crest" else 0)


def run_stages(file, stages, at_most=10**6):
    """Runs what is left of the stages, but not more than so many; returns what was run."""
    done = []
    for stage in stages:
        while True:
            results = study.Results(file)
            left = [run for run in study.runs_of(stage, results) if results.accuracy(run) is None]
            left = left[: at_most - len(done)]
            if not left:
                break
            for run in left:
                study.append(file, {**run, "accuracy": accuracy(run)})
            done += left
    return done


with tempfile.TemporaryDirectory() as folder:
    file, stages = pathlib.Path(folder) / "study.jsonl", study.STAGES[:-1]
    first = run_stages(file, stages, 50)
    rest = run_stages(file, stages)
    assert len(first) == 50
    keys = [study.key(run) for run in first + rest]
    assert len(set(keys)) == len(keys), "a run was asked for twice"
    assert not run_stages(file, stages), "something is left"
    results = study.Results(file)
    for scheme in study.PLAIN_ROWS + study.ROWS:
        assert study.best_rate(results, scheme) == BEST.get(scheme, 0.2), scheme
        rates = sorted(r[0]["rate"] for r in study.rate_runs(results, "rates", scheme, study.RATES))
        best = rates.index(study.best_rate(results, scheme))
        assert 0 < best < len(rates) - 1, f"{scheme}: the best rate is at an end of {rates}"
    with open(file, "a") as out:
        out.write('{"scheme": "fp32", "accu')  # a disk was full
    assert study.Results(file).runs.keys() == results.runs.keys()
    assert study.best_form(results)[0] == "gain_crest"
    for scheme in study.ROWS:
        run = study.rectified(results, "test", scheme)
        if scheme in BRANCHES_HELP:
            assert (run["rectifier"], run["last_gamma"], run["rate"]) == ("bounded_branches", 0.1, 0.4), run
        else:
            assert (run["rectifier"], run["last_gamma"]) == ("gain_crest", 1.0), run
    tests = [run for run in first + rest if run["label"] == "test"]
    rectified = {(run["scheme"], run["seed"]) for run in tests if run["rectifier"] != "none"}
    assert rectified == set(itertools.product(study.ROWS, study.SEEDS))
    assert len(tests) == len(rectified) + len(study.PLAIN_ROWS + study.ROWS) * len(study.SEEDS)
    tuned = [run for run in first + rest
             if run["label"] in ("rates", "forms", "weights") or (run["label"], run["split"]) == ("whole", "held out")]
    assert all(run["split"] == "held out" and run["seed"] not in study.SEEDS for run in tuned)
    decades = [run for run in first + rest if run["label"] == "decades"]
    assert {run["rectifier"] for run in decades} == {"gain_crest"} and len(decades) == len(study.DECADES)
    assert all(run["split"] == "held out" for run in decades)
    assert all(run["split"] == "test" for run in first + rest if run not in tuned + decades)
    parts = [run for run in first + rest if run["label"] == "parts"]
    rates = {scheme: [run["rate"] for run in parts if (run["scheme"], run["seed"]) == (scheme, 1)]
             for scheme in study.PARTS}
    assert rates.pop(LEARNS_SLOWLY) == [0.2, 0.05] and all(len(of_row) == 1 for of_row in rates.values())
    for scheme in study.PARTS:
        seeds = {run["seed"] for run in parts if run["scheme"] == scheme}
        assert seeds == set(study.SEEDS if scheme in study.COMPARED else [1]), scheme
    multiples = {run["scheme"]: run["rate"] for run in tuned if run["scheme"] in study.MULTIPLES}
    assert multiples == {scheme: study.best_rate(results, like) for scheme, like in study.MULTIPLES.items()}
    scheme, form, weight = study.CREST
    crests = [run for run in first + rest if run["label"] == "ablation"
              and (run["scheme"], run["rectifier"], run["rectification"]) == (scheme, form, weight)]
    assert sorted(run["seed"] for run in crests) == study.SEEDS
    assert {run["rate"] for run in crests} == {study.best_rate(results, scheme)}
    whole = [run for run in first + rest if run["label"] == "whole"]
    assert {run["epochs"] for run in whole} == {study.TEST_EPOCHS}
    assert {run["rectifier"] for run in whole} == {"none", form}
    tested = [run for run in whole if run["split"] == "test"]
    assert [run["seed"] for run in tested] == study.SEEDS and {run["rectifier"] for run in tested} == {form}
    deep = {(run["scheme"], run["rectifier"], run["last_gamma"]): run
            for run in first + rest if run["label"] == "deep"}
    assert {scheme for scheme, *what in deep if what == ["none", 1.0]} == set(study.DEEP_ROWS)
    assert {scheme for scheme, *what in deep if what == ["none", study.DEEP_LAST_GAMMA]} == {"tensor2"}
    for scheme in study.FORM_ROWS:
        run = deep[scheme, "bounded_branches", study.DEEP_LAST_GAMMA]
        assert run["network"] == study.DEEP, run
        assert scheme not in BRANCHES_HELP or run["rate"] == 0.4, "the rate that is best with bounded branches"
    run_stages(file, ["more"])

    # The command of a run says what the run is, and leaves out what its optimizer does not take.
    by_scheme = {run["scheme"]: study.command(run, "fqt", "data", file) for run in first + rest
                 if run["label"] == "parts"}
    assert by_scheme["ui8"][by_scheme["ui8"].index("--optimizer") + 1] == "deviating"
    assert "--rate" in by_scheme["ui8"] and "--rate" not in by_scheme["niti"]

    # A run that was stopped goes on from its checkpoint, and leaves nothing behind when it is done.
    program, runs = pathlib.Path(folder) / "fqt", pathlib.Path(folder) / "runs"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    arguments = argparse.Namespace(program=str(program), data="data", data_100=None, file=file, runs=runs)
    runs.mkdir()
    (runs / "stop").touch()
    try:
        study.train(first[0], arguments)
    except SystemExit as stopped:
        assert "killed" in str(stopped)
    else:
        raise AssertionError("a run that died was taken for a result")
    (runs / "stop").unlink()
    other = argparse.Namespace(**{**vars(arguments), "file": file.with_name("other.jsonl")})
    assert study.train(first[0], other) == "begun", "two studies share a checkpoint"
    assert study.train(first[1], arguments) == "begun", "two runs share a checkpoint"
    assert study.train(first[0], arguments) == "resumed"
    assert not list(runs.iterdir())

    # Where a run fails, no further one begins, though another is under way for longer.
    begun, real = [], study.train

    def train(run, _):
        begun.append(run)
        if len(begun) == 2:
            sys.exit("killed")
        time.sleep(0.5)
        return "done"

    study.train = train
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            study.train_all(first[:8], argparse.Namespace(jobs=2))
    except SystemExit as stopped:
        assert "killed" in str(stopped)
    else:
        raise AssertionError("a study went on behind a run that died")
    assert begun == first[:2], f"{len(begun)} runs began"
    study.train = real

    # The script takes paths from where it is called, and knows wrong words before it builds; stand-ins build nothing.
    tools = pathlib.Path(folder) / "tools"
    tools.mkdir()
    for name, does in {"dpkg-query": "printf installed", "meson": "echo building; exit 1"}.items():
        (tools / name).write_text("#!/bin/sh\n" + does + "\n")
        (tools / name).chmod(0o755)

    def script(*words):
        environment = os.environ | {"CDPATH": "/:/usr", "PATH": f"{tools}:" + os.environ["PATH"]}
        called = subprocess.run(["bash", pathlib.Path(sys.argv[1]).resolve().parent / "study.sh", *words], cwd=folder,
                                text=True, capture_output=True, env=environment)
        return called.returncode, called.stdout + called.stderr

    (pathlib.Path(folder) / "bin").mkdir()  # which CDPATH has elsewhere
    for words in (["--file", "a.jsonl"], ["--file=a.jsonl"]):
        code, text = script("bin", "--plan", *words, "rates")
        here = pathlib.Path(folder).resolve()
        assert code == 0 and f" --data {here}/bin --results {here}/a.jsonl " in text, text
    for words in (["--jobs", "0"], ["--fil", "a.jsonl"], ["ratse"]):
        code, text = script("bin", *words)
        assert code != 0 and "building" not in text, text

    # A stage whose plan rests on others says so, and so does a table without results.
    code, text = script("bin", "--plan", "--file", "none.jsonl", "test")
    assert code == 0 and "test: nothing yet; run the stages before it first" in text, text
    try:
        table.main(pathlib.Path(folder) / "none.jsonl")
    except SystemExit as ended:
        assert "no results" in str(ended)
    else:
        raise AssertionError("a table of no file")

    # The page of tables is that of the results beside it.
    results_of_docs = pathlib.Path(sys.argv[1]).resolve().parents[1] / "docs/results"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        table.main(results_of_docs / "study.jsonl")
    assert printed.getvalue() == (results_of_docs / "tables.md").read_text(), "make docs/results/tables.md anew"

    # Tables: every scheme with a name, means and standard errors, no run that another row hides.
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        table.main(file)
    text = printed.getvalue()
    for scheme in study.PLAIN_ROWS + study.ROWS + list(study.PARTS):
        assert f"| {table.NAMES[scheme][0]} |" in text, scheme
    more = {(run["network"], run["epochs"]) for run in study.Results(file).runs.values() if run["label"] == "more"}
    assert len(more) == len(study.LONG_RUNS) and all(f"| {n}, {e} epochs, " in text for n, e in more)
    assert table.moments([0.5, 0.6, 0.7]) == (60.0, math.sqrt(100 / 3))
    assert table.accuracy([0.5]) == "50.00 (1 seed)" and table.accuracy([0.5, 0.5, 0.1]) == "36.67 +- 13.33"
    line = next(line for line in text.splitlines() if line.startswith("| linear, a grid a tensor | `tensor2` | 2 | +"))
    # All seeds are equal here: 0.9 for the rectified row, 0.7 for the plain one, 0.7 for fp32.
    assert line.split("|")[5:7] == [" +20.00 +- 0.00 ", " yes "], line
print("the plan is in order")
