#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Lazy tensors: what layers return. A lazy tensor can load 16 lanes of itself at any site; whole chains of them are one
// loop wherever someone finally stores the values. Every lazy tensor has
//   dims                 its shape, a constant
//   nonnegative          whether its type rules negative values out: then its codes are unsigned
//   load<Arch>(n, p, b)  16 channels of block b at pixel p = y * width + x of sample n; padded lanes are 0
// and those of a forward pass also
//   learns               whether a gradient is wanted by it (not by the images)
//   range(c)             optional: an interval that holds every value of channel c in this batch, known without a pass
//   units, unit_*        optional: values as they are stored, and the scale and bias that make them real
//   is_deferred          optional: whether a product's sums are yet to be computed, before which nothing can be loaded;
//   with_sums(f)         then: the same tensor, of its own kind, with f(those sums) instead (deferred.hpp)

#include <fqt/core/half.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/quant/hadamard.hpp>
#include <fqt/simd/convert.hpp>

#include <concepts>
#include <cstddef>

namespace fqt {

template <class Arch>
using floats = simd::f32x16<Arch>;

template <class X>
concept has_range = requires(const X& x) {
    { x.range(0) } -> std::same_as<interval>;
};
template <class X>
concept has_units = requires(const X& x) {
    { x.unit_scale(0) } -> std::same_as<float>;
};

template <class X>
concept is_deferred = requires {
    requires X::is_deferred;
};

struct same_sums {
    auto operator()(const auto& sums) const { return sums; }
};

/// x, with f(those) in the place of deferred sums.
template <class X, class F>
auto with_sums(const X& x, const F& f) {
    if constexpr (is_deferred<X>) {
        static_assert(
            std::same_as<decltype(x.with_sums(same_sums{})), X>,
            "fqt: this lazy tensor has its base's with_sums(f), which leaves out what it adds; give it one of "
            "its own, which makes its type anew (layers/lazy.hpp)");
        return x.with_sums(f);
    } else {
        return x;
    }
}

constexpr std::size_t offset_of(shape s, int n, int p, int b) {
    return (static_cast<std::size_t>(n) * static_cast<std::size_t>(s.pixels()) + static_cast<std::size_t>(p))
        * static_cast<std::size_t>(padded(s.channels))
        + static_cast<std::size_t>(b * lanes);
}

// ---- leaves: values in memory ----

/// v with the lanes beyond the last channel set to zero, for rules that need not map zero to zero.
template <class Arch, shape Shape>
floats<Arch> without_padding(floats<Arch> v, int b) {
    if constexpr (Shape.channels % lanes == 0) return v;
    else if (b != blocks(Shape.channels) - 1) return v;
    else return where(simd::mask16<Arch>::first(Shape.channels % lanes), v, 0.0f);
}

/// What a product left: units of type T (binary16 or float in training, int32 in evaluation); value = units * scale +
/// bias.
template <shape Shape, class T>
struct stored_sums {
    static constexpr shape dims = Shape;
    static constexpr bool nonnegative = false, learns = true;
    const T* data;
    const float *scale, *bias; // one per channel; bias may be all zeros
    const float *low, *high;   // least and greatest unit of each channel

    template <class Arch>
    floats<Arch> units(int n, int p, int b) const {
        if constexpr (std::same_as<T, std::int32_t>)
            return simd::i32x16<Arch>::load(data + offset_of(Shape, n, p, b)).to_float();
        else return simd::load<Arch>(data + offset_of(Shape, n, p, b));
    }
    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        return fma(units<Arch>(n, p, b), floats<Arch>::load(scale + b * lanes), floats<Arch>::load(bias + b * lanes));
    }
    float unit_scale(int c) const { return scale[c]; }
    float unit_bias(int c) const { return bias[c]; }
    interval unit_range(int c) const { return {low[c], high[c]}; }
    interval range(int c) const { return {std::fma(low[c], scale[c], bias[c]), std::fma(high[c], scale[c], bias[c])}; }
};

/// The same of one sample alone, whatever its number.
template <shape Shape, class T>
struct sums_of_sample : stored_sums<Shape, T> {
    sums_of_sample(const stored_sums<Shape, T>& sums, const T* of_sample) : stored_sums<Shape, T>(sums) {
        this->data = of_sample;
    }
    template <class Arch>
    floats<Arch> units(int, int p, int b) const {
        return stored_sums<Shape, T>::template units<Arch>(0, p, b);
    }
    template <class Arch>
    floats<Arch> load(int, int p, int b) const {
        return stored_sums<Shape, T>::template load<Arch>(0, p, b);
    }
};

/// Codes of quantizer Q, one grid for the tensor. `greatest` is the largest magnitude that a code stands for.
template <shape Shape, class Q, bool Signed, bool Learns = true>
struct codes {
    static constexpr shape dims = Shape;
    static constexpr bool nonnegative = !Signed, learns = Learns;
    static constexpr bool is_signed = Signed;
    using quantizer = Q;
    using traits = quantizer_traits<Q>;
    static constexpr std::size_t code_bytes =
        is_real<Q> ? lanes * sizeof(float) : static_cast<std::size_t>(simd::code_bytes(traits::stored_bits));
    static constexpr std::size_t block_bytes = code_bytes + traits::scales_blocks; // a byte for the scale
    static constexpr std::size_t sample_bytes =
        block_bytes * static_cast<std::size_t>(Shape.pixels() * blocks(Shape.channels));

    const std::byte* data;
    const typename traits::grid_type* grid;
    const float* greatest;

    const std::byte* at(int n, int p, int b) const { return data + offset_of(Shape, n, p, b) / lanes * block_bytes; }
    template <class Arch>
    floats<Arch> code(int n, int p, int b) const {
        if constexpr (is_real<Q>) return floats<Arch>::load(reinterpret_cast<const float*>(at(n, p, b)));
        else return simd::load_codes<Arch, traits::stored_bits, traits::stored_signed(Signed)>(at(n, p, b));
    }
    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        if constexpr (traits::scales_blocks) return integers<Arch>(n, p, b) * floats<Arch>(grid->step);
        else return with_padding<Arch>(Q::decode(code<Arch>(n, p, b), *grid), b);
    }
    /// The integers that codes of a linear grid stand for.
    template <class Arch>
    floats<Arch> integers(int n, int p, int b) const {
        auto integer = traits::integer(code<Arch>(n, p, b), *grid);
        if constexpr (traits::scales_blocks) integer = integer * floats<Arch>(static_cast<float>(scale(n, p, b)));
        return with_padding<Arch>(integer, b);
    }
    /// By which a block's integers are multiplied, where blocks have scales.
    int scale(int n, int p, int b) const { return std::to_integer<int>(at(n, p, b)[code_bytes]); }
    const auto& grid_of(int) const { return *grid; }
    interval range(int) const { return {Signed ? -*greatest : 0.0f, *greatest}; }

private:
    // Padded lanes hold the code of zero, which does not stand for zero on every grid.
    template <class Arch>
    static floats<Arch> with_padding(floats<Arch> v, int b) {
        if constexpr (is_real<Q> || (traits::linear && !traits::has_integers)) return v;
        else return without_padding<Arch, Shape>(v, b);
    }
};

/// Whether a lazy tensor of a forward pass is stored in a form that others can share.
template <class X>
inline constexpr bool is_stored = false;
template <shape Shape, class Q, bool Signed, bool Learns>
inline constexpr bool is_stored<codes<Shape, Q, Signed, Learns>> = true;

/// Whether X holds codes of quantizer Q.
template <class X, class Q>
inline constexpr bool is_coded_by = false;
template <shape Shape, class Q, bool Signed, bool Learns>
inline constexpr bool is_coded_by<codes<Shape, Q, Signed, Learns>, Q> = true;

/// Plain values of type T, with the range that was measured when they were stored.
template <shape Shape, class T, bool Nonnegative = false, bool Learns = true>
struct stored_values {
    static constexpr shape dims = Shape;
    static constexpr bool nonnegative = Nonnegative, learns = Learns;
    const T* data;
    const interval* measured;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        return simd::load<Arch>(data + offset_of(Shape, n, p, b));
    }
    interval range(int) const { return *measured; }
};

template <shape Shape, class T, bool Nonnegative, bool Learns>
inline constexpr bool is_stored<stored_values<Shape, T, Nonnegative, Learns>> = true;

/// A gradient between layers.
template <shape Shape, class T>
struct stored_gradient {
    static constexpr shape dims = Shape;
    const T* data;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        return simd::load<Arch>(data + offset_of(Shape, n, p, b));
    }
};

/// The user's numbers, (n, c, y, x) floats: images on the way in, the loss's gradient on the way back.
template <shape Shape>
struct plain {
    static constexpr shape dims = Shape;
    static constexpr bool nonnegative = false, learns = false;
    const float* data;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        const float* first = data + static_cast<std::size_t>(n) * static_cast<std::size_t>(Shape.size())
            + static_cast<std::size_t>(b * lanes) * static_cast<std::size_t>(Shape.pixels()) + p;
        if constexpr (Shape.channels <= 4) { // images: grey, colour
            floats<Arch> v = 0.0f;
            for (int c = Shape.channels; c-- > 0;)
                v = where(simd::mask16<Arch>::first(c + 1), first[c * Shape.pixels()], v);
            return v;
        } else {
            float values[lanes]{};
            for (int i = 0; i < lanes && b * lanes + i < Shape.channels; ++i) values[i] = first[i * Shape.pixels()];
            return floats<Arch>::load(values);
        }
    }
};

/// No gradient: what `plus` is where nothing is to be added.
struct nothing {};

// ---- nodes: arithmetic on lazy tensors ----

/// Units of x where it has them, else its values.
template <class Arch, class X>
floats<Arch> units_of(const X& x, int n, int p, int b) {
    if constexpr (has_units<X>) return x.template units<Arch>(n, p, b);
    else return x.template load<Arch>(n, p, b);
}

/// a * units + b, coefficients per channel, zero in padded lanes. They are learnt, also where x is images.
template <class X>
struct affine {
    static constexpr shape dims = X::dims;
    static constexpr bool nonnegative = false, learns = true, is_deferred = fqt::is_deferred<X>;
    X x;
    const float *a, *b;

    template <class F>
    auto with_sums(const F& f) const {
        return affine<decltype(fqt::with_sums(x, f))>{fqt::with_sums(x, f), a, b};
    }

    template <class Arch>
    floats<Arch> load(int n, int p, int block) const {
        return fma(units_of<Arch>(x, n, p, block), floats<Arch>::load(a + block * lanes),
                   floats<Arch>::load(b + block * lanes));
    }
    interval range(int c) const requires has_range<X> {
        const interval r = [&] {
            if constexpr (has_units<X>) return x.unit_range(c);
            else return x.range(c);
        }();
        const float u = std::fma(r.low, a[c], b[c]), v = std::fma(r.high, a[c], b[c]);
        return u < v ? interval{u, v} : interval{v, u};
    }
};

/// A rule applied to every value.
template <class Rule, class X>
struct mapped {
    static constexpr shape dims = X::dims;
    static constexpr bool nonnegative = [] {
        if constexpr (requires { Rule::nonnegative; }) return bool{Rule::nonnegative};
        else return false;
    }();
    static constexpr bool learns = X::learns, is_deferred = fqt::is_deferred<X>;
    X x;

    template <class F>
    auto with_sums(const F& f) const {
        return mapped<Rule, decltype(fqt::with_sums(x, f))>{fqt::with_sums(x, f)};
    }

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        return without_padding<Arch, dims>(Rule::forward(x.template load<Arch>(n, p, b)), b);
    }
    interval range(int c) const requires(has_range<X>&& requires { requires Rule::monotonic; }) {
        const interval r = x.range(c);
        using one = floats<arch::generic>;
        const float u = one(Rule::forward(one(r.low))).lane(0), v = one(Rule::forward(one(r.high))).lane(0);
        return u < v ? interval{u, v} : interval{v, u};
    }
};

/// a + b: the sum that ends a residual.
template <class A, class B>
struct sum_of {
    static constexpr shape dims = A::dims;
    static constexpr bool nonnegative = A::nonnegative && B::nonnegative, learns = A::learns || B::learns,
                          is_deferred = fqt::is_deferred<A> || fqt::is_deferred<B>;
    A a;
    B b;

    template <class F>
    auto with_sums(const F& f) const {
        return sum_of<decltype(fqt::with_sums(a, f)), decltype(fqt::with_sums(b, f))>{fqt::with_sums(a, f),
                                                                                      fqt::with_sums(b, f)};
    }

    template <class Arch>
    floats<Arch> load(int n, int p, int block) const {
        return a.template load<Arch>(n, p, block) + b.template load<Arch>(n, p, block);
    }
    interval range(int c) const requires(has_range<A>&& has_range<B>) {
        const interval u = a.range(c), v = b.range(c);
        return {u.low + v.low, u.high + v.high};
    }
};

/// The gradient by the input of a rule: backward(x, g).
template <class Rule, class X, class G>
struct mapped_gradient {
    static constexpr shape dims = X::dims;
    X x;
    G g;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        return without_padding<Arch, dims>(
            Rule::backward(x.template load<Arch>(n, p, b), g.template load<Arch>(n, p, b)), b);
    }
};

/// A g + B units + C: the gradient by the input of a batch normalization.
template <class X, class G>
struct normalized_gradient {
    static constexpr shape dims = X::dims;
    X x;
    G g;
    const float *a, *b, *c;

    template <class Arch>
    floats<Arch> load(int n, int p, int block) const {
        const auto constant = fma(units_of<Arch>(x, n, p, block), floats<Arch>::load(b + block * lanes),
                                  floats<Arch>::load(c + block * lanes));
        return fma(g.template load<Arch>(n, p, block), floats<Arch>::load(a + block * lanes), constant);
    }
};

/// What x gives to a gradient where it is at the least or greatest unit of its channel; zero elsewhere.
template <class X>
struct at_extremes {
    static constexpr shape dims = X::dims;
    X x;
    const float *low, *high, *at_low, *at_high;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        const auto u = units_of<Arch>(x, n, p, b);
        const auto of = [&](const float* v) FQT_INLINE_LAMBDA { return floats<Arch>::load(v + b * lanes); };
        return where(u == of(high), of(at_high), 0.0f) + where(u == of(low), of(at_low), 0.0f);
    }
};

/// What x gives to a gradient by the side of its channel's centre on which it is: c above, -c below, 0 at the centre.
template <class X>
struct by_side {
    static constexpr shape dims = X::dims;
    X x;
    const float *centre, *c;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        const auto u = units_of<Arch>(x, n, p, b), m = floats<Arch>::load(centre + b * lanes),
                   v = floats<Arch>::load(c + b * lanes);
        return where(u > m, v, where(u < m, -v, 0.0f));
    }
};

/// g times a number per channel: a gain, or the weight scale that is folded into a gradient before it is quantized.
template <class G>
struct folded {
    static constexpr shape dims = G::dims;
    G g;
    const float* scale;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        return g.template load<Arch>(n, p, b) * floats<Arch>::load(scale + b * lanes);
    }
};

/// H g in blocks of 16 channels, which hadamard<...> quantizes.
template <class G>
struct rotated {
    static constexpr shape dims = G::dims;
    G g;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        return hadamard_of_lanes(g.template load<Arch>(n, p, b));
    }
};

/// Codes of a rotated tensor, with the values of the tensor itself, for observers: H is its own inverse.
template <class Codes>
struct rotated_back : Codes {
    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        return hadamard_of_lanes(Codes::template load<Arch>(n, p, b));
    }
};

/// g, or H g where Rotates.
template <bool Rotates, class G>
auto rotated_if(const G& g) {
    if constexpr (Rotates) return rotated<G>{g};
    else return g;
}
/// Codes of g, or of H g where Rotates, with the values of g.
template <bool Rotates, class Codes>
auto rotated_back_if(const Codes& codes) {
    if constexpr (Rotates) return rotated_back<Codes>{codes};
    else return codes;
}

/// The sum of two gradients.
template <class G, class P>
struct sum_of_gradients {
    static constexpr shape dims = G::dims;
    G g;
    P p;

    template <class Arch>
    floats<Arch> load(int n, int pixel, int b) const {
        return g.template load<Arch>(n, pixel, b) + p.template load<Arch>(n, pixel, b);
    }
};

/// g + p, or one alone where the other is nothing.
template <class G, class P>
auto add(G g, P p) {
    if constexpr (std::same_as<P, nothing>) return g;
    else if constexpr (std::same_as<G, nothing>) return p;
    else return sum_of_gradients<G, P>{g, p};
}

} // namespace fqt
