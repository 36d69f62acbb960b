#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// How fqt refuses bad input: one sentence that names the thing and the remedy. An exception where the program has them,
// a message and an end where it was built with -fno-exceptions.

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>

namespace fqt {

/// What fqt throws. `what()` reads "fqt: <thing> <what is wrong>; <remedy>".
class error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Ends the operation with a message in printf's notation, by throwing `fqt::error` or, without exceptions, by
/// aborting.
[[noreturn]] [[gnu::format(printf, 1, 2)]] inline void fail(const char* format, ...) {
    char text[1024] = "fqt: ";
    std::va_list arguments;
    va_start(arguments, format);
    std::vsnprintf(text + 5, sizeof text - 5, format, arguments);
    va_end(arguments);
#if defined(__cpp_exceptions)
    throw error(text);
#else
    std::fprintf(stderr, "%s\n", text);
    std::abort();
#endif
}

} // namespace fqt
