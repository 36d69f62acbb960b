#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A reference to a function or lambda of any type: what is called once for many numbers - an item of a loop, a
// parameter - goes through it, so that its caller is compiled once and not again for every lambda.

#include <concepts>
#include <memory>
#include <type_traits>
#include <utility>

namespace fqt {

template <class Signature>
class function_ref;

/// Calls what it was made from, which must live as long unless it is a function or a pointer to one. An empty one is
/// false and must not be called.
template <class Result, class... Arguments>
class function_ref<Result(Arguments...)> {
public:
    constexpr function_ref() = default;

    template <class F>
        requires(!std::same_as<std::remove_cvref_t<F>, function_ref> && std::is_invocable_r_v<Result, F&, Arguments...>)
    function_ref(F&& f) {
        using type = std::remove_reference_t<F>;
        using function = std::remove_pointer_t<std::remove_cv_t<type>>;
        if constexpr (std::is_function_v<function>) { // or a pointer to one, which need not live on
            target_.function = reinterpret_cast<void (*)()>(static_cast<function*>(f));
            call_ = [](target t, Arguments... arguments) -> Result {
                return static_cast<Result>(
                    reinterpret_cast<function*>(t.function)(std::forward<Arguments>(arguments)...));
            };
        } else {
            target_.object = const_cast<void*>(static_cast<const volatile void*>(std::addressof(f)));
            call_ = [](target t, Arguments... arguments) -> Result {
                return static_cast<Result>((*static_cast<type*>(t.object))(std::forward<Arguments>(arguments)...));
            };
        }
    }

    Result operator()(Arguments... arguments) const { return call_(target_, std::forward<Arguments>(arguments)...); }
    constexpr explicit operator bool() const { return call_ != nullptr; }

private:
    union target {
        void* object = nullptr;
        void (*function)();
    };
    target target_;
    Result (*call_)(target, Arguments...) = nullptr;
};

} // namespace fqt
