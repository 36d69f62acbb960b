#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What the twin (twin.hpp) computes with: numbers rounded as documented or not at all, arrays of (sample, channel,
// pixel), codes, and the facts of a pass.

#include <fqt/core/random.hpp>
#include <fqt/core/shape.hpp>

#include <algorithm>
#include <cfloat>
#include <cmath>
#include <functional>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

namespace twin {

using fqt::geometry, fqt::shape;
using numbers = std::vector<double>;
inline std::size_t at(int i) { return static_cast<std::size_t>(i); }

// ---- arithmetic ----

struct arithmetic {
    bool single = false;

    // A sum, product or quotient of floats in double, rounded again to float, is the float operation's result.
    double real(double v) const { return single ? double{static_cast<float>(v)} : v; }
    double mul(double a, double b) const { return real(a * b); }
    double add(double a, double b) const { return real(a + b); }
    double div(double a, double b) const { return real(a / b); }
    double fma(double a, double b, double c) const {
        return single ? double{std::fma(static_cast<float>(a), static_cast<float>(b), static_cast<float>(c))}
                      : std::fma(a, b, c);
    }
};
inline constexpr arithmetic exact{};

/// What a tensor is stored as; `full`: as it is.
enum class format { full, half, brain };

/// v to the nearest number of that format, ties to even. Nothing here comes near overflow.
inline double rounded(double v, format f) {
    if (f == format::full || v == 0) return v;
    const int bits = f == format::half ? 11 : 8, least = f == format::half ? -24 : -133;
    const int exponent = std::max(std::ilogb(v) - bits + 1, least);
    return std::ldexp(std::nearbyint(std::ldexp(v, -exponent)), exponent);
}

enum class rounding { nearest, stochastic, toward_zero, downward };
enum class grain { tensor, channel, sample };

/// A quantizer; one of 32 bits passes floats on.
struct rule {
    int bits = 32;
    rounding round = rounding::nearest;
    grain shared = grain::tensor;

    bool passes() const { return bits == 32; }
    double greatest(bool is_signed) const { return std::ldexp(1.0, is_signed ? bits - 1 : bits) - 1; }
    friend bool operator==(const rule&, const rule&) = default;
};

struct scheme {
    rule weight, activation, dx, dw;
    format sums, gradient, residual;
    bool wide_edges;

    scheme where(bool edge) const {
        scheme s = *this;
        if (edge && wide_edges)
            for (rule* r : {&s.weight, &s.activation, &s.dx, &s.dw}) r->bits = std::max(r->bits, 8);
        return s;
    }
};

// ---- tensors ----

struct tensor {
    int samples{};
    shape dims{};
    numbers v{};

    double& operator()(int n, int c, int p) { return v[at((n * dims.channels + c) * dims.pixels() + p)]; }
    double operator()(int n, int c, int p) const { return v[at((n * dims.channels + c) * dims.pixels() + p)]; }
    template <class F>
    void each(F&& f) const {
        for (int n = 0; n < samples; ++n)
            for (int c = 0; c < dims.channels; ++c)
                for (int p = 0; p < dims.pixels(); ++p) f(n, c, p);
    }
};
/// The tensor of f(n, c, p).
template <class F>
tensor make(int samples, shape dims, F&& f) {
    tensor t{samples, dims, numbers(at(samples * dims.size()))};
    t.each([&](int n, int c, int p) { t(n, c, p) = f(n, c, p); });
    return t;
}

struct grid {
    double step = 1, inverse = 1;
};

/// Codes, the values they stand for, and their grids. `owner` is the layer that made them.
struct coded {
    rule q{};
    bool is_signed{};
    tensor code{}, value{};
    std::vector<grid> grids{};
    std::string owner{};

    std::size_t index(int n, int c) const {
        return q.shared == grain::sample ? at(n) : q.shared == grain::channel ? at(c) : 0;
    }
    const grid& of(int n, int c) const { return grids[index(n, c)]; }
};

/// What a layer gives, and what is known of it.
struct value {
    tensor v{};
    bool nonnegative = false, learns = true, in_memory = false;
    std::vector<std::pair<double, double>> range{}; // of each channel; empty where a pass must measure
    std::shared_ptr<const coded> codes{};           // where it is codes
    const struct product* from{};                   // where it is what a product left
};

struct gradient {
    tensor v{};
    bool cheap = true;  // stored, or a rule on single values of such: a residual does not store it again
    bool wanted = true; // false: nothing below learns
};

// ---- the facts of a pass ----

enum purpose { for_weights, for_activations, for_input_gradient, for_weight_gradient };

struct run : arithmetic {
    int samples{};
    std::uint64_t seed{};
    std::uint32_t step{};
    double rectification{}, momentum = double{0.1f};
    bool training = true, anchor = true; // anchor: remember the sigmas that detached rectifiers take as given
    /// Is shown what fqt/layers/observer.hpp lists, and new codes as "codes" or "weights"; it may change them.
    std::function<void(const std::string&, const std::string&, tensor&)> see = [](auto&&...) {};

    gradient plus(const gradient& g, const gradient* other) const {
        if (!other) return g;
        return {make(samples, g.v.dims, [&](int n, int c, int p) { return add(g.v(n, c, p), other->v(n, c, p)); }),
                false};
    }
    double follow(double running, double now, bool seen) const {
        return fma(seen ? momentum : 1, real(now - running), running);
    }

    /// The codes of x. Without `most` the grids are fitted to the values, else to that magnitude.
    coded encode(const tensor& x, const rule& q, bool is_signed, int number, purpose use, const std::string& name,
                 const char* what, double most = -1) const {
        coded c{q, is_signed, {}, {}, std::vector<grid>(at(std::max(samples, x.dims.channels))), name};
        numbers magnitude(c.grids.size(), most);
        x.each([&](int n, int k, int p) {
            double& m = magnitude[c.index(n, k)];
            if (most < 0) m = std::max(m, std::abs(x(n, k, p)));
        });
        const double greatest = q.greatest(is_signed);
        for (std::size_t i = 0; !q.passes() && i < magnitude.size(); ++i) {
            const double one = div(magnitude[i], greatest);
            c.grids[i] = one >= double{FLT_MIN} ? grid{one, div(1, one)} : grid{0, 0};
        }
        const fqt::random_stream stream{seed, step, static_cast<std::uint32_t>(number * 8 + use)};
        c.code = make(x.samples, x.dims, [&](int n, int k, int p) {
            if (q.passes()) return x(n, k, p);
            const double v = mul(x(n, k, p), c.of(n, k).inverse), low = std::floor(v);
            double code = low;
            if (q.round == rounding::nearest) code = std::nearbyint(v);
            else if (q.round != rounding::stochastic
                     && std::abs(v - std::nearbyint(v)) <= std::abs(std::nearbyint(v)) * 0x1p-21)
                code = std::nearbyint(v);
            else if (q.round == rounding::toward_zero) code = std::trunc(v);
            if (q.round == rounding::stochastic)
                code += v - low
                    > double{fqt::uniform16(stream.bits16(static_cast<std::uint32_t>(n), k, p, x.dims.pixels()))};
            return std::clamp(code, is_signed ? -greatest : 0.0, greatest);
        });
        see(name, what, c.code);
        c.value = make(x.samples, x.dims, [&](int n, int k, int p) { return mul(c.code(n, k, p), c.of(n, k).step); });
        return c;
    }
};

} // namespace twin
