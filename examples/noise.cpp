// SPDX-License-Identifier: BSD-3-Clause
// How gradient noise accumulates, measured against theory, with fqt's probe:
//   a  over a plain chain of convolutions, batch normalizations and ReLUs, for 8, 4 and 2 bits
//   b  with gains that differ from channel to channel, for grids per tensor, sample and channel
//   c  over residual blocks, for smaller and smaller gammas at their ends
//   d  with all hidden gammas times a common factor, which should change nothing
// Tables on stdout; records.jsonl and pictures in a folder. docs/noise.md explains both.
// Usage: noise [--quick] [folder]

#include <fqt/fqt.hpp>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <numbers>
#include <string>
#include <system_error>
#include <vector>

namespace {

using namespace fqt::layers;

// ---- networks and formats ----

constexpr auto conv_bn = conv<32> | batch_norm<> | relu;
constexpr auto stem =
    input<1, 28, 28> | conv<32, fqt::window{.kernel = 5, .stride = 4, .pad = 2}> | batch_norm<> | relu;
constexpr auto head = global_avg_pool | dense<10>;
constexpr auto chain = stem | repeat<9>(conv_bn) | head;
constexpr auto blocks =
    stem | repeat<8>(residual(conv<32> | batch_norm<> | relu | conv<32> | batch_norm<>)) | relu | head;

/// The theory knows one quantizer a layer: gradients between layers are floats, and the edges are like the rest.
template <class Dx, class Dw = Dx>
constexpr fqt::scheme<fqt::symmetric<8, fqt::nearest, fqt::per_channel>, fqt::symmetric<8>, Dx, Dw, fqt::binary16,
                      float, fqt::binary16, fqt::uniform_edges>
    formats{};
template <int Bits, class Granularity = fqt::per_tensor>
using rounded = fqt::symmetric<Bits, fqt::stochastic, Granularity>;

constexpr auto tensor8 = formats<rounded<8>>;
constexpr auto tensor4 = formats<rounded<4>>;
constexpr auto tensor2 = formats<rounded<2>>;
constexpr auto sample4 = formats<rounded<4, fqt::per_sample>>;
constexpr auto channel4 = formats<rounded<4>, rounded<4, fqt::per_channel>>;

// ---- one measurement ----

/// The values of all parameters, in order.
struct parameters {
    std::vector<std::vector<float>> values{};
    std::vector<fqt::parameter_kind> kinds{};

    template <class Network>
    explicit parameters(Network& network) {
        network.each_parameter([&](const fqt::parameter& p) {
            values.emplace_back(p.value.begin(), p.value.end());
            kinds.push_back(p.kind);
        });
    }
    template <class Network>
    void give(Network& network) const {
        auto from = values.begin();
        network.each_parameter([&](const fqt::parameter& p) { std::ranges::copy(*from++, p.value.begin()); });
    }
    /// Multiplies gamma and beta of channel c of batch normalization i by factor(i, c), but for the last one, on whose
    /// scale the logits depend.
    template <class Factor>
    parameters scaled(Factor&& factor) const {
        parameters result = *this;
        const auto last = std::ranges::count(kinds, fqt::parameter_kind::gamma) - 1;
        std::uint32_t gammas = 0;
        for (std::size_t i = 0; i < kinds.size(); ++i) {
            const bool is_gamma = kinds[i] == fqt::parameter_kind::gamma;
            gammas += is_gamma;
            if ((!is_gamma && kinds[i] != fqt::parameter_kind::beta) || gammas > last) continue;
            for (std::uint32_t c = 0; c < result.values[i].size(); ++c) result.values[i][c] *= factor(gammas - 1, c);
        }
        return result;
    }
};

struct setting {
    int draws{}, threads{};
    std::vector<float> images{};
    std::vector<fqt::class_label> labels{};
    std::string folder{}, command{};
    fqt::record_file records;

    void record(const std::string& name, const std::string& metric, double value) {
        records.write({"noise", "theory", name, metric, value, "ratio", 1, threads, command});
    }
};

template <const auto& Spec, const auto& Scheme>
fqt::network<Spec, Scheme> made(const setting& s) {
    return fqt::network<Spec, Scheme>(fqt::seed{1}, {.batch = static_cast<int>(s.labels.size()), .threads = s.threads});
}

template <const auto& Spec, const auto& Scheme>
fqt::noise_report measure(setting& s, const parameters& p, const std::string& run, int draws) {
    auto network = made<Spec, Scheme>(s);
    p.give(network);
    const fqt::noise_report report = fqt::probe{network}.measure(s.images, s.labels, {.draws = draws});
    report.write(s.records, run, s.command);
    return report;
}

float normal(std::uint32_t i, std::uint32_t j) {
    const auto bits = fqt::random_stream{11, 0, 0xDA7A1000u}.block(i, j);
    return std::sqrt(-2 * std::log(fqt::uniform32(bits[0])))
        * std::cos(2 * std::numbers::pi_v<float> * fqt::uniform32(bits[1]));
}

// ---- a: a plain chain ----

/// 1 + NSR = product of (1 + omega) over a layer and those behind it, and with what normalizations keep:
/// NSR = (1 + omega) NSR_behind / tau + omega. One number a row, from the end.
struct laws {
    std::vector<double> product, recursion;

    explicit laws(const fqt::noise_report& report) : product(report.rows.size()), recursion(report.rows.size()) {
        double tau = 1, of_product = 0, of_recursion = 0;
        for (std::size_t i = report.rows.size(); i-- > 0;) {
            const fqt::noise_row& row = report.rows[i];
            if (!row.is_product()) {
                tau = row.kept;
                continue;
            }
            product[i] = of_product = (1 + of_product) * (1 + row.added) - 1;
            recursion[i] = of_recursion = (1 + row.added) * of_recursion / tau + row.added;
            tau = 1;
        }
    }
};

template <const auto& Scheme>
void follow_chain(setting& s, const parameters& p, const char* weights, const char* bits, int colour, fqt::plot& plot) {
    const std::string name = std::string(weights) + ", " + bits + " bits";
    const fqt::noise_report report = measure<chain, Scheme>(s, p, "a: " + name, s.draws);
    const laws predicted(report);
    std::printf("\na  %s weights, %s bits per tensor: noise-to-signal of h, and its factors through the layers behind: "
                "W^T and\n   ReLU, the normalization's projection, 1 / tau, which should be the same\n"
                "%-8s %10s %8s %8s %8s %12s %12s %14s\n",
                weights, bits, "product", "added", "W, ReLU", "BN", "1/tau", "measured", "product law", "with tau");
    fqt::plot_line measured{.name = std::string(bits) + " bits", .colour = colour},
        law{.name = "law, with tau", .dashed = true, .colour = colour};
    plot.x_names.clear();
    for (std::size_t i = 0; i < report.rows.size(); ++i) {
        const fqt::noise_row& row = report.rows[i];
        if (!row.is_product()) continue;
        double through_weights = 1, through_normalization = 1, tau = 1;
        if (i + 2 < report.rows.size()) {
            const fqt::noise_row &normalization = report.rows[i + 1], &behind = report.rows[i + 2];
            through_weights = normalization.noise() / behind.noise();
            through_normalization = row.arriving.noise_to_signal() / normalization.noise();
            tau = normalization.kept;
        }
        std::printf("%-8s %10.4g %8.4f %8.4f %8.4f %12.5g %12.5g %14.5g\n", row.layer.c_str(), row.added,
                    through_weights, through_normalization, 1 / tau, row.noise(), predicted.product[i],
                    predicted.recursion[i]);
        const auto x = static_cast<double>(plot.x_names.size());
        plot.x_names.push_back(row.layer);
        measured.add(x, row.noise());
        law.add(x, predicted.recursion[i]);
        s.record("a: " + name + ", product " + row.layer, "measured noise", row.noise());
        s.record("a: " + name + ", product " + row.layer, "factor of W and ReLU", through_weights);
        s.record("a: " + name + ", product " + row.layer, "factor of normalization", through_normalization);
        s.record("a: " + name + ", product " + row.layer, "product law", predicted.product[i]);
        s.record("a: " + name + ", product " + row.layer, "law with tau", predicted.recursion[i]);
    }
    plot.lines.push_back(measured);
    plot.lines.push_back(law);
}

void chain_law(setting& s, const parameters& p, const char* weights) {
    fqt::plot plot{.title =
                       std::string("Noise accumulates from the last product to the first: ") + weights + " weights",
                   .x_label = "product",
                   .y_label = "noise / signal of h",
                   .log_y = true};
    follow_chain<tensor8>(s, p, weights, "8", 0, plot);
    follow_chain<tensor4>(s, p, weights, "4", 1, plot);
    follow_chain<tensor2>(s, p, weights, "2", 2, plot);
    plot.write(s.folder + "/chain-" + weights + ".svg");
}

// ---- b: gains that differ ----

template <const auto& Scheme>
void spread_row(setting& s, const parameters& p, float spread, const char* grid, fqt::plot_line& line) {
    const fqt::noise_report report =
        measure<chain, Scheme>(s, p, std::string("b: ") + grid + ", spread " + std::to_string(spread), s.draws / 2);
    double added = 0, added_dw = 0, measured_spread = 0, products = 0;
    for (const fqt::noise_row& row : report.rows)
        if (row.is_product()) added += row.added, added_dw += row.added_dw, ++products;
        else measured_spread += row.quantized.spread;
    const fqt::noise_row& first = report.rows.front();
    std::printf("%6.1f %10.3f   %-34s %10.4g %10.4g %12.4g %12.4g\n", double{spread}, measured_spread / (products - 1),
                grid, added / products, added_dw / products, first.noise(), first.dw.noise_to_signal());
    line.add(double{spread}, first.noise());
    const std::string name = std::string("b: ") + grid + ", spread " + std::to_string(spread);
    s.record(name, "mean added noise", added / products);
    s.record(name, "mean added noise in dW", added_dw / products);
    s.record(name, "noise of the first h", first.noise());
    s.record(name, "noise of the first dW", first.dw.noise_to_signal());
}

void spread_of_gains(setting& s, const parameters& p) {
    std::printf("\nb  hidden gammas times e^(s n), n normal: what a shared grid pays\n%6s %10s   %-34s %10s %10s %12s "
                "%12s\n",
                "s", "spread rs", "grids of h", "added", "added dW", "NSR first h", "NSR first dW");
    std::array<fqt::plot_line, 4> lines;
    const char* names[] = {"8 bits per tensor", "4 bits per tensor", "4 bits, dW per channel", "4 bits per sample"};
    for (std::size_t i = 0; i < 4; ++i) lines[i].name = names[i];
    for (const float spread : {0.0f, 0.5f, 1.0f}) {
        const parameters q =
            p.scaled([&](std::uint32_t i, std::uint32_t c) { return std::exp(spread * normal(i, c)); });
        spread_row<tensor8>(s, q, spread, names[0], lines[0]);
        spread_row<tensor4>(s, q, spread, names[1], lines[1]);
        spread_row<channel4>(s, q, spread, names[2], lines[2]);
        spread_row<sample4>(s, q, spread, names[3], lines[3]);
    }
    fqt::plot plot{.title = "Gains that differ between channels, and who pays",
                   .x_label = "s: hidden gammas times e^(s n)",
                   .y_label = "noise / signal of the first h",
                   .log_y = true};
    plot.lines.assign(lines.begin(), lines.end());
    plot.write(s.folder + "/spread.svg");
}

// ---- c: residual blocks ----

template <const auto& Scheme>
void residual_row(setting& s, const parameters& p, float gamma, const char* bits, fqt::plot_line& measured,
                  fqt::plot_line& law) {
    const std::string name = std::string("c: ") + bits + " bits, gamma " + std::to_string(gamma);
    const fqt::noise_report report = measure<blocks, Scheme>(s, p, name, s.draws / 2);
    // Rows of a block: product, normalization, product, normalization; the last one's dL/dy is the gradient of the
    // block's output, and that of the block below is the gradient of its input.
    const std::span rows = std::span(report.rows).subspan(2, 4 * 8);
    double predicted = rows[rows.size() - 1].noise(), branch = 0, added = 0;
    for (std::size_t block = 7; block > 0; --block) {
        const fqt::noise_row &out = rows[4 * block + 3], &in = rows[4 * block - 1];
        const double b = std::pow(in.gradient_norm / out.gradient_norm, 2) - 1;
        const double both = (1 + rows[4 * block].added) * (1 + rows[4 * block + 2].added);
        predicted = (1 + predicted) * (1 + b * both) / (1 + b) - 1;
        branch += b / 7;
        added += (rows[4 * block].added + rows[4 * block + 2].added) / 14;
    }
    std::printf("%6s %8.2f %14.4f %12.4g %14.5g %14.5g\n", bits, double{gamma}, branch, added, rows[3].noise(),
                predicted);
    measured.add(double{gamma}, rows[3].noise());
    law.add(double{gamma}, predicted);
    s.record(name, "branch's share b", branch);
    s.record(name, "measured noise", rows[3].noise());
    s.record(name, "residual law", predicted);
}

void residual_law(setting& s) {
    std::printf("\nc  eight residual blocks, gamma of the last normalization of each: noise that reaches the first\n"
                "%6s %8s %14s %12s %14s %14s\n",
                "bits", "gamma", "mean b", "mean added", "measured", "law");
    fqt::plot plot{.title = "A smaller branch lets less noise in",
                   .x_label = "gamma of each block's last normalization",
                   .y_label = "noise / signal at the first block's output",
                   .log_x = true,
                   .log_y = true};
    std::array<fqt::plot_line, 4> lines{fqt::plot_line{.name = "4 bits", .colour = 0},
                                        {.name = "law", .dashed = true, .colour = 0},
                                        {.name = "2 bits", .colour = 1},
                                        {.name = "law", .dashed = true, .colour = 1}};
    auto network = made<blocks, tensor4>(s);
    for (const float gamma : {2.0f, 1.0f, 0.5f, 0.25f, 0.1f}) {
        network.each_normalization([&](auto& n) {
            if (!n.facts().closes_block) return;
            const std::string name = std::string(n.name().view()) + ".gamma";
            std::ranges::fill(network.parameter(name).value, gamma);
        });
        const parameters p(network);
        residual_row<tensor4>(s, p, gamma, "4", lines[0], lines[1]);
        residual_row<tensor2>(s, p, gamma, "2", lines[2], lines[3]);
    }
    plot.lines.assign(lines.begin(), lines.end());
    plot.write(s.folder + "/residual.svg");
}

// ---- d: the gauge ----

void gauge(setting& s, const parameters& p) {
    std::printf("\nd  hidden gammas and betas times a common factor, 4 bits per tensor\n"
                "%-22s %14s %14s %14s\n",
                "factor", "mean |r|", "|h| of first", "NSR first h");
    fqt::plot plot{.title = "A common factor of the gains changes no relative noise",
                   .x_label = "product",
                   .y_label = "noise / signal of h",
                   .log_y = true};
    const auto row = [&](const char* name, const parameters& q) {
        const fqt::noise_report report = measure<chain, tensor4>(s, q, std::string("d: ") + name, s.draws);
        double gain = 0, normalizations = 0;
        fqt::plot_line line{.name = name};
        plot.x_names.clear();
        for (const fqt::noise_row& r : report.rows) {
            if (!r.is_product()) {
                gain += r.gain.mean, ++normalizations;
                continue;
            }
            line.add(static_cast<double>(plot.x_names.size()), r.noise());
            plot.x_names.push_back(r.layer);
        }
        const fqt::noise_row& first = report.rows.front();
        std::printf("%-22s %14.4g %14.4g %14.5g\n", name, gain / normalizations, first.gradient_norm, first.noise());
        plot.lines.push_back(line);
        s.record(std::string("d: ") + name, "noise of the first h", first.noise());
    };
    row("1", p);
    row("4", p.scaled([](auto, auto) { return 4.0f; }));
    row("1/4", p.scaled([](auto, auto) { return 0.25f; }));
    row("e^(0.7 n) by layer", p.scaled([](std::uint32_t i, auto) { return std::exp(0.7f * normal(1000, i)); }));
    plot.write(s.folder + "/gauge.svg");
}

// ---- data and weights ----

fqt::dataset load_data(int images) {
#if __has_include(<zlib.h>)
    if (fqt::has_fashion_mnist()) {
        std::printf("Data: Fashion-MNIST.\n");
        return fqt::fashion_mnist().train.take(images);
    }
#endif
    std::printf("Data: generated images (Fashion-MNIST: Debian's package dataset-fashion-mnist).\n");
    return fqt::generated_images(10, {1, 28, 28}, images, fqt::seed{7});
}

/// The parameters of the chain after some steps of training with 8-bit gradients.
parameters trained(const fqt::dataset& data, const setting& s, int steps) {
    const int batch = static_cast<int>(s.labels.size());
    auto network = made<chain, tensor8>(s);
    fqt::sgd optimizer{network, {.decay = 1e-4f}};
    const fqt::schedule::one_cycle rate{.rate = 0.1f, .steps = steps};
    fqt::batches over(data, {.size = batch, .drop_last = true});
    std::vector<float> gradient(static_cast<std::size_t>(batch) * 10);
    float loss = 0;
    for (int step = 0; step < steps; ++step) {
        if (step % over.per_epoch() == 0) over.start(static_cast<std::uint32_t>(step / over.per_epoch()));
        const auto now = over.next();
        const auto result = fqt::cross_entropy(network.forward(now->images, now->samples), now->labels, gradient);
        network.backward(result.gradient);
        optimizer.step(rate(step));
        loss = result.value;
    }
    std::printf("Trained weights: %d steps of %d images, 8-bit gradients, last batch's loss %.3f.\n", steps, batch,
                double{loss});
    return parameters(network);
}

} // namespace

int main(int argc, char** argv) try {
    const bool quick = argc > 1 && std::strcmp(argv[1], "--quick") == 0;
    const int folder_at = quick ? 2 : 1;
    if (argc > folder_at + 1 || (argc > folder_at && argv[folder_at][0] == '-')) {
        std::fprintf(stderr, "usage: noise [--quick] [folder]   (--quick: fewer images and draws)\n");
        return 2;
    }
    const std::string folder = argc > folder_at ? argv[folder_at] : "noise";
    std::error_code problem;
    std::filesystem::create_directories(folder, problem);
    if (problem)
        fqt::fail("the folder %s cannot be made (%s); name another one", folder.c_str(), problem.message().c_str());
    const int batch = quick ? 16 : 64, steps = quick ? 30 : 300;
    setting s{.draws = quick ? 4 : 16,
              .threads = 1, // layers are small, and another thread would cost more than it saves
              .folder = folder,
              .command = std::string("noise") + (quick ? " --quick" : ""),
              .records = fqt::record_file(folder + "/records.jsonl")};

    const fqt::dataset data = load_data(4096);
    fqt::batches over(data, {.size = batch, .seed = fqt::seed{2}});
    const auto first = over.next();
    s.images.assign(first->images.begin(), first->images.end());
    s.labels.assign(first->labels.begin(), first->labels.end());
    std::printf("Means of %d draws (b, c: %d) on %d images.\n", s.draws, s.draws / 2, batch);

    auto fresh = made<chain, tensor8>(s);
    const parameters random(fresh);
    chain_law(s, random, "random");
    std::printf("\n");
    chain_law(s, trained(data, s, steps), "trained");
    spread_of_gains(s, random);
    residual_law(s);
    gauge(s, random);
    std::printf("\nPictures and records: %s/\n", folder.c_str());
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
