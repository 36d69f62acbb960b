// SPDX-License-Identifier: BSD-3-Clause
// What a training step and a prediction multiply, counted where it is multiplied: in the primitive under every product.
// The library has no say in it: networks are built for an instruction set of this file, whose multiply_add counts, then
// multiplies.
#include <fqt/layers/gate.hpp>
#include <fqt/network/network.hpp>
#include <fqt/train/optimizer.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

using namespace fqt::layers;

namespace {

/// Multiply-adds of scalars since the last reset, on one thread.
struct counts {
    std::int64_t codes = 0, floats = 0;
    friend bool operator==(const counts&, const counts&) = default;
};
counts counted;

/// An instruction set that counts.
template <class Base>
struct counting : Base {};

/// A: a group or a matrix.
template <class Base, class A, class B>
void multiply_add(counting<Base>, fqt::simd::code_sums<typename Base::registers>& sums, const A& a,
                  const fqt::simd::code_matrix<typename Base::registers, B>& matrix) {
    counted.codes += 16 * 4;
    multiply_add(Base{}, sums, a, matrix);
}
template <class Base, class A, class B>
void multiply_add(counting<Base>, fqt::simd::short_sums<typename Base::registers>& sums, const A& a,
                  const fqt::simd::short_matrix<typename Base::registers, B>& matrix) {
    counted.codes += 16 * 4;
    multiply_add(Base{}, sums, a, matrix);
}
template <class Base>
void multiply_add(counting<Base>, fqt::simd::f32x16<Base>& sums, const fqt::simd::f32x16<Base>& repeated,
                  const fqt::simd::f32x16<Base>& vector) {
    counted.floats += 16;
    multiply_add(Base{}, sums, repeated, vector);
}

using vectors = fqt::arch::best::registers;
/// One that has matrix registers besides, which count, too.
struct counting_matrices : counting<vectors> {
    using matrices = counting_matrices;
};

} // namespace

template <int Rows, int Codes>
class fqt::simd::matrix_registers<counting_matrices, Rows, Codes>
    : public fqt::simd::matrix_registers<fqt::arch::generic, Rows, Codes> {
public:
    template <int Sums, int I, int J, class A>
    void multiply_add() {
        counted.codes += Rows * Codes * 16;
        fqt::simd::matrix_registers<fqt::arch::generic, Rows, Codes>::template multiply_add<Sums, I, J, A>();
    }
};

namespace {

// ---- networks without a lane of padding: channels in sixteens, rows of pixels in fours ----

template <int Channels, int Stride = 1>
constexpr auto conv_bn = conv<Channels, fqt::window{.kernel = 3, .stride = Stride}> | batch_norm<fqt::gain_crest<>>;
constexpr fqt::window point{.kernel = 1};

constexpr auto resnet = input<16, 8, 8> | conv_bn<16> | relu
    | residual(conv_bn<32, 2> | relu | conv_bn<32>, pad_shortcut<32, 2>) | relu
    | residual(conv_bn<32>, conv<32, point> | batch_norm<>) | relu | global_avg_pool;
constexpr auto small = input<16, 8, 8> | conv_bn<16, 2> | relu | conv<16, point> | global_avg_pool;

// Sums that a pool, a gate, a residual, the sum of a residual's two products, and the logits read.
constexpr auto readers = input<16, 8, 8> | conv_bn<16> | max_pool<> | squeeze_excite<16, 16> | conv<16> | relu
    | residual(relu | conv<16, point>) | residual(conv_bn<16>, conv<16, point>) | relu | avg_pool<> | dense<16>;

/// Codes are the signed square roots of values: a grid that is not linear.
struct square_root {
    static float fit(fqt::interval range, fqt::code_limits limits) {
        const float most = static_cast<float>(limits.high);
        return range.magnitude() > 0 ? range.magnitude() / (most * most) : 1.0f;
    }
    static auto encode(auto x, float unit, auto u) {
        const auto root = fqt::stochastic::round(sqrt(abs(x) * (1.0f / unit)), u);
        return where(x < 0.0f, -root, root);
    }
    static auto decode(auto q, float unit) { return q * abs(q) * unit; }
};
constexpr fqt::scheme detour{fqt::symmetric<8, fqt::nearest, fqt::per_channel>{}, fqt::symmetric<8>{},
                             fqt::symmetric<4, fqt::stochastic, fqt::per_sample>{}, square_root{}};
constexpr auto with_detour = input<16, 8, 8> | conv_bn<16, 2> | relu | with<detour>(conv<16, point>) | global_avg_pool;
constexpr auto with_depthwise =
    input<16, 8, 8> | conv_bn<16, 2> | relu | conv<16, fqt::window{.kernel = 3, .groups = 16}> | global_avg_pool;
constexpr auto pool_first = input<16, 16, 16> | max_pool<> | conv_bn<16, 2> | relu | conv<16, point> | global_avg_pool;
constexpr auto residual_first = input<16, 8, 8> | residual(conv<16, point>, conv<16, point>) | global_avg_pool;
constexpr auto gate_first = input<16, 8, 8> | squeeze_excite<16, 16> | global_avg_pool;
constexpr auto with_dense = input<16, 4, 4> | conv<16> | relu | dense<16>;

// Multiply-adds by hand, those with rows of border left out: of 3 * 8 rows that the windows at 8 rows meet two are
// border, of 3 * 4 rows two, and at stride 2 one. First layers' weight gradients, of signed codes, leave none out.
constexpr std::int64_t of_3x3 = 16 * 16 * 9, of_points = 16 * 16 * 16;
constexpr std::int64_t resnet_first = 64 * of_3x3 * 22 / 24, resnet_first_dw = 64 * of_3x3,
                       resnet_others = 16 * of_3x3 * 2 * 11 / 12 + 2 * (16 * of_3x3 * 4 * 10 / 12) + 4 * of_points;
constexpr std::int64_t small_first = 16 * of_3x3 * 11 / 12, small_first_dw = 16 * of_3x3;
constexpr std::int64_t same_first = 16 * of_3x3 * 10 / 12, same_first_dw = 16 * of_3x3;

/// What one step - forward, backward, the optimizer - multiplies.
template <const auto& Spec, const auto& Scheme, class Arch>
counts of_step(int samples) {
    using network = fqt::network<Spec, Scheme, Arch>;
    network net{fqt::seed{1}, {.batch = 4, .threads = 1, .rectification = 0.01f}};
    fqt::sgd optimizer{net};
    std::vector<float> images, gradient;
    for (int i = 0; i < samples * network::input.size(); ++i) images.push_back(static_cast<float>(i % 11) - 4);
    for (int i = 0; i < samples * network::output.size(); ++i) gradient.push_back(static_cast<float>(i % 7) - 3);
    counted = {};
    net.forward(images, samples);
    net.backward(gradient);
    optimizer.step(0.01f);
    return counted;
}

} // namespace

TEST_CASE("a step multiplies integers alone: three products of each layer but the first, which has two") {
    for (const int samples : {1, 3}) {
        const counts expected{(resnet_first + resnet_first_dw + 3 * resnet_others) * samples, 0};
        CHECK(of_step<resnet, fqt::w8a8g4, counting<vectors>>(samples) == expected);
    }
}

TEST_CASE("so it does on matrix registers, rows of border included") {
    // In weight gradients rows of 8 pixels are 12, and of 4 at a 3x3 kernel 8.
    constexpr std::int64_t others = 16 * of_3x3 * 2 + 2 * (16 * of_3x3 * 4);
    const counts expected{64 * of_3x3 + 64 * of_3x3 * 12 / 8 + others * (1 + 1 + 2) + 3 * 4 * of_points, 0};
    CHECK(of_step<resnet, fqt::w8a8g4, counting_matrices>(1) == expected);
}

TEST_CASE("a prediction multiplies as much as a forward pass, whoever reads a product's sums") {
    constexpr int samples = 3;
    using network = fqt::network<readers, fqt::w8a8g4, counting<vectors>>;
    network net{fqt::seed{1}, {.batch = 4, .threads = 1}};
    std::vector<float> images;
    for (int i = 0; i < samples * network::input.size(); ++i) images.push_back(static_cast<float>(i % 11) - 4);
    counted = {};
    net.forward(images, samples);
    const counts forward = counted;
    CHECK(forward.codes > 0);
    for (bool is_observed : {false, true}) {
        auto nothing = [](const fqt::observed_tensor&) {};
        if (is_observed) net.observe(nothing);
        counted = {};
        net.predict(images, samples);
        CHECK(counted == forward);
    }
}

TEST_CASE("a step multiplies integers alone in plain C++, too") {
    const counts expected{(small_first + small_first_dw + 3 * of_points) * 2, 0};
    CHECK(of_step<small, fqt::w8a8g4, counting<fqt::arch::generic>>(2) == expected);
}

TEST_CASE("no product of codes of the images has an input gradient: behind a pool, in a residual") {
    CHECK(of_step<pool_first, fqt::w8a8g4, counting<vectors>>(3) == of_step<small, fqt::w8a8g4, counting<vectors>>(3));
    CHECK(of_step<residual_first, fqt::w8a8g4, counting<vectors>>(1) == counts{4 * 64 * 16 * 16, 0});
    // A gate's first product has no dX, its second one has; both weight gradients multiply zeros, as dense layers' do.
    CHECK(of_step<gate_first, fqt::w8a8g4, counting<vectors>>(1) == counts{(1 + 4 + 1 + 1 + 4) * 16 * 16, 0});
}

TEST_CASE("a step in fp32 multiplies floats alone, as many but for rows of border in the first weight gradient") {
    const counts expected{0, (2 * small_first + 3 * of_points) * 3};
    CHECK(of_step<small, fqt::fp32, counting<vectors>>(3) == expected);
}

TEST_CASE("one product of one part that takes a detour through floats is noticed") {
    const counts expected{(small_first + small_first_dw + 2 * of_points) * 2, of_points * 2};
    CHECK(of_step<with_detour, fqt::w8a8g4, counting<vectors>>(2) == expected);
}

TEST_CASE("a dense layer's weight gradient multiplies three zeros beside each product, as a step has four pixels") {
    constexpr std::int64_t of_dense = 16 * 16 * 16;
    const counts expected{same_first + same_first_dw + (1 + 1 + 4) * of_dense, 0};
    CHECK(of_step<with_dense, fqt::w8a8g4, counting<vectors>>(1) == expected);
}

TEST_CASE("a depthwise convolution multiplies a zero beside the three taps of a row of its window") {
    constexpr std::int64_t of_depthwise = 16 * 16 * 9;
    const counts expected{small_first + small_first_dw + 3 * of_depthwise + 2 * of_depthwise / 3, 0};
    CHECK(of_step<with_depthwise, fqt::w8a8g4, counting<vectors>>(1) == expected);
}
