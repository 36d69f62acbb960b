// SPDX-License-Identifier: BSD-3-Clause
// The three integer products of every linear layer in a training step, from the codes that the network shows: sums as
// they are stored, input gradients and weight gradients equal a plain loop over int64 exactly.
#include <doctest/doctest.h>

#include "../support/twin_network.hpp"
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

using namespace fqt::layers;
using fqt::geometry, fqt::nearest, fqt::stochastic, fqt::symmetric, fqt::window;
using twin::at;

namespace {

// Signed and unsigned activations, strides, a window wider than 5, groups, blocks of channels that are nearly empty.
inline constexpr auto net = input<3, 17, 14> | conv<20, window{5, 2, 2}> | conv<33, window{3, 1, 1}> | relu
    | conv<36, window{3, 2, 1, 3}> | conv<17, window{1, 1, 0}> | relu | conv<9, window{7, 3, 3}> | relu
    | conv<16, window{2, 1, 1}> | dense<10, fqt::without_bias>;
constexpr fqt::shape shapes[] = {{3, 17, 14}, {20, 9, 7}, {33, 9, 7}, {36, 5, 4}, {17, 5, 4}, {9, 2, 2}, {16, 3, 3}};
struct linear {
    const char* name;
    geometry g;
};
constexpr linear products[] = {
    {"1", geometry_of(shapes[0], 20, {5, 2, 2})},    {"2", geometry_of(shapes[1], 33, {3, 1, 1})},
    {"4", geometry_of(shapes[2], 36, {3, 2, 1, 3})}, {"5", geometry_of(shapes[3], 17, {1, 1, 0})},
    {"7", geometry_of(shapes[4], 9, {7, 3, 3})},     {"9", geometry_of(shapes[5], 16, {2, 1, 1})},
    {"10", geometry_of_dense(shapes[6], 10)},
};
constexpr int samples = 19, all = -1;

// One code of h for both products, per sample; and two, per tensor and per channel, with float sums.
inline constexpr auto one_code = fqt::w8a8g4;
inline constexpr fqt::scheme<symmetric<8, nearest, fqt::per_channel>, symmetric<8>,
                             symmetric<8, stochastic, fqt::per_tensor>, symmetric<6, stochastic, fqt::per_channel>,
                             float, float>
    two_codes{};

/// The step of the codes of sample n and channel c: value / code where the code is a power of two. Where no code is,
/// the float near value / code that makes all values of all codes. 0 where all codes are 0.
float step_of(const twin::recorder& seen, const std::string& name, int n, int c) {
    const twin::tensor &codes = seen.codes.at(name), &values = seen.values.at(name);
    std::vector<std::pair<float, float>> pairs;
    codes.each([&](int m, int k, int p) {
        if ((n == all || n == m) && (c == all || c == k) && codes(m, k, p) != 0)
            pairs.emplace_back(static_cast<float>(codes(m, k, p)), static_cast<float>(values(m, k, p)));
    });
    if (pairs.empty()) return 0;
    const auto sure = std::ranges::find_if(pairs, [](auto pair) {
        return std::exp2f(static_cast<float>(std::ilogb(pair.first))) == std::abs(pair.first);
    });
    if (sure != pairs.end()) return sure->second / sure->first;
    const float near = pairs.front().second / pairs.front().first;
    std::vector<float> possible;
    for (const float step : {std::nextafter(near, 0.0f), near, std::nextafter(near, 1e30f)})
        if (std::ranges::all_of(pairs, [&](auto pair) { return pair.first * step == pair.second; }))
            possible.push_back(step);
    CAPTURE(name);
    REQUIRE(possible.size() == 1);
    return possible.front();
}

template <const auto& Scheme>
void check_products(bool shared) {
    fqt::network<net, Scheme> network(fqt::seed{9}, {.batch = samples, .threads = 2});
    const auto images = twin::random_floats(samples * shapes[0].size(), -0.4f, 0.6f, 1),
               by_logits = twin::random_floats(samples * 10, -0.5f, 0.5f, 2);
    twin::recorder seen;
    network.observe(seen);
    network.forward(images, samples);
    network.backward(by_logits);

    for (const auto& [name, g] : products) {
        const std::string layer = name;
        CAPTURE(layer);
        const bool first = layer == "1", folded = shared && !first;
        const std::string name_of_h = layer + (folded ? " input_gradient" : " weight_gradient");
        const twin::tensor &x = seen.codes.at(layer + " input"), &h = seen.codes.at(name_of_h);
        const twin::tensor& h_for_dx = first ? h : seen.codes.at(layer + " input_gradient");
        REQUIRE(x.dims == g.in);
        REQUIRE(h.dims == g.out());

        // Codes of the weights, one grid an output channel.
        const fqt::parameter weights = network.parameter(layer + ".weight");
        const int row = g.weights() / g.outputs, channels = g.channels_per_group();
        std::vector<float> step(at(g.outputs));
        std::vector<std::int64_t> w(weights.value.size());
        for (std::size_t i = 0; i < w.size(); ++i)
            step[i / at(row)] = std::max(step[i / at(row)], std::abs(weights.value[i]) / 127);
        for (std::size_t i = 0; i < w.size(); ++i) w[i] = std::lrint(weights.value[i] * (1 / step[i / at(row)]));

        // All three products in one loop over (n, k, output pixel), tap and channel.
        std::vector<std::int64_t> sums(h.v.size()), dx(x.v.size()), dw(at(samples) * w.size());
        h.each([&](int n, int k, int p) {
            for (int i = 0; i < row; ++i) {
                const int tap = i / channels, c = k / g.outputs_per_group() * channels + i % channels;
                const int y = p / g.out().width * g.stride - g.pad + tap / g.kernel_width,
                          z = p % g.out().width * g.stride - g.pad + tap % g.kernel_width;
                if (y < 0 || z < 0 || y >= g.in.height || z >= g.in.width) continue;
                const std::size_t at_w = at(k * row + i),
                                  at_x = at((n * g.in.channels + c) * g.in.pixels() + y * g.in.width + z);
                const std::size_t at_h = at((n * g.outputs + k) * g.out().pixels() + p);
                sums[at_h] += w[at_w] * std::lrint(x.v[at_x]);
                dx[at_x] += w[at_w] * std::lrint(h_for_dx.v[at_h]);
                dw[at(n) * w.size() + at_w] += std::lrint(h.v[at_h]) * std::lrint(x.v[at_x]);
            }
        });

        // Sums: binary16 of the sum times a power of two that no sum makes overflow.
        float unit = 1;
        while (shared && static_cast<float>(row * 255 * 127) * unit > 65504) unit /= 2;
        const twin::tensor& stored = seen.codes.at(layer + " sums");
        int wrong = 0;
        for (std::size_t i = 0; i < sums.size(); ++i) {
            const float sum = static_cast<float>(sums[i]) * unit;
            wrong += stored.v[i] != double{shared ? fqt::to_float(fqt::to_binary16(sum)) : sum};
        }
        CHECK(wrong == 0);

        // The input gradient: bfloat16 of the sum times the step of h.
        for (int n = 0; !first && n < samples; ++n) {
            const float step_of_h = step_of(seen, layer + " input_gradient", shared ? n : all, all);
            const twin::tensor& gradient = seen.codes.at(layer + " gradient");
            for (int i = n * g.in.size(); i < (n + 1) * g.in.size(); ++i) {
                const float v = static_cast<float>(dx[at(i)]) * step_of_h;
                wrong += gradient.v[at(i)] != double{shared ? fqt::to_float(fqt::to_bfloat16(v)) : v};
            }
        }
        CHECK(wrong == 0);

        // The weight gradient: eight groups of samples, each a chain of fma; then what is common to an output channel.
        const float activation_step = step_of(seen, layer + " input", all, all);
        std::vector<float> steps;
        for (int i = 0; i < (shared ? samples : g.outputs); ++i)
            steps.push_back(step_of(seen, name_of_h, shared ? i : all, shared ? all : i));
        for (std::size_t i = 0; i < w.size(); ++i) {
            float total = 0;
            for (int group = 0; group < 8; ++group) {
                float sum = 0;
                for (int n = samples * group / 8; n < samples * (group + 1) / 8; ++n)
                    sum = std::fma(shared ? steps[at(n)] : 1.0f, static_cast<float>(dw[at(n) * w.size() + i]), sum);
                total = group ? total + sum : sum;
            }
            const std::size_t k = i / at(row);
            float factor = folded ? activation_step / step[k] : activation_step;
            if (!shared) factor *= steps[k];
            wrong += weights.gradient[i] != total * factor;
        }
        CHECK(wrong == 0);
    }
}

} // namespace

TEST_CASE("the integer products of a training step with one code of h for both are exact") {
    check_products<one_code>(true);
}
TEST_CASE("the integer products of a training step with two codes of h are exact") { check_products<two_codes>(false); }

namespace {

/// symmetric<Bits> by its definition: its codes are rounded before they are clamped and stored.
template <int Bits>
struct rounded_first : symmetric<Bits> {};

template <int Bits, bool Signed, fqt::shape s>
void check_rounding_in() {
    constexpr float most = fqt::limits_of(Bits, Signed).high, step = 0.37f,
                    never = std::numeric_limits<float>::quiet_NaN();
    // On and beside grid points, half way, at and beyond the ends.
    std::vector<float> numbers = twin::random_floats(s.size(), Signed ? -1 : 0, 1, Bits);
    for (std::size_t i = 0; i < numbers.size(); ++i) {
        const float k = std::nearbyint(numbers[i] * most) * step;
        numbers[i] = i % 5 == 0 ? k : i % 5 == 1 ? k + step / 2 : i % 5 == 2 ? k * 1.3f : numbers[i] * most * step;
    }
    std::size_t place = 0;
    for (const float odd : {most * step, (most + 0.5f) * step, 1e30f, -1e30f, -0.0f, INFINITY, -INFINITY, never})
        numbers[place += 37] = odd;
    const fqt::grid grid = fqt::grid_of(step);
    const auto stored = [&]<class Q>(std::type_identity<Q>) {
        using codes = fqt::codes<s, Q, Signed>;
        std::vector<std::byte> bytes(codes::sample_bytes);
        const float greatest = fqt::passes::encode_sample<fqt::arch::best, codes>({}, fqt::plain<s>{numbers.data()},
                                                                                  grid, {}, bytes.data(), 0);
        return std::pair{bytes, greatest};
    };
    CHECK(stored(std::type_identity<symmetric<Bits>>{}) == stored(std::type_identity<rounded_first<Bits>>{}));
}

template <int Bits, bool Signed>
void check_rounding_when_stored() {
    check_rounding_in<Bits, Signed, fqt::shape{16, 5, 8}>(); // four blocks at a time
    check_rounding_in<Bits, Signed, fqt::shape{16, 3, 7}>(); // one by one
}

} // namespace

TEST_CASE("codes that are rounded as they are stored are those that are rounded first") {
    static_assert(!fqt::rounds_when_stored<rounded_first<8>>);
    check_rounding_when_stored<8, false>();
    check_rounding_when_stored<8, true>();
    check_rounding_when_stored<4, false>();
    check_rounding_when_stored<3, true>();
    check_rounding_when_stored<2, false>();
    check_rounding_when_stored<12, true>();
}

TEST_CASE("a part of a batch draws the random numbers of its place in the whole") {
    constexpr fqt::shape s{5, 3, 7};
    constexpr int whole = 5, part = 2; // the last two
    using rule = symmetric<4, stochastic, fqt::per_sample>;
    using h_codes = fqt::gradient_codes<s, rule>;
    const auto numbers = twin::random_floats(whole * s.size(), -1, 1, 3);
    const auto codes_of = [&](int count, int skipped) {
        fqt::context c;
        c.samples = count, c.threads = 1, c.seed = 4, c.first_sample = static_cast<std::uint32_t>(skipped);
        std::vector<std::byte> memory(1 << 16), shared(h_codes::encode_bytes(count));
        fqt::carver carver(memory.data());
        auto h = h_codes::carve(carver, count);
        h.encode<fqt::arch::best>(c, fqt::plain<s>{numbers.data() + skipped * s.size()}, {4, 0, 0}, shared.data(),
                                  nullptr, "h");
        const fqt::grid grid = rule::fit({-1, 1}, fqt::limits_of(4, true));
        for (int n = 0; n < count; ++n)
            fqt::passes::encode_sample<fqt::arch::best, fqt::codes<s, rule, true>>(
                c, fqt::plain<s>{numbers.data() + skipped * s.size()}, grid, {4, 0, 1}, memory.data() + (1 << 15), n);
        const fqt::codes<s, rule, true> x{memory.data() + (1 << 15), &grid, nullptr};
        twin::tensor result = twin::make(count, {2 * s.channels, s.height, s.width}, [&](int n, int k, int p) {
            return k < s.channels ? h.code<fqt::arch::generic>(n, p, 0).lane(k)
                                  : x.code<fqt::arch::generic>(n, p, 0).lane(k - s.channels);
        });
        return result.v;
    };
    const twin::numbers of_whole = codes_of(whole, 0), of_part = codes_of(part, whole - part);
    CHECK(std::ranges::equal(of_part, std::span(of_whole).last(of_part.size())));
}
