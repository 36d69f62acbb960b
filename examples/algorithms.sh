#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Trains the quickstart's network on Fashion-MNIST by every published algorithm, with and without rectified batch
# normalization, three seeds and two epochs each, and prints the table of docs/algorithms.md. Hours on two cores; what
# the results file has already is not run again, so it can be stopped and called anew at any time.
#
#   examples/algorithms.sh [--speed] [--only NAME] [--seeds N] [--file FILE.jsonl]
#
# --speed  measures the time of a training step instead; the machine must be quiet
# --file   where results are appended; docs/results/algorithms.jsonl unless given
#
# On Debian, packages that are missing are installed first. The build is kept in build/algorithms.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then sed -n '3,14s/^# \?//p' "$0"; exit 0; fi

. tests/packages.sh
install_packages "g++ meson ninja-build pkg-config python3 libxsimd-dev zlib1g-dev" "dataset-fashion-mnist"

build=build/algorithms
mkdir -p build docs/results
if [ ! -f $build/build.ninja ]; then
    meson setup $build -Dtests=disabled -Dbenchmarks=disabled -Ddocs=disabled -Dexamples=enabled >$build.log 2>&1 \
        || { cat $build.log; exit 1; }
fi
echo "building (ten minutes or so: some 25 networks, each compiled whole)"
ninja -C $build examples/algorithms >$build.log 2>&1 || { cat $build.log; exit 1; }

file=docs/results/algorithms.jsonl
for ((i = 1; i < $#; ++i)); do
    if [ "${!i}" = --file ]; then next=$((i + 1)); file=${!next}; fi
done
$build/examples/algorithms --file "$file" "$@"
python3 examples/algorithms/table.py "$file"
