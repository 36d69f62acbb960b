// SPDX-License-Identifier: BSD-3-Clause
// Times the three integer products of single layers on a batch of 128, staging, the store of int32 sums and the sum
// over groups of samples included, and in between what the machine does at most. Answers are compared with the
// reference first.
//
//     kernels <threads> <rounds>
//
// Prints "<product> <layer>": the ms of each round; "peak": 10^9 operations a second, of each round; where that is one
// of matrix registers, "peak of vectors" as well, and where gradients of 4 bits have kernels of their own, "<product> 4
// bits <layer>" and "peak 4 bits".
#include <fqt/core/parallel.hpp>
#include <fqt/kernels/forward.hpp>
#include <fqt/kernels/input_gradient.hpp>
#include <fqt/kernels/reference.hpp>
#include <fqt/kernels/weight_gradient.hpp>
#include <fqt/layers/product_output.hpp>

#include "layers.hpp"
#include "peak.hpp"
#include "report.hpp"
#include <cstdint>
#include <cstdlib>
#include <memory>

namespace {

using namespace benchmark;
using arch = fqt::arch::best;
using fqt::kernels::integer;

/// Memory at 64 bytes.
template <class T>
class buffer {
public:
    explicit buffer(std::size_t count)
        : bytes_((count * sizeof(T) + 63) / 64 * 64),
          data_(static_cast<T*>(std::aligned_alloc(64, bytes_)), &std::free) {
        std::memset(static_cast<void*>(data_.get()), 0, bytes_);
    }
    T* get() const { return data_.get(); }
    T& operator[](std::size_t i) const { return data_.get()[i]; }

private:
    std::size_t bytes_;
    std::unique_ptr<T, void (*)(void*)> data_;
};

/// Bytes of a batch as a stored tensor; lanes beyond the channels are 0, or 128 where codes are signed.
struct codes {
    fqt::shape dims;
    bool is_signed;
    buffer<std::byte> data;

    codes(fqt::shape s, bool signed_codes, std::uint32_t seed, int most = 63)
        : dims(s), is_signed(signed_codes), data(sample_bytes() * batch) {
        std::uint32_t state = seed;
        for (std::size_t i = 0; i < sample_bytes() * batch; ++i) {
            state = state * 1664525u + 1013904223u;
            const bool padding = static_cast<int>(i % static_cast<std::size_t>(fqt::padded(s.channels))) >= s.channels;
            const int code =
                is_signed ? static_cast<int>(state >> 24) % (2 * most + 1) - most : static_cast<int>(state >> 24);
            data[i] = std::byte(padding ? (is_signed ? 128 : 0) : is_signed ? code + 128 : code);
        }
    }
    std::size_t sample_bytes() const { return static_cast<std::size_t>(fqt::padded_size(dims)); }
    /// Sample 0 as the reference reads it.
    std::vector<int> logical() const {
        std::vector<int> values;
        for (int p = 0; p < dims.pixels(); ++p)
            for (int c = 0; c < dims.channels; ++c)
                values.push_back(
                    std::to_integer<int>(data[static_cast<std::size_t>(p * fqt::padded(dims.channels) + c)])
                    - (is_signed ? 128 : 0));
        return values;
    }
};

/// One sample as kernels read it.
struct source {
    const std::byte* sample;
    int blocks;
    bool is_signed;

    template <class Arch>
    fqt::simd::u8x16<Arch> bytes(int pixel, int block) const {
        return fqt::simd::u8x16<Arch>::load(sample + (pixel * blocks + block) * fqt::lanes);
    }
};

/// One whose bytes are stored as kernels multiply them.
struct unsigned_source : source {
    const std::byte* stored_bytes() const { return sample; }
};

source source_of(const codes& c, int n) {
    return {c.data.get() + static_cast<std::size_t>(n) * c.sample_bytes(), fqt::blocks(c.dims.channels), c.is_signed};
}

void require(bool right, const char* product, const layer& l) {
    if (right) return;
    std::fprintf(stderr, "the %s of layer %s differs from the reference\n", product, l.name);
    std::exit(1);
}

/// Stored sums of sample 0 against logical ones.
bool equal(const std::int32_t* sums, fqt::shape s, const std::vector<std::int64_t>& expected) {
    for (int p = 0; p < s.pixels(); ++p)
        for (int c = 0; c < s.channels; ++c)
            if (sums[p * fqt::padded(s.channels) + c] != expected[static_cast<std::size_t>(p * s.channels + c)])
                return false;
    return true;
}

struct times {
    std::vector<double> of[3];
};
constexpr const char* products[] = {"forward", "input gradient", "weight gradient"};

/// Dx, Dw: the kinds of the backward products, whose gradients are up to Most in magnitude.
template <int Index, class Dx = integer, class Dw = integer, int Most = 63>
class layer_kernels {
    static constexpr layer l = layers[Index];
    static constexpr fqt::geometry g =
        fqt::geometry_of({l.channels, l.size, l.size}, l.outputs, {l.kernel, l.stride, l.pad(), l.groups});
    using forward = fqt::kernels::forward_product<g, integer, arch>;
    using input_gradient = fqt::kernels::input_gradient_product<g, Dx, arch>;
    using weight_gradient = fqt::kernels::weight_gradient_product<g, Dw, arch>;
    static constexpr std::size_t out_size = fqt::padded_size(g.out()), in_size = fqt::padded_size(g.in);
    static constexpr int groups = 8;

    int threads_;
    codes x_{g.in, false, 1}, h_{g.out(), true, 2, Most};
    std::vector<std::int8_t> weights_ = std::vector<std::int8_t>(static_cast<std::size_t>(g.weights()));
    buffer<std::byte> packed_forward_{forward::packed_bytes}, packed_backward_{input_gradient::packed_bytes};
    buffer<std::int32_t> sums_{out_size * batch}, dx_{in_size * batch};
    buffer<float> dw_{weight_gradient::sums * groups}, ones_{static_cast<std::size_t>(fqt::padded(g.outputs))},
        total_{static_cast<std::size_t>(g.weights())};
    static constexpr std::size_t staged_bytes_of_dw =
        weight_gradient::staged_activation_bytes + weight_gradient::staged_gradient_bytes;
    std::size_t scratch_bytes_ = std::max(
        {forward::staged_bytes, input_gradient::staged_bytes, staged_bytes_of_dw* weight_gradient::samples_at_once});
    buffer<std::byte> scratch_{scratch_bytes_ * static_cast<std::size_t>(threads_)};

    std::byte* scratch_of(int thread) const {
        return scratch_.get() + scratch_bytes_ * static_cast<std::size_t>(thread);
    }

    // Each as in a layer: samples on threads, for weight gradients in groups.
    template <class Product, fqt::shape To>
    void multiply(const codes& from, const std::byte* packed, std::int32_t* to) const {
        fqt::parallel_for(batch, threads_, [&](int n, int thread) {
            const std::byte* operands = scratch_of(thread);
            if constexpr (std::same_as<Product, forward>)
                operands = forward::operands_of(unsigned_source{source_of(from, n)}, scratch_of(thread));
            else Product::stage(source_of(from, n), scratch_of(thread));
            constexpr auto size = static_cast<std::size_t>(fqt::padded_size(To));
            Product::run(operands, packed,
                         fqt::to_exact_sums<To, std::int32_t>{to + static_cast<std::size_t>(n) * size});
        });
    }
    void run(int product) const {
        if (product == 0) multiply<forward, g.out()>(x_, packed_forward_.get(), sums_.get());
        else if (product == 1) multiply<input_gradient, g.in>(h_, packed_backward_.get(), dx_.get());
        else {
            fqt::parallel_for(groups, threads_, [&](int group, int thread) {
                float* sums = dw_.get() + weight_gradient::sums * static_cast<std::size_t>(group);
                const int first = batch * group / groups, last = batch * (group + 1) / groups;
                if (!weight_gradient::writes_all_sums) std::fill_n(sums, weight_gradient::sums, 0.0f);
                for (int n = first; n < last; n += weight_gradient::samples_at_once) {
                    typename weight_gradient::sample samples[weight_gradient::samples_at_once];
                    const int count = std::min(weight_gradient::samples_at_once, last - n);
                    for (int i = 0; i < count; ++i) {
                        std::byte* x = scratch_of(thread) + static_cast<std::size_t>(i) * staged_bytes_of_dw;
                        std::byte* h = x + weight_gradient::staged_activation_bytes;
                        weight_gradient::stage_activation(source_of(x_, n + i), false, x);
                        weight_gradient::stage_gradient(source_of(h_, n + i), h);
                        samples[i] = {x, h, 1.0f};
                    }
                    weight_gradient::run(samples, count, false, n == first, sums);
                }
            });
            fqt::parallel_for(fqt::blocks(g.outputs), threads_, [&](int block, int) {
                weight_gradient::unpack(dw_.get(), groups, ones_.get(), block, total_.get());
            });
        }
    }
    /// The weight gradient of the batch as run(2) gives it, one sample at a time.
    std::vector<float> sample_by_sample() const {
        buffer<float> sums(weight_gradient::sums * groups);
        std::vector<float> total(weights_.size());
        for (int group = 0; group < groups; ++group)
            for (int n = batch * group / groups; n < batch * (group + 1) / groups; ++n)
                add_sample(n, sums.get() + weight_gradient::sums * static_cast<std::size_t>(group));
        for (int block = 0; block < fqt::blocks(g.outputs); ++block)
            weight_gradient::unpack(sums.get(), groups, ones_.get(), block, total.data());
        return total;
    }
    void add_sample(int n, float* sums) const {
        std::byte *x = scratch_of(0), *h = x + weight_gradient::staged_activation_bytes;
        weight_gradient::stage_activation(source_of(x_, n), false, x);
        weight_gradient::stage_gradient(source_of(h_, n), h);
        weight_gradient::run(x, h, false, 1.0f, sums);
    }

    void check() {
        const std::vector<int> x = x_.logical(), h = h_.logical(), w(weights_.begin(), weights_.end());
        std::vector<std::int64_t> y(static_cast<std::size_t>(g.out().size())), dx(x.size()), dw(w.size());
        fqt::kernels::reference::forward(g, x.data(), w.data(), y.data());
        fqt::kernels::reference::input_gradient(g, h.data(), w.data(), dx.data());
        fqt::kernels::reference::weight_gradient(g, x.data(), h.data(), dw.data());
        run(0);
        require(equal(sums_.get(), g.out(), y), products[0], l);
        run(1);
        require(equal(dx_.get(), g.in, dx), products[1], l);
        // One sample against the reference, then all of them, as they are timed, against one at a time.
        std::fill_n(dw_.get(), weight_gradient::sums, 0.0f);
        add_sample(0, dw_.get());
        for (int block = 0; block < fqt::blocks(g.outputs); ++block)
            weight_gradient::unpack(dw_.get(), 1, ones_.get(), block, total_.get());
        for (std::size_t i = 0; i < dw.size(); ++i) require(total_[i] == static_cast<float>(dw[i]), products[2], l);
        const std::vector<float> expected = sample_by_sample();
        run(2);
        require(std::equal(expected.begin(), expected.end(), total_.get()), products[2], l);
    }

public:
    explicit layer_kernels(int threads) : threads_(threads) {
        std::uint32_t state = 3;
        for (auto& w : weights_)
            w = static_cast<std::int8_t>(static_cast<int>((state = state * 1664525u + 1013904223u) >> 24) % 255 - 127);
        forward::pack(weights_.data(), false, packed_forward_.get());
        input_gradient::pack(weights_.data(), true, packed_backward_.get());
        std::fill_n(ones_.get(), fqt::padded(g.outputs), 1.0f);
        check();
    }
    void time(times& t, int first_product = 0) const {
        for (int product = first_product; product < 3; ++product)
            t.of[product].push_back(time_of([&] { run(product); }));
    }
};

} // namespace

int main(int argc, char** argv) {
    if (argc != 3 || std::atoi(argv[1]) < 1 || std::atoi(argv[2]) < 1) {
        std::fprintf(stderr, "usage: kernels <threads> <rounds>\n");
        return 1;
    }
    const int threads = std::atoi(argv[1]), rounds = std::atoi(argv[2]);
    std::vector<double> peaks, peaks_of_vectors, peaks_of_4_bits;
    times of_layer[layer_count], of_4_bits[layer_count];
    fqt::kernels::unroll<layer_count>([&](auto i) {
        const layer_kernels<i> kernels(threads);
        for (int round = 0; round < rounds; ++round) {
            kernels.time(of_layer[i]);
            peaks.push_back(peak_of_products<arch>(threads));
            if constexpr (fqt::simd::has_matrices<arch>) peaks_of_vectors.push_back(peak_of_vectors<arch>(threads));
        }
        if constexpr (few_bits_are_faster && layers[i].groups == 1) {
            const layer_kernels<i, dx_of_4_bits, dw_of_4_bits, 7> kernels_of_4_bits(threads);
            for (int round = 0; round < rounds; ++round) {
                kernels_of_4_bits.time(of_4_bits[i], 1);
                peaks_of_4_bits.push_back(peak_of_products<arch, dx_of_4_bits>(threads));
            }
        }
    });
    report report;
    report.add("peak", peaks);
    if (fqt::simd::has_matrices<arch>) report.add("peak of vectors", peaks_of_vectors);
    if (few_bits_are_faster) report.add("peak 4 bits", peaks_of_4_bits);
    for (int i = 0; i < layer_count; ++i)
        for (int product = 0; product < 3; ++product) {
            const std::string name = products[product], layer = layers[i].name;
            report.add((name + " " + layer).c_str(), of_layer[i].of[product]);
            if (const auto& found = of_4_bits[i].of[product]; !found.empty())
                report.add((name + " 4 bits " + layer).c_str(), found);
        }
    for (int i = 0; i < layer_count; ++i) {
        report.add((std::string("macs ") + layers[i].name).c_str(), layers[i].macs());
        report.add((std::string("nominal macs ") + layers[i].name).c_str(), layers[i].nominal_macs());
    }
    report.print();
}
