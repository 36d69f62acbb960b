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

namespace fqt {

class owned_or_borrowed_memory {
    static constexpr std::align_val_t alignment{64};
    struct release {
        void operator()(std::byte* p) const { ::operator delete[](p, alignment); }
    };
    std::unique_ptr<std::byte[], release> own_{};
    std::byte* data_{};

public:
    /// Borrows `memory`, or allocates where it is empty; zeroed either way.
    void take(std::span<std::byte> memory, std::size_t bytes) {
        if (memory.empty()) {
            own_.reset(static_cast<std::byte*>(::operator new[](bytes, alignment)));
            data_ = own_.get();
        } else {
            if (memory.size() < bytes)
                fail("the memory given to a network has %zu bytes, but it needs %zu; ask arena_bytes(batch, threads)",
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
