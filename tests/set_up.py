#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Sets up a build folder, for the compiler that CXX names. One that is there already is set up again, since packages
may have come or gone, and from the start if it was for another compiler, which Meson would keep; what programs wrote
there stays.

Usage: set_up.py <build folder> [meson option ...]
"""
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def set_up(build, *options, **environment):
    """What Meson says, and whether the folder is set up."""
    environment = os.environ | environment
    again, compiler, note = [], environment.get("CXX", ""), build / "compiler.txt"
    if (build / "build.ninja").exists():
        if note.exists() and note.read_text() != compiler:
            shutil.rmtree(build / "meson-private")  # all that Meson remembers; Ninja sees that commands have changed
        else:
            again = ["--reconfigure"]
    done = subprocess.run(["meson", "setup", *again, *options, build, ROOT], env=environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode == 0:
        note.write_text(compiler)
    return done.stdout, done.returncode == 0


def main():
    output, good = set_up(pathlib.Path(sys.argv[1]).resolve(), *sys.argv[2:])
    if not good:
        print(output)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
