#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds and runs benchmarks, prints tables and appends the numbers to build/benchmarks/results.jsonl.
#
#   benchmarks/run.sh [--quick] [--data DIR] [--epochs E] [suite ...]
#
# kernels    the three integer products of single layers: share of the machine's peak, and oneDNN beside them
# step       training steps of ResNet-20, a VGG and a small CNN beside libtorch's, and where a step's time goes
# inference  predictions of ResNet-20 beside libtorch's
# memory     the process's peak beside libtorch's, and the arena at 8, 4 and 2 bits
# compile    time and memory that compiling ResNet-20 takes, beside dlib's
# scaling    threads, depth and batch size
# accuracy   seconds of training to 80, 85 and 90 % on CIFAR-10 beside libtorch's: some 45 minutes; needs --data
# peers      everything that was found to compare with, on the same networks
# --quick    one short round of each
# --data     the folder of CIFAR-10's binary files
# --epochs   how many of them accuracy trains: 15 without
#
# Without a suite all of them run. On Debian, packages that are missing are installed first, the peers' too. Times need
# a machine that does nothing else.
set -euo pipefail
all="kernels step inference memory compile scaling peers accuracy"
suites=() options=()
while [ $# -gt 0 ]; do
    word=$1
    shift
    case "$word" in
        --help | -h) sed -n '3,20s/^# \?//p' "$0"; exit 0 ;;
        --quick) options+=(--quick) ;;
        --data)
            [ -d "${1:-}" ] || { echo "--data takes the folder of CIFAR-10's binary files"; exit 2; }
            options+=(--data "$(realpath -- "$1")")
            shift ;;
        --epochs)
            [[ "${1:-}" =~ ^[1-9][0-9]*$ ]] || { echo "--epochs takes a number from 1"; exit 2; }
            options+=(--epochs "$1")
            shift ;;
        *) case " $all " in
               *" $word "*) suites+=("$word") ;;
               *) echo "there is no suite '$word'; there are: $all"; exit 2 ;;
           esac ;;
    esac
done
[ ${#suites[@]} -gt 0 ] || read -ra suites <<<"$all"

CDPATH='' cd "$(dirname "$0")/.."
. tests/packages.sh
install_packages "g++ meson ninja-build pkg-config python3 libxsimd-dev" \
    "libtorch-dev libdnnl-dev libdlib-dev libopenblas-dev"

build=build/benchmarks
mkdir -p build
python3 -B tests/set_up.py $build -Dtests=disabled -Dexamples=disabled -Ddocs=disabled -Dbenchmarks=enabled
echo "building"
ninja -C $build "${suites[@]/#/bench_}" >$build.log 2>&1 || { tail -n 40 $build.log; exit 1; }
export PYTHONDONTWRITEBYTECODE=1
exec python3 benchmarks/run.py "${options[@]}" --build $build --compiler "${CXX:-c++}" "${suites[@]}"
