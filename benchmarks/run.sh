#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Builds and runs benchmarks, prints tables and appends the numbers to build/benchmarks/results.jsonl.
#
#   benchmarks/run.sh [--quick] [step]
#
# step     training steps of ResNet-20, beside libtorch's where that is installed (Debian: libtorch-dev)
# --quick  one short round of each
#
# On Debian, packages that are missing are installed first, the peers' too. Times need a machine that does nothing else.
set -euo pipefail
cd "$(dirname "$0")/.."

quick=()
for word in "$@"; do
    case "$word" in
        --help | -h) sed -n '3,10s/^# \?//p' "$0"; exit 0 ;;
        --quick) quick=(--quick) ;;
        step) ;;
        *) echo "there is no suite '$word'; there is: step"; exit 2 ;;
    esac
done

. tests/packages.sh
install_packages "g++ meson ninja-build pkg-config python3 libxsimd-dev" "libtorch-dev"

build=build/benchmarks
if [ ! -f $build/build.ninja ]; then
    mkdir -p build
    meson setup $build -Dtests=disabled -Dexamples=disabled -Ddocs=disabled -Dbenchmarks=enabled >$build.log 2>&1 \
        || { cat $build.log; exit 1; }
fi
echo "building"
ninja -C $build benchmarks >$build.log 2>&1 || { cat $build.log; exit 1; }
mapfile -t programs < <(find $build/benchmarks -maxdepth 1 -type f -executable -name '*_step*' | sort)
exec python3 benchmarks/step/step.py "${quick[@]}" $build/results.jsonl "${programs[@]}"
