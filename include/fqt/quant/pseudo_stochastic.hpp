#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A rounding that takes its random number from the value itself, so that integer-only training needs no generator.

#include <fqt/quant/rounding.hpp>

namespace fqt {

/// NITI's pseudo-stochastic rounding (Wang et al. 2020; wangmaolin/niti, ti_torch.py): of the bits that rounding
/// discards, the upper half is the probability and the lower half the random number. Here the fraction f of |x| is cut
/// to 16 bits, 256 a + b with 0 <= a, b <= 255, and |x| goes up where a > b; the sign is put back.
/// Bias: of the 256 fractions with the same upper half a, exactly a go up. Their mean fraction is (a + 255/512) / 256,
/// so the mean result lies 255/512 / 256 = 0.00195 steps below the mean magnitude, for every a: towards zero. For one
/// fraction the result is always the same, and it does not keep order: (a, b) = (128, 0) goes up, (128, 200) down.
/// Values with fewer than 16 bits of fraction, such as magnitudes from 2^8 on in float, have zeros for random bits:
/// they go up wherever a > 0.
struct pseudo_stochastic {
    static constexpr const char* name = "pseudo_stochastic";
    static constexpr bool draws = false, ordered = false;
    static auto round(auto x, auto) {
        const auto magnitude = abs(detail::at_grid_point(x));
        const auto low = floor(magnitude);
        const auto discarded = floor((magnitude - low) * 0x1p16f);
        const auto upper = floor(discarded * 0x1p-8f);
        const auto up = low + where(upper > discarded - upper * 0x1p8f, 1.0f, 0.0f);
        return where(x < 0.0f, -up, up);
    }
};

} // namespace fqt
