# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the examples that are scripts.

# build_example <name> <what to say>: builds examples/<name> in the folder $build, which is set up unless that is done.
build_example() {
    mkdir -p build
    if [ ! -f "$build/build.ninja" ]; then
        meson setup "$build" -Dtests=disabled -Dbenchmarks=disabled -Ddocs=disabled -Dexamples=enabled \
            >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
    fi
    echo "building ($2)"
    ninja -C "$build" "examples/$1" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
}
