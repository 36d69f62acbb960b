#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Several roundings of one gradient, averaged.

#include <fqt/quant/hadamard.hpp>
#include <fqt/quant/quantizer.hpp>

namespace fqt {

/// A quantizer for weight gradients: dW is the mean of N products, each with its own random rounding of h, so that the
/// variance of rounding falls by N (Chmiel et al.: LUQ, ICLR 2023, "sampling-based mean of products", SMP). The input
/// gradient sees one rounding. Costs N times the product and N times the memory of the codes.
template <int N, class Quantizer>
struct mean_of : Quantizer {
    static_assert(N >= 1 && N <= 64, "fqt: mean_of<N, quantizer> takes 1 to 64 roundings");
    static_assert(quantizer_traits<Quantizer>::draws,
                  "fqt: mean_of<N, quantizer> needs a rounding that draws, such as stochastic; others give N times the "
                  "same");
    static_assert(!is_rotated<Quantizer>,
                  "fqt: mean_of<N, hadamard<quantizer>> would not transform; write hadamard<mean_of<N, quantizer>>");
    static constexpr int copies = N;
};

} // namespace fqt
