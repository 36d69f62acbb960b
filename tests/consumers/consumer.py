#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Builds tests/consumers/<kind> in a temporary folder, as a project that uses fqt, and runs it. `meson` has fqt as a
subproject, `cmake` and `pkgconfig` use an installed one. No instruction set, warning or macro may reach its command.

Usage: consumer.py meson|cmake|pkgconfig <root of the repository> <version> -- <compiler>
"""
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

# Flags of which build systems have their own, without fqt, and that of threads.
HARMLESS = re.compile(r"-(std=.*|[gcoI].*|O\d|l\w+|isystem|M[DFQT]|pipe|pthread|fdiagnostics-color.*|fPI[CE]"
                      r"|D_FILE_OFFSET_BITS=64|D_GLIBCXX_ASSERTIONS=1)$")


def run(*command, cwd, **environment):
    done = subprocess.run([str(word) for word in command], cwd=cwd, env=os.environ | environment, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if done.returncode:
        sys.exit(f"{done.stdout}\nfailed: {shlex.join(map(str, command))}")
    return done.stdout


def install(root, folder):
    """Installs fqt into `folder`/prefix, as a user would who wants the headers alone."""
    prefix = folder / "prefix"
    programs = [f"-D{name}=disabled" for name in ("tests", "examples", "benchmarks", "docs")]
    run("meson", "setup", folder / "fqt", root, "--prefix", prefix, *programs, cwd=folder)
    run("meson", "install", "-C", folder / "fqt", "--quiet", cwd=folder)
    here = {str(path.relative_to(root / "include")) for path in (root / "include").rglob("*.hpp")}
    there = {str(path.relative_to(prefix / "include")) for path in (prefix / "include").rglob("*.hpp")}
    if here != there:
        sys.exit(f"installed and written headers differ: {here ^ there}")
    return prefix


def compile_line(build):
    commands = json.loads((build / "compile_commands.json").read_text())
    return next(entry["command"] for entry in commands if entry["file"].endswith("program.cpp"))


def build_meson(root, project):
    copied = ("meson.build", "meson_options.txt", "include", "cmake", "tests", "examples", "benchmarks", "docs")
    for name in copied:
        source, target = root / name, project / "subprojects/fqt" / name
        if source.is_dir():
            shutil.copytree(source, target)
        elif source.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    run("meson", "setup", "build", "--wrap-mode=forcefallback", cwd=project)
    targets = json.loads(run("meson", "introspect", "build", "--targets", cwd=project))
    if [target["name"] for target in targets] != ["consumer"]:
        sys.exit("fqt builds programs of its own where it is a subproject")
    run("ninja", "-C", "build", cwd=project)
    return project / "build/consumer", compile_line(project / "build")


def build_cmake(root, project):
    prefix = install(root, project)
    options = [f"-DCMAKE_PREFIX_PATH={prefix}", "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON"]
    run("cmake", "-G", "Ninja", "-B", "build", *options, ".", cwd=project)
    run("cmake", "--build", "build", cwd=project)
    # Who has xsimd alone, without xtensor's xtl, compiles as well.
    run("cmake", "-G", "Ninja", "-B", "without", *options, "-DCMAKE_DISABLE_FIND_PACKAGE_xtl=ON", ".", cwd=project)
    run("cmake", "--build", "without", cwd=project)
    return project / "build/consumer", compile_line(project / "build")


def build_pkgconfig(root, project):
    prefix = install(root, project)
    output = run("./build.sh", cwd=project, PKG_CONFIG_PATH=str(prefix / "share/pkgconfig"))
    return project / "consumer", next(line for line in output.splitlines() if "program.cpp" in line)


def main(kind, root, version, _, *compiler):
    os.environ["CXX"] = shlex.join(compiler)
    os.environ.pop("CXXFLAGS", None)
    root = pathlib.Path(root)
    with tempfile.TemporaryDirectory() as folder:
        project = pathlib.Path(folder) / "project"
        shutil.copytree(root / "tests/consumers" / kind, project)
        shutil.copy(root / "tests/consumers/program.cpp", project)
        builders = {"meson": build_meson, "cmake": build_cmake, "pkgconfig": build_pkgconfig}
        program, command = builders[kind](root, project)
        output = run(program, cwd=project)
    if output != f"fqt {version}: 3x32x32 -> 16x16x16\n":
        sys.exit("the program printed something else")
    leaked = [word for word in shlex.split(command) if word.startswith("-") and not HARMLESS.match(word)]
    if leaked:
        sys.exit(f"{leaked} in {command}")
    print(f"{command}\n{output}")


if __name__ == "__main__":
    main(*sys.argv[1:])
