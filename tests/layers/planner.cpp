// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/layers/context.hpp>
#include <fqt/layers/planner.hpp>

#include <doctest/doctest.h>

TEST_CASE("a planner hands out the places that it counted, aligned to 64 bytes and disjoint") {
    float *a{}, *b{};
    double* c{};
    std::byte *saved{}, *sums{};
    const auto walk = [&](fqt::planner p) {
        p.persistent(a, 3);
        p.persistent(b, 16);
        p.persistent(c, 1);
        p.saved(saved, 65);
        p.sums(sums, 5);
        return p.plan();
    };
    const fqt::memory_plan plan = walk(fqt::planner(2));
    CHECK(plan.persistent == 3 * 64);
    CHECK(plan.saved == 3 * 64); // 65 bytes for each of two samples
    CHECK(plan.sums == 64);
    CHECK(a == nullptr);
    alignas(64) std::byte memory[7 * 64];
    CHECK(sizeof memory == plan.bytes(1));
    walk(fqt::planner(2, {memory, plan}));
    CHECK(reinterpret_cast<std::byte*>(a) == memory);
    CHECK(reinterpret_cast<std::byte*>(b) == memory + 64);
    CHECK(reinterpret_cast<std::byte*>(c) == memory + 128);
    CHECK(saved == memory + 192);
    CHECK(sums == memory + 384);
}

TEST_CASE("a plan takes the largest of what does not live at the same time, and scratch for each thread") {
    fqt::planner p(4);
    for (const std::size_t bytes : {100u, 300u, 200u}) {
        p.shared(bytes);
        p.scratch(bytes / 2);
        p.slot(bytes / 4);
    }
    p.depth(2);
    p.depth(1);
    CHECK(p.plan().shared == 320);
    CHECK(p.plan().scratch == 192);
    CHECK(p.plan().slot == 320); // 75 bytes for each of four samples
    CHECK(p.plan().slots() == 4);
    CHECK(p.plan().bytes(3) == 4 * 320 + 320 + 3 * 192);
}

TEST_CASE("slots of evaluation take the place of sums and of the slots of training") {
    const auto with_sums = [](int count) {
        std::byte* sums{};
        fqt::planner p(1);
        p.saved(sums, 64);
        p.sums(sums, count);
        p.slot(64);
        p.evaluation_slot(256);
        p.evaluation_slot(128);
        return p.plan();
    };
    CHECK(with_sums(64).slot == 64);
    CHECK(with_sums(64).evaluation_slot == 256);
    CHECK(with_sums(64).bytes(1) == 64 + 2 * 256);       // two of evaluation, which are larger,
    CHECK(with_sums(640).bytes(1) == 64 + 640 + 2 * 64); // or all that training needs
    std::byte memory[1024];
    const fqt::memory_places places(memory, with_sums(64));
    CHECK(places.shared == places.sums + 2 * 256);
    fqt::context c;
    c.use(places, with_sums(64), false);
    CHECK(c.slot(1) == places.sums + 64 + 64);
    c.use(places, with_sums(64), true);
    CHECK(c.slot(1) == places.sums + 256);
    fqt::planner p(1);
    p.slot(64); // a layer that asks for slots alone has them in evaluation, too
    CHECK(p.plan().evaluation_slot == 64);
}

TEST_CASE("a carver hands out what it counted when it had no memory") {
    fqt::carver counter;
    CHECK(counter.take<float>(17) == nullptr);
    CHECK(counter.take<std::byte>(1) == nullptr);
    CHECK(counter.used() == 192);
    alignas(64) std::byte memory[192];
    fqt::carver carver(memory);
    CHECK(reinterpret_cast<std::byte*>(carver.take<float>(17)) == memory);
    CHECK(carver.take<std::byte>(1) == memory + 128);
}

TEST_CASE("a gradient slot that was not planned is refused") {
    std::byte memory[128];
    fqt::context c;
    c.slots = memory;
    c.slot_count = 2;
    c.slot_bytes = 64;
    CHECK(c.slot(1) == memory + 64);
    CHECK_THROWS_WITH_AS(c.slot(2), doctest::Contains("planner.depth()"), fqt::error);
}
