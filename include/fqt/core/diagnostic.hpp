#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// How a wrong shape becomes an error one can read. A diagnostic is a value: shape rules are constexpr functions that
// return a shape or the first mismatch, which tests can inspect; one template, `shape_check`, turns it into text.

#include <fqt/core/fixed_string.hpp>
#include <fqt/core/shape.hpp>

#include <algorithm>
#include <cstddef>
#include <string_view>

namespace fqt {

/// Short text that can be built in a constant expression. Compilers print up to 36 characters of it whole.
struct note {
    char chars[56]{};

    constexpr note() = default;
    constexpr note(std::string_view text) { append(text); }
    constexpr note(const char* text) : note(std::string_view{text}) {}

    constexpr std::string_view view() const { return {chars}; }
    constexpr void append(std::string_view text) {
        std::size_t size = view().size();
        for (const char c : text)
            if (size < sizeof(chars) - 1) chars[size++] = c;
    }
    constexpr void append(int number) {
        char digits[12]{};
        int size = 0;
        do digits[size++] = static_cast<char>('0' + number % 10);
        while (number /= 10);
        while (size > 0) append(std::string_view{&digits[--size], 1});
    }
    friend constexpr bool operator==(const note&, const note&) = default;
};

/// What does not fit, and where: "stage2[3].residual[0]".
struct mismatch {
    note what;
    shape expected, actual;
    note where{};
};

/// The shape a layer gives, or the first mismatch on the way to it.
struct inferred {
    shape value{};
    mismatch error{};
    bool ok = true;

    constexpr inferred() = default;
    constexpr inferred(shape s) : value(s) {}
    constexpr inferred(mismatch m) : error(m), ok(false) {}

    /// The same, reported as coming from element `index` of `name`.
    constexpr inferred within(std::string_view name, int index) const {
        inferred result = *this;
        if (ok) return result;
        result.error.where = note{name};
        result.error.where.append("[");
        result.error.where.append(index);
        result.error.where.append("]");
        if (!error.where.view().empty()) {
            result.error.where.append(".");
            result.error.where.append(error.where.view());
        }
        return result;
    }
};

/// Carries a mismatch in its template arguments, where compilers print it.
template <bool Fits, fixed_string Where, fixed_string What, shape Expected, shape Actual>
struct shape_check {};

template <fixed_string Where, fixed_string What, shape Expected, shape Actual>
struct shape_check<false, Where, What, Expected, Actual> {
    static_assert(Expected == Actual,
                  "fqt: shapes do not fit; shape_check<fits, where, what, expected, actual> says which");
};

namespace detail {

// Exactly as long as the text: compilers print a char array as text only if nothing but one NUL follows it.
template <std::size_t N>
constexpr fixed_string<N + 1> exact(const note& text) {
    fixed_string<N + 1> result;
    std::copy_n(text.chars, N, result.chars);
    return result;
}

// One variable each, since g++ 12 crashes on members of a class-type template argument.
template <const auto& Spec>
inline constexpr inferred shapes_of = Spec.output(shape{});
template <const auto& Spec>
inline constexpr bool fits_of = shapes_of<Spec>.ok;
template <const auto& Spec>
inline constexpr auto where_of = exact<shapes_of<Spec>.error.where.view().size()>(shapes_of<Spec>.error.where);
template <const auto& Spec>
inline constexpr auto what_of = exact<shapes_of<Spec>.error.what.view().size()>(shapes_of<Spec>.error.what);
template <const auto& Spec>
inline constexpr shape expected_of = shapes_of<Spec>.error.expected;
template <const auto& Spec>
inline constexpr shape actual_of = shapes_of<Spec>.error.actual;

} // namespace detail

/// A base class that refuses to exist when the shapes of `Spec` do not fit.
template <const auto& Spec>
using checked_shapes = shape_check<detail::fits_of<Spec>, detail::where_of<Spec>, detail::what_of<Spec>,
                                   detail::expected_of<Spec>, detail::actual_of<Spec>>;

} // namespace fqt
