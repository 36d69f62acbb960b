#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// h on its way into dX where samples share their ranges: StatQuant's block-Householder quantizer (BHQ: Chen, Gai, Yao,
// Mahoney, Gonzalez, "A Statistical Framework for Low-bitwidth Training of Deep Neural Networks", NeurIPS 2020). In
// most batches few samples have large gradients, and a sample's own grid spends its variance, D step^2 / 4 for D
// values, on those few. So samples are sorted by magnitude and grouped, each large one, h_1, with small ones. With r <=
// 1 a power of two and the Householder reflection H = I - u u^T that takes e_1 to (1, ..., 1) / sqrt(k),
//     y = H diag(r, 1, ..., 1) h      for a group of k samples,
// spreads h_1 over k rows. Each y is quantized by a grid of its own and goes through the integer product like a sample;
// dX is linear in h, so with H its own inverse and 1 / r exact the product's rows are turned back in floats:
//     dx = diag(1 / r, 1, ..., 1) H (W^T y).
// Stochastic rounding stays unbiased. With m_1 the magnitude of h_1 and m_2 the greatest of the others, rows of y are
// as large as r m_1 / sqrt(k) + m_2 sqrt(1 - 1/k), if different samples are taken as independent, and the variance is
// in proportion to
//     V = (r m_1 / sqrt(k) + m_2 sqrt(1 - 1/k))^2 (1 / r^2 + k - 1),
// m_1^2 / k where m_2 is nothing, against m_1^2 + (k - 1) m_2^2 without groups. For a given number of large samples
// each gets small ones in proportion to its magnitude, as in the paper; the least sum of V decides the number.
//
// What differs from the authors' code: it scales large rows by s1 ~ (m_1 / sqrt(k))^(-1/3) and small ones by
// s2 ~ (m_2 max|H| / (k - 1))^(-1/3), the least of V with its bound of a row, where r = s1 / s2 is here the best power
// of two; it fixes the number of large samples otherwise; and it multiplies by a dense matrix of samples times samples,
// O(N^2 D), where here a row costs one sum over its group, O(N D). Where a batch is passed in parts, groups lie in
// each.

#include <fqt/layers/measuring.hpp>

#include <algorithm>
#include <cmath>

namespace fqt {

/// A sample's part in its group.
struct householder_row {
    int group;            // of more than one sample; -1 for those alone
    float weight;         // its component of u
    float scale, inverse; // r and 1 / r, or 1
};

/// y: the rows of `h`, scaled and reflected.
template <class H>
struct reflected {
    static constexpr shape dims = H::dims;
    H h;
    const householder_row* rows;
    const float* sums; // u^T diag(r, 1, ..., 1) h, of each group

    template <class Arch>
    floats<Arch> load(int n, int p, int b) const {
        const householder_row row = rows[n];
        const auto v = h.template load<Arch>(n, p, b);
        if (row.group < 0) return v;
        const auto sum = floats<Arch>::load(sums + offset_of(dims, row.group, p, b));
        return fma(sum, floats<Arch>(-row.weight), v * floats<Arch>(row.scale));
    }
};

/// The groups of a batch. Out is the shape of h, In that of dX. All of it depends on the batch alone, and sums run over
/// a group's samples in order, large one first: so threads change nothing.
template <shape Out, shape In>
class householder_groups {
    float* magnitude_{};        // of each sample
    int* order_{};              // samples by magnitude
    int *members_{}, *begin_{}; // samples by group, and where each group begins in them; one entry more
    householder_row* rows_{};   // of each sample
    float* memory_{};           // sums over groups; then the product's rows
    int groups_{};

public:
    /// Takes memory for `samples` samples from a carver; with an empty carver it only counts.
    static constexpr householder_groups carve(carver& memory, int samples) {
        householder_groups g{};
        const auto n = static_cast<std::size_t>(samples);
        g.magnitude_ = memory.take<float>(n);
        g.order_ = memory.take<int>(n);
        g.members_ = memory.take<int>(n);
        g.begin_ = memory.take<int>(n + 1);
        g.rows_ = memory.take<householder_row>(n);
        g.memory_ = memory.take<float>(std::max(n / 2 * static_cast<std::size_t>(padded_size(Out)),
                                                n * static_cast<std::size_t>(padded_size(In))));
        return g;
    }

    std::span<const householder_row> rows(int samples) const { return {rows_, static_cast<std::size_t>(samples)}; }

    /// Where the product's rows W^T y go, (sample, pixel, block, lane); over the sums that y needs.
    float* product_rows() const { return memory_; }

    /// Groups the samples of h; y. `shared` is memory to measure in, as for gradient_codes.
    template <class Arch, class H>
    reflected<H> reflect(const context& c, const H& h, std::byte* shared, const char* layer) {
        measured_samples<measures::extremes, Out, Arch> found(shared, c.samples);
        found.measure_all(c, h, "a gradient", layer);
        for (int n = 0; n < c.samples; ++n) magnitude_[n] = found.of_sample(n).range.magnitude();
        group(c.samples);
        each_site<Out>(c, [&](int p, int b) {
            const H values = h;
            for (int g = 0; g < groups_; ++g)
                if (const int index = rows_[members_[begin_[g]]].group; index >= 0)
                    sum_of_group<Arch>(g, [&](int n) {
                        return values.template load<Arch>(n, p, b) * floats<Arch>(rows_[n].scale);
                    }).store(memory_ + offset_of(Out, index, p, b));
        });
        return {h, rows_, memory_};
    }

    /// Stores dX, from the product's rows, and what is to be added to it.
    template <class Arch, class Plus, class T>
    void restore(const context& c, const Plus& plus, T* dx) const {
        each_site<In>(c, [&](int p, int b) {
            const auto row = [&](int n) { return floats<Arch>::load(memory_ + offset_of(In, n, p, b)); };
            for (int g = 0; g < groups_; ++g) {
                const bool alone = begin_[g + 1] - begin_[g] == 1;
                const auto sum = alone ? floats<Arch>(0.0f) : sum_of_group<Arch>(g, row);
                for (int i = begin_[g]; i < begin_[g + 1]; ++i) {
                    const int n = members_[i];
                    const auto v = fma(sum, floats<Arch>(-rows_[n].weight), row(n));
                    const floats<Arch> inverse(rows_[n].inverse);
                    T* place = dx + offset_of(In, n, p, b);
                    if constexpr (std::same_as<Plus, nothing>) simd::store(place, v * inverse);
                    else simd::store(place, fma(v, inverse, plus.template load<Arch>(n, p, b)));
                }
            }
        });
    }

private:
    /// Calls body(p, b) for every block of 16 channels of every pixel, on threads.
    template <shape Shape, class Body>
    static void each_site(const context& c, Body&& body) {
        parallel_for(Shape.pixels() * blocks(Shape.channels), c.threads,
                     [&](int i, int) { body(i / blocks(Shape.channels), i % blocks(Shape.channels)); });
    }

    template <class Arch, class Row>
    floats<Arch> sum_of_group(int g, Row&& row) const {
        floats<Arch> sum(0.0f);
        for (int i = begin_[g]; i < begin_[g + 1]; ++i)
            sum = fma(row(members_[i]), floats<Arch>(rows_[members_[i]].weight), sum);
        return sum;
    }

    /// r for a group of k samples, and the V that comes of it.
    struct choice {
        double variance;
        float scale;
    };
    static choice choose(double large, double small, int k) {
        if (k == 1) return {product(large, large), 1.0f};
        const double spread = large / std::sqrt(double(k)), rest = product(small, std::sqrt(1 - 1.0 / k));
        choice best{std::numeric_limits<double>::infinity(), 1.0f};
        // V falls to its minimum and rises after it. Below 2^-12 there is nothing left to gain.
        for (double r = 1; r >= 0x1p-12; r /= 2) {
            const double row = r * spread + rest, variance = product(product(row, row), 1 / (r * r) + (k - 1));
            if (!(variance < best.variance)) break;
            best = {variance, static_cast<float>(r)};
        }
        return best;
    }

    double magnitude(int place) const { return double{magnitude_[order_[place]]}; }

    /// Calls visit(place, first, last, choice) for the group of each of `count` large samples: that at `place` of the
    /// order, with those from `first` to `last` - 1.
    template <class Visit>
    void each_group(int samples, int count, Visit&& visit) const {
        double total = 0, sum = 0;
        for (int i = 0; i < count; ++i) total += magnitude(i);
        for (int i = 0, first = count; i < count; ++i) {
            sum += magnitude(i);
            // At the last one both sums are the same.
            const int last = count + static_cast<int>(total > 0 ? (samples - count) * (sum / total) : 0.0);
            visit(i, first, last, choose(magnitude(i), first < last ? magnitude(first) : 0.0, 1 + last - first));
            first = last;
        }
    }
    double variance(int samples, int count) const {
        double sum = 0;
        each_group(samples, count, [&](int, int, int, choice c) { sum += c.variance; });
        return sum;
    }

    void group(int samples) {
        for (int n = 0; n < samples; ++n) order_[n] = n;
        std::sort(order_, order_ + samples,
                  [&](int i, int j) { return magnitude_[i] != magnitude_[j] ? magnitude_[i] > magnitude_[j] : i < j; });
        // None are small, or 1, 2, 3, 4, 6, 8, 12, 16, ... are large: a number of trials that costs O(samples).
        int best = samples;
        double least = variance(samples, samples);
        for (int power = 1; power < samples; power *= 2)
            for (const int count : {power, power + power / 2})
                if (count < samples)
                    if (const double v = variance(samples, count); v < least) least = v, best = count;

        groups_ = 0;
        int used = 0, index = 0;
        each_group(samples, best, [&](int place, int first, int last, choice c) {
            const int k = 1 + last - first;
            begin_[groups_++] = used;
            members_[used++] = order_[place];
            rows_[order_[place]] = {-1, 0.0f, 1.0f, 1.0f};
            if (k == 1) return;
            const double root = std::sqrt(double(k));
            rows_[order_[place]] = {index, static_cast<float>(std::sqrt(1 - 1 / root)), c.scale, 1.0f / c.scale};
            for (int i = first; i < last; ++i) {
                members_[used++] = order_[i];
                rows_[order_[i]] = {index, static_cast<float>(-1 / std::sqrt(k - root)), 1.0f, 1.0f};
            }
            ++index;
        });
        begin_[groups_] = used;
    }
};

} // namespace fqt
