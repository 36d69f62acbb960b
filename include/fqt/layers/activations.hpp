#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Activations beside relu, each a rule on single values (pointwise.hpp).

#include <fqt/layers/pointwise.hpp>

namespace fqt {

/// y = min(max(x, 0), 6); the gradient passes where 0 < x < 6. Its range is known before it is computed, so its codes
/// never lose steps to an outlier (Sandler et al. 2018, section 3.1 of MobileNetV2).
struct relu6_spec : pointwise<relu6_spec> {
    static constexpr const char* name = "relu6";
    static constexpr bool monotonic = true, nonnegative = true;
    static auto forward(auto x) { return min(max(x, decltype(x)(0.0f)), decltype(x)(6.0f)); }
    static auto backward(auto x, auto g) { return where(x > 0.0f, where(x < 6.0f, g, 0.0f), 0.0f); }
};

/// y = x where x > 0, Slope * x elsewhere; 0 <= Slope <= 1 (Maas, Hannun, Ng 2013). Its codes are signed.
template <float Slope>
struct leaky_relu_spec : pointwise<leaky_relu_spec<Slope>> {
    static_assert(Slope >= 0 && Slope <= 1, "fqt: leaky_relu<Slope> takes a slope of 0 to 1");
    static constexpr const char* name = "leaky_relu";
    static constexpr bool monotonic = true;
    static auto forward(auto x) { return max(x, x * Slope); }
    static auto backward(auto x, auto g) { return where(x > 0.0f, g, g * Slope); }
};

/// y = min(max(x + 3, 0), 6) / 6, from 0 to 1 (Howard et al. 2019, section 5.2): a sigmoid of three lines, for gates.
struct hard_sigmoid_spec : pointwise<hard_sigmoid_spec> {
    static constexpr const char* name = "hard_sigmoid";
    static constexpr bool monotonic = true, nonnegative = true;
    static auto forward(auto x) {
        using lanes_type = decltype(x);
        return min(max(x + 3.0f, lanes_type(0.0f)), lanes_type(6.0f)) * (1.0f / 6);
    }
    static auto backward(auto x, auto g) { return where(x > -3.0f, where(x < 3.0f, g * (1.0f / 6), 0.0f), 0.0f); }
};

/// y = x min(max(x + 3, 0), 6) / 6 (Howard et al. 2019, section 5.2 of MobileNetV3). Not monotonic, so its range is
/// measured in a pass of its own.
struct hard_swish_spec : pointwise<hard_swish_spec> {
    static constexpr const char* name = "hard_swish";
    static auto forward(auto x) { return x * hard_sigmoid_spec::forward(x); }
    static auto backward(auto x, auto g) {
        return where(x > 3.0f, g, where(x > -3.0f, g * fma(x, decltype(x)(1.0f / 3), decltype(x)(0.5f)), 0.0f));
    }
};

namespace layers {
inline constexpr relu6_spec relu6{};
template <float Slope = 0.01f>
inline constexpr leaky_relu_spec<Slope> leaky_relu{};
inline constexpr hard_swish_spec hard_swish{};
inline constexpr hard_sigmoid_spec hard_sigmoid{};
} // namespace layers

} // namespace fqt
