#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Where the sums of a product go. Types of their own, so that a kernel is compiled once for a geometry, whatever its
// operands were made of.

#include <fqt/kernels/kind.hpp>
#include <fqt/layers/lazy.hpp>

namespace fqt {

/// The sums of sample n in training, times Unit.
template <shape Out, class T, float Unit>
struct to_units {
    T* sums;
    int n;

    FQT_INLINE void operator()(int p, int b, auto exact) const {
        simd::store(sums + offset_of(Out, n, p, b), kernels::as_floats(exact) * Unit);
    }
};

/// Those of a sample in evaluation, as the kernel gives them: T is int32 or float.
template <shape Out, class T>
struct to_exact_sums {
    T* sums;

    static constexpr std::ptrdiff_t pixel_bytes = padded(Out.channels) * std::ptrdiff_t{sizeof(T)};
    FQT_INLINE std::byte* place(int p, int b) const requires std::same_as<T, std::int32_t> {
        return reinterpret_cast<std::byte*>(sums + offset_of(Out, 0, p, b));
    }

    FQT_INLINE void operator()(int p, int b, auto exact) const { exact.store(sums + offset_of(Out, 0, p, b)); }
};

/// dX of sample n: the sums times scale, plus what is to be added.
template <shape In, class T, class Plus, class Arch>
struct to_gradient {
    T* dx;
    int n;
    floats<Arch> scale;
    Plus plus;
    static constexpr bool is_long = !std::same_as<Plus, nothing>;

    FQT_INLINE void operator()(int p, int b, auto sums) const {
        T* place = dx + offset_of(In, n, p, b);
        if constexpr (std::same_as<Plus, nothing>) simd::store(place, kernels::as_floats(sums) * scale);
        else simd::store(place, fma(kernels::as_floats(sums), scale, plus.template load<Arch>(n, p, b)));
    }
};

} // namespace fqt
