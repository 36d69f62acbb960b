#pragma once
// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/train/check_result.hpp>

#include <doctest/doctest.h>

namespace support {

/// Whether a check of the library's found nothing; what it found otherwise is printed.
inline bool found_nothing(const fqt::check_result& r) {
    if (!r.ok) MESSAGE(r.log);
    return r.ok;
}

} // namespace support
