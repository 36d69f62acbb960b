// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/network/network.hpp>
#include <fqt/network/summary.hpp>
#include <fqt/quant/clip_memory.hpp>
#include <fqt/quant/clipping.hpp>

#include <doctest/doctest.h>

#include <cstdio>
#include <string>
#include <string_view>

namespace {

using namespace fqt::layers;

template <int Channels>
constexpr auto conv_bn = conv<Channels> | batch_norm<fqt::gain_energy<>>;
constexpr auto block = residual(conv_bn<16> | relu | conv_bn<16>) | relu;
constexpr auto spec =
    input<1, 8, 8> | named<"stem">(conv_bn<16> | relu) | named<"stage">(block) | global_avg_pool | dense<4>;

constexpr fqt::scheme w4a4g2{.weight = fqt::symmetric<4, fqt::nearest, fqt::per_tensor>{},
                             .activation = fqt::symmetric<4>{},
                             .input_gradient = fqt::symmetric<2, fqt::stochastic, fqt::per_sample>{},
                             .weight_gradient = fqt::symmetric<4, fqt::toward_zero, fqt::per_channel>{},
                             .sums = fqt::binary16{},
                             .gradient = float{},
                             .residual = fqt::bfloat16{},
                             .edges = fqt::uniform_edges{}};

constexpr auto long_names = input<1, 4, 4> | named<"a_name_that_fills_more_than_its_column">(conv<4> | relu) | dense<2>;

constexpr fqt::scheme ranges{.weight = fqt::symmetric<4, fqt::nearest, fqt::per_channel, fqt::sawb>{},
                             .activation = fqt::symmetric<4, fqt::nearest, fqt::per_tensor, fqt::percentile<99.9f>>{},
                             .input_gradient = fqt::symmetric<4, fqt::stochastic, fqt::per_tensor, fqt::delayed<4>>{},
                             .weight_gradient = fqt::mxfp4<>{},
                             .edges = fqt::uniform_edges{}};
constexpr fqt::scheme mx{
    .weight = fqt::mxfp8_e4m3<>{}, .activation = fqt::mxfp8_e4m3<>{}, .edges = fqt::uniform_edges{}};
constexpr auto pooled = input<1, 8, 8> | conv<16> | relu | max_pool<> | with<mx>(conv<16>) | dense<4>;

/// `text` with every run of blanks and line ends as one blank, so that a wrapped row is one piece.
std::string squeezed(std::string_view text) {
    std::string result;
    for (const char c : text)
        if (c != ' ' && c != '\n') result += c;
        else if (!result.empty() && result.back() != ' ') result += ' ';
    return result;
}

template <class Network>
std::string summary_of(int batch, int threads = 1) {
    Network network(fqt::seed{1}, {.batch = batch, .threads = threads});
    return fqt::summary_text(network);
}

bool has(const std::string& text, const std::string& part) {
    const bool found = text.find(part) != text.npos;
    if (!found) MESSAGE("missing: " << part << "\nin: " << text);
    return found;
}

} // namespace

TEST_CASE("a summary has a row for every layer with its shapes, parameters, multiply-adds and saved bytes") {
    const std::string text = squeezed(summary_of<fqt::network<spec, fqt::w8a8g4>>(4));
    CHECK(has(text, "0 input 1x8x8 -> 1x8x8 0 0 0 the user's floats"));
    // 3 * 3 * 16 weights at 64 pixels; saved are 16 lanes of a byte and 16 sums of two bytes a pixel.
    CHECK(has(text, "stem.0 conv 1x8x8 -> 16x8x8 144 9216 3072 weights 8 bits per channel nearest,"));
    CHECK(has(text, "stem.1 batch_norm 16x8x8 -> 16x8x8 32 0 0 statistics fp32, sums fp64, rectifier gain_energy"));
    CHECK(has(text, "stem.2 relu 16x8x8 -> 16x8x8 0 0 0 in registers: fp32"));
    CHECK(has(text, "stage.0 residual 16x8x8 -> 16x8x8 0 0 1024 input 8 bits, sum in registers"));
    CHECK(has(text, "stage.0.body.0 conv 16x8x8 -> 16x8x8 2304 147456 2048 weights 8 bits per channel nearest,"));
    CHECK(has(text, "stage.0.body.3 conv 16x8x8 -> 16x8x8 2304 147456 3072"));
    CHECK(has(text, "dense 16x1x1 -> 4x1x1 68 64 48 weights"));
}

TEST_CASE("a summary says which codes a product shares, and that the first and the last product keep 8 bits") {
    const std::string text = squeezed(summary_of<fqt::network<spec, fqt::w8a8g4>>(4));
    CHECK(has(text,
              "144 9216 3072 weights 8 bits per channel nearest, input 8 bits signed nearest, sums binary16, no dX, "
              "dW 8 bits per sample stochastic; int32 sums"));
    CHECK(has(text,
              "147456 2048 weights 8 bits per channel nearest, input 8 bits unsigned nearest (shared), sums binary16, "
              "dX 4 bits per sample stochastic, dW the same codes; int32 sums"));
    CHECK(has(text,
              "147456 3072 weights 8 bits per channel nearest, input 8 bits unsigned nearest, sums binary16, "
              "dX 4 bits per sample stochastic, dW the same codes; int32 sums"));
    CHECK(has(text,
              "68 64 48 weights 8 bits per channel nearest, input 8 bits unsigned nearest, sums binary16, "
              "dX 8 bits per sample stochastic, dW the same codes; int32 sums"));
}

TEST_CASE("a summary adds up parameters and multiply-adds, the first product having no input gradient") {
    const std::string text = squeezed(summary_of<fqt::network<spec, fqt::w8a8g4>>(4));
    CHECK(has(text, "Parameters: 4916 "));
    CHECK(has(text, "forward 304192, whole step 903360 ")); // 9216 + 2 * 147456 + 64, and three times that less 9216
}

TEST_CASE("a summary breaks the planned memory down, and the parts add up to the arena") {
    using network = fqt::network<spec, fqt::w8a8g4>;
    const std::string text = squeezed(summary_of<network>(6, 2));
    const fqt::memory_plan plan = network::memory(6);
    const auto number = [](std::size_t n) { return std::to_string(n) + " "; };
    CHECK(has(text, "batches of 6 on 2 threads"));
    CHECK(has(text, "persistent " + number(plan.persistent)));
    CHECK(has(text, "saved " + number(plan.saved)));
    CHECK(has(text, "sums " + number(plan.sums)));
    CHECK(has(text, "gradients " + number(plan.between_layers() - plan.sums)));
    CHECK(has(text, "shared " + number(plan.shared)));
    CHECK(has(text, "scratch " + number(2 * plan.scratch)));
    CHECK(has(text, "arena " + number(network::arena_bytes(6, 2))));
    CHECK(plan.persistent + plan.saved + plan.between_layers() + plan.shared + 2 * plan.scratch
          == network::arena_bytes(6, 2));
}

TEST_CASE("the bytes that the layers say they save are those that the memory plan has") {
    using network = fqt::network<spec, fqt::w8a8g4>;
    network net(fqt::seed{1}, {.batch = 64, .threads = 1});
    std::size_t saved = 4 * sizeof(float); // the logits
    net.describe([&](const fqt::description& d) { saved += d.saved_bytes; });
    CHECK(64 * saved == network::memory(64).saved + network::memory(64).sums); // a batch of 64 leaves nothing to align
}

TEST_CASE("the legend names type, range rule and rounding of every tensor that crosses a pass") {
    const std::string text = squeezed(summary_of<fqt::network<spec, fqt::w8a8g4>>(4));
    CHECK(has(text, "weights 8-bit codes largest magnitude of each output channel nearest activations"));
    CHECK(has(text, "activations 8-bit codes bound known before the pass, or measured; unsigned if >= 0 nearest sums"));
    CHECK(has(text, "sums binary16 none needed: the int32 sum times a power of two fits nearest even"));
    CHECK(has(text, "gradient between layers bfloat16 none needed nearest even"));
    CHECK(has(text,
              "h into dX 4-bit codes largest magnitude of each sample stochastic "
              "first and last product 8-bit codes largest magnitude of each sample stochastic"));
    CHECK(has(text,
              "h into dW 4-bit codes largest magnitude of each sample stochastic "
              "first and last product 8-bit codes largest magnitude of each sample stochastic"));
    CHECK(has(text, "residual sum binary16 "));
    CHECK(has(text, "running statistics fp32 none needed nearest even"));
}

TEST_CASE("a scheme of one's own is described in its own words, without edges where it has none") {
    const std::string text = squeezed(summary_of<fqt::network<spec, w4a4g2>>(4));
    CHECK(
        has(text,
            "stem.0 conv 1x8x8 -> 16x8x8 144 9216 2560 weights 4 bits per tensor nearest, input 4 bits signed nearest, "
            "sums binary16, no dX, dW 4 bits per channel toward_zero; int32 sums"));
    CHECK(has(text, "dX 2 bits per sample stochastic, dW 4 bits per channel toward_zero; int32 sums"));
    CHECK(has(text,
              "h into dX 2-bit codes largest magnitude of each sample stochastic h into dW 4-bit codes "
              "largest magnitude of each output channel toward_zero residual sum bfloat16"));
    CHECK(has(text, "gradient between layers fp32"));
    CHECK(text.find("first and last product") == text.npos);
}

TEST_CASE("range rules, blocks and pools have their words") {
    const std::string text = squeezed(summary_of<fqt::network<pooled, ranges>>(4));
    CHECK(has(text, "weights 4-bit codes sawb of each output channel nearest"));
    CHECK(has(text, "activations 4-bit codes percentile of the tensor nearest"));
    CHECK(has(text, "h into dX 4-bit codes delayed of the tensor stochastic"));
    CHECK(has(text, "h into dW 4-bit codes, own grid largest magnitude of each block of 32 nearest"));
    CHECK(has(text, "max_pool 16x8x8 -> 16x4x4"));
    CHECK(has(text, "input 8 bits per block nearest (not kept)"));
}

TEST_CASE("products that run in floats say so") {
    const std::string baseline = squeezed(summary_of<fqt::network<spec, fqt::fp32>>(4));
    CHECK(has(baseline, "weights fp32, input fp32, sums fp32, no dX, dW fp32; fp32 sums in a fixed order"));
    CHECK(baseline.find("codes") == baseline.find("codes of weights")); // in the memory's breakdown alone
    CHECK(baseline.find("int32") == baseline.npos);
    CHECK(has(baseline, "input 32 bits, float sums in registers"));
    const std::string aware = squeezed(summary_of<fqt::network<spec, fqt::w8a8>>(4));
    CHECK(has(aware, "dX fp32, dW fp32; int32 sums forward, fp32 in a fixed order backward"));
}

TEST_CASE("no line is longer than 140 characters, and a name too long for its column keeps its row in line") {
    for (const std::string& text :
         {summary_of<fqt::network<spec, fqt::w8a8g4>>(4), summary_of<fqt::network<spec, w4a4g2>>(1024),
          summary_of<fqt::network<long_names, fqt::w8a8g8>>(1)}) {
        std::size_t begin = 0;
        for (std::size_t end; (end = text.find('\n', begin)) != text.npos; begin = end + 1) CHECK(end - begin <= 140);
        CHECK(begin == text.size());
        CHECK(text.find(" \n") == text.npos);
    }
    const std::string text = summary_of<fqt::network<long_names, fqt::w8a8g8>>(1);
    const std::size_t header = text.find("kind"), row = text.find("a_name_that_fills_more_than_its_column.0\n");
    REQUIRE(row != text.npos);
    CHECK(text.substr(text.find('\n', row) + 1 + header, 4) == "conv");
}

TEST_CASE("summary writes the text to the file that it is given") {
    fqt::network<long_names, fqt::w8a8g8> network(fqt::seed{1}, {.batch = 1, .threads = 1});
    std::FILE* file = std::tmpfile();
    REQUIRE(file);
    fqt::summary(network, file);
    std::rewind(file);
    std::string read(1 << 16, '\0');
    read.resize(std::fread(read.data(), 1, read.size(), file));
    std::fclose(file);
    CHECK(read == fqt::summary_text(network));
    std::FILE* full = std::fopen("/dev/full", "w");
    if (full) {
        CHECK_THROWS_WITH_AS(fqt::summary(network, full), doctest::Contains("cannot be written"), fqt::error);
        std::fclose(full);
    }
}
