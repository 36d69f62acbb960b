// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/layers/planner.hpp>

#include <doctest/doctest.h>

#include <vector>

namespace {

/// Walks a plan twice, as networks do: walk(planner). Returns it, and the memory that the second walk handed out.
template <class Walk>
struct walked {
    fqt::memory_plan plan{};
    std::vector<std::byte> memory{};
    fqt::memory_places places{};

    walked(int batch, Walk walk) {
        fqt::planner counter(batch);
        walk(counter);
        std::vector<fqt::timetable::stay> training(counter.tensors().training),
            evaluation(counter.tensors().evaluation);
        fqt::planner noted(batch, training, evaluation);
        walk(noted);
        plan = noted.plan();
        memory.resize(plan.bytes(1));
        places = {memory.data(), plan};
        fqt::planner hands_out(noted, places);
        walk(hands_out);
    }
    /// Bytes from where tensors between layers begin.
    std::ptrdiff_t at(const void* place) const { return static_cast<const std::byte*>(place) - places.between_layers; }
};

} // namespace

TEST_CASE("a planner hands out the places that it counted, in multiples of 64 bytes and disjoint") {
    float *a{}, *b{};
    double* c{};
    std::byte* saved{};
    fqt::planner noted(2);
    noted.persistent(a, 3);
    CHECK(a == nullptr);
    const walked w(2, [&](fqt::planner& p) {
        p.persistent(a, 3);
        p.persistent(b, 16);
        p.persistent(c, 1);
        p.saved(saved, 65);
    });
    CHECK(w.plan.persistent == 3 * 64);
    CHECK(w.plan.saved == 3 * 64); // 65 bytes for each of two samples
    CHECK(w.plan.bytes(1) == 6 * 64);
    CHECK(reinterpret_cast<const std::byte*>(a) == w.memory.data());
    CHECK(reinterpret_cast<const std::byte*>(b) == w.memory.data() + 64);
    CHECK(reinterpret_cast<const std::byte*>(c) == w.memory.data() + 128);
    CHECK(saved == w.memory.data() + 192);
}

TEST_CASE("a plan counts beyond what an int holds") {
    fqt::planner p(1);
    float* place{};
    p.persistent(place, std::int64_t{3} << 30);
    p.saved(place, std::int64_t{3} << 30);
    CHECK(p.plan().persistent == std::size_t{12} << 30);
    CHECK(p.plan().saved == std::size_t{12} << 30);
}

TEST_CASE("a plan takes the largest of what calls need, and scratch for each thread") {
    fqt::planner p(4);
    for (const std::size_t bytes : {100u, 300u, 200u}) {
        p.shared(bytes);
        p.scratch(bytes / 2);
    }
    CHECK(p.plan().shared == 320);
    CHECK(p.plan().scratch == 192);
    CHECK(p.plan().bytes(3) == 320 + 3 * 192);
}

TEST_CASE("sums of a chain are disjoint, and gradients lie where sums are of no use any more") {
    std::byte *sums[3]{}, *gradients[3]{};
    const walked w(1, [&](fqt::planner& p) {
        for (int i = 0; i < 3; ++i) {
            p.stores_input();
            const int written = p.moment(), read = p.moment();
            p.sums(sums[i], 640, read);
            if (i > 0) p.gradient(gradients[i], 640, written);
            p.reads_gradient(read);
        }
    });
    for (int i = 0; i < 3; ++i) CHECK(w.at(sums[i]) == 640 * i);
    CHECK(gradients[1] == sums[1]); // written when codes of h are there
    CHECK(gradients[2] == sums[2]);
    CHECK(w.plan.training == 3 * 640);
    CHECK(w.plan.sums == 3 * 640);
}

TEST_CASE("a gradient that is written while its layer's own and sums are read lies beside them") {
    std::byte *sums[3]{}, *gradients[3]{};
    const walked w(1, [&](fqt::planner& p) {
        for (int i = 0; i < 3; ++i) {
            p.stores_input();
            const int both = p.moment();
            p.sums(sums[i], 640, both);
            if (i > 0) p.gradient(gradients[i], 640, both);
            p.reads_gradient(both);
        }
    });
    CHECK(w.at(gradients[1]) >= 2 * 640); // beyond the sums of its own layer and the one before
    CHECK(w.at(gradients[2]) >= 3 * 640);
    CHECK(gradients[1] != gradients[2]); // which is read while gradients[1] is written
}

TEST_CASE("what parts leave is kept until the gradient of their sum is read, and that as long as they run") {
    std::byte *first{}, *before{}, *body[2]{}, *shortcut{}, *behind{};
    std::byte *by_before{}, *by_body[2]{}, *by_shortcut{}, *by_sum{};
    constexpr int large = 640; // so that whatever may lies in its place
    for (const bool returned_reads : {false, true}) {
        CAPTURE(returned_reads);
        const auto product = [](fqt::planner& p, std::byte*& sums, std::byte** gradient, bool stores = true) {
            const int written = p.moment(), read = p.moment();
            if (stores) p.stores_input();
            p.sums(sums, 64, read);
            if (gradient) p.gradient(*gradient, 64, written);
            p.reads_gradient(read);
        };
        const walked w(1, [&](fqt::planner& p) {
            product(p, first, nullptr);
            const int both = p.moment(); // a layer that reads the gradient of its output while it writes its input's
            p.stores_input();
            p.sums(before, 64, both);
            p.gradient(by_before, large, both);
            p.reads_gradient(both);
            p.stores_input();
            const auto parts = p.begin_parts();
            product(p, body[0], &by_body[0], false);
            product(p, body[1], &by_body[1]);
            p.next_part(parts);
            product(p, shortcut, &by_shortcut, false);
            p.end_parts(parts, returned_reads);
            product(p, behind, &by_sum);
        });
        // Both parts' last sums, read lazily, the sum's gradient, and the shortcut's, which the body's is added to.
        for (const std::byte* live : {body[1], shortcut, by_sum, by_shortcut}) {
            CHECK(by_body[0] != live);
            CHECK(by_body[1] != live);
        }
        CHECK(by_shortcut != by_sum);
        CHECK(by_body[1] != body[0]); // which the body's first product still has to read
        CHECK(by_before != by_body[0]);
        // Read while by_before is written, where the parts return what reads them.
        for (const std::byte* read : {body[1], shortcut, by_sum})
            CHECK((w.at(read) < w.at(by_before) || w.at(read) >= w.at(by_before) + large) == returned_reads);
    }
}

TEST_CASE("sums of evaluation live until the next layer stores its input, in the memory of training") {
    std::byte *sums[4]{}, *training{}, *kept{};
    const walked w(2, [&](fqt::planner& p) {
        p.moment();
        p.sums(training, 1000, 1);
        p.evaluation(kept, 64);
        for (std::byte*& s : sums) {
            p.moment();
            p.stores_input();
            p.evaluation_sums(s, 320);
        }
    });
    CHECK(w.at(training) == 0);
    CHECK(w.at(kept) == 0); // not of the batch
    CHECK(w.at(sums[0]) == 64);
    CHECK(w.at(sums[1]) == 64 + 640); // the one before is read while it is written
    CHECK(sums[2] == sums[0]);
    CHECK(sums[3] == sums[1]);
    CHECK(w.plan.evaluation == 64 + 2 * 640);
    CHECK(w.plan.between_layers() == 2048);
}

TEST_CASE("sums of one part are kept in evaluation while another runs") {
    std::byte *body{}, *shortcut[2]{}, *behind{};
    const walked w(1, [&](fqt::planner& p) {
        const auto product = [&](std::byte*& sums, bool stores = true) {
            p.moment();
            if (stores) p.stores_input();
            p.evaluation_sums(sums, 64);
        };
        const auto parts = p.begin_parts();
        product(body, false);
        p.next_part(parts);
        product(shortcut[0], false);
        product(shortcut[1]);
        p.end_parts(parts, false);
        product(behind);
    });
    for (const std::byte* other : {shortcut[0], shortcut[1], behind}) CHECK(body != other);
    CHECK(behind != shortcut[1]);
    CHECK(behind == shortcut[0]);
}

TEST_CASE("a planner without room for its notes counts, and does not plan") {
    std::byte* sums{};
    fqt::planner p(1);
    p.sums(sums, 64, p.moment());
    CHECK(p.tensors().training == 1);
    CHECK_THROWS_WITH_AS(p.plan(), doctest::Contains("tensors() first"), fqt::error);
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
