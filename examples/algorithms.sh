#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Trains the quickstart's network on Fashion-MNIST by every published algorithm, with and without rectified batch
# normalization, three seeds and two epochs each, and prints the table of docs/algorithms.md. Hours on two cores; what
# the results file has already is not run again, so it can be stopped and called anew at any time.
#
#   examples/algorithms.sh [--speed] [--quick] [--only NAME] [--seeds N] [--file FILE.jsonl]
#
# --quick  one short epoch each on made-up pictures, results in build/algorithms
# --speed  measures the time of a training step instead; the machine must be quiet
# --file   where results are appended; docs/results/algorithms.jsonl unless given
#
# On Debian, packages that are missing are installed first. The build is kept in build/algorithms.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then sed -n '3,15s/^# \?//p' "$0"; exit 0; fi

. tests/packages.sh
. examples/build.sh
install_packages "g++ meson ninja-build pkg-config python3 libxsimd-dev zlib1g-dev" "dataset-fashion-mnist"

build=build/algorithms
mkdir -p docs/results
build_example algorithms "ten minutes or so: some 25 networks, each compiled whole"

file=docs/results/algorithms.jsonl
case " $* " in *" --quick "*) file=$build/quick.jsonl ;; esac # which is for trying out
for ((i = 1; i < $#; ++i)); do
    if [ "${!i}" = --file ]; then next=$((i + 1)); file=${!next}; fi
done
$build/examples/algorithms --file "$file" "$@"
python3 examples/algorithms/table.py "$file"
