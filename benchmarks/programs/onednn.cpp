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
#include <cmath>
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

/// Runs p once, checks its answer, and times it.
template <class Check>
void time(const std::string& name, const primitive& p, const std::unordered_map<int, memory>& arguments, int rounds,
          benchmark::report& report, Check&& check) {
    stream s(cpu());
    const auto run = [&] {
        p.execute(s, arguments);
        s.wait();
    };
    run();
    check();
    std::vector<double> times;
    for (int round = 0; round < rounds; ++round) times.push_back(benchmark::time_of(run));
    report.add(name.c_str(), times);
}

// All operands are 1, so a sum is the number of its products.

/// The value of the first channels at row and column `at`, or of the first kernel there.
float value_at(const memory& m, int at) {
    const memory::dims dims = m.get_desc().dims();
    memory plain({dims, type::f32, dims.size() == 4 ? tag::nchw : tag::goihw}, cpu());
    stream s(cpu());
    reorder(m, plain).execute(s, const_cast<memory&>(m), plain);
    s.wait();
    return static_cast<const float*>(plain.get_data_handle())[at * static_cast<int>(dims.back()) + at];
}
void require(bool right, const layer& l) {
    if (right) return;
    std::fprintf(stderr, "oneDNN's answer for layer %s is wrong\n", l.name);
    std::exit(1);
}
/// How many output rows the kernel row r reaches, and how many kernel rows reach the input row y.
int rows_of_tap(const layer& l, int r) {
    int rows = 0;
    for (int v = 0; v < l.out_size(); ++v) {
        const int y = v * l.stride + r - l.pad();
        rows += y >= 0 && y < l.size;
    }
    return rows;
}
int taps_of_row(const layer& l, int y) {
    int taps = 0;
    for (int r = 0; r < l.kernel; ++r) {
        const int v = y + l.pad() - r;
        taps += v >= 0 && v % l.stride == 0 && v / l.stride < l.out_size();
    }
    return taps;
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
         {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, y}}, rounds, report, [&] {
             const int expected = l.kernel * l.kernel * l.channels / l.groups; // of an inner pixel
             require(value_at(y, l.out_size() / 2) == static_cast<float>(expected), l);
         });
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
         {{DNNL_ARG_SRC, h}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, dx}}, rounds, report, [&] {
             const int middle = l.size / 2, taps = taps_of_row(l, middle);
             require(value_at(dx, middle) == static_cast<float>(taps * taps * l.outputs / l.groups), l);
         });
}

void time_weight_gradient(const layer& l, type t, const char* name, int rounds, benchmark::report& report) {
    const shapes s(l);
    const auto hint = forward_of(l, t, t, t, tag::any);
    const convolution_backward_weights::primitive_desc d(
        {algorithm::convolution_direct, any(s.x, t), any(s.w, t), any(s.y, t), s.stride, s.pad, s.pad_after(l)}, cpu(),
        hint);
    const memory x = filled(d.src_desc(), 1), h = filled(d.diff_dst_desc(), 1), dw = filled(d.diff_weights_desc(), 0);
    time(std::string("weight gradient ") + name + " " + l.name, convolution_backward_weights(d),
         {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, h}, {DNNL_ARG_DIFF_WEIGHTS, dw}}, rounds, report, [&] {
             const int middle = l.kernel / 2, rows = rows_of_tap(l, middle);
             const auto expected = static_cast<float>(batch * rows * rows);
             require(std::abs(value_at(dw, middle) - expected) <= (t == type::bf16 ? expected / 128 : 0.0f), l);
         });
}

/// Layers that oneDNN has no implementation of are left out.
template <class Time>
void where_supported(Time&& time) {
    try {
        time();
    } catch (const error& e) {
        if (e.status != dnnl_unimplemented) throw;
    }
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
