// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/core/parallel.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cfenv>
#include <chrono>
#include <cstdint>
#include <limits>
#include <string>
#include <thread>
#include <vector>
#if defined(__linux__)
#include <sched.h>
#endif
#if defined(__SSE2__)
#include <xmmintrin.h>
#endif

namespace {

/// Which thread had each item, and how often it came.
struct visits {
    std::vector<int> count, thread;

    visits(int items, int threads) : count(static_cast<std::size_t>(items)), thread(count.size(), -1) {
        fqt::parallel_for(items, threads, [&](int item, int by) {
            ++count[static_cast<std::size_t>(item)];
            thread[static_cast<std::size_t>(item)] = by;
        });
    }
};

/// Rounds upward as long as it lives.
struct upward {
    upward() { std::fesetround(FE_UPWARD); }
    ~upward() { std::fesetround(FE_TONEAREST); }
};

} // namespace

TEST_CASE("each item comes exactly once, for any number of items and threads") {
    for (const int items : {0, 1, 2, 3, 5, 7, 8, 13, 101})
        for (const int threads : {1, 2, 3, 4, 7, 16}) {
            CAPTURE(items);
            CAPTURE(threads);
            const visits v(items, threads);
            CHECK(v.count == std::vector<int>(static_cast<std::size_t>(items), 1));
        }
}

TEST_CASE("each thread has a number below their count") {
    for (const int threads : {1, 2, 3, 7}) {
        CAPTURE(threads);
        for (const int thread : visits(23, threads).thread) {
            CHECK(thread >= 0);
            CHECK(thread < threads);
        }
    }
}

TEST_CASE("more threads than the most that are used do every item once") {
    CHECK(visits(1000, fqt::most_threads + 100).count == std::vector<int>(1000, 1));
}

TEST_CASE("so many items that their number times that of threads is beyond int come once") {
    constexpr int items = 9'000'000;
    static_assert(std::int64_t{items} * (fqt::most_threads - 1) > std::numeric_limits<int>::max());
    std::vector<char> count(items);
    std::atomic<int> strange = 0;
    fqt::parallel_for(items, fqt::most_threads, [&](int item, int) {
        if (item < 0 || item >= items || count[static_cast<std::size_t>(item)]++ != 0) ++strange;
    });
    CHECK(strange == 0);
    CHECK(std::ranges::count(count, 1) == items);
}

TEST_CASE("each thread has the same run of items in every loop") {
    constexpr int threads = 3, run = 4;
    for (int loop = 0; loop < 20; ++loop) {
        std::vector<int> first(threads, -1);
        std::atomic<int> here = 0;
        fqt::parallel_for(threads * run, threads, [&](int item, int thread) {
            int& mine = first[static_cast<std::size_t>(thread)];
            if (mine >= 0) return;
            mine = item;
            ++here;
            // Until all have come, so that none takes another's first item.
            const auto start = std::chrono::steady_clock::now();
            while (here < threads && std::chrono::steady_clock::now() - start < std::chrono::seconds(20))
                std::this_thread::yield();
        });
        CHECK(first == std::vector<int>{0, run, 2 * run});
    }
}

TEST_CASE("the items of a thread that is held up are done by another") {
    constexpr int items = 40;
    std::atomic<int> done = 0;
    int done_before_first = 0;
    fqt::parallel_for(items, 2, [&](int item, int) {
        const auto start = std::chrono::steady_clock::now();
        while (item == 0 && done < items - 1 && std::chrono::steady_clock::now() - start < std::chrono::seconds(20)) {}
        if (item == 0) done_before_first = done;
        ++done;
    });
    CHECK(done_before_first == items - 1);
}

TEST_CASE("two loops in one: each item of both comes exactly once") {
    for (const int threads : {1, 2, 3}) {
        std::vector<int> large(5), small(37);
        fqt::parallel_for(
            5, [&](int i, int) { ++large[static_cast<std::size_t>(i)]; }, 37,
            [&](int i, int) { ++small[static_cast<std::size_t>(i)]; }, threads);
        CHECK(large == std::vector<int>(5, 1));
        CHECK(small == std::vector<int>(37, 1));
    }
}

TEST_CASE("no items are no calls, whatever the number of threads") {
    for (const int items : {0, -1})
        for (const int threads : {0, 1, 2}) fqt::parallel_for(items, threads, [](int, int) { FAIL("a call"); });
}

TEST_CASE("there is at least one hardware thread, and 0 asks for all") {
    CHECK(fqt::hardware_threads() >= 1);
    CHECK(fqt::threads_of(0) == fqt::hardware_threads());
    CHECK(fqt::threads_of(3) == 3);
    CHECK_THROWS_WITH_AS(fqt::threads_of(-1),
                         "fqt: -1 threads are asked for; options.threads must be 1 or more, or 0 for all", fqt::error);
}

#if defined(__linux__)
TEST_CASE("hardware threads are those that this thread may run on") {
    bool is_set = false;
    int found = 0;
    std::thread([&] {
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
        is_set = sched_setaffinity(0, sizeof one, &one) == 0;
        found = fqt::hardware_threads();
    }).join();
    REQUIRE(is_set);
    CHECK(found == 1);
}
#endif

TEST_CASE("a changed rounding mode is refused in words before any item comes, on any number of threads") {
    for (const int threads : {1, 2}) {
        CAPTURE(threads);
        std::atomic<int> calls = 0;
        std::string message;
        {
            const upward mode;
            try {
                fqt::parallel_for(1, threads, [&](int, int) { ++calls; });
            } catch (const fqt::error& e) {
                message = e.what();
            }
        }
        CHECK(calls == 0);
        CHECK(message.find("rounding mode") != message.npos);
        CHECK(message.find("fesetenv(FE_DFL_ENV)") != message.npos);
    }
}

#if defined(__SSE2__)
TEST_CASE("each rounding mode but the default, flush-to-zero and subnormals as zeros are refused") {
    const unsigned before = _mm_getcsr();
    for (const unsigned bits : {0x2000u, 0x4000u, 0x6000u, 0x8000u, 0x0040u}) {
        CAPTURE(bits);
        bool refused = false;
        _mm_setcsr(before | bits);
        try {
            fqt::parallel_for(1, 1, [](int, int) {});
        } catch (const fqt::error&) {
            refused = true;
        }
        _mm_setcsr(before);
        CHECK(refused);
    }
}
#endif

TEST_CASE("threads that would start under a changed rounding mode do not, and so do not keep it") {
    constexpr int threads = 23; // more than any test before had
    {
        const upward mode;
        CHECK_THROWS_AS(fqt::parallel_for(threads, threads, [](int, int) {}), fqt::error);
    }
    CHECK_NOTHROW(fqt::parallel_for(threads, threads, [](int, int) {}));
}

TEST_CASE("a changed rounding mode in a thread that comes is refused") {
    const auto on_helper = [](int mode) {
        for (std::atomic<bool> done = false; !done;)
            fqt::team::run(2, [&](int thread) {
                if (thread == 0) return std::this_thread::sleep_for(std::chrono::milliseconds(1));
                std::fesetround(mode);
                done = true;
            });
    };
    const auto loops = [] { // many, since it may come too late to one, which then has not used it
        for (int i = 0; i < 1000; ++i)
            fqt::parallel_for(2, 2, [](int, int) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); });
    };
    on_helper(FE_UPWARD);
    CHECK_THROWS_AS(loops(), fqt::error);
    on_helper(FE_TONEAREST);
    CHECK_NOTHROW(fqt::parallel_for(2, 2, [](int, int) {}));
}
