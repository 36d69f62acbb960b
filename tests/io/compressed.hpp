#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Compressing, for the tests that need zlib.

#include <fqt/io/idx.hpp>

#include "files.hpp"
#include <zlib.h>

namespace fqt_test {

/// The contents of a gzip file that unpacks to `content`.
inline bytes compressed(const bytes& content) {
    const folder place;
    const std::string path = place.path + "/packed.gz";
    gzFile file = gzopen(path.c_str(), "wb");
    REQUIRE(file);
    REQUIRE(gzwrite(file, content.data(), static_cast<unsigned>(content.size())) == static_cast<int>(content.size()));
    REQUIRE(gzclose(file) == Z_OK);
    return fqt::read_file(path);
}

} // namespace fqt_test
