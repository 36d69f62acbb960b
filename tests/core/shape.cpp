// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/core/diagnostic.hpp>
#include <fqt/core/shape.hpp>

#include <doctest/doctest.h>

#include <limits>

using fqt::geometry, fqt::geometry_of, fqt::geometry_of_dense, fqt::shape, fqt::window;

TEST_CASE("a shape counts its pixels and numbers") {
    CHECK(shape{3, 4, 5}.pixels() == 20);
    CHECK(shape{3, 4, 5}.size() == 60);
    CHECK(shape{}.size() == 0);
    CHECK(shape{3, 4, 5} != shape{3, 5, 4});
}

TEST_CASE("a window pads by half its kernel unless told otherwise") {
    CHECK(window{} == window{3, 1, 1, 1});
    CHECK(window{.kernel = 5} == window{5, 1, 2, 1});
    CHECK(window{.kernel = 1, .stride = 2} == window{1, 2, 0, 1});
    CHECK(window{.kernel = 2, .stride = 2, .pad = 0}.pad == 0);
}

TEST_CASE("a convolution has as many sites as positions of its window") {
    const auto sites_of = [](int length, int kernel, int stride, int pad) {
        int sites = 0;
        for (int first = -pad; first + kernel <= length + pad; first += stride) ++sites;
        return sites;
    };
    for (int length = 1; length < 12; ++length)
        for (int kernel = 1; kernel < 6; ++kernel)
            for (int stride = 1; stride < 5; ++stride)
                for (int pad = 0; pad < kernel; ++pad) {
                    if (kernel > length + 2 * pad) continue;
                    const shape out = geometry_of({2, length, length + 3}, 7, {kernel, stride, pad}).out();
                    CHECK(out.channels == 7);
                    CHECK(out.height == sites_of(length, kernel, stride, pad));
                    CHECK(out.width == sites_of(length + 3, kernel, stride, pad));
                }
}

TEST_CASE("a convolution counts its weights and multiply-adds, by group") {
    const geometry g = geometry_of({6, 10, 7}, 9, {3, 2, 1, 3});
    CHECK(g.channels_per_group() == 2);
    CHECK(g.outputs_per_group() == 3);
    CHECK(g.taps() == 9);
    CHECK(g.weights() == 9 * 2 * 9);
    CHECK(g.out() == shape{9, 5, 4});
    CHECK(g.macs() == 20 * 162);
}

TEST_CASE("multiply-adds are counted in 64 bits") {
    CHECK(geometry_of({1024, 256, 256}, 1024, {}).macs() == std::int64_t{256} * 256 * 1024 * 1024 * 9);
}

TEST_CASE("a dense layer is the convolution whose kernel is its whole input") {
    const geometry g = geometry_of_dense({20, 4, 3}, 10);
    CHECK(g.out() == shape{10, 1, 1});
    CHECK(g.weights() == 10 * 240);
    CHECK(g.macs() == 2400);
}

TEST_CASE("channels are padded to blocks of 16 in memory") {
    for (int channels = 0; channels < 70; ++channels) {
        int whole = 0;
        while (whole < channels) whole += 16;
        CHECK(fqt::padded(channels) == whole);
        CHECK(fqt::blocks(channels) == whole / 16);
    }
    CHECK(fqt::padded_size({17, 3, 5}) == 15 * 32);
}

TEST_CASE("round_up gives the least multiple that is not smaller") {
    for (std::int64_t n = 0; n < 30; ++n)
        for (std::int64_t unit = 1; unit < 9; ++unit) {
            const std::int64_t up = fqt::round_up(n, unit);
            CHECK(up % unit == 0);
            CHECK(up >= n);
            CHECK(up < n + unit);
        }
    CHECK(fqt::round_up(std::int64_t{1} << 40, 64) == std::int64_t{1} << 40);
}

TEST_CASE("a mismatch is named by the way to it, from the outside in") {
    const fqt::inferred wrong = fqt::mismatch{"the kernel is larger than its input", {3, 5, 5}, {3, 2, 2}};
    const fqt::inferred named = wrong.within("residual", 0).within("", 12).within("stage2", 3);
    CHECK(named.error.where.view() == "stage2[3].[12].residual[0]");
    CHECK(named.error.what.view() == "the kernel is larger than its input");
    CHECK_FALSE(named.ok);
    const fqt::inferred right = shape{1, 2, 3};
    CHECK(right.within("stage", 1).ok);
    CHECK(right.within("stage", 1).error.where.view().empty());
}

TEST_CASE("a note that is too long is cut, not written beyond its end") {
    fqt::note text("0123456789");
    for (int i = 0; i < 10; ++i) text.append("0123456789");
    CHECK(text.view().size() == 55);
    text.append(std::numeric_limits<int>::max());
    CHECK(text.view().size() == 55);
    fqt::note number;
    number.append(0);
    number.append(1203);
    CHECK(number.view() == "01203");
}
