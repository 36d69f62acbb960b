// SPDX-License-Identifier: BSD-3-Clause
// The peer of network.cpp: the same networks, batch sizes and optimizer on libtorch, in fp32 or bf16 autocast.
//
//     libtorch <network> fp32|bf16 train|infer <threads> <batch> <repetitions>
//
// Prints what network.cpp prints, where it applies. Layouts are those in which libtorch was fastest.
#include "report.hpp"
#include <ATen/autocast_mode.h>
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <torch/torch.h>
#include <vector>

namespace {

namespace nn = torch::nn;

nn::Conv2d conv(int in, int out, int stride) {
    return nn::Conv2d(nn::Conv2dOptions(in, out, 3).stride(stride).padding(1).bias(false));
}

void add_conv_bn_relu(nn::Sequential& net, int in, int out, int stride = 1) {
    net->push_back(conv(in, out, stride));
    net->push_back(nn::BatchNorm2d(out));
    net->push_back(nn::ReLU(nn::ReLUOptions(true)));
}

void add_classifier(nn::Sequential& net, int channels) {
    net->push_back(nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions(1)));
    net->push_back(nn::Flatten());
    net->push_back(nn::Linear(channels, 10));
}

/// The normalization as running statistics have it, folded into the convolution before it.
void fold(nn::Conv2d& conv, nn::BatchNorm2d& norm) {
    torch::NoGradGuard guard;
    const auto scale = norm->weight / torch::sqrt(norm->running_var + norm->options.eps());
    const auto weight = conv->weight * scale.view({-1, 1, 1, 1});
    conv->weight.set_data(weight.contiguous(conv->weight.suggest_memory_format()));
    conv->bias = norm->bias - norm->running_mean * scale;
}

struct BlockImpl : nn::Module {
    int in, out, stride;
    bool folded = false;
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
        const auto y = folded ? conv2(conv1(x).relu_()) : norm2(conv2(norm1(conv1(x)).relu_()));
        if (stride != 1) {
            x = x.slice(2, 0, INT64_MAX, stride).slice(3, 0, INT64_MAX, stride);
            x = torch::constant_pad_nd(x, {0, 0, 0, 0, 0, out - in});
        }
        return (y + x).relu_();
    }
};
TORCH_MODULE(Block);

nn::Sequential resnet(int blocks) {
    nn::Sequential net;
    add_conv_bn_relu(net, 3, 16);
    for (int stage = 0, channels = 16; stage < 3; ++stage)
        for (int i = 0; i < blocks; ++i) {
            const int out = 16 << stage;
            net->push_back(Block(channels, out, stage > 0 && i == 0 ? 2 : 1));
            channels = out;
        }
    add_classifier(net, 64);
    return net;
}

/// The network without its normalizations, which are folded into convolutions.
nn::Sequential folded(nn::Sequential& net) {
    nn::Sequential result;
    nn::Conv2d last{nullptr};
    for (auto& m : *net) {
        if (auto norm = std::dynamic_pointer_cast<nn::BatchNorm2dImpl>(m.ptr())) {
            nn::BatchNorm2d of_last(norm);
            fold(last, of_last);
            continue;
        }
        if (auto conv = std::dynamic_pointer_cast<nn::Conv2dImpl>(m.ptr())) last = nn::Conv2d(conv);
        if (auto block = std::dynamic_pointer_cast<BlockImpl>(m.ptr())) {
            fold(block->conv1, block->norm1);
            fold(block->conv2, block->norm2);
            block->folded = true;
        }
        result->push_back(m);
    }
    result->eval();
    return result;
}

nn::Sequential small_cnn() {
    nn::Sequential net;
    add_conv_bn_relu(net, 1, 32);
    add_conv_bn_relu(net, 32, 64, 2);
    add_conv_bn_relu(net, 64, 64, 2);
    add_classifier(net, 64);
    return net;
}

nn::Sequential vgg() {
    nn::Sequential net;
    int channels = 3;
    for (const int out : {64, 128, 256}) {
        add_conv_bn_relu(net, channels, out);
        add_conv_bn_relu(net, out, out);
        net->push_back(nn::MaxPool2d(2));
        channels = out;
    }
    add_classifier(net, 256);
    return net;
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 7)
        throw std::runtime_error("usage: libtorch <network> fp32|bf16 train|infer <threads> <batch> <repetitions>");
    const std::string name = argv[1], mode = argv[3];
    const bool bf16 = std::string(argv[2]) == "bf16", small = name == "small_cnn";
    torch::set_num_threads(std::atoi(argv[4]));
    const int samples = std::atoi(argv[5]), repetitions = std::atoi(argv[6]);
    torch::manual_seed(1);
    auto net = name == "resnet20" ? resnet(3) : name == "resnet110" ? resnet(18) : small ? small_cnn() : vgg();
    const int channels = small ? 1 : 3, size = small ? 28 : 32;
    auto images = torch::randn({samples, channels, size, size});
    const auto labels = torch::randint(0, 10, {samples}, torch::kLong);
    if (!small) { // channels last
        images = images.contiguous(at::MemoryFormat::ChannelsLast);
        for (auto& p : net->parameters())
            if (p.dim() == 4) p.set_data(p.data().contiguous(at::MemoryFormat::ChannelsLast));
    }
    torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.005).momentum(0.9).weight_decay(1e-4));
    at::autocast::set_autocast_cpu_dtype(at::kBFloat16);

    const auto loss_of_logits = [&] {
        at::autocast::set_cpu_enabled(bf16);
        const auto logits = net->forward(images);
        if (bf16) at::autocast::clear_cache();
        at::autocast::set_cpu_enabled(false);
        return nn::functional::cross_entropy(logits.to(torch::kFloat), labels);
    };
    const auto step = [&] {
        optimizer.zero_grad();
        const auto loss = loss_of_logits();
        loss.backward();
        optimizer.step();
        return loss.item<double>();
    };
    const auto predict = [&] {
        torch::NoGradGuard guard;
        return loss_of_logits().item<double>();
    };

    const double first = step();
    benchmark::report report;
    if (mode == "train") {
        report.add_steps(first, 4, repetitions, step);
    } else {
        for (int i = 0; i < 9; ++i) step();
        net->eval();
        const double before = predict();
        net = folded(net);
        if (!(std::abs(predict() - before) < 0.02 * before)) throw std::runtime_error("folding changed the answers");
        report.add_steps(first, 3, repetitions, predict);
    }
    report.print();
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
