#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// One thread that does one thing at a time beside its owner. It sleeps while there is nothing to do.

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>
#include <utility>

namespace fqt {

/// Calls work(item) on a thread of its own:
///     background copying([&](int item) { copy(item); });
///     copying.begin(0);  ...  copying.wait();
/// begin, wait and the destructor belong to one thread. begin and wait allocate nothing.
class background {
public:
    /// Starts the thread. Errors: std::system_error, where there is none to be had.
    explicit background(std::function<void(int)> work) : work_(std::move(work)), thread_([this] { run(); }) {}
    background(const background&) = delete;
    background& operator=(const background&) = delete;

    /// Lets the item in progress come to its end, and drops what it threw.
    ~background() {
        {
            const std::lock_guard lock(mutex_);
            stop_ = true;
        }
        changed_.notify_all();
        thread_.join();
    }

    /// Begins an item, >= 0. The last one must have been waited for.
    void begin(int item) {
        {
            const std::lock_guard lock(mutex_);
            item_ = item;
        }
        changed_.notify_all();
    }

    /// Returns when the item that was begun is done, at once where there is none, and throws what work threw.
    void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return item_ == nothing; });
        if (const std::exception_ptr thrown = std::exchange(thrown_, nullptr)) std::rethrow_exception(thrown);
    }

private:
    static constexpr int nothing = -1;

    void run() {
        std::unique_lock lock(mutex_);
        for (;;) {
            changed_.wait(lock, [this] { return stop_ || item_ != nothing; });
            if (item_ == nothing) return;
            const int item = item_;
            lock.unlock();
            std::exception_ptr thrown = call(item);
            lock.lock();
            thrown_ = std::move(thrown);
            item_ = nothing;
            changed_.notify_all();
        }
    }

    /// What work threw, or null.
    std::exception_ptr call(int item) {
#if defined(__cpp_exceptions)
        try {
            work_(item);
        } catch (...) {
            return std::current_exception();
        }
#else
        work_(item);
#endif
        return nullptr;
    }

    std::function<void(int)> work_;
    std::mutex mutex_;
    std::condition_variable changed_;
    int item_ = nothing; ///< begun and not done
    bool stop_ = false;
    std::exception_ptr thrown_;
    std::thread thread_; ///< last, since it uses all the others
};

} // namespace fqt
