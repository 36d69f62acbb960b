#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What the study's small programs share: their arguments, <images> [count], and how they end.

#include <fqt/fqt.hpp>

#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>

namespace study {

/// CIFAR-10 from a folder, or few images made up where it is "generated": a program runs through, its figures are void.
inline fqt::train_and_test images(const std::string& folder) {
    return folder == "generated" ? fqt::split(fqt::generated_images(10, {3, 32, 32}, 300, fqt::seed{7}), 200)
                                 : fqt::cifar10(folder);
}

/// The whole number that a text is. Errors: none, or not from `least` to `most`.
inline int count(const char* text, const char* what, int least, int most) {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    if (*end || end == text || value < least || value > most)
        fqt::fail("'%s' is no number of %s; give %d to %d", text, what, least, most);
    return static_cast<int>(value);
}

/// main() of a program that is called with images and perhaps a count: run(images, count).
template <class Run>
int main(int argc, char** argv, const char* what, int unless_given, int least, Run&& run) {
    if (argc < 2 || argc > 3) {
        std::fprintf(stderr, "usage: %s <folder of CIFAR-10, or \"generated\"> [%s, %d unless given]\n", argv[0], what,
                     unless_given);
        return 2;
    }
    try {
        const int given = argc > 2 ? count(argv[2], what, least, 100'000) : unless_given;
        run(images(argv[1]), given);
        return 0;
    } catch (const std::exception& e) {
        std::fprintf(stderr, "%s\n", e.what());
        return 1;
    }
}

} // namespace study
