// SPDX-License-Identifier: BSD-3-Clause
// The peer of fqt_step.cpp: the same ResNet-20, batch size and optimizer on libtorch, channels last, in fp32 or bf16
// autocast. Prints "<first loss> <last loss> <milliseconds of each step>..."
//
//     libtorch_step <threads> <steps> fp32|bf16
#include <ATen/autocast_mode.h>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <torch/torch.h>
#include <vector>

namespace {

namespace nn = torch::nn;

nn::Conv2d conv(int in, int out, int stride) {
    return nn::Conv2d(nn::Conv2dOptions(in, out, 3).stride(stride).padding(1).bias(false));
}

struct BlockImpl : nn::Module {
    int in, out, stride;
    nn::Conv2d conv1, conv2;
    nn::BatchNorm2d norm1, norm2;

    BlockImpl(int channels_in, int channels_out, int step)
        : in(channels_in), out(channels_out), stride(step), conv1(conv(in, out, stride)), conv2(conv(out, out, 1)),
          norm1(out), norm2(out) {
        register_module("conv1", conv1);
        register_module("conv2", conv2);
        register_module("norm1", norm1);
        register_module("norm2", norm2);
    }
    torch::Tensor forward(torch::Tensor x) {
        const auto y = norm2(conv2(norm1(conv1(x)).relu_()));
        if (stride != 1) {
            x = x.slice(2, 0, INT64_MAX, stride).slice(3, 0, INT64_MAX, stride);
            x = torch::constant_pad_nd(x, {0, 0, 0, 0, 0, out - in});
        }
        return (y + x).relu_();
    }
};
TORCH_MODULE(Block);

nn::Sequential resnet20() {
    nn::Sequential net(conv(3, 16, 1), nn::BatchNorm2d(16), nn::ReLU(nn::ReLUOptions(true)));
    for (int stage = 0, channels = 16; stage < 3; ++stage)
        for (int i = 0; i < 3; ++i) {
            const int out = 16 << stage;
            net->push_back(Block(channels, out, stage > 0 && i == 0 ? 2 : 1));
            channels = out;
        }
    net->push_back(nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions(1)));
    net->push_back(nn::Flatten());
    net->push_back(nn::Linear(64, 10));
    return net;
}

} // namespace

int main(int argc, char** argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: libtorch_step <threads> <steps> fp32|bf16\n");
        return 2;
    }
    torch::set_num_threads(std::atoi(argv[1]));
    const int steps = std::atoi(argv[2]);
    const bool bf16 = std::string(argv[3]) == "bf16";
    constexpr int samples = 128, warm_up = 3;
    torch::manual_seed(1);
    auto net = resnet20();
    const auto images = torch::randn({samples, 3, 32, 32}).contiguous(at::MemoryFormat::ChannelsLast);
    const auto labels = torch::randint(0, 10, {samples}, torch::kLong);
    for (auto& p : net->parameters())
        if (p.dim() == 4) p.set_data(p.data().contiguous(at::MemoryFormat::ChannelsLast));
    torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.005).momentum(0.9).weight_decay(1e-4));
    at::autocast::set_autocast_cpu_dtype(at::kBFloat16);

    std::vector<double> times;
    double first = 0, last = 0;
    for (int step = 0; step < steps + warm_up; ++step) {
        const auto start = std::chrono::steady_clock::now();
        optimizer.zero_grad();
        at::autocast::set_cpu_enabled(bf16);
        const auto logits = net->forward(images);
        if (bf16) at::autocast::clear_cache();
        at::autocast::set_cpu_enabled(false);
        const auto loss = nn::functional::cross_entropy(logits.to(torch::kFloat), labels);
        loss.backward();
        optimizer.step();
        const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - start;
        last = loss.item<double>();
        if (step == 0) first = last;
        if (step >= warm_up) times.push_back(time.count());
    }
    std::printf("%g %g", first, last);
    for (const double t : times) std::printf(" %.4f", t);
    std::printf("\n");
}
