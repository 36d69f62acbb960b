#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// How fqt refuses bad input: one sentence that names the thing and the remedy. An exception where the program has them,
// a message and an end where it was built with -fno-exceptions.

#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>

namespace fqt {

/// What fqt throws. `what()` reads "fqt: <thing> <what is wrong>; <remedy>".
class error : public std::runtime_error {
public:
    using std::runtime_error::runtime_error;
};

/// Ends the operation with a message in printf's notation, by throwing `fqt::error` or, without exceptions, by
/// aborting.
[[noreturn]] [[gnu::format(printf, 1, 2)]] inline void fail(const char* format, ...) {
    std::va_list arguments, again;
    va_start(arguments, format);
    va_copy(again, arguments);
    const int length = std::vsnprintf(nullptr, 0, format, arguments);
    std::string text = "fqt: ";
    const std::size_t start = text.size(), room = static_cast<std::size_t>(length > 0 ? length : 0) + 1;
    text.resize(start + room);
    std::vsnprintf(text.data() + start, room, format, again);
    text.pop_back(); // the zero that ends it
    va_end(again);
    va_end(arguments);
#if defined(__cpp_exceptions)
    throw error(text);
#else
    std::fprintf(stderr, "%s\n", text.c_str());
    std::abort();
#endif
}

} // namespace fqt
