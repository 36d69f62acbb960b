// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/core/function_ref.hpp>

#include <doctest/doctest.h>

#include <string>

namespace {

int doubled(int x) { return 2 * x; }

struct counter {
    int calls = 0;
    void operator()() { ++calls; }
};

} // namespace

TEST_CASE("what it was made from is called, and not a copy of it") {
    counter c;
    const fqt::function_ref<void()> f = c, same = f;
    f();
    same();
    CHECK(c.calls == 2);
}

TEST_CASE("arguments and results pass through, references as references") {
    const int added = 5;
    const auto lambda = [&](int& x, const std::string& s) -> std::string& {
        x += added;
        static std::string result;
        return result = s + "!";
    };
    const fqt::function_ref<std::string&(int&, const std::string&)> f = lambda;
    int x = 1;
    CHECK(f(x, "text") == "text!");
    CHECK(x == 6);
}

TEST_CASE("a function, and a lambda that lives as long as the call") {
    CHECK(fqt::function_ref<int(int)>(doubled)(4) == 8);
    const fqt::function_ref<int(int)> of_pointer = &doubled; // a temporary
    CHECK(of_pointer(5) == 10);
    CHECK([](fqt::function_ref<int(int)> f) { return f(1); }([](int x) { return x + 1; }) == 2);
}

TEST_CASE("what is not wanted is dropped") {
    int sum = 0;
    const auto add = [&](int x) { return sum += x; };
    const fqt::function_ref<void(int)> f = add;
    f(2);
    f(3);
    CHECK(sum == 5);
}

TEST_CASE("an empty one is false") {
    CHECK_FALSE(fqt::function_ref<void()>());
    CHECK(fqt::function_ref<int(int)>(doubled));
}
