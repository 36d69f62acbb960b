#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// network<spec, scheme>: parameters, memory, and the two passes. Spec and scheme are taken by reference, so that
// messages and symbols say network<resnet20, w8a8g4>. All memory is planned at compile time and taken once; nothing is
// allocated after construction.

#include <fqt/core/diagnostic.hpp>
#include <fqt/core/function_ref.hpp>
#include <fqt/layers/batch_norm.hpp>
#include <fqt/layers/chain.hpp>
#include <fqt/layers/conv.hpp>
#include <fqt/layers/pointwise.hpp>
#include <fqt/layers/pool.hpp>
#include <fqt/layers/residual.hpp>
#include <fqt/network/memory.hpp>
#include <fqt/simd/cpu.hpp>

#include <array>
#include <cmath>
#include <cstring>
#include <span>
#include <string_view>

namespace fqt {

/// What of a network is chosen at run time.
struct network_options {
    int batch = 128;         ///< the largest number of samples of one pass, >= 1
    int threads = 0;         ///< 0: as many as hardware_threads()
    float rectification = 0; ///< weight of the rectifiers' loss, >= 0
    /// Of batch_norm<any_rectifier>, which the network must have, such as rule_of<gain_crest<>>; null: none.
    rectifier_rule rectifier = nullptr;
    float momentum = 0.1f; ///< weight of a batch in running statistics and ranges, in (0, 1]
};

namespace detail {
/// Refuses a spec without input<C, H, W>, before its shapes are said not to fit.
template <class Spec>
struct with_input {
    static constexpr bool has_input = [] {
        if constexpr (layer_spec<Spec>) return Spec::input().size() > 0;
        else return true; // which is refused otherwise
    }();
    static_assert(has_input, "fqt: a network starts with input<C, H, W>");
};
} // namespace detail

template <const auto& Spec, const auto& Scheme, class Arch = arch::best>
class network : detail::with_input<std::remove_cvref_t<decltype(Spec)>>, checked_shapes<Spec> {
public:
    /// The scheme's type, and the tag of the instruction set.
    using scheme_type = std::remove_cvref_t<decltype(Scheme)>;
    using arch_type = Arch;

private:
    using spec_type = std::remove_cvref_t<decltype(Spec)>;
    static_assert(layer_spec<spec_type>,
                  "fqt: a network's first argument is a spec, such as input<1, 28, 28> | conv<16> | ...");
    static_assert(
        requires { typename scheme_type::weight_quantizer; },
        "fqt: a network's second argument is a scheme, such as fqt::w8a8g4");

    // Layers are made only where shapes fit, so that a misfit is the one error that is reported.
    template <bool Fits, class S>
    struct root_of {
        using type = typename S::template layer<shape{}, placed<scheme_type, true, true>, Arch>;
    };
    template <class S>
    struct root_of<false, S> {
        using type = plain_layer;
    };
    using root = typename root_of<detail::fits_of<Spec>, spec_type>::type;

public:
    /// Shapes of one sample.
    static constexpr shape input = spec_type::input(), output = detail::shapes_of<Spec>.value;
    /// Learnt numbers.
    static constexpr int parameters = spec_type::parameters(shape{});
    /// Multiply-adds of one sample's forward pass.
    static constexpr std::int64_t macs = spec_type::macs(shape{});
    /// Batch normalizations, those of parts included.
    static constexpr int normalizations = spec_type::normalizations;

private:
    /// What has its place in the network's memory.
    struct planned {
        root layers{};
        int* counters{}; // of products and of normalizations
        float* logits{};

        constexpr void walk(planner& p) {
            p.persistent(counters, 2);
            p.saved(logits, output.size());
            layers.plan(p, plain<input>{});
        }
    };
    // A planner notes as many tensors as there are, whatever the batch.
    static constexpr planner::counts tensors() {
        planner p(1);
        planned{}.walk(p);
        return p.tensors();
    }
    template <planner::counts Tensors>
    struct notes_of {
        std::array<timetable::stay, Tensors.training> training{};
        std::array<timetable::stay, Tensors.evaluation> evaluation{};
    };

public:
    /// Bytes of memory for batches of up to `batch` samples on `threads` threads, both 1 or more; what a caller's own
    /// memory must have. As many threads as there are processors: threads_of(0).
    static constexpr std::size_t arena_bytes(int batch, int threads = 1) {
        if (batch < 1 || threads < 1)
            fail("arena_bytes(%d, %d): a batch and threads are 1 or more; threads_of(0) is how many there are", batch,
                 threads);
        return memory(batch).bytes(threads);
    }
    /// The same by how long things live.
    static constexpr memory_plan memory(int batch) {
        notes_of<tensors()> notes;
        planner p(batch, notes.training, notes.evaluation);
        planned{}.walk(p);
        return p.plan();
    }

    /// A network with memory of its own, weights drawn from `s`.
    explicit network(seed s, network_options options = {}) : network(s, options, std::span<std::byte>{}) {}

    /// A network in the caller's memory: 64-byte aligned, at least arena_bytes(options.batch,
    /// threads_of(options.threads)) bytes.
    network(seed s, network_options options, std::span<std::byte> memory) : options_(checked(options)), seed_(s.value) {
        place(memory);
        if (options_.rectifier) require_layer_for_rectifier();
        initialise(s);
    }

    network(network&&) noexcept = default;
    network& operator=(network&&) noexcept = default;

    /// Draws the weights anew and forgets statistics and steps.
    void initialise(seed s) {
        seed_ = s.value;
        step_ = 0;
        each_parameter([](const fqt::parameter& p) { std::ranges::fill(p.value, 0.0f); });
        each_state([](const state& v) { std::ranges::fill(v.value, 0.0f); });
        planned_.layers.initialise(seed_);
        last_ = pass::none;
    }

    // ---- passes ----

    /// The logits, (sample, class), of `samples` images, (sample, channel, row, column), in training: batch statistics
    /// and current ranges. The images must stay in place until backward(). Where they are a part of a larger batch,
    /// `first_sample` is the number of the first of them in it: random numbers belong to samples of the whole batch.
    std::span<const float> forward(std::span<const float> images, int samples, int first_sample = 0) {
        last_ = pass::none; // until the pass is done: one that is refused has no backward()
        check(images, samples);
        if (first_sample < 0) fail("the first sample of a batch is number %d; it must be 0 or more", first_sample);
        first_sample_ = first_sample;
        const plain<input> x{images.data()};
        const context c = context_for(samples);
        refused_pass refused(places());
        write_logits(c, planned_.layers.forward(c, x));
        refused.was_done();
        images_ = images.data();
        samples_ = samples;
        last_ = pass::training;
        return logits();
    }

    /// Fills the gradient of every parameter from the loss's gradient by the logits, (sample, class), of the last
    /// forward().
    void backward(std::span<const float> by_logits) {
        require_memory();
        if (last_ != pass::training)
            fail("backward() needs the values of a forward() directly before it; call forward() first");
        if (by_logits.size() != logits().size())
            fail("backward() got %zu gradients for %zu logits; give one for each of the last forward()'s",
                 by_logits.size(), logits().size());
        for (std::size_t i = 0; i < by_logits.size(); ++i)
            if (!std::isfinite(by_logits[i]))
                fail("gradient %zu given to backward() is %g; lower the learning rate, or check the loss", i,
                     double{by_logits[i]});
        last_ = pass::none; // gradients take the place of what forward() left
        refused_pass refused(places());
        static_cast<void>(planned_.layers.backward(context_for(samples_), plain<input>{images_},
                                                   plain<output>{by_logits.data()}, nothing{}));
        refused.was_done();
        ++step_;
    }

    /// The logits in evaluation: frozen ranges and statistics, batch normalization folded into the requantization of
    /// integer sums. Samples do not influence each other. first_sample: as in forward(), for activations that are
    /// rounded stochastically.
    std::span<const float> predict(std::span<const float> images, int samples, int first_sample = 0) {
        last_ = pass::none;
        check(images, samples);
        if (first_sample < 0) fail("the first sample to predict is number %d; it must be 0 or more", first_sample);
        first_sample_ = first_sample;
        const plain<input> x{images.data()};
        const context c = context_for(samples);
        write_logits(c, finished(c, planned_.layers.infer(c, x)));
        samples_ = samples;
        last_ = pass::evaluation;
        return logits();
    }

    // ---- what it is made of ----

    /// As given, with threads as many as there are and the weight of rectification as it is now.
    const network_options& options() const { return options_; }
    int batch() const { return options_.batch; }
    int threads() const { return options_.threads; }
    /// The memory as planned for batch() samples.
    const memory_plan& plan() const { return plan_; }
    std::uint64_t seed_value() const { return seed_; }
    /// Draws the random numbers to come from another seed, as a network that goes on with a saved run must. A forward()
    /// whose backward() has not come is forgotten.
    void set_seed(seed s) {
        seed_ = s.value;
        last_ = pass::none;
    }
    /// Backward passes done.
    std::uint32_t step() const { return step_; }
    /// Numbers the passes to come: the random numbers of rounding and dropout are those of this step, as a network that
    /// goes on with a saved run must have them. The last forward() still waits for its backward(), which may so be made
    /// again with other draws.
    void set_step(std::uint32_t step) { step_ = step; }
    float rectification() const { return options_.rectification; }
    /// Sets the weight of the rectifiers' loss, >= 0: call it every step for a schedule.
    void set_rectification(float weight) {
        if (!(weight >= 0 && std::isfinite(weight)))
            fail("the weight of rectification is %g; it must be 0 or more, and finite", double{weight});
        options_.rectification = weight;
    }
    /// The weighted sum of the rectifiers' losses in the last backward pass.
    float rectification_loss() {
        float sum = 0;
        planned_.layers.each_normalization([&](auto& n) { sum = std::fma(options_.rectification, n.penalty(), sum); });
        return sum;
    }

    /// Calls f(parameter) for every learnt tensor, from the input to the output. Values may be changed.
    void each_parameter(function_ref<void(const fqt::parameter&)> f) { planned_.layers.each_parameter(f); }
    /// Calls f(state) for all running statistics and ranges.
    void each_state(function_ref<void(const state&)> f) { planned_.layers.each_state(f); }
    /// Calls f(batch_norm_layer&) for every batch normalization: name(), facts(), penalty().
    template <class F>
    void each_normalization(F&& f) {
        planned_.layers.each_normalization(f);
    }
    /// Calls f(description) for every layer.
    template <class F>
    void describe(F&& f) {
        planned_.layers.describe(f, plain<input>{images_});
    }

    /// Shows `f` every tensor of the passes to come (observer.hpp), until stop_observing(). f must live that long.
    template <class F>
    void observe(F& f) {
        watcher_ = observer(f);
    }
    void stop_observing() { watcher_ = observer(); }
    bool is_observed() const { return static_cast<bool>(watcher_); }

    /// The parameter of that name: "stage1.0.body.0.weight".
    fqt::parameter parameter(std::string_view name) {
        fqt::parameter found{};
        each_parameter([&](const fqt::parameter& p) {
            if (p.name.view() == name) found = p;
        });
        if (found.value.empty())
            fail("no parameter is called '%.*s'; each_parameter() lists the names", static_cast<int>(name.size()),
                 name.data());
        return found;
    }

private:
    enum class pass { none, training, evaluation };

    memory_places places() const { return {memory_.data(), plan_}; }

    /// Puts running statistics, ranges and memories back where a pass is refused half way, so that the batch may be
    /// left out and training go on.
    class refused_pass {
    public:
        explicit refused_pass(const memory_places& places) : places_(places), bytes_(bytes_of(places)) {
            std::memcpy(places.copy_of_states, places.states, bytes_);
        }
        refused_pass(const refused_pass&) = delete;
        refused_pass& operator=(const refused_pass&) = delete;
        ~refused_pass() { std::memcpy(places_.states, places_.copy_of_states, bytes_); }
        void was_done() { bytes_ = 0; }

    private:
        static std::size_t bytes_of(const memory_places& places) {
            return static_cast<std::size_t>(places.copy_of_states - places.states);
        }
        memory_places places_;
        std::size_t bytes_;
    };

    static network_options checked(network_options o) {
        if (o.batch < 1)
            fail("a network was planned for batches of %d samples; options.batch must be 1 or more", o.batch);
        if (!(o.rectification >= 0 && std::isfinite(o.rectification)))
            fail("options.rectification is %g; it must be 0 or more, and finite", double{o.rectification});
        if (!(o.momentum > 0 && o.momentum <= 1))
            fail("options.momentum is %g; it must lie in (0, 1]", double{o.momentum});
        o.threads = threads_of(o.threads);
        return o;
    }

    void require_layer_for_rectifier() {
        bool found = false;
        planned_.layers.each_normalization([&](auto& n) { found = found || n.takes_any_rectifier; });
        if (!found)
            fail("options.rectifier would do nothing, since no layer of the network takes it; write "
                 "batch_norm<any_rectifier>, or leave it null");
    }

    void place(std::span<std::byte> memory) {
        notes_of<tensors()> notes;
        planner noted(options_.batch, notes.training, notes.evaluation);
        planned_.walk(noted);
        plan_ = noted.plan();
        memory_.take(memory, plan_.bytes(options_.threads));
        planner hands_out(noted, {memory_.data(), plan_});
        planned_.walk(hands_out);
        planned_.layers.prepare(naming{{}, planned_.counters, planned_.counters + 1, false});
    }

    context context_for(int samples) const {
        context c;
        c.samples = samples;
        c.threads = options_.threads;
        c.seed = seed_;
        c.step = step_;
        c.first_sample = static_cast<std::uint32_t>(first_sample_);
        c.momentum = options_.momentum;
        c.rectification = options_.rectification;
        c.rectifier = options_.rectifier;
        c.watcher = watcher_;
        c.use(places(), plan_);
        return c;
    }

    void require_memory() const {
        if (!memory_.data()) fail("a pass over a network that was moved to another; use that one");
    }

    void check(std::span<const float> images, int samples) const {
        require_memory();
        if (samples < 1) fail("a pass over %d samples; a batch has at least one", samples);
        if (samples > options_.batch)
            fail("a batch of %d samples is larger than the %d planned for; construct the network with options.batch = "
                 "%d",
                 samples, options_.batch, samples);
        if (images.size() != static_cast<std::size_t>(samples) * static_cast<std::size_t>(input.size()))
            fail("%d samples of %d x %d x %d have %zu numbers, but %zu were given; give all of them, or say how many "
                 "samples",
                 samples, input.channels, input.height, input.width,
                 static_cast<std::size_t>(samples) * static_cast<std::size_t>(input.size()), images.size());
        if (passes::all_finite<Arch>(images)) return;
        constexpr auto size = static_cast<std::size_t>(input.size());
        for (std::size_t i = 0; i < images.size(); ++i)
            if (!std::isfinite(images[i]))
                fail("number %zu of image %zu is %g; give images of finite numbers", i % size, i / size,
                     double{images[i]});
    }

    template <class Y>
    void write_logits(const context& c, const Y& y) {
        for (int n = 0; n < c.samples; ++n) {
            float* of_sample = planned_.logits + std::ptrdiff_t{n} * output.size();
            for (int p = 0; p < output.pixels(); ++p)
                for (int b = 0; b < blocks(output.channels); ++b) {
                    float values[lanes];
                    y.template load<Arch>(n, p, b).store(values);
                    for (int i = 0; i < lanes && b * lanes + i < output.channels; ++i)
                        of_sample[(b * lanes + i) * output.pixels() + p] = values[i];
                }
        }
    }
    std::span<const float> logits() const {
        return {planned_.logits, static_cast<std::size_t>(samples_) * static_cast<std::size_t>(output.size())};
    }

    network_options options_;
    memory_plan plan_{};
    owned_or_borrowed_memory memory_{};
    planned planned_{};
    observer watcher_{};
    const float* images_{};
    int samples_{}, first_sample_{};
    std::uint64_t seed_{};
    std::uint32_t step_{};
    pass last_{pass::none};
};

} // namespace fqt
