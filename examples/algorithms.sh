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
case " $* " in *" --help "* | *" -h "*) sed -n '3,13s/^# \?//p' "$0"; exit 0 ;; esac
. "$(dirname "$0")/build.sh"
absolute_paths "--file" "$@"
CDPATH='' cd "$(dirname "$0")/.."

build=build/algorithms
file=docs/results/algorithms.jsonl
case " $* " in *" --quick "*) file=$build/quick.jsonl ;; esac # which is for trying out
for ((i = 0; i < ${#words[@]}; i++)); do
    word=${words[i]} value=${words[i + 1]:-}
    case "$word" in
        --quick | --speed) continue ;;
        --file) file=$value ;;
        --only) grep -qF "['$value', 'fqt::" examples/meson.build ||
                    { echo "no algorithm is called '$value'; docs/algorithms.md has the names"; exit 2; } ;;
        --seeds) [[ $value =~ ^[1-9][0-9]*$ ]] || { echo "--seeds takes how many, 1 or more"; exit 2; } ;;
        --part | --parts) ;;
        *) echo "there is no option '$word'; --help says what there is"; exit 2 ;;
    esac
    [ -n "$value" ] || { echo "$word takes a value"; exit 2; }
    i=$((i + 1))
done

. tests/packages.sh
install_packages "g++ meson ninja-build pkg-config python3 libxsimd-dev zlib1g-dev" "dataset-fashion-mnist"

mkdir -p docs/results
build_example algorithms "ten minutes or so: some 25 networks, each compiled whole"

$build/examples/algorithms --file "$file" "${words[@]}"
python3 examples/algorithms/table.py "$file"
