// SPDX-License-Identifier: BSD-3-Clause
// Arguments of quantizers that are out of range.
// expect: fqt: asymmetric<Bits> takes 2 to 8 bits
// expect: fqt: block_scaled<hadamard<quantizer>> would not transform
// expect: fqt: blocks_of takes per_block<Size> or per_tile<Size>
// expect: fqt: dorefa_levels<Bits> takes 1 to 8 bits
// expect: fqt: flag_grid<Bits> takes 4 to 8 bits
// expect: fqt: hadamard<real> would undo itself
// expect: fqt: mean_of<N, quantizer> takes 1 to 64 roundings
// expect: fqt: minifloat<Exponent, Mantissa> takes 1 to 5 bits of exponent and 8 bits in all
// expect: fqt: per_block<Size> takes multiples of 16
// expect: fqt: per_tile<Size> takes multiples of 16
// expect: fqt: radix4<Phase> takes even_powers or odd_powers
#include <fqt/quant/asymmetric.hpp>
#include <fqt/quant/block_scaled.hpp>
#include <fqt/quant/blocks.hpp>
#include <fqt/quant/dorefa.hpp>
#include <fqt/quant/hadamard.hpp>
#include <fqt/quant/mean_of.hpp>
#include <fqt/quant/minifloat.hpp>
#include <fqt/quant/power_of_two.hpp>
#include <fqt/quant/radix4.hpp>

#include "either.hpp"

using namespace fqt;

constexpr std::size_t sizes[] = {
    sizeof(asymmetric<EITHER(8, 9)>),
    sizeof(block_scaled<EITHER(symmetric<2>, hadamard<symmetric<2>>)>),
    sizeof(dorefa_levels<EITHER(1, 0)>),
    sizeof(flag_grid<EITHER(8, 3)>),
    sizeof(hadamard<EITHER(symmetric<4>, real)>),
    sizeof(mean_of<EITHER(64, 65), symmetric<2, stochastic>>),
    sizeof(minifloat<EITHER(5, 6), 0>),
    sizeof(blocks_of<minifloat<2, 1>, EITHER(per_block<16>, per_tensor)>),
    sizeof(per_block<EITHER(16, 24)>),
    sizeof(per_tile<EITHER(32, 8)>),
    sizeof(radix4<EITHER(even_powers, nearest)>),
};

int main() { return sizes[0] == 0; }
