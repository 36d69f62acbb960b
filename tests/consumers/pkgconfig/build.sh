#!/bin/sh
# Builds the program with nothing but pkg-config, and says on its first line what was run.
set -eux
$CXX -std=c++20 $(pkg-config --cflags fqt) program.cpp $(pkg-config --libs fqt) -o consumer
