#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The one piece of memory that a network lives in: its own, or the caller's.

#include <fqt/core/fail.hpp>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <span>
#include <utility>
#if defined(__linux__)
#include <sys/mman.h>
#endif

namespace fqt {

class owned_or_borrowed_memory {
    // Passes stream through the whole of it, so where it is large it asks for large pages.
    static constexpr std::size_t line = 64, large_page = std::size_t{2} << 20;
    struct release {
        std::align_val_t alignment;
        void operator()(std::byte* p) const { ::operator delete[](p, alignment); }
    };
    std::unique_ptr<std::byte[], release> own_{};
    std::byte* data_{}; // null where it was moved to another

    void allocate(std::size_t bytes) {
        const std::align_val_t alignment{bytes < 2 * large_page ? line : large_page};
        own_ = {static_cast<std::byte*>(::operator new[](bytes, alignment, std::nothrow)), release{alignment}};
        if (!own_)
            fail("there is no memory for a network of %zu bytes; choose a smaller batch or fewer threads", bytes);
#if defined(__linux__)
        // Only advice: where it is not taken, nothing changes but the time.
        if (bytes >= 2 * large_page) static_cast<void>(madvise(own_.get(), bytes, MADV_HUGEPAGE));
#endif
        data_ = own_.get();
    }

public:
    owned_or_borrowed_memory() = default;
    owned_or_borrowed_memory(owned_or_borrowed_memory&& other) noexcept
        : own_(std::move(other.own_)), data_(std::exchange(other.data_, nullptr)) {}
    owned_or_borrowed_memory& operator=(owned_or_borrowed_memory&& other) noexcept {
        own_ = std::move(other.own_);
        data_ = std::exchange(other.data_, nullptr);
        return *this;
    }

    /// Borrows `memory`, or allocates where it is empty; zeroed either way. Errors: a system without so much memory,
    /// memory that is too small or not aligned.
    void take(std::span<std::byte> memory, std::size_t bytes) {
        if (memory.empty()) {
            allocate(bytes);
        } else {
            if (memory.size() < bytes)
                fail("the memory given to a network has %zu bytes, but it needs %zu; ask "
                     "arena_bytes(options.batch, threads_of(options.threads))",
                     memory.size(), bytes);
            if (reinterpret_cast<std::uintptr_t>(memory.data()) % 64 != 0)
                fail("the memory given to a network is not aligned to 64 bytes; use alignas(64) or "
                     "std::aligned_alloc(64, ...)");
            data_ = memory.data();
        }
        std::memset(data_, 0, bytes);
    }
    std::byte* data() const { return data_; }
};

} // namespace fqt
