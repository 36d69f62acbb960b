// SPDX-License-Identifier: BSD-3-Clause
// A lazy tensor that doubles another one and inherits what makes it anew, which would not double.
// expect: fqt: this lazy tensor has its base's with_sums(f), which leaves out what it adds; give it one of its own
#include <fqt/layers/deferred.hpp>

template <class X>
struct doubled : fqt::affine<X> {
#if !FQT_FAIL
    template <class F>
    auto with_sums(const F& f) const {
        return doubled<decltype(fqt::with_sums(this->x, f))>{{fqt::with_sums(this->x, f), this->a, this->b}};
    }
#endif
    template <class Arch>
    fqt::floats<Arch> load(int n, int p, int b) const {
        return fqt::affine<X>::template load<Arch>(n, p, b) * 2.0f;
    }
};

int main() {
    const auto multiply = [](int, int, std::int32_t* to) { *to = 0; };
    fqt::deferred_sums<fqt::shape{16, 1, 1}, std::int32_t, decltype(multiply)> sums{{}, nullptr, multiply, true, true};
    const doubled<decltype(sums)> x{{sums, nullptr, nullptr}};
    return sizeof(fqt::ready(x, 0, 0)) == 0;
}
