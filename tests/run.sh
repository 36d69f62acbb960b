#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds and runs the tests; the last line says how many passed and failed.
#
#   tests/run.sh [--long] [suite ...]
#
# --long   also the slow ones: statistics, training, sanitizers, and everything again with clang
# suite    core simd quant kernels layers models network train io program isa headers compile_fail snippets ...
#          (meson test -C build/tests --list); without any, all of them
#
# On Debian, packages that are missing are installed first. The build is kept in build/tests.
set -euo pipefail
needed=(g++ meson ninja-build pkg-config cmake python3 libxsimd-dev doctest-dev zlib1g-dev)
wanted=(libxtensor-dev libcli11-dev nlohmann-json3-dev qemu-user dataset-fashion-mnist
        libpng-dev libjpeg62-turbo-dev)
for word in "$@"; do
    if [ "$word" = --long ]; then wanted+=(clang-19 clang-format-14 dieharder chromium); fi
    if [ "$word" = --help ] || [ "$word" = -h ]; then sed -n '3,11s/^# \?//p' "$0"; exit 0; fi
done

CDPATH='' cd "$(dirname "$0")/.."
. tests/packages.sh
install_packages "${needed[*]}" "${wanted[*]}" || { echo "0 passed, 1 failed"; exit 1; }

exec python3 tests/run.py "$@"
