// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/core/team.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <filesystem>
#include <iterator>
#include <sys/wait.h>
#include <unistd.h>
#endif

namespace {

using namespace std::chrono_literals;

/// Waits for a condition that comes true if the code is right. Whether it did.
template <class Condition>
bool comes_true(Condition condition) {
    const auto start = std::chrono::steady_clock::now();
    while (!condition())
        if (std::chrono::steady_clock::now() - start > 20s) return false;
        else std::this_thread::yield();
    return true;
}

/// A loop to which all threads come, since each waits for the others.
bool all_come(int threads) {
    std::atomic<int> here = 0;
    std::atomic<bool> met = true;
    fqt::team::run(threads, [&](int) {
        ++here;
        if (!comes_true([&] { return here == threads; })) met = false;
    });
    return met;
}

} // namespace

TEST_CASE("the calling thread has number 0, and no number comes twice") {
    const auto caller = std::this_thread::get_id();
    for (const int threads : {1, 2, 3, 7})
        for (int repeat = 0; repeat < 300; ++repeat) {
            std::array<std::atomic<int>, 8> calls{};
            bool is_caller = false;
            fqt::team::run(threads, [&](int thread) {
                ++calls[static_cast<std::size_t>(thread)];
                if (thread == 0) is_caller = std::this_thread::get_id() == caller;
            });
            CAPTURE(threads);
            REQUIRE(is_caller);
            REQUIRE(calls[0] == 1);
            for (int t = 1; t < 8; ++t) REQUIRE(calls[static_cast<std::size_t>(t)] <= (t < threads ? 1 : 0));
        }
}

TEST_CASE("threads come to a loop that lasts, to the next and to one after a pause") {
    for (const int threads : {2, 4, 3}) {
        CAPTURE(threads);
        CHECK(all_come(threads));
        CHECK(all_come(threads));
        std::this_thread::sleep_for(20ms); // they sleep by now
        CHECK(all_come(threads));
    }
}

TEST_CASE("what threads have written is there after the loop") {
    std::array<int, 4> written{}; // not atomic
    int sum = 0;
    for (int loop = 0; loop < 20'000; ++loop) {
        std::array<int, 4> before = written;
        fqt::team::run(4, [&](int thread) { ++written[static_cast<std::size_t>(thread)]; });
        for (std::size_t t = 0; t < 4; ++t) sum += written[t] - before[t];
    }
    CHECK(written[0] == 20'000);
    CHECK(sum == written[0] + written[1] + written[2] + written[3]);
}

TEST_CASE("a loop within a loop has its thread alone") {
    std::atomic<int> outer = 0, inner = 0;
    fqt::team::run(3, [&](int) {
        ++outer;
        const auto me = std::this_thread::get_id();
        fqt::team::run(3, [&](int thread) {
            if (thread == 0 && std::this_thread::get_id() == me) ++inner;
            else inner = -100;
        });
        comes_true([&] { return outer == 3; });
    });
    CHECK(outer == 3);
    CHECK(inner == 3);
}

TEST_CASE("threads of a program have teams of their own") {
    std::vector<std::thread> callers;
    std::atomic<int> met = 0;
    for (int i = 0; i < 3; ++i)
        callers.emplace_back([&] {
            for (int loop = 0; loop < 50; ++loop) met += all_come(2);
        });
    for (std::thread& t : callers) t.join();
    CHECK(met == 150);
}

TEST_CASE("what a thread throws comes out of the loop once all are done, and loops go on") {
    for (const int thrower : {0, 1}) {
        CAPTURE(thrower);
        std::atomic<int> here = 0, done = 0;
        std::string text;
        try {
            fqt::team::run(2, [&](int thread) {
                ++here;
                comes_true([&] { return here == 2; });
                if (thread == thrower) throw std::runtime_error("thrown");
                std::this_thread::sleep_for(5ms);
                ++done;
            });
        } catch (const std::runtime_error& e) {
            text = e.what();
        }
        CHECK(text == "thrown");
        CHECK(done == 1);
        CHECK(all_come(2));
    }
    CHECK_THROWS_AS(fqt::team::run(3, [](int) { throw std::runtime_error("each of them"); }), std::runtime_error);
    CHECK_NOTHROW(fqt::team::run(3, [](int) {}));
}

#if defined(__linux__)
TEST_CASE("a loop does not wait for threads that do not come: a forked process has none") {
    CHECK(all_come(2));
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        alarm(20); // ends it if it waits
        int calls = 0;
        for (int loop = 0; loop < 10; ++loop) fqt::team::run(2, [&](int) { ++calls; });
        _exit(calls == 10 ? 0 : 1);
    }
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("the threads of a team end with the thread that they help") {
    const auto threads_now = [] {
        return std::distance(std::filesystem::directory_iterator("/proc/self/task"),
                             std::filesystem::directory_iterator());
    };
    const auto before = threads_now();
    bool met = false;
    std::ptrdiff_t meanwhile = 0;
    std::thread([&] {
        met = all_come(4);
        meanwhile = threads_now();
    }).join();
    CHECK(met);
    CHECK(meanwhile == before + 4);
    CHECK(comes_true([&] { return threads_now() == before; }));
}
#endif
