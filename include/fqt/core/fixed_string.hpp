#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A string that can be a template argument: named<"stem">(...).

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace fqt {

template <std::size_t N>
struct fixed_string {
    char chars[N]{};

    constexpr fixed_string() = default;
    constexpr fixed_string(const char (&text)[N]) { std::copy_n(text, N, chars); }

    constexpr std::string_view view() const { return {chars}; }
    friend constexpr bool operator==(const fixed_string&, const fixed_string&) = default;
};

} // namespace fqt
