# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the examples that are scripts.

# build_example <name> <what to say>: builds examples/<name> in the folder $build, which is set up first.
build_example() {
    mkdir -p build
    python3 -B tests/set_up.py "$build" -Dtests=disabled -Dbenchmarks=disabled -Ddocs=disabled -Dexamples=enabled
    echo "building ($2)"
    ninja -C "$build" "examples/$1" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
}
