// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/core/team.hpp>

#include <doctest/doctest.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <filesystem>
#include <iterator>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
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

TEST_CASE("a loop waits for those who have come, and what they have written is there") {
    int written = 0; // not atomic
    for (int loop = 1; loop <= 50; ++loop) {
        std::atomic<bool> came = false;
        fqt::team::run(2, [&](int thread) {
            if (thread == 0) {
                comes_true([&] { return came.load(); });
            } else {
                came = true;
                std::this_thread::sleep_for(1ms);
                written = loop;
            }
        });
        REQUIRE(came);
        REQUIRE(written == loop);
    }
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
TEST_CASE("threads that loops have no use for sleep") {
    constexpr int threads = 5;
    std::array<clockid_t, threads> clocks{};
    std::atomic<int> here = 0;
    fqt::team::run(threads, [&](int thread) {
        pthread_getcpuclockid(pthread_self(), &clocks[static_cast<std::size_t>(thread)]);
        ++here;
        comes_true([&] { return here == threads; });
    });
    REQUIRE(here == threads);
    const auto used = [&] { // by the threads from number 2 on
        double seconds = 0;
        for (std::size_t t = 2; t < threads; ++t) {
            timespec time{};
            clock_gettime(clocks[t], &time);
            seconds += static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
        }
        return seconds;
    };
    std::this_thread::sleep_for(20ms);
    const double before = used();
    const auto start = std::chrono::steady_clock::now();
    while (std::chrono::steady_clock::now() - start < 200ms) fqt::team::run(2, [](int) {});
    CHECK(used() - before < 0.02);
    CHECK(all_come(threads));
}

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
        met = all_come(4) && all_come(2);
        std::this_thread::sleep_for(20ms); // two of them have no use now
        meanwhile = threads_now();
    }).join();
    CHECK(met);
    CHECK(meanwhile == before + 4);
    CHECK(comes_true([&] { return threads_now() == before; }));
}

#if defined(__GLIBC__)
TEST_CASE("where the system has no more threads a loop has fewer, and where it has them again they come") {
    int calls = 0, failures = 0;
    bool met = false;
    // Of a new thread, whose team has none yet.
    std::thread([&] {
        pthread_attr_t before, huge;
        failures += pthread_getattr_default_np(&before) != 0;
        pthread_attr_init(&huge);
        pthread_attr_setstacksize(&huge, std::size_t{1} << 50); // more memory than there are addresses
        failures += pthread_setattr_default_np(&huge) != 0;
        try {
            for (int loop = 0; loop < 3; ++loop) fqt::team::run(3, [&](int) { ++calls; });
        } catch (const std::system_error&) {
            ++failures;
        }
        failures += pthread_setattr_default_np(&before) != 0;
        met = all_come(3);
        pthread_attr_destroy(&huge);
        pthread_attr_destroy(&before);
    }).join();
    CHECK(failures == 0);
    CHECK(calls == 3);
    CHECK(met);
}
#endif
#endif
