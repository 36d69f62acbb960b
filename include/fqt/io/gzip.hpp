#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Files compressed with gzip, unpacked by zlib. A header of its own, so that a program which reads no compressed file
// need not link with -lz.

#include <fqt/core/fail.hpp>
#include <fqt/io/idx.hpp>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>
#include <zlib.h>

namespace fqt {

/// The contents of a file, unpacked; a file that is not compressed is read as it is. Errors: a file that is missing,
/// cut short or damaged, and one that unpacks to more than `limit` bytes, which keeps a bad file from filling the
/// memory.
inline std::vector<std::uint8_t> gunzip(const std::string& path, std::uint64_t limit = std::uint64_t{1} << 32) {
    struct closer {
        void operator()(gzFile file) const { gzclose_r(file); }
    };
    errno = 0;
    const std::unique_ptr<std::remove_pointer_t<gzFile>, closer> file(gzopen(path.c_str(), "rb"));
    if (!file)
        fail("the file %s cannot be opened (%s); check the path", path.c_str(),
             errno ? std::strerror(errno) : "out of memory");

    // zlib tells of a stream that ends too early only after its last bytes are handed out, hence the question at the
    // end.
    const auto problem = [&]() -> const char* {
        int code = Z_OK;
        const char* text = gzerror(file.get(), &code);
        if (code == Z_OK || code == Z_STREAM_END) return nullptr;
        if (code == Z_BUF_ERROR) return "it ends too early";
        return code == Z_ERRNO ? std::strerror(errno) : text;
    };
    std::vector<std::uint8_t> bytes;
    std::size_t used = 0;
    for (;;) {
        constexpr std::size_t chunk = std::size_t{1} << 20;
        bytes.resize(used + chunk);
        const int got = gzread(file.get(), bytes.data() + used, static_cast<unsigned>(chunk));
        if (got > 0) used += static_cast<std::size_t>(got);
        if (const char* what = problem())
            fail("the file %s cannot be unpacked (%s); it is cut short or damaged, so fetch it again", path.c_str(),
                 what);
        if (used > limit)
            fail("the file %s unpacks to more than %llu bytes; check that it is the right one, or raise gunzip's limit",
                 path.c_str(), static_cast<unsigned long long>(limit));
        if (got <= 0) break;
    }
    bytes.resize(used);
    return bytes;
}

/// Reads an IDX file, compressed with gzip or plain. Errors: those of gunzip and parse_idx.
inline idx_array read_idx_gz(const std::string& path) { return parse_idx(gunzip(path), path); }

} // namespace fqt
