// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/io/gzip.hpp>

#include <doctest/doctest.h>

#include "compressed.hpp"
#include <cstddef>
#include <cstdint>
#include <string>

using doctest::Contains;
using fqt_test::bytes, fqt_test::changed, fqt_test::compressed, fqt_test::folder, fqt_test::idx;

TEST_CASE("compressed and plain files are read alike by gunzip") {
    const folder place;
    bytes content(3000000);
    for (std::size_t i = 0; i < content.size(); ++i) content[i] = static_cast<std::uint8_t>(i * i / 1000);
    CHECK(fqt::gunzip(place.write("plain", content)) == content);
    CHECK(fqt::gunzip(place.write("packed.gz", compressed(content))) == content);
    CHECK(fqt::read_file(place.path + "/plain") == content);
    CHECK(fqt::read_idx_gz(place.write("idx.gz", compressed(idx({5})))).values == bytes{0, 1, 2, 3, 4});
    CHECK_THROWS_WITH_AS(fqt::read_idx(place.path + "/idx.gz"), Contains("compressed with gzip"), fqt::error);
}

TEST_CASE("files that are missing, folders or damaged are refused by name") {
    const folder place;
    CHECK_THROWS_WITH_AS(fqt::gunzip("/no/such/file"), Contains("/no/such/file cannot be opened (No such file"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(fqt::gunzip(place.path), Contains("Is a directory"), fqt::error);
    bytes noise(200000);
    std::uint32_t state = 1;
    for (std::uint8_t& byte : noise) byte = static_cast<std::uint8_t>((state = state * 1664525u + 1013904223u) >> 24);
    const bytes packed = compressed(noise);
    for (const std::size_t size : {std::size_t{12}, std::size_t{100000}, packed.size() - 9, packed.size() - 1}) {
        const std::string path = place.write("short.gz", changed(packed, [&](bytes& f) { f.resize(size); }));
        CHECK_THROWS_WITH_AS(fqt::gunzip(path), Contains("short.gz cannot be unpacked (it ends too early)"),
                             fqt::error);
    }
    CHECK_THROWS_WITH_AS(fqt::gunzip(place.write("bad.gz", changed(packed, [](bytes& f) { f[f.size() - 6] ^= 1u; }))),
                         Contains("bad.gz cannot be unpacked"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::gunzip(place.write("large.gz", packed), 199999), Contains("more than 199999 bytes"),
                         fqt::error);
    CHECK(fqt::gunzip(place.path + "/large.gz", 200000) == noise);
}
