#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Names of layers and of what they hold, in a fixed piece of memory: names are made without allocating.

#include <fqt/core/fail.hpp>

#include <cstddef>
#include <string_view>

namespace fqt {

/// A name built on the way down: "stage1.0.body.3". At most 95 characters; fails beyond.
class path {
public:
    constexpr path() = default;
    constexpr std::string_view view() const { return {chars_, size_}; }
    constexpr const char* c_str() const { return chars_; }
    constexpr operator std::string_view() const { return view(); }

    /// This name with one more part.
    [[gnu::noinline]] constexpr path operator/(std::string_view part) const {
        path result = *this;
        if (size_ > 0 && !part.empty()) result.append(".");
        result.append(part);
        return result;
    }
    [[gnu::noinline]] constexpr path operator/(int index) const {
        char digits[12]{};
        int n = 12;
        do digits[--n] = static_cast<char>('0' + index % 10);
        while (index /= 10);
        return *this / std::string_view{digits + n, static_cast<std::size_t>(12 - n)};
    }

private:
    constexpr void append(std::string_view text) {
        for (const char c : text) {
            if (size_ == sizeof(chars_) - 1)
                fail("the name '%s...' has more than %zu characters; give the parts shorter names, or nest them less",
                     chars_, sizeof(chars_) - 1);
            chars_[size_++] = c;
        }
    }
    char chars_[96]{};
    std::size_t size_{};
};

} // namespace fqt
