#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A second fqt, slow and plain: the layers of a training step in loops over (sample, channel, pixel) arrays of doubles,
// written from the documentation. It shares with the library geometries and random numbers, but no kernel, lane, pass,
// quantizer or layer. twin_network.hpp makes one of these of a spec and a scheme.
//
// single = true: every elementwise step is rounded to float as documented; sums of codes, moments and the coefficients
// of batch normalization are doubles. Codes, gradients and weights then equal the library's bit for bit. (The
// coefficients are the textbook's; the library orders them otherwise, which differs by 1e-15, and a float has 6e-8.)
// single = false: nothing is rounded but to codes, binary16 and bfloat16, where the scheme says so. With the scheme
// fp32 this is the function itself, whose finite differences are its gradient.

#include "twin_product.hpp"

namespace twin {

/// A loss on the gains of a batch normalization: its value and its slopes, which need not be given where none is used.
struct rectifier {
    double (*loss)(const numbers&) = nullptr;
    double (*slope)(double gain) = nullptr; // times the channels
    bool quantized_gain = false, through_sigma = false;
};

struct batch_norm final : layer {
    rectifier rule;
    numbers gamma, beta, gamma_gradient, beta_gradient, mean, variance, seen = numbers(1);
    numbers scale, shift, batch_mean, inverse, sigma, given, factor;
    value x{};

    batch_norm(shape of, rectifier with) : layer(of, of), rule(with) {
        for (auto* v : {&gamma, &beta, &gamma_gradient, &beta_gradient, &mean, &scale, &shift, &batch_mean, &inverse,
                        &sigma, &given, &factor})
            v->resize(at(of.channels));
        variance.assign(at(of.channels), 1);
    }
    void place(lists& l, const std::string& called, const scheme& s, bool, bool) override {
        name = called, formats = s;
        l.parameters.push_back({called + ".gamma", &gamma, &gamma_gradient});
        l.parameters.push_back({called + ".beta", &beta, &beta_gradient});
        for (auto [what, v] : {std::pair{".mean", &mean}, {".variance", &variance}, {".seen", &seen}})
            l.states.push_back({called + what, v, nullptr});
    }
    double penalty() const override {
        numbers gains;
        for (std::size_t k = 0; k < gamma.size(); ++k) gains.push_back(gamma[k] / given[k] * factor[k]);
        return rule.loss ? rule.loss(gains) : 0;
    }
    const tensor& units() const { return x.from ? x.from->units : x.v; }
    /// The sum of f(n, p): pixels in order, then samples in order.
    template <class F>
    double over_batch(const run& r, F&& f) const {
        double total = 0;
        for (int n = 0; n < r.samples; ++n) {
            double sum = 0;
            for (int p = 0; p < in.pixels(); ++p) sum += f(n, p);
            total += sum;
        }
        return total;
    }

    value forward(run& r, const value& from) override {
        x = from;
        const double count = double(r.samples) * in.pixels();
        double folds = 0;
        for (int c = 0; c < in.channels; ++c) folds += x.from ? x.from->folded(c) : 1;
        value y;
        for (int c = 0; c < in.channels; ++c) {
            const std::size_t k = at(c);
            const double unit = x.from ? x.from->scale[k] : 1, bias = x.from ? x.from->bias[k] : 0;
            double real_mean = mean[k], real_variance = variance[k];
            if (r.training) {
                batch_mean[k] = over_batch(r, [&](int n, int p) { return units()(n, c, p); }) / count;
                real_mean = batch_mean[k] * unit + bias;
                real_variance =
                    over_batch(r, [&](int n, int p) { return std::pow(units()(n, c, p) - batch_mean[k], 2); }) / count
                    * unit * unit;
                if (count > 1 || seen[0] == 0) {
                    const double unbiased = count > 1 ? real_variance * count / (count - 1) : real_variance;
                    mean[k] = r.follow(mean[k], r.real(real_mean), seen[0] > 0);
                    variance[k] = r.follow(variance[k], r.real(unbiased), seen[0] > 0);
                }
            }
            const double s = std::sqrt(real_variance + double{1e-5f});
            inverse[k] = unit / s, sigma[k] = r.real(s);
            if (r.anchor || rule.through_sigma) given[k] = sigma[k];
            factor[k] = rule.quantized_gain && x.from ? x.from->folded(c) * in.channels / folds : 1;
            scale[k] = r.real(gamma[k] * inverse[k]), shift[k] = r.real(beta[k] - gamma[k] / s * (real_mean - bias));
            if (x.range.empty()) continue;
            const auto [low, high] = x.from ? x.from->unit_range[k] : x.range[k];
            y.range.push_back(std::minmax({r.fma(low, scale[k], shift[k]), r.fma(high, scale[k], shift[k])}));
        }
        if (r.training) seen[0] = 1;
        y.v = make(r.samples, in,
                   [&](int n, int c, int p) { return r.fma(units()(n, c, p), scale[at(c)], shift[at(c)]); });
        return y;
    }

    gradient backward(run& r, gradient g, const gradient* plus) override {
        const double count = double(r.samples) * in.pixels();
        numbers a(gamma.size()), b = a, constant = a;
        for (int c = 0; c < in.channels; ++c) {
            const std::size_t k = at(c);
            const double gain = gamma[k] / sigma[k],
                         slope = rule.slope ? rule.slope(gain * factor[k]) / in.channels : 0;
            const double by_gamma = r.real(slope * factor[k] / sigma[k]),
                         by_sigma = rule.through_sigma ? r.real(-slope * gain * factor[k] / sigma[k]) : 0;
            const double total = over_batch(r, [&](int n, int p) { return g.v(n, c, p); });
            const double with_xhat = over_batch(
                r, [&](int n, int p) { return g.v(n, c, p) * ((units()(n, c, p) - batch_mean[k]) * inverse[k]); });
            gamma_gradient[k] = r.real(with_xhat + r.rectification * by_gamma), beta_gradient[k] = r.real(total);
            // dx = gain (g - mean(g) - xhat mean(g xhat)) + by_sigma xhat / count, as a g + b u + constant.
            const double by_units = (r.rectification * by_sigma - gain * with_xhat) / count * inverse[k];
            a[k] = r.real(gain), b[k] = r.real(by_units),
            constant[k] = r.real(-by_units * batch_mean[k] - gain * total / count);
        }
        const auto one = [&](int n, int c, int p) {
            return r.fma(g.v(n, c, p), a[at(c)], r.fma(units()(n, c, p), b[at(c)], constant[at(c)]));
        };
        return r.plus({make(r.samples, in, one), false}, plus);
    }
};

struct relu final : layer {
    tensor x{};

    explicit relu(shape of) : layer(of, of) {}
    value forward(run& r, const value& from) override {
        x = from.v;
        value y{make(r.samples, in, [&](int n, int c, int p) { return std::max(x(n, c, p), 0.0); }), true, from.learns,
                false, from.range};
        for (auto& [low, high] : y.range) low = std::max(low, 0.0), high = std::max(high, 0.0);
        return y;
    }
    gradient backward(run& r, gradient g, const gradient* plus) override {
        return r.plus(
            {make(r.samples, in, [&](int n, int c, int p) { return x(n, c, p) > 0 ? g.v(n, c, p) : 0; }), g.cheap},
            plus);
    }
};

/// max_pool, avg_pool and global_avg_pool.
struct pool final : coding_layer {
    geometry g;
    bool greatest;
    value x{};

    pool(geometry of, bool max) : coding_layer(of.in, of.out()), g(of), greatest(max) {}
    void place(lists& l, const std::string& called, const scheme& s, bool first, bool last) override {
        place_input(l, called, s, s.where(first || last).activation);
    }
    template <class F>
    void each_tap(int p, F&& f) const {
        for (int t = 0; t < g.taps(); ++t) {
            const int y = p / out.width * g.stride - g.pad + t / g.kernel_width,
                      z = p % out.width * g.stride - g.pad + t % g.kernel_width;
            if (y >= 0 && y < in.height && z >= 0 && z < in.width) f(y * in.width + z);
        }
    }
    value forward(run& r, const value& from) override {
        x = from.in_memory ? from : stored(r, from);
        const tensor& of_x = x.codes ? x.codes->code : x.v;
        const double share = r.mul(x.codes ? x.codes->grids[0].step : 1, r.div(1, g.taps()));
        tensor y = make(r.samples, out, [&](int n, int c, int p) {
            double most = -INFINITY, sum = 0;
            each_tap(p, [&](int q) { most = std::max(most, of_x(n, c, q)), sum = r.add(sum, of_x(n, c, q)); });
            return greatest ? most : r.mul(sum, share);
        });
        if (!greatest) return {y, x.nonnegative, x.learns};
        if (!x.codes) return {y, false, x.learns, true, x.range};
        coded result = *x.codes;
        result.owner = name + ".out";
        r.see(result.owner, "codes", y);
        result.code = y;
        result.value =
            make(r.samples, out, [&](int n, int c, int p) { return r.mul(y(n, c, p), result.of(n, c).step); });
        value v = value_of(result, x.learns);
        v.range.assign(at(out.channels), x.range[0]); // its input's
        return v;
    }
    gradient backward(run& r, gradient h, const gradient* plus) override {
        if (!x.learns) return {.wanted = false};
        gradient dx{make(r.samples, in, [](int, int, int) { return 0.0; }), greatest};
        h.v.each([&](int n, int c, int p) {
            int best = -1; // the first of the greatest
            each_tap(p, [&](int q) { best = best < 0 || x.v(n, c, q) > x.v(n, c, best) ? q : best; });
            each_tap(p, [&](int q) {
                if (!greatest || q == best) dx.v(n, c, q) = r.add(dx.v(n, c, q), h.v(n, c, p));
            });
        });
        if (!greatest)
            for (double& v : dx.v.v) v = r.mul(v, r.div(1, g.taps()));
        dx = r.plus(dx, plus);
        if (greatest)
            for (double& v : dx.v.v) v = rounded(v, formats.gradient);
        return {dx.v, greatest};
    }
};

/// Shortcuts without weights: every stride-th row and column, with channels of zeros. Also what stands for the images.
struct pad_shortcut final : layer {
    int stride;
    bool images;

    pad_shortcut(shape from, int outputs, int step, bool first = false)
        : layer(from, {outputs, (from.height + step - 1) / step, (from.width + step - 1) / step}), stride(step),
          images(first) {}
    int source(int p) const { return p / out.width * stride * in.width + p % out.width * stride; }
    value forward(run& r, const value& x) override {
        if (in == out) return x;
        value y{make(r.samples, out, [&](int n, int c, int p) { return c < in.channels ? x.v(n, c, source(p)) : 0; }),
                x.nonnegative, x.learns, false, x.range};
        if (!y.range.empty()) y.range.resize(at(out.channels));
        return y;
    }
    gradient backward(run& r, gradient g, const gradient* plus) override {
        if (images) return {.wanted = false};
        gradient dx{make(r.samples, in, [](int, int, int) { return 0.0; }), false};
        g.v.each([&](int n, int c, int p) {
            if (c < in.channels) dx.v(n, c, source(p)) = g.v(n, c, p);
        });
        return r.plus(dx, plus);
    }
};

struct chain final : layer {
    std::vector<std::pair<std::string, pointer>> parts{};

    chain() : layer({}, {}) {}
    int products() const override {
        return std::accumulate(parts.begin(), parts.end(), 0,
                               [](int sum, const auto& l) { return sum + l.second->products(); });
    }
    bool starts_with_product() const override { return parts.front().second->starts_with_product(); }
    double penalty() const override {
        return std::accumulate(parts.begin(), parts.end(), 0.0,
                               [](double sum, const auto& l) { return sum + l.second->penalty(); });
    }
    void place(lists& l, const std::string& called, const scheme& s, bool first, bool last) override {
        int before = 0, index = 0;
        for (auto& [label, part] : parts) {
            const int mine = part->products();
            const std::string full =
                (called.empty() ? "" : called + ".") + (label.empty() ? std::to_string(index) : label);
            part->place(l, full, part->own.value_or(s), !part->own && first && before == 0,
                        !part->own && last && products() > 0 && before + mine == products());
            before += mine, ++index;
        }
    }
    value forward(run& r, const value& x) override {
        value y = x;
        for (auto& part : parts) y = part.second->forward(r, y);
        return y;
    }
    gradient backward(run& r, gradient g, const gradient* plus) override {
        for (std::size_t i = parts.size(); i-- > 0 && g.wanted;)
            g = parts[i].second->backward(r, g, i == 0 ? plus : nullptr);
        return g;
    }
};

struct residual final : coding_layer {
    pointer body, shortcut;

    residual(pointer b, pointer s) : coding_layer(b->in, b->out), body(std::move(b)), shortcut(std::move(s)) {}
    int products() const override { return body->products() + shortcut->products(); }
    bool starts_with_product() const override { return body->starts_with_product(); }
    double penalty() const override { return body->penalty() + shortcut->penalty(); }
    void place(lists& l, const std::string& called, const scheme& s, bool first, bool last) override {
        const bool has = body->products() > 0;
        place_input(l, called, s, s.where(has && (first || (last && body->products() == 1))).activation);
        body->place(l, called + ".body", s, has && first, has && last);
        shortcut->place(l, called + ".shortcut", s, false, false);
    }
    value forward(run& r, const value& from) override {
        value x = from;
        if (!from.in_memory && starts_with_product()) x = stored(r, from);
        else if (!from.in_memory) {
            const auto [low, high] = std::minmax_element(from.v.v.begin(), from.v.v.end());
            const auto kept = [&](int n, int c, int p) { return rounded(from.v(n, c, p), formats.residual); };
            x = {make(r.samples, in, kept),
                 false,
                 from.learns,
                 true,
                 {at(in.channels), {std::min(*low, 0.0), std::max(*high, 0.0)}}};
        }
        if (!from.in_memory) show(r, x.codes ? x.codes->code : x.v);
        const value a = body->forward(r, x), b = shortcut->forward(r, x);
        value y{make(r.samples, out, [&](int n, int c, int p) { return r.add(a.v(n, c, p), b.v(n, c, p)); }),
                a.nonnegative && b.nonnegative, a.learns || b.learns};
        for (std::size_t c = 0; c < std::min(a.range.size(), b.range.size()); ++c)
            y.range.push_back({r.add(a.range[c].first, b.range[c].first), r.add(a.range[c].second, b.range[c].second)});
        return y;
    }
    gradient backward(run& r, gradient g, const gradient* plus) override {
        if (!g.cheap)
            for (double& v : g.v.v) v = rounded(v, formats.gradient);
        g.cheap = true;
        const gradient by_shortcut = shortcut->backward(r, g, plus);
        return body->backward(r, g, by_shortcut.wanted ? &by_shortcut : nullptr);
    }
};

} // namespace twin
