// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/core/background.hpp>
#include <fqt/core/fail.hpp>

#include <doctest/doctest.h>

#include <chrono>
#include <thread>
#include <vector>

TEST_CASE("a background thread does every item once, in order, and not on its owner's thread") {
    std::vector<int> done;
    bool elsewhere = true;
    const auto owner = std::this_thread::get_id();
    fqt::background worker([&](int item) {
        done.push_back(item);
        elsewhere = elsewhere && std::this_thread::get_id() != owner;
    });
    worker.wait(); // nothing was begun
    std::vector<int> all;
    for (int i = 0; i < 1000; ++i) {
        worker.begin(i);
        worker.wait();
        all.push_back(i);
    }
    worker.wait();
    CHECK(done == all);
    CHECK(elsewhere);
}

TEST_CASE("what is thrown in the background reaches whoever waits, once, and work goes on") {
    int done = 0;
    fqt::background worker([&](int item) {
        if (item == 1) fqt::fail("item %d is bad; skip it", item);
        ++done;
    });
    worker.begin(1);
    CHECK_THROWS_WITH_AS(worker.wait(), "fqt: item 1 is bad; skip it", fqt::error);
    worker.wait();
    worker.begin(2);
    worker.wait();
    CHECK(done == 1);
}

TEST_CASE("a background thread that ends finishes its item, and drops what it throws") {
    int done = 0;
    for (int i = 0; i < 100; ++i) {
        fqt::background worker([&](int item) {
            if (i % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
            ++done;
            if (item == 1) fqt::fail("dropped");
        });
        if (i % 4 != 0) worker.begin(i % 2);
    }
    CHECK(done == 75);
}
