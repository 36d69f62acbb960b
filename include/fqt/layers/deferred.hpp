#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Deferred sums: what a product returns in evaluation, where no backward pass wants its sums. They are computed sample
// by sample by the layer that stores them as its input, just before it does, and lie in a place of the thread's that
// stays in its cache. Of a lazy tensor with deferred sums among its leaves
//   ready(x, n, thread)  is the same tensor with the sums of sample n, which may be loaded; its others may not
//   finished(c, x)       is the same tensor with all sums
// A layer's infer() is given such a tensor only if it says so, static constexpr bool takes_deferred = true, and may
// give one: who calls it loads from ready() or finished().

#include <fqt/layers/context.hpp>
#include <fqt/layers/lazy.hpp>

namespace fqt {

/// Layer::takes_deferred, or false where it says nothing.
template <class Layer>
inline constexpr bool takes_deferred = requires {
    requires Layer::takes_deferred;
};

/// Sums in evaluation, of which each sample's are computed by multiply(n, thread, to).
template <shape Shape, class T, class Multiply>
struct deferred_sums {
    static constexpr shape dims = Shape;
    static constexpr bool nonnegative = false, learns = true, is_deferred = true;
    stored_sums<Shape, T> sums; // as they will be
    T* room;                    // for those of all samples
    Multiply multiply;
    bool by_thread;    // a sample's sums lie in its thread's place; or else, where threads are more, in its own
    bool done = false; // all are computed already, in their own

    template <class F>
    auto with_sums(const F& f) const {
        return f(*this);
    }
    template <class Arch>
    floats<Arch> load(int, int, int) const {
        static_assert(Shape.size() < 0,
                      "fqt: these sums of a product are not yet computed; load a sample's from "
                      "ready(x, n, thread), or any from finished(c, x)");
        return 0.0f;
    }
    template <class Arch>
    floats<Arch> units(int n, int p, int b) const {
        return load<Arch>(n, p, b);
    }

    float unit_scale(int c) const { return sums.unit_scale(c); }
    float unit_bias(int c) const { return sums.unit_bias(c); }

    sums_of_sample<Shape, T> of_sample(int n, int thread) const {
        T* const to = room + offset_of(Shape, done || !by_thread ? n : thread, 0, 0);
        if (!done) multiply(n, thread, to);
        return {sums, to};
    }
    /// Computes those of all samples.
    void finish(const context& c) {
        if (!done)
            parallel_for(c.samples, c.threads,
                         [&](int n, int thread) { multiply(n, thread, room + offset_of(Shape, n, 0, 0)); });
        done = true;
    }
    stored_sums<Shape, T> of_all(const context& c) const {
        deferred_sums(*this).finish(c);
        return sums;
    }
};

/// x with the sums of sample n.
template <class X>
auto ready(const X& x, int n, int thread) {
    return with_sums(x, [n, thread](const auto& sums) { return sums.of_sample(n, thread); });
}
/// x with the sums of all samples.
template <class X>
auto finished(const context& c, const X& x) {
    return with_sums(x, [&c](const auto& sums) { return sums.of_all(c); });
}

} // namespace fqt
