#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Threads that share a loop with the thread that calls it. A loop does not wait for a thread that has not begun, whose
// core another program may hold. (OpenMP's loops wait for each of their threads, some milliseconds for one that is not
// running.) Use it through parallel.hpp.

#include <fqt/core/function_ref.hpp>

#include <atomic>
#include <chrono>
#include <exception>
#include <limits>
#include <memory>
#include <system_error>
#include <thread>
#include <utility>

namespace fqt {

/// The threads that help one thread. They start when a loop first asks for them, sleep between loops that are far apart
/// and end with the thread that they help.
class team {
public:
    using loop_of_thread = function_ref<void(int)>;

    /// Calls body(thread) on this thread, as number 0, and on each of the numbers below `threads` whose thread comes
    /// before this one is done. Returns when all that came are done, and throws what the first of them threw. A loop
    /// within a loop has this thread alone.
    static void run(int threads, loop_of_thread body) {
        if (is_alone()) return body(0);
        thread_local team mine;
        mine.share(threads, body);
    }

    team(const team&) = delete;
    team& operator=(const team&) = delete;

private:
    /// One loop after another, as the threads see them. It outlives the team, since each thread ends in its own time.
    class loops {
    public:
        int number() const { return number_.load(std::memory_order_acquire); }

        /// Lets the threads come.
        void begin(int threads, loop_of_thread body) {
            body_ = body;
            ++open_;
            if (threads_.load(std::memory_order_relaxed) != threads) {
                threads_.store(threads);
                threads_.notify_all();
            }
            guests_.store(0, std::memory_order_release);
            number_.fetch_add(1);
            number_.notify_all();
        }
        /// Sends the threads home, but where the program ends from within a loop.
        void dismiss() {
            if (guests_.load(std::memory_order_acquire) == closed) begin(std::numeric_limits<int>::max(), {});
        }
        void call(int thread) {
#if defined(__cpp_exceptions)
            try {
                body_(thread);
            } catch (...) {
                if (!caught_.test_and_set()) thrown_ = std::current_exception();
            }
#else
            body_(thread);
#endif
        }
        /// Lets nobody come any more, and waits for those who have.
        void end() {
            guests_.fetch_add(closed, std::memory_order_acq_rel);
            const auto are_gone = [this] { return guests_.load(std::memory_order_acquire) == closed; };
            if (!comes_soon(are_gone))
                for (int n; (n = guests_.load(std::memory_order_acquire)) != closed;) guests_.wait(n);
            caught_.clear();
            if (thrown_) std::rethrow_exception(std::exchange(thrown_, nullptr));
        }

        /// The life of a thread that has seen the loops up to number `seen`.
        void join_all(int thread, int seen) {
            for (unsigned done = 0;;) {
                // While loops have fewer threads it sleeps, for who is awake takes a core and is waited for.
                for (int n; (n = threads_.load(std::memory_order_acquire)) <= thread;) threads_.wait(n);
                if (!comes_soon([&] { return number() != seen; })) number_.wait(seen);
                seen = number();
                if (!enter()) continue; // too late
                if (!body_) return;
                // What is open may have another number than was seen: begin() opens before it counts.
                if (open_ != done && thread < threads_.load(std::memory_order_relaxed)) call(thread);
                done = open_;
                leave();
            }
        }

    private:
        bool enter() {
            int n = guests_.load(std::memory_order_relaxed);
            while (n >= 0)
                if (guests_.compare_exchange_weak(n, n + 1, std::memory_order_acq_rel)) return true;
            return false;
        }
        void leave() {
            if (guests_.fetch_sub(1) == closed + 1) guests_.notify_one();
        }

        static constexpr int closed = std::numeric_limits<int>::min();
        alignas(64) std::atomic<int> number_ = 0;      ///< of the last loop that has begun
        alignas(64) std::atomic<int> guests_ = closed; ///< threads in the loop; `closed` is added when none may come
        // Written while no guest is there.
        std::atomic<int> threads_ = 0;
        unsigned open_ = 0; ///< number of the loop
        loop_of_thread body_;
        std::atomic_flag caught_;
        std::exception_ptr thrown_;
    };

    team() = default;
    ~team() {
        is_alone() = true;
        loops_->dismiss();
    }

    void share(int threads, loop_of_thread body) {
        start(threads - 1);
        loops_->begin(threads, body);
        is_alone() = true;
        loops_->call(0);
        is_alone() = false;
        loops_->end();
    }

    /// Starts threads until `helpers` have been; fewer, where the system has no more.
    void start(int helpers) {
        while (helpers_ < helpers) {
            const auto life = [loops = loops_, thread = helpers_ + 1, seen = loops_->number()] {
                is_alone() = true;
                loops->join_all(thread, seen);
            };
#if defined(__cpp_exceptions)
            try {
                std::thread(life).detach();
            } catch (const std::system_error&) {
                return;
            }
#else
            std::thread(life).detach();
#endif
            ++helpers_;
        }
    }

    /// Whether this thread's loops are its own: it is in a loop, helps another, or its team has ended.
    static bool& is_alone() {
        thread_local bool alone = false;
        return alone;
    }

    /// Whether `done` comes true while one waits awake, as the next loop of a step and the end of this one mostly do:
    /// to fall asleep and wake up takes longer.
    template <class Done>
    static bool comes_soon(Done done) {
        using clock = std::chrono::steady_clock;
        const auto start = clock::now();
        do {
            for (int i = 0; i < 32; ++i) {
                if (done()) return true;
#if defined(__x86_64__)
                __builtin_ia32_pause(); // leaves the core to its other thread
#endif
            }
        } while (clock::now() - start < std::chrono::microseconds(200));
        return false;
    }

    std::shared_ptr<loops> loops_ = std::make_shared<loops>();
    int helpers_ = 0;
};

} // namespace fqt
