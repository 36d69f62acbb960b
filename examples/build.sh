# SPDX-License-Identifier: BSD-3-Clause
# Sourced by the examples that are scripts.

# absolute_paths "<option> ..." <word ...>: sets `words` to the words, with the paths that follow such an option, or
# "=" behind it, made absolute: for scripts that leave their caller's folder.
absolute_paths() {
    local options=" $1 " option="" word
    shift
    words=()
    for word in "$@"; do
        if [[ -n $option ]]; then
            word=$(realpath -m -- "$word")
            option=""
        elif [[ $options == *" $word "* ]]; then
            option=$word
        elif [[ $word == --*=* && $options == *" ${word%%=*} "* ]]; then
            words+=("${word%%=*}")
            word=$(realpath -m -- "${word#*=}")
        fi
        words+=("$word")
    done
}

# build_example <name> <what to say>: builds examples/<name> in the folder $build, which is set up first.
build_example() {
    mkdir -p build
    python3 -B tests/set_up.py "$build" -Dtests=disabled -Dbenchmarks=disabled -Ddocs=disabled -Dexamples=enabled
    echo "building ($2)"
    ninja -C "$build" "examples/$1" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
}
