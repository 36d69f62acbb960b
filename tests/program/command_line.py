#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Runs the program as its users do: trains, is interrupted, resumes, reports, and is misused.

Usage: command_line.py <fqt, with lenet5 in w8a8g4> pictures|"no pictures"  (whether fqt reads PNG and JPEG)
"""
import gzip
import json
import math
import os
import pathlib
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import zlib

PROGRAM = str(pathlib.Path(sys.argv[1]).resolve())
TRAIN = ["train", "--data", "generated-grey", "--network", "lenet5", "--train-images", "600", "--rate", "0.05",
         "--batch", "32", "--quiet"]
failures = []


def with_option(name, value):
    """TRAIN with another value of an option that it has."""
    at = TRAIN.index(name)
    return TRAIN[:at] + [name, value] + TRAIN[at + 2:]



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
    expect(done.returncode > 0, f"{arguments} is refused, and nothing crashes")
    for word in words:
        expect(word in said, f"{arguments} is refused with '{word}', not: {said}")


def lines_of(path):
    return [json.loads(line) for line in pathlib.Path(path).read_text().splitlines()]


def without_times(lines):
    timed = {"seconds", "images_per_second", "command", "first_epoch"}
    return [{k: v for k, v in line.items() if k not in timed} for line in lines]


folder = tempfile.TemporaryDirectory()
os.chdir(folder.name)

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
expect(result["held_out"] == 0 and " images, " in result["training_set"], "and what it was trained on")
expect(sum(map(sum, log[-1]["confusion"])) == 1000 and len(log[-1]["wrong"]) == 40, "the log has what went wrong")
right = sum(row[n] for n, row in enumerate(log[-1]["confusion"]))
expect(right == round(1000 * result["accuracy"]), "and as many answers are right as the accuracy says")
alone = run(*TRAIN, "--epochs", "2", "--results", "alone.jsonl")
expect(alone.returncode == 0, f"a run without a folder ends well: {alone.stderr}")
alone = lines_of("alone.jsonl")[0]
expect(all(alone[k] == result[k] == log[-1][k] for k in ("loss", "accuracy")), "with the same outcome")
page = pathlib.Path("whole/report.html").read_text()
expect("lenet5" in page and "<svg" in page, "there is a report with curves")

# A network without batch normalization has a rate by which it learns, and one that does not learn is told of.
own = run("train", "--data", "generated-grey", "--network", "lenet5", "--epochs", "1", "--quiet", "--results",
          "own.jsonl")
expect(own.returncode == 0 and not own.stderr, f"there is nothing to tell of a run that learns: {own.stderr}")
own = lines_of("own.jsonl")[0]
expect(own["rate"] == 0.02 and own["accuracy"] > 0.6, f"it learns by the rate that it has: {own['accuracy']}")
idle = run(*with_option("--rate", "0"), "--epochs", "1")
expect(idle.returncode == 0 and "not below that of guessing (2.30" in idle.stderr and "lower --rate" in idle.stderr,
       f"that nothing was learnt is told: {idle.stderr}")

# A run that died after its first epoch: its folder as it was then.
first = run(*TRAIN, "--epochs", "2", "--run", "cut", "--threads", "1")
expect(first.returncode == 0, "another run ends well")
one = lines_of("cut/log.jsonl")
expect(one[-1]["accuracy"] == result["accuracy"], "one thread gives the same bits")
expect((one[0]["arena_bytes"] < log[0]["arena_bytes"]) == (log[0]["threads"] > 1), "the log has its threads' memory")
kept = [line for line in pathlib.Path("cut/log.jsonl").read_text().splitlines(True)][:3]
pathlib.Path("cut/log.jsonl").write_text("".join(kept) + '{"kind":"st')  # and a line that was cut short
os.remove("cut/report.html")
again = run(*TRAIN, "--epochs", "2", "--run", "cut", "--resume")
expect(again.returncode == 0 and os.path.exists("cut/report.html"), f"a finished run can be resumed: {again.stderr}")

# A disk that is full when the second epoch is logged: a limit on the size of files, which the log alone reaches.
full = run(*TRAIN, "--epochs", "2", "--run", "disk")
expect(full.returncode == 0, "a third run ends well")
kept = pathlib.Path("disk/log.jsonl").read_text().splitlines(True)[:3]
header = {**json.loads(kept[0]), "command": "x" * (4 << 20)}
pathlib.Path("disk/log.jsonl").write_text(json.dumps(header, separators=(",", ":")) + "\n" + "".join(kept[1:]))
limit = os.path.getsize("disk/log.jsonl") + 100


def limit_files():
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))


full = run(*TRAIN, "--epochs", "2", "--run", "disk", "--resume", preexec_fn=limit_files)
expect(full.returncode == 1 and "disk/log.jsonl" in full.stderr and "space" in full.stderr, f"full: {full.stderr}")
full = run(*TRAIN, "--epochs", "2", "--run", "disk", "--resume")
expect(full.returncode == 0, f"a run that a full disk has stopped resumes: {full.stderr}")
expect(lines_of("disk/log.jsonl")[-1]["accuracy"] == result["accuracy"], "and ends as if there had been space")

killed = subprocess.Popen([PROGRAM, *TRAIN, "--epochs", "16", "--run", "killed"], stdout=subprocess.DEVNULL)
while not os.path.exists("killed/checkpoint.fqt") and killed.poll() is None:
    pass
killed.kill()
killed.wait()
pathlib.Path("resumed.jsonl").write_text('{"label": "a line that was cut sho')
resumed = run(*TRAIN, "--epochs", "16", "--run", "killed", "--resume", "--results", "resumed.jsonl", "--label",
              os.fsdecode(b"\xff"))
expect(resumed.returncode == 0, f"a killed run resumes: {resumed.stderr}")
cut_line, line = pathlib.Path("resumed.jsonl").read_text().splitlines()
line, log = json.loads(line), lines_of("killed/log.jsonl")
expect(cut_line.endswith("sho"), "a line that was cut short stays by itself")
expect([e["epoch"] for e in line["curve"]] == list(range(1, 17)), "the curve has the epochs before, too")
seconds = {e["epoch"]: e["seconds"] for e in log if e["kind"] == "epoch"}
expect(line["seconds"] == log[-1]["seconds"], "log and results have the same seconds")
expect(math.isclose(line["seconds"], sum(seconds.values())), "which are those of all epochs")
expect("--run RUN --results FILE" in line["command"], f"the command names no place: {line['command']}")
expect("--resume" not in log[0]["command"] and "--run killed" in log[0]["command"], "a log's does")
expect([e["command"] for e in log if e["kind"] == "run"] == [log[0]["command"]] * 2, "also where the run is resumed")
straight = run(*TRAIN, "--epochs", "16", "--run", "straight")
expect(straight.returncode == 0, "a run of 16 epochs ends well")
epochs = {line["epoch"]: line for line in without_times(lines_of("killed/log.jsonl")) if line["kind"] == "epoch"}
expected = {line["epoch"]: line for line in without_times(lines_of("straight/log.jsonl")) if line["kind"] == "epoch"}
expect(epochs == expected, "a run that was killed and resumed has the numbers of one that was not")

reported = run("report", "whole", "-o", "page.html")
expect(reported.returncode == 0 and pathlib.Path("page.html").read_text() == page, "report makes the page again")

# A log that has lost the first epoch's lines, which a power failure can do, and the result.
kept = pathlib.Path("whole/log.jsonl").read_text().splitlines(True)
pathlib.Path("whole/log.jsonl").write_text("".join(kept[:1] + kept[3:]))
holes = run(*TRAIN, "--epochs", "2", "--run", "whole", "--resume")
expect(holes.returncode == 0 and "has 1 of the 2 epochs before" in holes.stderr, f"a hole is told: {holes.stderr}")

# Two runs in one folder.
first = subprocess.Popen([PROGRAM, *TRAIN, "--epochs", "10000", "--run", "shared"], stdout=subprocess.DEVNULL)
while not (os.path.exists("shared/log.jsonl") and os.path.getsize("shared/log.jsonl")) and first.poll() is None:
    pass
refuses(["shared/log.jsonl is being written by another run"], *TRAIN, "--epochs", "1", "--run", "shared")
first.kill()
first.wait()

refuses(["has a run already", "--resume"], *TRAIN, "--run", "whole")
refuses(["nothing to resume"], *TRAIN, "--run", "none", "--resume")
refuses(["epochs = 2", "go on with 3"], *TRAIN, "--epochs", "3", "--run", "whole", "--resume")
refuses(["seed = 1", "go on with 2"], *TRAIN, "--epochs", "2", "--seed", "2", "--run", "whole", "--resume")
refuses(["optimizer = sgd", "deviating"], *TRAIN, "--epochs", "2", "--optimizer", "deviating", "--run", "whole",
        "--resume")
refuses(["training set = 600 images", "550 images"], *with_option("--train-images", "550"), "--epochs", "2", "--run",
        "whole", "--resume")
refuses(["tested on"], *TRAIN, "--held-out", "50", "--epochs", "2", "--run", "whole", "--resume")
held = run(*TRAIN, "--epochs", "1", "--held-out", "50", "--run", "held")
expect(held.returncode == 0, f"a run on held-out images ends well: {held.stderr}")
refuses(["held-out set = 50 images", "40 images"], *TRAIN, "--epochs", "1", "--held-out", "40", "--run", "held",
        "--resume")

# Other optimizers.
for optimizer in ("deviating", "niti"):
    options = [w for w in TRAIN if optimizer != "niti" or w not in ("--rate", "0.05")]
    options += ["--epochs", "2", "--optimizer", optimizer, "--run", optimizer]
    other = run(*options, "--results", "others.jsonl")
    expect(other.returncode == 0, f"{optimizer} trains: {other.stderr}")
    other = run(*options, "--threads", "1", "--results", "others.jsonl", "--resume")
    expect(other.returncode == 0, f"a run by {optimizer} is resumed: {other.stderr}")
    known = [line["optimizer"] for line in lines_of("others.jsonl")]
    expect(known.count(optimizer) == 1 and "already" in other.stderr, f"its line is there already: {known}")
    other = run(*options, "--results", "others.jsonl", "--label", "again", "--resume")
    expect(lines_of("others.jsonl")[-1]["label"] == "again", "a line of another label is not")
    expect(lines_of("others.jsonl")[-1]["accuracy"] == lines_of("others.jsonl")[-2]["accuracy"], "and is the same")
    expect(lines_of("others.jsonl")[-1]["optimizer"] == optimizer, f"the result names {optimizer}")
    expect(lines_of("others.jsonl")[-1]["accuracy"] > 0.2, f"{optimizer} learns")
refuses(["optimizer called 'adam'", "'sgd'"], *TRAIN, "--optimizer", "adam")
refuses(["--rate", "rates of its own"], *TRAIN, "--optimizer", "niti")


# A folder of MNIST's files, and with some of them missing.
def write_idx(name, dims, values):
    with gzip.open(f"mnist/{name}.gz", "wb") as file:
        file.write(struct.pack(">HBB", 0, 8, len(dims)) + struct.pack(f">{len(dims)}I", *dims) + bytes(values))


os.makedirs("mnist")
for name, images in (("train", 64), ("t10k", 32)):
    write_idx(f"{name}-images-idx3-ubyte", (images, 28, 28), [n % 10 * 25 for n in range(images) for _ in range(784)])
    write_idx(f"{name}-labels-idx1-ubyte", (images,), [n % 10 for n in range(images)])
MNIST = ["train", "--data", "mnist", "--network", "lenet5", "--epochs", "1", "--quiet"]
digits = run(*MNIST, "--batch", "32", "--run", "digits")
expect(digits.returncode == 0, f"a folder of MNIST's files is read: {digits.stderr}")
expect(lines_of("digits/log.jsonl")[0]["classes"] == [str(n) for n in range(10)], "its classes are digits")
os.remove("mnist/t10k-labels-idx1-ubyte.gz")
refuses(["t10k-labels-idx1-ubyte", "missing"], *MNIST)
os.makedirs("cifar")
pathlib.Path("cifar/data_batch_2.bin").write_bytes(b"")
refuses(["cifar", "data_batch_1.bin"], "train", "--data", "cifar", "--network", "lenet5")
os.makedirs("pictures/train")
refuses(["pictures/"], "train", "--data", "pictures", "--network", "lenet5")


def write_png(path, height, width, grey):
    """A picture of one grey level."""
    def chunk(kind, content):
        body = kind + content
        return struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body))

    rows = (b"\0" + bytes([grey]) * width) * height
    os.makedirs(os.path.dirname(path), exist_ok=True)
    pathlib.Path(path).write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b""))


# Pictures of other sizes than the network's input.
for name, images in (("train", 64), ("test", 20)):
    for n in range(images):
        write_png(f"pictures/{name}/class{n % 10}/{n}.png", 20 + n, 90 - n, n % 10 * 25)
if sys.argv[2] == "pictures":
    PHOTOS = ["train", "--data", "pictures", "--network", "lenet5", "--epochs", "1", "--quiet", "--batch", "32"]
    refuses(["must be of one size", "--scale-pictures"], *PHOTOS)
    photos = run(*PHOTOS, "--scale-pictures", "--run", "photos")
    expect(photos.returncode == 0, f"pictures of all sizes are read: {photos.stderr}")
    expect(lines_of("photos/log.jsonl")[0]["classes"] == [f"class{n}" for n in range(10)], "folders are classes")
    refuses(["first 20 training images of pictures are of 3 of its 10 classes", "--train-images"], *PHOTOS,
            "--scale-pictures", "--train-images", "20")
    refuses(["there is no folder pictrues"], *[w.replace("pictures", "pictrues") for w in PHOTOS], "--scale-pictures")
refuses(["no network is called 'lenet'", "'lenet5'"], "train", "--data", "generated", "--network", "lenet")
refuses(["scheme called 'w8a8g3'", "'w8a8g4'"], *TRAIN, "--scheme", "w8a8g3")
refuses(["'gain_cest'", "'gain_crest'"], *TRAIN, "--rectifier", "gain_cest")
refuses(["without its weight"], *TRAIN, "--rectifier", "gain_crest")
refuses(["without a --rectifier"], *TRAIN, "--rectification", "0.1")
refuses(["lenet5 has no batch normalization to rectify", "leave --rectifier out"], *TRAIN, "--rectifier", "gain_crest",
        "--rectification", "0.1", "--run", "refused")
refuses(["'-1' is not a whole number"], *TRAIN, "--seed", "-1")
refuses(["empty name"], *TRAIN, "--run", "")
refuses(["--nesterov", "--momentum"], *TRAIN, "--nesterov", "--momentum", "0")
refuses(["--label", "--results"], *TRAIN, "--label", "mine")
for own in ("log.jsonl", "checkpoint.fqt", "../refused/report.html"):
    refuses(["--results refused/" + own, "keeps in its folder"], *TRAIN, "--run", "refused", "--results",
            "refused/" + own)
refuses(["'--netwrok'", "'--network'"], *TRAIN, "--netwrok", "lenet5")
refuses(["list ", "train ", "report "])
refuses(["'trian'", "'train'"], "trian", "--data", "generated-grey")
refuses(["no folder generatd", "'generated'"], "train", "--data", "generatd", "--network", "lenet5")
for place in ("nowhere/results.jsonl", "."):
    refuses([f"results file {place}", "directory"], *TRAIN, "--epochs", "1000000", "--results", place)
big = run(*with_option("--batch", "1000000"),
          preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30)))
expect(big.returncode == 1 and "smaller batch" in big.stderr, f"a batch beyond memory is refused: {big.stderr}")
refuses(["'0' is not a whole number from 1"], *TRAIN, "--epochs", "0")
refuses(["'2.5' is not a whole number from 1"], *TRAIN, "--epochs", "2.5")
refuses(["'' is not a whole number"], *TRAIN, "--pad", "")
refuses(["'99999999999999999999' is not a whole number from 0 to 18446744073709551615"], *TRAIN, "--seed", "9" * 20)
for rate in ("", "1e-50", "nan", "0.1x"):
    refuses([f"'{rate}' is not a number from 0"], *with_option("--rate", rate))
decimal = run(*TRAIN, "--epochs", "01", "--seed", "010", "--results", "decimal.jsonl")
expect(decimal.returncode == 0 and lines_of("decimal.jsonl")[0]["seed"] == 10, f"010 is ten: {decimal.stderr}")
refuses(["'cos'", "'cosine'"], *TRAIN, "--schedule", "cos")
refuses(["--no-flip"], *TRAIN, "--flip", "--no-flip")
refuses(["no residual blocks"], *TRAIN, "--last-gamma", "0", "--run", "refused")
refuses(["'-1' is not a number from 0"], *TRAIN, "--last-gamma", "-1")
expect(not os.path.exists("refused"), "what is refused leaves no folder of a run")
refuses(["3 x 32 x 32", "1 x 28 x 28"], "train", "--data", "generated", "--network", "lenet5")
refuses(["holds no data set"], "train", "--data", ".", "--network", "lenet5")
refuses(["nowhere"], "report", "nowhere")
refuses(["--scale-pictures", "no folders of PNG or JPEG files"], *TRAIN, "--scale-pictures")
if os.path.exists("/dev/full"):
    with open("/dev/full", "w") as full_disk:
        unseen = subprocess.run([PROGRAM, "list"], stdout=full_disk, stderr=subprocess.PIPE, text=True)
    expect(unseen.returncode == 1 and "cannot be written" in unseen.stderr, f"a full stdout is told: {unseen.stderr}")
    os.makedirs("full")
    os.symlink("/dev/full", "full/log.jsonl")
    refuses(["full/log.jsonl", "space"], *TRAIN, "--run", "full")

os.chdir("/")
folder.cleanup()
print(f"{len(failures)} failures")
sys.exit(bool(failures))
