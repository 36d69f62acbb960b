// SPDX-License-Identifier: BSD-3-Clause
// Why a grid a tensor is noisy, and what could help: trains ResNet-20 with 4-bit gradients on CIFAR-10, takes the
// gradients h of all products of one batch before they are quantized, and computes the noise that stochastic rounding
// would add to them, omega = E |h^ - h|^2 / |h|^2, if
//   channels were even   every channel had the same rms, at which a rectifier of gains aims
//   samples were even    every sample had the same rms, much as a grid a sample makes them
//   pixels were even     every pixel of every sample had the same rms over its channels
// and where grids end at a multiple of the rms: then what is clipped is an error, too. The last row is block_scaled
// behind hadamard: 2^B levels without zero, and a scale for each 16 channels of a pixel; the one before it LUQ's
// levels, zero and powers of two. Over layers noise multiplies (docs/theory.md), so the table has the geometric mean of
// 1 + omega over the layers. A second table has what a probe measures of the same network and batch: how noise adds up
// from the last layer to the first, and what normalizations do to it. Usage: unevenness <folder of CIFAR-10, or
// "generated"> [epochs, 3 unless given; 0: at the first weights]

#include "command.hpp"
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

namespace {

/// One layer's h: samples x channels x pixels.
struct tensor {
    std::string layer;
    int samples{}, channels{}, pixels{};
    std::vector<double> values;

    std::size_t at(int n, int c, int p) const { return static_cast<std::size_t>((n * channels + c) * pixels + p); }
};

/// Keeps h of every product, with the weights' scales in it, as it comes to be quantized for dX.
struct collector {
    static constexpr bool wants_details = true;
    std::vector<tensor> tensors{};

    void operator()(const fqt::observed_tensor& t) {
        if (t.what != "exact input_gradient") return;
        tensor kept{std::string(t.layer), t.samples, t.dims.channels, t.dims.pixels(), {}};
        kept.values.resize(static_cast<std::size_t>(t.samples * t.dims.size()));
        for (int n = 0; n < t.samples; ++n)
            for (int c = 0; c < kept.channels; ++c)
                for (int p = 0; p < kept.pixels; ++p) kept.values[kept.at(n, c, p)] = double{t.value(n, c, p)};
        tensors.push_back(std::move(kept));
    }
};

double mean_square(const std::vector<double>& v) {
    double sum = 0;
    for (const double x : v) sum += x * x;
    return sum / static_cast<double>(v.size());
}

/// Divides each group of values by its rms; group(n, c, p) numbers them.
tensor evened(tensor t, int groups, const std::function<int(int, int, int)>& group) {
    std::vector<double> squares(static_cast<std::size_t>(groups));
    const auto each = [&](auto&& visit) {
        for (int n = 0; n < t.samples; ++n)
            for (int c = 0; c < t.channels; ++c)
                for (int p = 0; p < t.pixels; ++p)
                    visit(t.values[t.at(n, c, p)], squares[static_cast<std::size_t>(group(n, c, p))]);
    };
    each([](double v, double& sum) { sum += v * v; });
    each([](double& v, double sum) { v = sum > 0 ? v / std::sqrt(sum) : 0; });
    return t;
}

/// omega of stochastic rounding on `high` positive levels that end at a multiple of the rms, or at max|h| where the
/// multiple is 0; the square of what is clipped is counted with the noise.
double noise(const std::vector<double>& v, int high, double multiple) {
    const double power = mean_square(v);
    double most = 0;
    for (const double x : v) most = std::max(most, std::abs(x));
    if (multiple > 0) most = std::min(most, multiple * std::sqrt(power));
    const double step = most / high;
    double sum = 0;
    for (const double x : v) {
        const double magnitude = std::abs(x), kept = std::min(magnitude, most), low = std::floor(kept / step);
        const double share = kept / step - low; // goes up with this probability
        sum += step * step * share * (1 - share) + (magnitude - kept) * (magnitude - kept);
    }
    return sum / static_cast<double>(v.size()) / power;
}

/// omega of LUQ's rounding: levels 0, a, 2a, 4a, ..., 2^top a = max|h|, up or down by chance between neighbours.
double noise_of_powers(const std::vector<double>& v, int top) {
    double most = 0;
    for (const double x : v) most = std::max(most, std::abs(x));
    const double least = std::ldexp(most, -top);
    double sum = 0;
    for (const double x : v) {
        const double magnitude = std::abs(x);
        double low = 0, high = least;
        while (high < magnitude) low = high, high *= 2;
        sum += (magnitude - low) * (high - magnitude);
    }
    return sum / static_cast<double>(v.size()) / mean_square(v);
}

/// The same where each sample has a grid of its own.
double noise_by_sample(const tensor& t, int high, double multiple) {
    const std::size_t size = t.values.size() / static_cast<std::size_t>(t.samples);
    double sum = 0, power = 0;
    for (auto first = t.values.begin(); first != t.values.end(); first += static_cast<std::ptrdiff_t>(size)) {
        const std::vector<double> sample(first, first + static_cast<std::ptrdiff_t>(size));
        const double here = mean_square(sample);
        if (!(here > 0)) continue;
        sum += noise(sample, high, multiple) * here;
        power += here;
    }
    return sum / power;
}

/// The same with 16 channels of a pixel rotated and scaled (block_scaled.hpp), 2^Bits levels, one unit a sample.
template <int Bits>
double noise_in_blocks(const tensor& t) {
    using quantizer = fqt::block_scaled<fqt::dorefa_levels<Bits, fqt::stochastic, fqt::per_sample>>;
    using lanes16 = fqt::floats<fqt::arch::best>;
    double sum = 0, power = 0;
    for (int n = 0; n < t.samples; ++n) {
        std::vector<float> rotated;
        for (int p = 0; p < t.pixels; ++p)
            for (int first = 0; first < t.channels; first += 16) {
                float v[16]{};
                for (int i = 0; i < 16 && first + i < t.channels; ++i)
                    v[i] = static_cast<float>(t.values[t.at(n, first + i, p)]);
                fqt::hadamard16(v);
                rotated.insert(rotated.end(), v, v + 16);
            }
        float most = 0;
        for (const float v : rotated) most = std::max(most, std::abs(v));
        const auto grid = quantizer::fit({-most, most}, quantizer::limits(true));
        for (std::size_t first = 0; first < rotated.size(); first += 16) {
            const float scale = quantizer::scale_of(lanes16::load(rotated.data() + first), grid);
            const double gap = 2 * double{grid.step} * double{scale};
            for (std::size_t i = first; i < first + 16; ++i) {
                const double place = double{rotated[i]} / gap + 0.5, share = place - std::floor(place);
                sum += gap * gap * share * (1 - share);
                power += double{rotated[i]} * double{rotated[i]};
            }
        }
    }
    return sum / power;
}

void print(const std::vector<tensor>& tensors) {
    struct row {
        const char* name;
        std::function<double(const tensor&, int)> omega;
    };
    const auto even_channels = [](const tensor& t) { return evened(t, t.channels, [](int, int c, int) { return c; }); };
    const auto even_samples = [](const tensor& t) { return evened(t, t.samples, [](int n, int, int) { return n; }); };
    const auto even_pixels = [](const tensor& t) {
        return evened(t, t.samples * t.pixels, [&](int n, int, int p) { return n * t.pixels + p; });
    };
    const row rows[] = {
        {"a grid a tensor", [](const tensor& t, int q) { return noise(t.values, q, 0); }},
        {"a grid a tensor, channels even",
         [&](const tensor& t, int q) { return noise(even_channels(t).values, q, 0); }},
        {"a grid a tensor, samples even", [&](const tensor& t, int q) { return noise(even_samples(t).values, q, 0); }},
        {"a grid a tensor, both even",
         [&](const tensor& t, int q) { return noise(even_channels(even_samples(t)).values, q, 0); }},
        {"a grid a tensor, pixels even", [&](const tensor& t, int q) { return noise(even_pixels(t).values, q, 0); }},
        {"a grid a tensor, clipped at 2.5 rms", [](const tensor& t, int q) { return noise(t.values, q, 2.5); }},
        {"a grid a sample", [](const tensor& t, int q) { return noise_by_sample(t, q, 0); }},
        {"a grid a sample, channels even",
         [&](const tensor& t, int q) { return noise_by_sample(even_channels(t), q, 0); }},
        {"a grid a sample, clipped at 2.5 rms", [](const tensor& t, int q) { return noise_by_sample(t, q, 2.5); }},
        {"powers of two, a grid a tensor", [](const tensor& t, int q) { return noise_of_powers(t.values, q - 1); }},
    };
    std::printf(
        "| 1 + omega, geometric mean of %zu layers | 8 bits | 4 bits | 3 bits | 2 bits |\n|---|---|---|---|---|\n",
        tensors.size());
    for (const row& r : rows) {
        std::printf("| %s |", r.name);
        for (const int high : {127, 7, 3, 1}) {
            double logs = 0;
            for (const tensor& t : tensors) logs += std::log1p(r.omega(t, high));
            std::printf(" %.4g |", std::exp(logs / static_cast<double>(tensors.size())));
        }
        std::printf("\n");
    }
    std::printf("| 16 channels rotated, each 16 scaled | - |"); // integers of 2^8 levels fit no byte
    for (const auto omega : {noise_in_blocks<4>, noise_in_blocks<3>, noise_in_blocks<2>}) {
        double logs = 0;
        for (const tensor& t : tensors) logs += std::log1p(omega(t));
        std::printf(" %.4g |", std::exp(logs / static_cast<double>(tensors.size())));
    }
    std::printf("\n");
}

/// Products from the last to the first with the noise in h, and the normalizations between.
void print(const fqt::noise_report& report) {
    std::printf("\n| product | added, omega | NSR of h | NSR of dW |\n|---|---|---|---|\n");
    for (auto row = report.rows.rbegin(); row != report.rows.rend(); ++row)
        if (row->is_product())
            std::printf("| %s | %.3g | %.3g | %.3g |\n", row->layer.c_str(), row->added, row->h.noise_to_signal(),
                        row->dw.noise_to_signal());
    std::vector<double> kept, spread, evened;
    for (const fqt::noise_row& row : report.rows)
        if (!row.is_product())
            kept.push_back(row.kept), spread.push_back(row.gain.spread), evened.push_back(row.quantized.spread);
    const auto reach = [](const char* what, std::vector<double> v) {
        std::ranges::sort(v);
        std::printf("| %s | %.3g | %.3g | %.3g |\n", what, v.front(), v[v.size() / 2], v.back());
    };
    std::printf("\n| of %zu normalizations | least | median | most |\n|---|---|---|---|\n", kept.size());
    reach("energy of the gradient that is kept, tau", kept);
    reach("spread of gains: standard deviation of log|r| over channels", spread);
    reach("the same with the weights' scales", evened);
}

void run(const fqt::train_and_test& sets, int epochs) {
    constexpr int batch = 128;
    fqt::network<fqt::models::resnet_cifar<20>, fqt::w8a8_gradient<4, fqt::per_tensor>> net{fqt::seed{1},
                                                                                            {.batch = batch}};
    if (epochs > 0) {
        fqt::sgd optimizer{net, {.momentum = 0.9f, .decay = 5e-4f}};
        const fqt::trainer_options options{
            .epochs = epochs, .batch = batch, .augment = {.pad = 4, .flip = true}, .seed = {1}, .log = stderr};
        fqt::trainer train(net, optimizer,
                           fqt::schedule::one_cycle{.rate = 0.1f, .steps = fqt::steps_of(sets.train, options)},
                           options);
        train.run(sets.train, sets.test);
    }
    collector found;
    net.observe(found);
    fqt::batches over(sets.train, {.size = batch, .seed = {2}});
    const auto now = over.next();
    std::vector<float> gradient(static_cast<std::size_t>(batch) * 10);
    net.backward(fqt::cross_entropy(net.forward(now->images, now->samples), now->labels, gradient).gradient);
    net.stop_observing();
    print(found.tensors);
    fqt::probe probe{net};
    print(probe.measure(now->images, now->labels, {.draws = 8}));
}

} // namespace

int main(int argc, char** argv) { return study::main(argc, argv, "epochs", 3, 0, run); }
