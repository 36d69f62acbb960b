// SPDX-License-Identifier: BSD-3-Clause
// The peer of kernels.cpp: the same layers on oneDNN, 8-bit forward products and input gradients (as deconvolutions;
// unsigned times signed, 32-bit sums), and, since it has no 8-bit weight gradient, fp32 and bf16 ones.
//
//     onednn <threads> <rounds>
//
// Prints "<product> <layer>": the ms of each round; layers that oneDNN does not support are absent.
#include "layers.hpp"
#include "report.hpp"
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <omp.h>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

namespace {

using namespace dnnl;
using benchmark::batch;
using benchmark::layer;
using type = memory::data_type;
using tag = memory::format_tag;

const engine& cpu() {
    static const engine e(engine::kind::cpu, 0);
    return e;
}

/// All elements are `value`; what a layout adds to fill its blocks is 0.
memory filled(const memory::desc& d, float value) {
    const tag plain_order = d.dims().size() == 4 ? tag::nchw : tag::goihw;
    memory plain({d.dims(), type::f32, plain_order}, cpu()), m(d, cpu());
    std::fill_n(static_cast<float*>(plain.get_data_handle()), plain.get_desc().get_size() / sizeof(float), value);
    stream s(cpu());
    reorder(plain, m).execute(s, plain, m);
    s.wait();
    return m;
}

struct shapes {
    memory::dims x, w, y, stride, pad;

    explicit shapes(const layer& l)
        : x{batch, l.channels, l.size, l.size}, y{batch, l.outputs, l.out_size(), l.out_size()},
          stride{l.stride, l.stride}, pad{l.pad(), l.pad()} {
        if (l.groups == 1) w = {l.outputs, l.channels, l.kernel, l.kernel};
        else w = {l.groups, l.outputs / l.groups, l.channels / l.groups, l.kernel, l.kernel};
    }
    /// Padding behind the image: what the windows reach beyond it.
    memory::dims pad_after(const layer& l) const {
        const int reached = (l.out_size() - 1) * l.stride + l.kernel - l.size - l.pad();
        return {reached, reached};
    }
};

memory::desc any(const memory::dims& d, type t) { return {d, t, tag::any}; }

void time(const std::string& name, const primitive& p, const std::unordered_map<int, memory>& arguments, int rounds,
          benchmark::report& report) {
    stream s(cpu());
    const auto run = [&] {
        p.execute(s, arguments);
        s.wait();
    };
    run();
    std::vector<double> times;
    for (int round = 0; round < rounds; ++round) times.push_back(benchmark::time_of(run));
    report.add(name.c_str(), times);
}

/// All operands are 1, so the sum of an inner pixel is its number of products.
void check(const layer& l, const memory& sums) {
    memory plain({sums.get_desc().dims(), type::s32, tag::nchw}, cpu());
    stream s(cpu());
    reorder(sums, plain).execute(s, const_cast<memory&>(sums), plain);
    s.wait();
    const int middle = l.out_size() / 2 * l.out_size() + l.out_size() / 2;
    const int expected = l.kernel * l.kernel * l.channels / l.groups;
    if (static_cast<std::int32_t*>(plain.get_data_handle())[middle] == expected) return;
    std::fprintf(stderr, "oneDNN's answer for layer %s is wrong\n", l.name);
    std::exit(1);
}

convolution_forward::primitive_desc forward_of(const layer& l, type x, type w, type y, tag layout) {
    const shapes s(l);
    return {{prop_kind::forward_training,
             algorithm::convolution_direct,
             {s.x, x, layout},
             any(s.w, w),
             {s.y, y, layout},
             s.stride,
             s.pad,
             s.pad_after(l)},
            cpu()};
}

void time_forward(const layer& l, int rounds, benchmark::report& report) {
    const auto d = forward_of(l, type::u8, type::s8, type::s32, tag::any);
    const memory x = filled(d.src_desc(), 1), w = filled(d.weights_desc(), 1), y = filled(d.dst_desc(), 0);
    time(std::string("forward ") + l.name, convolution_forward(d),
         {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}}, rounds, report);
    check(l, y);
}

void time_input_gradient(const layer& l, int rounds, benchmark::report& report) {
    const shapes s(l);
    memory::dims w = s.w;
    std::swap(w[w.size() - 4], w[w.size() - 3]);
    const deconvolution_forward::primitive_desc d({prop_kind::forward_inference, algorithm::deconvolution_direct,
                                                   any(s.y, type::u8), any(w, type::s8), any(s.x, type::s32), s.stride,
                                                   s.pad, s.pad_after(l)},
                                                  cpu());
    const memory h = filled(d.src_desc(), 1), weights = filled(d.weights_desc(), 1), dx = filled(d.dst_desc(), 0);
    time(std::string("input gradient ") + l.name, deconvolution_forward(d),
         {{DNNL_ARG_SRC, h}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, dx}}, rounds, report);
}

void time_weight_gradient(const layer& l, type t, const char* name, int rounds, benchmark::report& report) {
    const shapes s(l);
    const auto hint = forward_of(l, t, t, t, tag::any);
    const convolution_backward_weights::primitive_desc d(
        {algorithm::convolution_direct, any(s.x, t), any(s.w, t), any(s.y, t), s.stride, s.pad, s.pad_after(l)}, cpu(),
        hint);
    const memory x = filled(d.src_desc(), 0), h = filled(d.diff_dst_desc(), 0), dw = filled(d.diff_weights_desc(), 0);
    time(std::string("weight gradient ") + name + " " + l.name, convolution_backward_weights(d),
         {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, h}, {DNNL_ARG_DIFF_WEIGHTS, dw}}, rounds, report);
}

/// Layers that oneDNN refuses are left out.
template <class Time>
void where_supported(Time&& time) {
    try {
        time();
    } catch (const error&) {}
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 3 || std::atoi(argv[1]) < 1 || std::atoi(argv[2]) < 1) {
        std::fprintf(stderr, "usage: onednn <threads> <rounds>\n");
        return 1;
    }
    omp_set_num_threads(std::atoi(argv[1]));
    const int rounds = std::atoi(argv[2]);
    benchmark::report report;
    for (const layer& l : benchmark::layers) {
        where_supported([&] { time_forward(l, rounds, report); });
        where_supported([&] { time_input_gradient(l, rounds, report); });
        where_supported([&] { time_weight_gradient(l, type::f32, "fp32", rounds, report); });
        where_supported([&] { time_weight_gradient(l, type::bf16, "bf16", rounds, report); });
    }
    report.print();
}
