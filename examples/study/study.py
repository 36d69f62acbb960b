#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the study: does rectification close the gap of quantized gradients? One line of JSON a run, appended to a file;
what the file has already is not run again, and a run that was under way goes on from its last epoch, so it can be
stopped and called anew at any time.

Usage: study.py --program <fqt> --data <folder of CIFAR-10> [--file FILE] [--runs DIR] [--jobs N] [--plan] [stage ...]

Stages, each of which needs the results of those before it:
  rates     learning rate of every row, on held-out training images; other multiples of the rms at which a grid ends
  forms     form and weight of a rectifier of gains, on held-out training images, for the two rows with a grid a tensor
  weights   weight of the chosen form for every row, and rate with bounded branches, on held-out training images
  test      tier 1: every row with and without the rectifier, three seeds, on the test set, which nothing above has seen
  whole     for a grid a tensor of 4 bits that ends at 12 rms, two rates that tied, held out after whole runs, and the
            form of a rectifier that helps at 4 bits at the better of them, held out and on the test set
  parts     tier 2: other formats, one seed or three, and ablations, on the test set; a form's weight over decades, held
            out
  deep      ResNet-56 at the rates of ResNet-20, rows with the least noise and the most, on the test set
  more      tier 3: 30 and 200 epochs, deeper and wider networks, CIFAR-100, one seed, on the test set; not among the
            stages by default
Every row of tier 1 is tuned by the same rule: three rates, and further ones by factors of two for as long as the best
is at an end; rectified, at that rate, three weights of the chosen form, and rates with bounded branches by the same
rule. The best of them is tested. Rows of tiers 2 and 3 are not tuned; they take the rate of a row of tier 1, and where
a row of tier 2 learns nothing at it, a quarter.
"""
import argparse
import concurrent.futures
import difflib
import hashlib
import itertools
import json
import pathlib
import shutil
import subprocess
import sys
import threading

NETWORK = "resnet20"
TEST_EPOCHS, TUNE_EPOCHS, HELD_OUT, TUNE_SEED = 15, 3, 5000, 101
SEEDS = [1, 2, 3]
STAGES = ["rates", "forms", "weights", "test", "whole", "parts", "deep", "more"]
RATES = [0.1, 0.2, 0.4]
# Tier 1. The first four have no rectifier: float gradients, and blocks that add little noise.
PLAIN_ROWS = ["fp32", "w8a8", "blocks4", "blocks3"]
ROWS = ["tensor8", "tensor4", "tensor4-rms12", "tensor2", "w8a8g4", "w8a8g2", "luq4", "luq2", "blocks2"]
# Multiples of the rms at which a grid ends, and a grid without, held out at the rate of the row that has none.
MULTIPLES = {"tensor4-rms6": "tensor4", "tensor4-rms24": "tensor4", "sample3": "w8a8g4", "sample3-rms6": "w8a8g4",
             "sample3-rms12": "w8a8g4", "sample2-rms3": "w8a8g2", "sample2-rms6": "w8a8g2"}
# A second rate that is tested, since after 3 epochs held out it was 0.02 points from the best.
TIED = {"tensor4-rms12": 0.2}
# Tier 2, with the row that each is a change of: it is not tuned, but has that row's rate.
PARTS = {"sample3": "w8a8g4", "tensor3": "tensor4", "luq4-sample": "luq4", "luq3": "luq4", "channel4": "tensor4",
         "split4": "w8a8g4", "split3": "w8a8g4", "split2": "w8a8g2", "averaged3": "w8a8g4", "averaged2": "w8a8g2",
         "clipped3": "w8a8g4", "clipped2": "w8a8g2", "sample2-rms3": "w8a8g2", "blocks2-8": "blocks2",
         "blocks2-independent": "blocks2", "dorefa4": "w8a8g4", "bhq4": "w8a8g4", "ui8": "tensor8", "daint8": "tensor8",
         "niti": "tensor8", "sbm": "tensor8"}
COMPARED = ["split4", "bhq4", "sample3", "luq4-sample"]  # those that a goal rests on, or is measured by: further seeds
LONG_RUNS = [("resnet20", 30), ("resnet20", 200), ("resnet56", 30), ("mobilenet-v2", 30), ("resnet20-100", 30)]
OTHER_NETWORKS = {"sbm": "resnet20-range"}
OTHER_OPTIMIZERS = {"ui8": "deviating", "niti": "niti"}
OWN_RATES = {"niti"}  # optimizers that take neither rate nor decay
FORM_ROWS = ["tensor4", "tensor2"]
START_ROWS = ["tensor2", "w8a8g2"]
DEEP, DEEP_ROWS, DEEP_LAST_GAMMA = "resnet56", ["tensor8", "tensor4", "tensor4-rms12", "tensor2", "w8a8g4"], 0.03
SIGMA_FORMS, SIGMA_WEIGHT = ["gain_energy", "gain_energy-through_sigma"], 1e-2
CREST = ("tensor4", "gain_crest-quantized", 1e-2)
DECADES = [1e-4, 1e-1, 1.0]  # weights of the chosen form beside those of the forms and the tuning
FORMS = ["gain_energy", "gain_hinge", "gain_crest", "gain_crest-quantized", "even_gains-quantized",
         "unit_gain-through_sigma"]
FORM_WEIGHTS = [1e-3, 1e-2]
FORM_SEEDS = [101, 102]
FORM_RATE = 0.1  # at which forms are compared
WEIGHT_FACTORS = [0.3, 1, 3]
BRANCHES = {"rectifier": "bounded_branches", "rectification": 1.0, "last_gamma": 0.1}
BRANCH_RATE_FACTORS = [1, 2, 4]

# What tells one run from another, with what it is where a run does not say.
SETTINGS = {"network": NETWORK, "scheme": "", "optimizer": "sgd", "rectifier": "none", "rectification": 0.0,
            "rate": 0.1, "epochs": TEST_EPOCHS, "seed": 1, "split": "test", "decay": 5e-4, "decay_gamma": 0.0,
            "last_gamma": 1.0, "mixup": 0.0, "cutout": 0}


def key(run):
    return tuple(round(run[k], 9) if isinstance(run[k], float) else run[k] for k in SETTINGS)


def run_of(label, scheme, **changes):
    return {**SETTINGS, "scheme": scheme, "label": label, **changes}


def lines_of(path):
    """The runs of a file of results, without lines that a full disk has cut short."""
    for number, line in enumerate(path.read_text("utf-8", "replace").splitlines(), 1):
        try:
            if line:
                yield json.loads(line)
        except json.JSONDecodeError:
            print(f"{path}: line {number} is no run and is left out", file=sys.stderr)


def append(path, run):
    """On a line of its own, also behind one that was cut short."""
    with open(path, "a+b") as file:
        if file.tell() > 0:
            file.seek(-1, 2)
            if file.read(1) != b"\n":
                file.write(b"\n")
        file.write(json.dumps(run).encode() + b"\n")


def chance(network):
    return 0.01 if network.endswith("-100") else 0.1


class Results:
    def __init__(self, path):
        self.runs = {}
        if path.exists():
            for run in lines_of(path):
                self.runs[key({k: type(v)(run.get(k, v)) for k, v in SETTINGS.items()})] = run

    def accuracy(self, run):
        """Share of right answers; a run that diverged counts as chance. None: not run yet."""
        found = self.runs.get(key(run))
        return None if found is None else found["accuracy"] or chance(run["network"])

    def best(self, runs):
        """The run with the greatest mean over its seeds, or None where one is missing. runs: lists of equal runs."""
        means = [[self.accuracy(r) for r in group] for group in runs]
        if any(a is None for group in means for a in group):
            return None
        return max(zip(means, runs), key=lambda pair: sum(pair[0]) / len(pair[0]))[1][0]


def tuned(label, scheme, **changes):
    return run_of(label, scheme, **{"epochs": TUNE_EPOCHS, "split": "held out", "seed": TUNE_SEED, **changes})


def rate_runs(results, label, scheme, rates, **changes):
    """Runs at these rates, and beyond them by factors of two for as long as the best known is at an end."""
    runs = [[tuned(label, scheme, rate=rate, **changes)] for rate in rates]
    while (best := results.best(runs)) is not None and best in (runs[0][0], runs[-1][0]):
        others = [run for run, in runs if run is not best]
        if results.accuracy(best) <= max(results.accuracy(run) for run in others):
            break  # all at chance, say: there is nothing to follow
        if best is runs[0][0]:
            runs.insert(0, [{**best, "rate": best["rate"] / 2}])
        else:
            runs.append([{**best, "rate": best["rate"] * 2}])
    return runs


def form_runs(scheme):
    return {(form, weight): [tuned("forms", scheme, rate=FORM_RATE, rectifier=form, rectification=weight, seed=seed)
                             for seed in FORM_SEEDS]
            for form, weight in itertools.product(FORMS, FORM_WEIGHTS)}


def best_rate(results, scheme):
    run = results.best(rate_runs(results, "rates", scheme, RATES))
    return run and run["rate"]


def best_form(results):
    """Form and weight with the greatest mean over rows and seeds."""
    groups = [form_runs(scheme) for scheme in FORM_ROWS]
    run = results.best([sum((group[choice] for group in groups), []) for choice in groups[0]])
    return run and (run["rectifier"], run["rectification"])


def weight_runs(results, scheme):
    """What a rectified row is chosen from."""
    rate, form = best_rate(results, scheme), best_form(results)
    if rate is None or form is None:
        return None
    gains = [[tuned("weights", scheme, rate=rate, rectifier=form[0], rectification=factor * form[1])]
             for factor in WEIGHT_FACTORS]
    return gains + branch_runs(results, scheme, rate)


def branch_runs(results, scheme, rate):
    return rate_runs(results, "weights", scheme, [factor * rate for factor in BRANCH_RATE_FACTORS], **BRANCHES)


def rectified(results, label, scheme, **changes):
    """The rectified run of a row, or None where it is not tuned yet."""
    weights = weight_runs(results, scheme)
    best = weights and results.best(weights)
    return best and run_of(label, scheme, **{k: best[k] for k in ("rate", *BRANCHES)}, **changes)


def runs_of(stage, results):
    """The runs of a stage, as far as earlier results say what they are."""
    if stage == "rates":
        for scheme in PLAIN_ROWS + ROWS:
            yield from sum(rate_runs(results, "rates", scheme, RATES), [])
        for scheme, like in MULTIPLES.items():
            if (rate := best_rate(results, like)) is not None:
                yield tuned("rates", scheme, rate=rate)
    elif stage == "forms":
        for scheme in FORM_ROWS:
            yield from (tuned("forms", scheme, rate=FORM_RATE, seed=seed) for seed in FORM_SEEDS)
            yield from sum(form_runs(scheme).values(), [])
    elif stage == "weights":
        for scheme in ROWS:
            yield from sum(weight_runs(results, scheme) or [], [])
    elif stage == "test":
        for seed, scheme in itertools.product(SEEDS, PLAIN_ROWS + ROWS):
            if (rate := best_rate(results, scheme)) is None:
                continue
            for tested in dict.fromkeys([rate, TIED.get(scheme, rate)]):
                yield run_of("test", scheme, rate=tested, seed=seed)
            if scheme in ROWS and (run := rectified(results, "test", scheme, seed=seed)):
                yield run
    elif stage == "whole":
        for scheme, tied in TIED.items():
            if (rate := best_rate(results, scheme)) is None:
                continue
            plain = [[tuned("whole", scheme, epochs=TEST_EPOCHS, rate=r)]
                     for r in dict.fromkeys([rate, tied])]
            yield from sum(plain, [])
            if (best := results.best(plain)) is not None:
                crest = {"rectifier": CREST[1], "rectification": CREST[2]}
                yield {**best, **crest}
                yield from (run_of("whole", scheme, rate=best["rate"], seed=seed, **crest) for seed in SEEDS)
    elif stage == "parts":
        for scheme, like in PARTS.items():
            if (rate := best_rate(results, like)) is not None:
                optimizer = OTHER_OPTIMIZERS.get(scheme, "sgd")
                run = run_of("parts", scheme, rate=SETTINGS["rate"] if optimizer in OWN_RATES else rate,
                             network=OTHER_NETWORKS.get(scheme, NETWORK), optimizer=optimizer)
                yield run
                learnt = results.accuracy(run)
                if learnt is not None and learnt < chance(NETWORK) + 0.05 and optimizer not in OWN_RATES:
                    yield {**run, "rate": rate / 4}
        for seed, scheme in itertools.product(SEEDS[1:], COMPARED):
            if (rate := best_rate(results, PARTS[scheme])) is not None:
                yield run_of("parts", scheme, rate=rate, seed=seed)
        for scheme in FORM_ROWS:
            if (rate := best_rate(results, scheme)) is not None:
                yield run_of("ablation", scheme, rate=rate, last_gamma=0.0)
                yield run_of("ablation", scheme, rate=rate, decay_gamma=5e-4)
        for scheme in START_ROWS:  # bounded branches without their loss: what the start alone does
            if (run := rectified(results, "ablation", scheme)) and run["last_gamma"] != 1:
                yield {**run, "rectifier": "none", "rectification": 0.0}
                if scheme in FORM_ROWS:  # and a smaller start, as ResNet-56 has it
                    yield {**run, "last_gamma": DEEP_LAST_GAMMA}
        if (rate := best_rate(results, CREST[0])) is not None:  # the form that helped most at 4 bits, held out
            for seed in SEEDS:
                yield run_of("ablation", CREST[0], rate=rate, rectifier=CREST[1], rectification=CREST[2], seed=seed)
        if (rate := best_rate(results, "tensor4")) is not None:  # sigma a constant, or not
            for form in SIGMA_FORMS:
                yield run_of("ablation", "tensor4", rate=rate, rectifier=form, rectification=SIGMA_WEIGHT)
        if (form := best_form(results)) is not None:
            for weight in DECADES:
                yield tuned("decades", "tensor4", rate=FORM_RATE, rectifier=form[0], rectification=weight)
    elif stage == "deep":
        for scheme in DEEP_ROWS:
            if (rate := best_rate(results, scheme)) is None:
                continue
            yield run_of("deep", scheme, network=DEEP, rate=TIED.get(scheme, rate))
            if scheme == CREST[0]:
                yield run_of("deep", scheme, network=DEEP, rate=rate, rectifier=CREST[1], rectification=CREST[2])
            if scheme in FORM_ROWS and (best := results.best(branch_runs(results, scheme, rate))) is not None:
                run = run_of("deep", scheme, network=DEEP, **{**BRANCHES, "last_gamma": DEEP_LAST_GAMMA},
                             rate=best["rate"])
                yield run
                if scheme in START_ROWS:  # what the start alone does
                    yield {**run, "rectifier": "none", "rectification": 0.0}
    elif stage == "more":
        # With the rates of ResNet-20 after 15 epochs.
        for network, epochs in LONG_RUNS:
            for scheme in ["fp32", "w8a8", "tensor4", "w8a8g4"] + ["tensor8"] * (network == NETWORK):
                if (rate := best_rate(results, scheme)) is None:
                    continue
                yield run_of("more", scheme, network=network, epochs=epochs, rate=rate)
                if scheme in ROWS and (run := rectified(results, "more", scheme, network=network, epochs=epochs)):
                    yield run
    else:
        raise ValueError(stage)


def command(run, program, data, file):
    words = [program, "train", "--quiet", "--threads", "1", "--data", data, "--results", str(file)]
    for name in ("label", "network", "scheme", "optimizer", "rectifier", "rectification", "rate", "epochs", "seed",
                 "decay", "decay_gamma"):
        if run["optimizer"] not in OWN_RATES or name not in ("rate", "decay", "decay_gamma"):
            words += ["--" + name.replace("_", "-"), str(run[name])]
    for name in ("mixup", "cutout"):
        words += ["--" + name, str(run[name])] * (run[name] > 0)
    words += ["--last-gamma", str(run["last_gamma"])] * (run["last_gamma"] != 1)
    words += ["--held-out", str(HELD_OUT)] * (run["split"] == "held out")
    return words


def data_of(run, arguments):
    """The folder of the run's data set, or None where it was not given."""
    return arguments.data_100 if run["network"].endswith("-100") else arguments.data


def train(run, arguments):
    """One run, in a folder of its own as long as it is under way: after a stop it goes on from the checkpoint there."""
    name = repr((str(arguments.file.resolve()), key(run)))  # another results file measures anew
    folder = arguments.runs / hashlib.sha256(name.encode()).hexdigest()[:16]
    words = command(run, arguments.program, data_of(run, arguments), arguments.file) + ["--run", str(folder)]
    words += ["--resume"] * (folder / "checkpoint.fqt").exists()
    done = subprocess.run(words, text=True, capture_output=True)
    if done.returncode != 0 and "lower the learning rate" not in done.stderr:
        sys.exit(f"{' '.join(words)}\n{done.stderr}")
    shutil.rmtree(folder, ignore_errors=True)
    if done.returncode == 0:
        return done.stdout.strip()
    append(arguments.file, {**run, "accuracy": 0.0, "note": done.stderr.strip()})  # that it diverged is a result, too
    return f"{run['scheme']} diverged"


def train_all(runs, arguments):
    """Prints what each run says. Where one fails, those under way go on to their end, and no further one begins."""
    failed = threading.Event()

    def train_one(run):
        if failed.is_set():
            return None  # which nobody sees: the failed run comes before
        try:
            return train(run, arguments)
        except BaseException:
            failed.set()
            raise

    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        for text in pool.map(train_one, runs):
            print(text, flush=True)


def at_least_one(word):
    if int(word) < 1:
        raise argparse.ArgumentTypeError("1 or more")
    return int(word)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)
    parser.add_argument("--program", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--data-100", help="folder of CIFAR-100, which stage 'more' wants")
    parser.add_argument("--file", type=pathlib.Path, default=pathlib.Path("docs/results/study.jsonl"))
    parser.add_argument("--runs", type=pathlib.Path, default=pathlib.Path("build/study/runs"),
                        help="folder for checkpoints of runs under way")
    parser.add_argument("--jobs", type=at_least_one, default=2)
    parser.add_argument("--plan", action="store_true", help="print the runs that are left and do not run them")
    parser.add_argument("stages", nargs="*", metavar="stage", default=STAGES[:-1])
    arguments = parser.parse_args()
    for stage in arguments.stages:
        if stage not in STAGES:
            near = difflib.get_close_matches(stage, STAGES, 1, 0)[0]
            sys.exit(f"there is no stage '{stage}'; the nearest is '{near}' of {', '.join(STAGES)}")
    for stage in arguments.stages:
        while True:  # results may ask for further runs of the same stage
            results = Results(arguments.file)
            known = list(runs_of(stage, results))
            if not known:
                print(f"{stage}: nothing yet; run the stages before it first", flush=True)
                break
            left = [run for run in known if results.accuracy(run) is None]
            without = [run for run in left if data_of(run, arguments) is None]
            left = [run for run in left if run not in without]
            print(f"{stage}: {len(left)} runs left" + f", {len(without)} more with --data-100" * bool(without),
                  flush=True)
            if arguments.plan:
                print("\n".join(" ".join(command(run, arguments.program, data_of(run, arguments), arguments.file))
                                for run in left))
            if arguments.plan or not left:
                break
            train_all(left, arguments)


if __name__ == "__main__":
    main()
