#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# The study of docs/results.md: ResNet-20 on CIFAR-10 in fp32, with float gradients, and with gradients of 8, 4 and 2
# bits on several grids, with and without rectified batch normalization. A day on two cores; what the results file has
# already is not run again, and a run that was stopped goes on from its last epoch: it can be called anew at any time.
#
#   examples/study.sh DIR [--file FILE] [--data-100 DIR] [--jobs N] [--plan] [stage ...]
#
# DIR         the folder of CIFAR-10's binary files
# --file      the results file, docs/results/study.jsonl unless given; another one measures everything anew
# --data-100  the folder of CIFAR-100's, for stage more
# stage       rates, forms, weights, test, whole, parts, deep or more (examples/study/study.py --help); all but more
#             unless given
#
# On Debian, packages that are missing are installed first. The build is kept in build/study.
set -euo pipefail
case " ${*:---help} " in *" --help "* | *" -h "*) sed -n '3,17s/^# \?//p' "$0"; exit 0 ;; esac
[ -d "$1" ] || { echo "there is no folder $1; the first word is that of CIFAR-10's binary files"; exit 2; }
data=$(realpath -- "$1")
shift
. "$(dirname "$0")/build.sh"
absolute_paths "--file --data-100 --runs" "$@"
CDPATH='' cd "$(dirname "$0")/.."
file=docs/results/study.jsonl
plan=no
for ((i = 0; i < ${#words[@]}; i++)); do
    case "${words[i]}" in
        --file) file=${words[i + 1]:-} ;;
        --plan) plan=yes ;;
    esac
done

planned=(python3 examples/study/study.py --program fqt --data "$data" --plan "${words[@]}")
if [ $plan = yes ]; then exec "${planned[@]}"; fi
if command -v python3 >/dev/null; then "${planned[@]}" >/dev/null; fi # wrong words show before the build

. tests/packages.sh
install_packages "g++ meson ninja-build pkg-config python3 libxsimd-dev zlib1g-dev libcli11-dev nlohmann-json3-dev \
    python3-matplotlib" ""

build=build/study
mkdir -p docs/results
build_example fqt "half an hour or so: some fifty networks, each compiled whole"

python3 examples/study/study.py --program $build/examples/fqt --data "$data" "${words[@]}"
python3 examples/study/table.py "$file"
python3 examples/study/plot.py "$file" "${file%.jsonl}.svg"
