// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/io/fashion_mnist.hpp>

#include <doctest/doctest.h>

#include "compressed.hpp"
#include <algorithm>

using doctest::Approx;
using doctest::Contains;
using fqt_test::compressed, fqt_test::folder, fqt_test::idx;

TEST_CASE("Fashion-MNIST is read from a folder, compressed or plain") {
    const folder place;
    CHECK_FALSE(fqt::has_fashion_mnist(place.path));
    CHECK_THROWS_WITH_AS(fqt::fashion_mnist(place.path), Contains("install Debian's package dataset-fashion-mnist"),
                         fqt::error);
    place.write("train-images-idx3-ubyte.gz", compressed(idx({20, 28, 28}, 251)));
    place.write("train-labels-idx1-ubyte", idx({20}, 10));
    place.write("t10k-images-idx3-ubyte", idx({10, 28, 28}));
    CHECK_THROWS_WITH_AS(fqt::fashion_mnist(place.path), Contains("t10k-labels-idx1-ubyte.gz is missing"), fqt::error);
    place.write("t10k-labels-idx1-ubyte.gz", compressed(idx({10}, 10)));
    CHECK(fqt::has_fashion_mnist(place.path));
    const fqt::train_and_test sets = fqt::fashion_mnist(place.path);
    CHECK(sets.train.size() == 20);
    CHECK(sets.test.size() == 10);
    CHECK(sets.test.scale == sets.train.scale);
    CHECK(sets.test.class_names[9] == "Ankle boot");
    place.write("t10k-images-idx3-ubyte", idx({10, 28, 27}));
    CHECK_THROWS_WITH_AS(fqt::fashion_mnist(place.path), Contains("1 x 28 x 27"), fqt::error);
}

TEST_CASE("Debian's Fashion-MNIST, where installed, has its known counts and scale") {
    if (!fqt::has_fashion_mnist()) {
        MESSAGE("not installed, so not tested");
        return;
    }
    const fqt::train_and_test sets = fqt::fashion_mnist();
    CHECK(sets.train.size() == 60000);
    CHECK(sets.test.size() == 10000);
    for (int k = 0; k < 10; ++k) CHECK(std::count(sets.train.labels.begin(), sets.train.labels.end(), k) == 6000);
    CHECK(sets.train.scale.mean[0] == Approx(0.2860).epsilon(1e-3));
    CHECK(sets.train.scale.deviation[0] == Approx(0.3530).epsilon(1e-3));
}
