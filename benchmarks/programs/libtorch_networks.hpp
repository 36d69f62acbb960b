#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// The networks of networks.hpp on libtorch.

#include <ATen/autocast_mode.h>
#include <stdexcept>
#include <string>
#include <torch/torch.h>

namespace benchmark::peer {

namespace nn = torch::nn;

inline nn::Conv2d conv(int in, int out, int stride) {
    return nn::Conv2d(nn::Conv2dOptions(in, out, 3).stride(stride).padding(1).bias(false));
}

inline void add_conv_bn_relu(nn::Sequential& net, int in, int out, int stride = 1) {
    net->push_back(conv(in, out, stride));
    net->push_back(nn::BatchNorm2d(out));
    net->push_back(nn::ReLU(nn::ReLUOptions(true)));
}

inline void add_classifier(nn::Sequential& net, int channels) {
    net->push_back(nn::AdaptiveAvgPool2d(nn::AdaptiveAvgPool2dOptions(1)));
    net->push_back(nn::Flatten());
    net->push_back(nn::Linear(channels, 10));
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

inline nn::Sequential resnet(int blocks) {
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

inline nn::Sequential small_cnn() {
    nn::Sequential net;
    add_conv_bn_relu(net, 1, 32);
    add_conv_bn_relu(net, 32, 64, 2);
    add_conv_bn_relu(net, 64, 64, 2);
    add_classifier(net, 64);
    return net;
}

inline nn::Sequential vgg() {
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

inline nn::Sequential network(const std::string& name) {
    if (name == "resnet20") return resnet(3);
    if (name == "resnet110") return resnet(18);
    if (name == "small_cnn") return small_cnn();
    if (name == "vgg") return vgg();
    throw std::runtime_error("no network is called '" + name + "'; there are resnet20, resnet110, small_cnn and vgg");
}

/// Weights in the layout in which libtorch was fastest for images of many channels.
inline void set_channels_last(nn::Sequential& net) {
    for (auto& p : net->parameters())
        if (p.dim() == 4) p.set_data(p.data().contiguous(at::MemoryFormat::ChannelsLast));
}

/// The network's logits as floats, computed in fp32 or in bf16 autocast.
inline torch::Tensor logits_of(nn::Sequential& net, const torch::Tensor& images, bool bf16) {
    at::autocast::set_autocast_cpu_dtype(at::kBFloat16);
    at::autocast::set_cpu_enabled(bf16);
    const auto logits = net->forward(images);
    if (bf16) at::autocast::clear_cache();
    at::autocast::set_cpu_enabled(false);
    return logits.to(torch::kFloat);
}

} // namespace benchmark::peer
