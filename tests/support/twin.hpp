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
            r.encode(x.v, input_rule, !x.nonnegative, number, for_activations, name, "codes", std::max(-low, high)));
    }
    static value value_of(coded codes) {
        const auto c = std::make_shared<const coded>(std::move(codes));
        double most = 0;
        for (const double v : c->value.v) most = std::max(most, std::abs(v));
        return {c->value, !c->is_signed, true, true, {at(c->value.dims.channels), {c->is_signed ? -most : 0, most}}, c};
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
        const bool integer = !formats.weight.passes() && !formats.dx.passes(),
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
        const double count = double(r.samples) * in.pixels(),
                     folds = x.from ? std::accumulate(x.from->fold.begin(), x.from->fold.end(), 0.0) : 1;
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
                mean[k] = r.follow(mean[k], r.real(real_mean), seen[0] > 0);
                variance[k] = r.follow(
                    variance[k], r.real(count > 1 ? real_variance * count / (count - 1) : real_variance), seen[0] > 0);
            }
            const double s = std::sqrt(real_variance + double{1e-5f});
            inverse[k] = unit / s, sigma[k] = r.real(s);
            if (r.anchor || rule.through_sigma) given[k] = sigma[k];
            factor[k] = rule.quantized_gain && x.from ? x.from->fold[k] * in.channels / folds : 1;
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
    void place(lists& l, const std::string& called, const scheme& s, bool, bool) override {
        place_input(l, called, s, s.activation);
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
        if (!x.codes) return {y, false, true, true, x.range};
        coded result = *x.codes;
        result.owner = name + ".out";
        r.see(result.owner, "codes", y);
        result.code = y;
        result.value =
            make(r.samples, out, [&](int n, int c, int p) { return r.mul(y(n, c, p), result.of(n, c).step); });
        value v = value_of(result);
        v.range.assign(at(out.channels), x.range[0]); // its input's
        return v;
    }
    gradient backward(run& r, gradient h, const gradient* plus) override {
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
                x.nonnegative, true, false, x.range};
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
            const bool edges = mine > 0 && !part->own;
            part->place(l, full, part->own.value_or(s), edges && first && before == 0,
                        edges && last && before + mine == products());
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
                 true,
                 true,
                 {at(in.channels), {std::min(*low, 0.0), std::max(*high, 0.0)}}};
        }
        if (!from.in_memory) show(r, x.codes ? x.codes->code : x.v);
        const value a = body->forward(r, x), b = shortcut->forward(r, x);
        value y{make(r.samples, out, [&](int n, int c, int p) { return r.add(a.v(n, c, p), b.v(n, c, p)); }),
                a.nonnegative && b.nonnegative};
        for (std::size_t c = 0; c < std::min(a.range.size(), b.range.size()); ++c)
            y.range.push_back({r.add(a.range[c].first, b.range[c].first), r.add(a.range[c].second, b.range[c].second)});
        return y;
    }
    gradient backward(run& r, gradient g, const gradient* plus) override {
        if (!g.cheap)
            for (double& v : g.v.v) v = rounded(v, formats.gradient);
        g.cheap = true;
        const gradient by_shortcut = shortcut->backward(r, g, plus);
        return body->backward(r, g, &by_shortcut);
    }
};

} // namespace twin
