#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Sources: how kernels read one sample of a tensor (kernels/staging.hpp), as bytes for products of integers or decoded
// for products of floats.

#include <fqt/layers/lazy.hpp>
#include <fqt/simd/convert.hpp>

#include <array>
#include <cstddef>
#include <type_traits>

namespace fqt {

/// The bytes of the integers that codes of up to 4 bits stand for, in a table by the bits of the code, with 128 added
/// where Signed.
template <class Q, bool Signed>
struct byte_table {
    using traits = quantizer_traits<Q>;
    alignas(16) std::byte of_code[16];

    byte_table() = default;
    byte_table(const typename traits::grid_type& g, float scale) {
        using generic = floats<arch::generic>;
        constexpr int codes = 1 << simd::slot_bits(traits::stored_bits);
        constexpr float least = Signed ? -128 : 0, most = Signed ? 127 : 255;
        float q[lanes];
        for (int i = 0; i < lanes; ++i) {
            const bool is_negative = traits::stored_signed(Signed) && i % codes >= codes / 2;
            q[i] = static_cast<float>(i % codes - (is_negative ? codes : 0));
        }
        // Bits that no code has may stand for anything.
        const generic integers = traits::integer(generic::load(q), g) * generic(scale);
        simd::to_bytes(min(max(integers, generic(least)), generic(most)) - generic(least)).store(of_code);
    }
};

/// The tables of all scales of a block, from 0. A block's integers are the same whatever the tensor's grid.
template <class Q>
const byte_table<Q, true>* tables_of_blocks() {
    static const auto tables = [] {
        std::array<byte_table<Q, true>, Q::greatest_scale + 1> of_scale;
        const auto grid = Q::fit({-1, 1}, quantizer_traits<Q>::limits(true));
        for (int i = 0; i <= Q::greatest_scale; ++i)
            of_scale[static_cast<std::size_t>(i)] = byte_table<Q, true>(grid, static_cast<float>(i));
        return of_scale;
    }();
    return tables.data();
}

/// Codes of one sample of `codes` or `gradient_codes`.
template <class Codes>
class code_source {
    using quantizer = typename Codes::quantizer;
    using traits = quantizer_traits<quantizer>;
    static constexpr bool has_table = traits::has_integers && traits::stored_bits <= 4
        && traits::integer_bytes(Codes::is_signed) == 1
        && Codes::dims.channels % lanes == 0; // padded lanes are zeros, whatever their code stands for
    using table = byte_table<quantizer, Codes::is_signed>;

    Codes tensor_;
    int n_;
    std::conditional_t<has_table && !traits::scales_blocks, table, const table*> table_{};

public:
    static constexpr bool is_signed = Codes::is_signed;

    code_source(const Codes& tensor, int n) : tensor_(tensor), n_(n) {
        if constexpr (has_table && traits::scales_blocks) table_ = tables_of_blocks<quantizer>();
        else if constexpr (has_table) table_ = table(tensor.grid_of(n), 1);
    }

    template <class Arch>
    simd::u8x16<Arch> bytes(int p, int b) const {
        const std::byte* place = tensor_.at(n_, p, b);
        if constexpr (has_table && traits::scales_blocks)
            return simd::look_up_codes<Arch, traits::stored_bits>(place, table_[tensor_.scale(n_, p, b)].of_code);
        else if constexpr (has_table) return simd::look_up_codes<Arch, traits::stored_bits>(place, table_.of_code);
        else if constexpr (traits::has_integers || traits::stored_bits > 8)
            return simd::to_bytes(integers<Arch>(p, b) + floats<Arch>(is_signed ? 128.0f : 0.0f));
        else return simd::load_code_bytes<Arch, traits::stored_bits, is_signed>(place);
    }
    /// The sample as it is stored, where that is what bytes() gives.
    const std::byte* stored_bytes() const requires(traits::stored_bits == 8 && !traits::has_integers && !is_signed) {
        return tensor_.at(n_, 0, 0);
    }
    template <class Arch>
    floats<Arch> integers(int p, int b) const {
        return tensor_.template integers<Arch>(n_, p, b);
    }
    int integer_bytes() const {
        if constexpr (requires { tensor_.integer_bytes(n_); }) return tensor_.integer_bytes(n_);
        else return traits::integer_bytes(is_signed);
    }
    template <class Arch>
    floats<Arch> values(int p, int b) const {
        return tensor_.template load<Arch>(n_, p, b);
    }
};

/// Any lazy tensor, as floats.
template <class X>
struct lazy_source {
    static constexpr bool is_signed = true;
    X x;
    int n;

    template <class Arch>
    floats<Arch> values(int p, int b) const {
        return x.template load<Arch>(n, p, b);
    }
};

} // namespace fqt
