#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// How many products one int32 sum may hold.
//
// Sums are formed modulo 2^32, in any order, with any intermediate value: only the final true sum must fit. Two cases:
//   unsigned codes a in [0, 255]:       |a * w| <= 255 * 128, and the sum is the result;
//   signed codes a in [-128, 127]:      the sum of (a + 128) * w, plus a start of -128 times the sum of w, is congruent
//                                       to the sum of a * w, and |a * w| <= 128 * 128.
// (Weights and gradients use -127 to 127; -128 is allowed for here all the same.)

#include <cstdint>
#include <limits>

namespace fqt::kernels {

/// Products whose sum always fits int32. Longer sums are added in float, one run of products after another.
inline constexpr std::int64_t longest_sum = std::numeric_limits<std::int32_t>::max() / (255 * 128);

static_assert(longest_sum == 65793);
static_assert(longest_sum * 255 * 128 <= std::numeric_limits<std::int32_t>::max());
static_assert(longest_sum * 128 * 128 <= std::numeric_limits<std::int32_t>::max());

} // namespace fqt::kernels
