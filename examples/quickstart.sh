#!/usr/bin/env bash
# SPDX-License-Identifier: BSD-3-Clause
# Trains a small ResNet on 60,000 real images with 8-bit weights and activations and 4-bit gradients in integer
# arithmetic, then compares gradient formats. Minutes on two cores, half an hour on two old ones without AVX-512.
#
#   examples/quickstart.sh [--quick]
#
# --quick  2,000 images, no comparison
#
# On Debian, packages that are missing are installed first. The build is kept in build/quickstart; the measured numbers
# are appended to build/quickstart/quickstart.jsonl.
set -euo pipefail
if [ "${1:-}" = --help ] || [ "${1:-}" = -h ]; then sed -n '3,11s/^# \?//p' "$0"; exit 0; fi
CDPATH='' cd "$(dirname "$0")/.."

. tests/packages.sh
. examples/build.sh
install_packages "g++ meson ninja-build pkg-config libxsimd-dev zlib1g-dev" "dataset-fashion-mnist"

build=build/quickstart
start=$SECONDS
build_example quickstart "a minute or two: six formats of the network, each compiled whole"
echo "built in $((SECONDS - start)) s"
cd $build
exec examples/quickstart "$@"
