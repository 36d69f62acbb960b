#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Pools. Both read codes: the greatest of some codes is a code of the same grid, so max_pool requantizes nothing; an
// average is an exact sum of codes times step / area, computed in the pass that encodes it for the next product; of
// values that are no codes of a linear grid, a sum of floats, row by row.

#include <fqt/layers/keeps_input.hpp>
#include <fqt/layers/layer.hpp>

#include <algorithm>
#include <cstdio>

namespace fqt {

namespace detail {

/// Whether each pixel lies in exactly one window.
constexpr bool windows_tile(const geometry& g) {
    return g.pad == 0 && g.kernel_height == g.stride && g.kernel_width == g.stride && g.in.height % g.stride == 0
        && g.in.width % g.stride == 0;
}

/// Calls visit(q) for every input pixel q in the window of output pixel p, row by row.
template <geometry G, class Visit>
inline void each_tap(int p, Visit&& visit) {
    const int y = p / G.out().width * G.stride - G.pad, x = p % G.out().width * G.stride - G.pad;
    if constexpr (windows_tile(G)) {
        for (int r = 0; r < G.kernel_height; ++r)
            for (int s = 0; s < G.kernel_width; ++s) visit((y + r) * G.in.width + x + s);
    } else {
        for (int r = std::max(0, -y); r < std::min(G.kernel_height, G.in.height - y); ++r)
            for (int s = std::max(0, -x); s < std::min(G.kernel_width, G.in.width - x); ++s)
                visit((y + r) * G.in.width + x + s);
    }
}

/// The geometry of a pool, whose outputs are its channels.
constexpr geometry pool_geometry(shape in, window w) {
    return {in, in.channels, w.kernel, w.kernel, w.stride, w.pad, 1};
}
constexpr geometry global_geometry(shape in) { return {in, in.channels, in.height, in.width, 1, 0, 1}; }

constexpr inferred pool_output(geometry g) {
    if (g.in.height + 2 * g.pad < g.kernel_height || g.in.width + 2 * g.pad < g.kernel_width)
        return mismatch{"the pool is larger than its input", {g.in.channels, g.kernel_height, g.kernel_width}, g.in};
    return g.out();
}

} // namespace detail

// ---- the greatest of a window ----

template <geometry G, class Scheme, class Arch>
class max_pool_layer : public keeps_input<G.in, Scheme, Arch> {
    using gradient_type = typename Scheme::gradient_type;
    static constexpr shape in = G.in, out = G.out();
    std::byte* output_{};
    gradient_type* dx_{};

    template <class Codes>
    struct same_grid;
    template <shape S, class Q, bool Signed, bool Learns>
    struct same_grid<codes<S, Q, Signed, Learns>> {
        using type = codes<out, Q, Signed, Learns>;
    };
    template <shape S, class T, bool Nonnegative, bool Learns>
    struct same_grid<stored_values<S, T, Nonnegative, Learns>> {
        using type = stored_values<out, T, Nonnegative, Learns>;
    };

    template <class Stored>
    constexpr auto result(const Stored& s) const {
        using type = typename same_grid<Stored>::type;
        if constexpr (requires { s.grid; }) return type{output_, s.grid, s.greatest};
        else return type{reinterpret_cast<decltype(type::data)>(output_), s.measured};
    }
    // What is compared: codes, which are ordered as their values are.
    template <class Stored>
    static floats<Arch> key(const Stored& s, int n, int p, int b) {
        if constexpr (requires { s.grid; }) return s.template code<Arch>(n, p, b);
        else return s.template load<Arch>(n, p, b);
    }
    template <class Stored>
    static floats<Arch> greatest(const Stored& s, int n, int p, int b) {
        floats<Arch> most(-std::numeric_limits<float>::infinity());
        detail::each_tap<G>(p, [&](int q) { most = max(key(s, n, q, b), most); });
        return most;
    }
    template <class Stored>
    static constexpr std::size_t bytes() {
        using type = typename same_grid<Stored>::type;
        if constexpr (requires { type::sample_bytes; }) return type::sample_bytes;
        else return sizeof(*type::data) * static_cast<std::size_t>(padded_size(out));
    }

    template <class Stored>
    auto compute(const context& c, const Stored& s) {
        const auto y = result(s);
        parallel_for(c.samples, c.threads, [&](int n, int) {
            const Stored values = s;
            passes::each_block<out>([&](int p, int b) {
                const auto most = greatest(values, n, p, b);
                using type = std::remove_cv_t<decltype(y)>;
                if constexpr (!requires { type::sample_bytes; })
                    simd::store(const_cast<std::remove_const_t<std::remove_pointer_t<decltype(y.data)>>*>(y.data)
                                    + offset_of(out, n, p, b),
                                most);
                else if constexpr (is_real<typename type::quantizer>)
                    most.store(reinterpret_cast<float*>(const_cast<std::byte*>(y.at(n, p, b))));
                else
                    simd::store_codes<type::traits::stored_bits, type::traits::stored_signed(type::is_signed)>(
                        const_cast<std::byte*>(y.at(n, p, b)), most);
            });
        });
        return y;
    }

public:
    template <class X>
    static constexpr bool adds_plus = !max_pool_layer::template clips<X>;

    template <class X>
    constexpr auto plan(planner& p, const X& x) {
        this->template plan_input<X>(p);
        p.saved(output_, static_cast<std::int64_t>(bytes<decltype(this->stored(x))>()));
        if (!detail::windows_tile(G)) p.scratch(sizeof(float) * static_cast<std::size_t>(padded_size(in)));
        const int both = p.moment(); // the output's gradient is read while dx is written
        if (X::learns) p.gradient(dx_, padded_size(in), both);
        p.reads_gradient(both);
        return view(x);
    }
    template <class X>
    constexpr auto view(const X& x) const {
        return result(this->stored(x));
    }
    template <class X>
    auto forward(const context& c, const X& x) {
        return compute(c, this->template store_input<false>(c, x));
    }
    template <class X>
    auto infer(const context& c, const X& x) {
        return compute(c, this->template store_input<true>(c, x));
    }

    /// The gradient goes to the first of the greatest codes, row by row.
    template <class X, class H, class Plus>
    auto backward(const context& c, const X& x, const H& g, const Plus& plus) {
        if constexpr (X::learns) return to_greatest(c, x, g, plus);
        else return nothing{};
    }
    template <class F, class X>
    auto describe(F&& f, const X& x) {
        constexpr std::size_t of_input = max_pool_layer::template input_bytes<X>();
        description d{this->name_, "max_pool", in, out, {}, 0, 0, of_input + bytes<decltype(this->stored(x))>()};
        std::snprintf(d.formats, sizeof d.formats,
                      of_input > 0 ? "input and output codes of one grid" : "codes of its input's grid");
        f(d);
        return view(x);
    }

private:
    template <class X, class H, class Plus>
    auto to_greatest(const context& c, const X& x, const H& g, const Plus& plus) {
        constexpr bool stops = max_pool_layer::template clips<X>;
        auto* dx = dx_;
        const auto s = this->stored(x);
        parallel_for(c.samples, c.threads, [&](int n, int thread) {
            const H gradient = g;
            const auto values = s;
            const auto store_sum = [&](int q, int b, floats<Arch> v) {
                if constexpr (!std::same_as<Plus, nothing> && !stops) v = v + plus.template load<Arch>(n, q, b);
                simd::store(dx + offset_of(in, n, q, b), v);
            };
            // to(q, v) for each pixel of a window with its part of the window's gradient.
            const auto share_out = [&](int p, int b, auto&& to) {
                const auto most = greatest(values, n, p, b);
                auto rest = gradient.template load<Arch>(n, p, b);
                detail::each_tap<G>(p, [&](int q) {
                    const auto here = key(values, n, q, b) == most;
                    to(q, where(here, rest, 0.0f));
                    rest = where(here, 0.0f, rest);
                });
            };
            if constexpr (detail::windows_tile(G)) {
                passes::each_block<out>([&](int p, int b) {
                    // A sum that begins at 0, as those below: it turns -0 into 0.
                    share_out(p, b, [&](int q, floats<Arch> v) { store_sum(q, b, floats<Arch>(0.0f) + v); });
                });
            } else {
                auto* sums = reinterpret_cast<float*>(c.scratch_of(thread));
                std::fill_n(sums, padded_size(in), 0.0f);
                passes::each_block<out>([&](int p, int b) {
                    share_out(p, b, [&](int q, floats<Arch> v) {
                        float* place = sums + q * padded(in.channels) + b * lanes;
                        (floats<Arch>::load(place) + v).store(place);
                    });
                });
                passes::each_block<in>([&](int p, int b) {
                    store_sum(p, b, floats<Arch>::load(sums + p * padded(in.channels) + b * lanes));
                });
            }
        });
        const stored_gradient<in, gradient_type> result{dx};
        if constexpr (stops) return add(this->through_input(c, x, result), plus);
        else return result;
    }
};

// ---- the mean of a window ----

/// The mean of the stored x over each window, padding counted as zeros.
template <geometry G, class X>
struct averaged {
    static constexpr shape dims = G.out();
    static constexpr bool nonnegative = X::nonnegative, learns = X::learns;
    static constexpr float share = 1.0f / static_cast<float>(G.taps());
    X x;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        floats<Arch> sum(0.0f);
        if constexpr (requires { requires is_linear<typename X::quantizer>; }) {
            using traits = quantizer_traits<typename X::quantizer>;
            static_assert(
                std::int64_t{G.taps()} * traits::greatest_integer(!X::nonnegative) <= 1 << 24,
                "fqt: an average over so many pixels of codes that are so large would not be exact; use fewer "
                "bits, or a smaller pool first");
            detail::each_tap<G>(p, [&](int q) { sum = sum + x.template integers<Arch>(n, q, b); }); // exact
            return sum * product(x.grid->step, share);
        } else {
            detail::each_tap<G>(p, [&](int q) { sum = sum + x.template load<Arch>(n, q, b); });
            return sum * share;
        }
    }
};

/// The gradient of `averaged`: each input pixel gets its share of every window that holds it.
template <geometry G, class H>
struct averaged_gradient {
    static constexpr shape dims = G.in;
    H g;

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        const int y = p / G.in.width + G.pad, x = p % G.in.width + G.pad;
        floats<Arch> sum(0.0f);
        for (int v = first(y, G.kernel_height); v <= std::min(y / G.stride, G.out().height - 1); ++v)
            for (int u = first(x, G.kernel_width); u <= std::min(x / G.stride, G.out().width - 1); ++u)
                sum = sum + g.template load<Arch>(n, v * G.out().width + u, b);
        return sum * (1.0f / static_cast<float>(G.taps()));
    }

private:
    // The first output row (or column) whose window reaches input row `at`.
    static int first(int at, int kernel) { return at < kernel ? 0 : (at - kernel) / G.stride + 1; }
};

template <geometry G, class Scheme, class Arch>
class average_pool_layer : public keeps_input<G.in, Scheme, Arch> {
public:
    template <class X>
    constexpr auto plan(planner& p, const X& x) {
        this->template plan_input<X>(p);
        return view(x);
    }
    template <class X>
    constexpr auto view(const X& x) const {
        return averaged<G, decltype(this->stored(x))>{this->stored(x)};
    }
    template <class X>
    auto forward(const context& c, const X& x) {
        this->template store_input<false>(c, x);
        return view(x);
    }
    template <class X>
    auto infer(const context& c, const X& x) {
        this->template store_input<true>(c, x);
        return view(x);
    }
    template <class X, class H, class Plus>
    auto backward(const context& c, const X& x, const H& g, const Plus& plus) {
        return add(this->through_input(c, x, averaged_gradient<G, H>{g}), plus);
    }
    template <class F, class X>
    auto describe(F&& f, const X& x) {
        description d{this->name_, G.out().pixels() == 1 ? "global_avg_pool" : "avg_pool", G.in, G.out(), {}, 0, 0, 0};
        d.saved_bytes = average_pool_layer::template input_bytes<X>();
        constexpr bool exact = requires { requires is_linear<typename decltype(this->stored(x))::quantizer>; };
        const char* const sums = exact ? "exact sums" : "float sums";
        if (d.saved_bytes > 0)
            std::snprintf(d.formats, sizeof d.formats, "input %d bits, %s in registers",
                          bits_of<typename average_pool_layer::quantizer>, sums);
        else std::snprintf(d.formats, sizeof d.formats, "its input as it is stored, %s in registers", sums);
        f(d);
        return view(x);
    }
};

// ---- specs ----

template <template <geometry, class, class> class Layer, window Window>
struct pool_spec : spec {
    static_assert(Window.kernel >= 1 && Window.stride >= 1 && Window.pad >= 0 && Window.pad < Window.kernel,
                  "fqt: a pool's window needs kernel >= 1, stride >= 1 and 0 <= pad < kernel");
    static_assert(Window.groups == 1, "fqt: a pool takes each channel by itself; leave its window's groups at 1");
    static constexpr const char* name = "pool";
    static constexpr inferred output(shape in) { return detail::pool_output(detail::pool_geometry(in, Window)); }
    template <shape In, class Scheme, class Arch>
    using layer = Layer<detail::pool_geometry(In, Window), Scheme, Arch>;
};

struct global_avg_pool_spec : spec {
    static constexpr const char* name = "global_avg_pool";
    static constexpr inferred output(shape in) { return shape{in.channels, 1, 1}; }
    template <shape In, class Scheme, class Arch>
    using layer = average_pool_layer<detail::global_geometry(In), Scheme, Arch>;
};

namespace layers {
/// The greatest of each window; unpadded 2x2 with stride 2 unless said otherwise. Padding never wins.
template <window Window = window{.kernel = 2, .stride = 2, .pad = 0}>
inline constexpr pool_spec<max_pool_layer, Window> max_pool{};
/// The mean of each window, padding counted as zeros.
template <window Window = window{.kernel = 2, .stride = 2, .pad = 0}>
inline constexpr pool_spec<average_pool_layer, Window> avg_pool{};
/// The mean of each channel.
inline constexpr global_avg_pool_spec global_avg_pool{};
} // namespace layers

} // namespace fqt
