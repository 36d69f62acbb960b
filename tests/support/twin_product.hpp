#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The twin's convolution and dense layer (twin.hpp), and what its layers have in common.

#include "twin_arithmetic.hpp"

namespace twin {

// ---- layers ----

/// What a network is asked for by name.
struct lists {
    struct entry {
        std::string name;
        numbers *value, *gradient;
    };
    std::vector<entry> parameters{}, states{};
    std::vector<const product*> products{};
    int numbered = 0;
};

struct layer {
    shape in{}, out{};
    scheme formats{};
    std::optional<scheme> own{}; // instead of its surroundings'
    std::string name{};
    int number{};

    layer(shape from, shape to) : in(from), out(to) {}
    virtual ~layer() = default;
    virtual value forward(run& r, const value& x) = 0;
    virtual gradient backward(run& r, gradient g, const gradient* plus) = 0;
    virtual int products() const { return 0; }
    virtual bool starts_with_product() const { return false; }
    virtual double penalty() const { return 0; }
    /// Tells its name and scheme, and whether the network's first and last product lie within.
    virtual void place(lists&, const std::string& called, const scheme& s, bool, bool) { name = called, formats = s; }
};
using pointer = std::unique_ptr<layer>;

/// A layer that needs its input in codes, and keeps a running range of it for evaluation.
struct coding_layer : layer {
    using layer::layer;
    rule input_rule{};
    numbers range = numbers(3); // low, high, whether they were ever set

    void place_input(lists& l, const std::string& called, const scheme& s, const rule& q) {
        name = called, formats = s, input_rule = q, number = l.numbered++;
        l.states.push_back({called + ".range", &range, nullptr});
    }
    value stored(run& r, const value& x) {
        if (x.codes && x.codes->q == input_rule) return x;
        double low = 0, high = 0;
        for (const auto& c : x.range) low = std::min(low, c.first), high = std::max(high, c.second);
        if (x.range.empty())
            for (const double v : x.v.v) low = std::min(low, v), high = std::max(high, v);
        const bool seen = range[2] > 0;
        if (r.training) range = {r.follow(range[0], low, seen), r.follow(range[1], high, seen), 1};
        else low = range[0], high = range[1];
        return value_of(
            r.encode(x.v, input_rule, !x.nonnegative, number, for_activations, name, "codes", std::max(-low, high)),
            x.learns);
    }
    static value value_of(coded codes, bool learns) {
        const auto c = std::make_shared<const coded>(std::move(codes));
        double most = 0;
        for (const double v : c->value.v) most = std::max(most, std::abs(v));
        return {c->value, !c->is_signed, learns, true, {at(c->value.dims.channels), {c->is_signed ? -most : 0, most}},
                c};
    }
    void show(run& r, tensor t) const { r.see(name, "input", t); }
};

/// conv and dense.
struct product final : coding_layer {
    geometry g;
    bool has_bias, learns{};
    int row, channels; // weights of an output, channels of a group
    numbers weight, weight_gradient, bias, bias_gradient, fold, scale;
    coded w{};
    std::shared_ptr<const coded> x{};
    tensor units{};
    std::vector<std::pair<double, double>> unit_range{};

    product(geometry of, bool biased)
        : coding_layer(of.in, of.out()), g(of), has_bias(biased), row(g.weights() / g.outputs),
          channels(g.channels_per_group()) {
        for (auto* v : {&weight, &weight_gradient}) v->resize(at(g.weights()));
        for (auto* v : {&bias, &bias_gradient, &fold, &scale}) v->resize(at(g.outputs));
    }
    int products() const override { return 1; }
    bool starts_with_product() const override { return true; }
    bool multiplies_integers_for_dx() const { return !formats.weight.passes() && !formats.dx.passes(); }
    /// What is folded into h for dX, by channel; 1 where nothing is.
    double folded(int k) const { return learns && multiplies_integers_for_dx() ? fold[at(k)] : 1; }
    void place(lists& l, const std::string& called, const scheme& s, bool first, bool last) override {
        place_input(l, called, s.where(first || last), s.where(first || last).activation);
        l.products.push_back(this);
        l.parameters.push_back({called + ".weight", &weight, &weight_gradient});
        if (has_bias) l.parameters.push_back({called + ".bias", &bias, &bias_gradient});
    }

    int channel(int k, int c) const { return k / g.outputs_per_group() * channels + c; }
    /// f(pixel) for the input pixel under tap (y, z) of output pixel p, if there is one.
    template <class F>
    void input_pixel(int p, int y, int z, F&& f) const {
        y += p / out.width * g.stride - g.pad, z += p % out.width * g.stride - g.pad;
        if (y >= 0 && y < in.height && z >= 0 && z < in.width) f(y * in.width + z);
    }
    // The three sums, in the documented order of fma; exact ones need none. Weights are (k, tap, c).
    double forward_sum(arithmetic a, const tensor& of_x, const tensor& of_w, int n, int k, int p) const {
        const int chunk = g.kernel_width <= 5 ? g.kernel_width : 1;
        double sum = 0;
        for (int y = 0; y < g.kernel_height; ++y)
            for (int first = 0; first < g.kernel_width; first += chunk)
                for (int c = 0; c < channels; ++c)
                    for (int z = first; z < first + chunk; ++z)
                        input_pixel(p, y, z, [&](int q) {
                            sum = a.fma(of_x(n, channel(k, c), q), of_w(0, k, (y * g.kernel_width + z) * channels + c),
                                        sum);
                        });
        return sum;
    }
    double input_gradient_sum(arithmetic a, const tensor& h, const tensor& of_w, int n, int c, int p) const {
        const int bottom = p / in.width + g.pad, right = p % in.width + g.pad, width = g.kernel_width,
                  outputs = g.outputs_per_group();
        const auto meets = [&](int position, int tap) { return (position - tap) % g.stride == 0; };
        int taps = 0;
        for (int z = 0; z < width; ++z) taps += meets(right, z);
        double sum = 0;
        for (int y = g.kernel_height; y-- > 0;)
            for (int i = 0; meets(bottom, y) && i < width * outputs; ++i) {
                const int z = width - 1 - (taps <= 5 ? i % width : i / outputs),
                          k = c / channels * outputs + (taps <= 5 ? i / width : i % outputs);
                const int v = (bottom - y) / g.stride, u = (right - z) / g.stride;
                if (bottom >= y && right >= z && meets(right, z) && v < out.height && u < out.width)
                    sum = a.fma(h(n, k, v * out.width + u), of_w(0, k, (y * width + z) * channels + c % channels), sum);
            }
        return sum;
    }
    double weight_gradient_sum(arithmetic a, const tensor& of_x, const tensor& h, int n, int k, int i) const {
        double sum = 0;
        for (int p = 0; p < out.pixels(); ++p)
            input_pixel(p, i / channels / g.kernel_width, i / channels % g.kernel_width,
                        [&](int q) { sum = a.fma(of_x(n, channel(k, i % channels), q), h(n, k, p), sum); });
        return sum;
    }

    value forward(run& r, const value& from) override {
        w = r.encode({1, {g.outputs, 1, row}, weight}, formats.weight, true, number, for_weights, name, "weights");
        // A channel of zeros folds the greatest step in, so that its weight gradient survives.
        double greatest_step = 0;
        for (int k = 0; k < g.outputs; ++k) greatest_step = std::max(greatest_step, w.of(0, k).step);
        for (int k = 0; k < g.outputs; ++k)
            fold[at(k)] = w.of(0, k).step > 0 ? w.of(0, k).step : greatest_step > 0 ? greatest_step : 1;
        learns = from.learns;
        x = stored(r, from).codes;
        show(r, x->code);

        // Sums times a power of two that makes overflow of binary16 impossible.
        const bool integer = !formats.weight.passes() && !input_rule.passes();
        const format kept = integer && r.training ? formats.sums : format::full;
        double unit = 1;
        while (kept == format::half && row * input_rule.greatest(false) * formats.weight.greatest(true) * unit > 65504)
            unit /= 2;
        units = make(r.samples, out, [&](int n, int k, int p) {
            return integer ? rounded(r.real(forward_sum(exact, x->code, w.code, n, k, p)) * unit, kept)
                           : forward_sum(r, x->value, w.value, n, k, p);
        });
        r.see(name, "sums", units);
        for (int k = 0; k < g.outputs; ++k)
            scale[at(k)] = integer ? r.mul(r.mul(w.of(0, k).step, x->grids[0].step), 1 / unit) : 1;
        const auto real = [&](double u, int k) { return r.fma(u, scale[at(k)], bias[at(k)]); };
        value y{make(r.samples, out, [&](int n, int k, int p) { return real(units(n, k, p), k); })};
        unit_range.assign(at(g.outputs), {INFINITY, -INFINITY});
        units.each([&](int n, int k, int p) {
            auto& [low, high] = unit_range[at(k)];
            low = std::min(low, units(n, k, p)), high = std::max(high, units(n, k, p));
        });
        for (int k = 0; k < g.outputs; ++k)
            y.range.push_back({real(unit_range[at(k)].first, k), real(unit_range[at(k)].second, k)});
        y.from = this;
        return y;
    }

    gradient backward(run& r, gradient h, const gradient* plus) override {
        for (int k = 0; has_bias && k < g.outputs; ++k) {
            numbers of_sample(at(r.samples));
            for (int n = 0; n < r.samples; ++n)
                for (int p = 0; p < out.pixels(); ++p) of_sample[at(n)] += h.v(n, k, p);
            bias_gradient[at(k)] = r.real(std::accumulate(of_sample.begin(), of_sample.end(), 0.0));
        }
        const bool integer = multiplies_integers_for_dx(),
                   shared = learns && formats.dx == formats.dw && !formats.dx.passes();
        coded for_dx, for_dw;
        if (learns) {
            const tensor folded = make(
                r.samples, out, [&](int n, int k, int p) { return r.mul(h.v(n, k, p), integer ? fold[at(k)] : 1); });
            for_dx = r.encode(folded, formats.dx, true, number, for_input_gradient, name, "input_gradient");
        }
        if (!shared) for_dw = r.encode(h.v, formats.dw, true, number, for_weight_gradient, name, "weight_gradient");
        add_weight_gradient(r, shared ? for_dx : for_dw, shared && integer);
        if (!learns) return {.wanted = false};
        gradient dx{make(r.samples, in, [&](int n, int c, int p) {
            const double sum = integer ? r.real(input_gradient_sum(exact, for_dx.code, w.code, n, c, p))
                                       : input_gradient_sum(r, for_dx.value, w.value, n, c, p);
            return rounded(r.fma(sum, integer ? for_dx.of(n, 0).step : 1, plus ? plus->v(n, c, p) : 0),
                           formats.gradient);
        })};
        r.see(name, "gradient", dx.v);
        return dx;
    }

    /// Samples in order, in a number of groups that depends on sizes alone; then the groups in order.
    void add_weight_gradient(const run& r, const coded& h, bool folded) {
        const bool integer = !input_rule.passes() && !h.q.passes(),
                   by_channel = integer && h.q.shared == grain::channel;
        const int groups = std::clamp((8 << 20) / (4 * channels * g.taps() * ((g.outputs + 15) / 16 * 16)), 2, 8);
        for (int k = 0; k < g.outputs; ++k)
            for (int i = 0; i < row; ++i) {
                numbers of_group(at(groups));
                for (int group = 0; group < groups; ++group)
                    for (int n = r.samples * group / groups; n < r.samples * (group + 1) / groups; ++n) {
                        const double sum = integer ? r.real(weight_gradient_sum(exact, x->code, h.code, n, k, i))
                                                   : weight_gradient_sum(r, x->value, h.value, n, k, i);
                        of_group[at(group)] =
                            r.fma(integer && !by_channel ? h.of(n, k).step : 1, sum, of_group[at(group)]);
                    }
                const double total = std::accumulate(of_group.begin() + 1, of_group.end(), of_group[0],
                                                     [&](double a, double b) { return r.add(a, b); });
                double factor = integer ? x->grids[0].step : 1;
                if (folded) factor = r.div(factor, fold[at(k)]);
                if (by_channel) factor = r.mul(factor, h.of(0, k).step);
                weight_gradient[at(k * row + i)] = r.mul(total, factor);
            }
    }
};

} // namespace twin
