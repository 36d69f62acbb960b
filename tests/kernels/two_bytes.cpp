// SPDX-License-Identifier: BSD-3-Clause
// Products of integers of two bytes against sums in 64 bits: exact as long as the sum of bytes' sums is, and the same
// float on every instruction set.
#include <fqt/kernels/forward.hpp>
#include <fqt/kernels/input_gradient.hpp>
#include <fqt/kernels/two_bytes.hpp>
#include <fqt/kernels/weight_gradient.hpp>

#include "support/kernels.hpp"
#include <algorithm>
#include <cmath>

using namespace fqt;
using namespace fqt::test;

namespace {

/// Integers to 32639 as the kernels read them.
struct wide_source : float_source {
    static constexpr bool is_signed = true;

    template <class Arch>
    simd::f32x16<Arch> integers(int pixel, int block) const {
        return values<Arch>(pixel, block);
    }
    template <class Arch>
    simd::u8x16<Arch> bytes(int pixel, int block) const {
        return simd::to_bytes(integers<Arch>(pixel, block) + 128.0f);
    }
    int integer_bytes() const {
        return std::ranges::all_of(floats, [](float v) { return std::abs(v) <= 127; }) ? 1 : 2;
    }
};
std::vector<float> as_floats(const std::vector<int>& v) { return {v.begin(), v.end()}; }

std::vector<std::int8_t> by_bytes(const std::vector<int>& w) {
    std::vector<std::int8_t> bytes;
    for (const int v : w) bytes.push_back(static_cast<std::int8_t>(((v + 128) & 255) - 128));
    for (const int v : w) bytes.push_back(static_cast<std::int8_t>((v - bytes[bytes.size() - w.size()]) / 256));
    return bytes;
}

/// The float that the header promises: sums of bytes times a scale, added from the highest to a total.
template <class Sums, class A, class B>
std::vector<float> promised(std::vector<float> total, const A& a, int a_bytes, const B& b, int b_bytes, Sums&& sums_of,
                            float scale = 1.0f) {
    const auto byte_of = [](const std::vector<int>& v, int byte, int of) {
        std::vector<int> bytes;
        for (const int x : v) {
            const int low = ((x + 128) & 255) - 128;
            bytes.push_back(of == 1 ? x : byte == 0 ? low : (x - low) / 256);
        }
        return bytes;
    };
    for (int i = a_bytes; i-- > 0;)
        for (int j = b_bytes; j-- > 0;) {
            const std::vector<std::int64_t> sums = sums_of(byte_of(a, i, a_bytes), byte_of(b, j, b_bytes));
            for (std::size_t k = 0; k < total.size(); ++k)
                total[k] = std::fma(static_cast<float>(sums[k]), std::ldexp(scale, 8 * (i + j)), total[k]);
        }
    return total;
}

/// The promise itself, and that it is the sum: exactly where no sum of its length needs more than 24 bits.
void check_sums(const std::vector<float>& got, const std::vector<float>& promise,
                const std::vector<std::int64_t>& exact, double greatest_sum) {
    CHECK(got == promise);
    double worst = 0;
    for (std::size_t i = 0; i < exact.size(); ++i)
        worst = std::max(worst, std::abs(double{got[i]} - static_cast<double>(exact[i])));
    CHECK(worst <= (greatest_sum < 0x1p24 ? 0.0 : greatest_sum * 0x1p-22));
}

struct wide_case {
    int operand, weight; // greatest integers
};
constexpr wide_case cases[] = {{32639, 127}, {127, 32639}, {32639, 32639}, {255, 255}, {4032, 100}, {100, 4096}};

template <geometry G, int OperandBytes, int WeightBytes>
void check(const wide_case& c) {
    CAPTURE(c.operand);
    CAPTURE(c.weight);
    auto x = random_codes(G.in.size(), -c.operand, c.operand, 1), w = random_codes(G.weights(), -c.weight, c.weight, 2);
    auto h = random_codes(G.out().size(), -c.operand, c.operand, 3);
    x[0] = h[0] = c.operand, x[1] = h[1] = -c.operand, w[0] = c.weight, w[1] = -c.weight;
    const std::vector<float> x_values = as_floats(x), h_values = as_floats(h);
    const double products = 1.0 * c.operand * c.weight * G.taps();
    const int bytes = c.operand > 127 ? 2 : 1;
    const std::vector<std::int8_t> weights = by_bytes(w);
    const auto sums = [](auto of, std::size_t size) {
        return [of, size](const std::vector<int>& a, const std::vector<int>& b) {
            std::vector<std::int64_t> s(size);
            of(a.data(), b.data(), s.data());
            return s;
        };
    };
    const auto size = [](int n) { return static_cast<std::size_t>(n); };
    const auto forward = sums([](auto... p) { kernels::reference::forward(G, p...); }, size(G.out().size()));
    const auto backward = sums([](auto... p) { kernels::reference::input_gradient(G, p...); }, size(G.in.size()));
    const auto promised_forward = promised(std::vector<float>(size(G.out().size())), x, bytes, w, WeightBytes, forward);
    const auto promised_backward =
        promised(std::vector<float>(size(G.in.size())), h, bytes, w, WeightBytes,
                 [&](const std::vector<int>& of_h, const std::vector<int>& of_w) { return backward(of_h, of_w); });

    for_each_arch([&](auto arch) {
        CAPTURE(arch.name);
        using a = decltype(arch);
        const auto run = [&]<class Product>(std::type_identity<Product>, const wide_source& source, shape out) {
            buffer packed(Product::packed_bytes), staged(Product::staged_bytes);
            for (int part = 0; part < Product::parts; ++part) Product::pack(weights.data(), true, part, packed);
            Product::stage(source, staged);
            collect<float> got(out);
            Product::run(staged, packed, std::ref(got));
            CHECK(got.complete());
            return got.sums;
        };
        using forward_kernel = kernels::two_byte_product<kernels::forward_product<G, kernels::integer, a>, G, G.out(),
                                                         a, OperandBytes, WeightBytes>;
        using backward_kernel = kernels::two_byte_product<kernels::input_gradient_product<G, kernels::integer, a>, G,
                                                          G.in, a, OperandBytes, WeightBytes>;
        check_sums(run(std::type_identity<forward_kernel>{}, {{x_values, G.in.channels}}, G.out()), promised_forward,
                   forward(x, w), products * G.in.channels);
        check_sums(run(std::type_identity<backward_kernel>{}, {{h_values, G.outputs}}, G.in), promised_backward,
                   backward(h, w), products * G.outputs);
    });
}

template <geometry G>
void check_weight_gradient(int of_x, int of_h) {
    CAPTURE(of_x);
    CAPTURE(of_h);
    const auto x = random_codes(G.in.size(), -of_x, of_x, 1), h = random_codes(G.out().size(), -of_h, of_h, 3);
    const std::vector<float> x_values = as_floats(x), h_values = as_floats(h);
    const auto size = static_cast<std::size_t>(G.weights());
    const auto exact_of = [&](const std::vector<int>& a, const std::vector<int>& b) {
        std::vector<std::int64_t> sums(size);
        kernels::reference::weight_gradient(G, a.data(), b.data(), sums.data());
        return sums;
    };
    const auto plus_promised = [&](const std::vector<float>& total, float of_sample) {
        return promised(total, x, of_x > 127 ? 2 : 1, h, of_h > 127 ? 2 : 1, exact_of, of_sample);
    };
    const std::vector<float> expected = plus_promised(std::vector<float>(size), 1.0f);
    for_each_arch([&](auto arch) {
        CAPTURE(arch.name);
        using product =
            kernels::two_byte_weight_gradient<kernels::weight_gradient_product<G, kernels::integer, decltype(arch)>, 2,
                                              2>;
        buffer activation(product::staged_activation_bytes), gradient(product::staged_gradient_bytes);
        product::stage_activation(wide_source{{x_values, G.in.channels}}, true, activation);
        product::stage_gradient(wide_source{{h_values, G.outputs}}, gradient);
        std::vector<float> sums(product::sums, rubbish), dw(size);
        std::vector<typename product::sample> samples{{activation, gradient, 1.0f}};
        product::run(samples.data(), 1, true, true, sums.data());
        CHECK(unpack<product>(sums, dw));
        check_sums(dw, expected, exact_of(x, h), 1.0 * of_x * of_h * G.out().pixels());

        // More than the kernel takes at once.
        std::vector<float> expected_of_many = expected;
        while (samples.size() <= 2 * std::size_t{product::samples_at_once}) {
            samples.push_back({activation, gradient, 0.3f * static_cast<float>(samples.size())});
            expected_of_many = plus_promised(expected_of_many, samples.back().scale);
        }
        product::run(samples.data(), static_cast<int>(samples.size()), true, true, sums.data());
        CHECK(unpack<product>(sums, dw));
        CHECK(dw == expected_of_many);
    });
}

} // namespace

TEST_CASE("forward products and input gradients are sums of bytes' products, on every instruction set") {
    constexpr geometry odd = geometry_of({17, 7, 5}, 20, {3, 2, 1}), dense = geometry_of_dense({20, 2, 3}, 10),
                       in_matrices = geometry_of({32, 4, 5}, 16, {3, 1, 1});
    for (const wide_case& c : cases) {
        if (c.weight <= 127) {
            check<odd, 2, 1>(c);
            check<dense, 2, 1>(c);
            check<in_matrices, 2, 1>(c);
        } else if (c.operand <= 127) {
            check<odd, 1, 2>(c);
        }
        check<odd, 2, 2>(c);
    }
}

TEST_CASE("a sample whose integers fit a byte has no high bytes, and the same sums") {
    constexpr geometry g = geometry_of({16, 5, 5}, 16, {3, 1, 1});
    check<g, 2, 1>({127, 127});
    check<g, 2, 2>({100, 120});
}

TEST_CASE("weight gradients are sums of bytes' products, on every instruction set") {
    constexpr geometry odd = geometry_of({17, 7, 5}, 20, {3, 2, 1}), narrow = geometry_of({3, 9, 8}, 16, {3, 1, 1}),
                       in_matrices = geometry_of({32, 4, 5}, 16, {3, 1, 1});
    for (const int x : {100, 255, 32639})
        for (const int h : {127, 4096, 32639}) {
            check_weight_gradient<odd>(x, h);
            check_weight_gradient<narrow>(x, h);
            check_weight_gradient<in_matrices>(x, h);
        }
}
