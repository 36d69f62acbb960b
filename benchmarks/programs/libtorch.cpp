// SPDX-License-Identifier: BSD-3-Clause
// The peer of network.cpp: the same networks, batch sizes and optimizer on libtorch, in fp32 or bf16: autocast in
// training, everything in bf16 in prediction.
//
//     libtorch <network> fp32|bf16 train|infer <threads> <batch> <repetitions>
//
// Prints what network.cpp prints, where it applies. Layouts are those in which libtorch was fastest.
#include "libtorch_networks.hpp"
#include "report.hpp"
#include <cmath>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <torch/torch.h>

namespace {

namespace nn = torch::nn;
using benchmark::peer::BlockImpl;

/// The normalization as running statistics have it, folded into the convolution before it.
void fold(nn::Conv2d& conv, nn::BatchNorm2d& norm) {
    torch::NoGradGuard guard;
    const auto scale = norm->weight / torch::sqrt(norm->running_var + norm->options.eps());
    const auto weight = conv->weight * scale.view({-1, 1, 1, 1});
    conv->weight.set_data(weight.contiguous(conv->weight.suggest_memory_format()));
    conv->bias = norm->bias - norm->running_mean * scale;
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

/// All weights to bf16, also the biases that folding has made, which no module knows as its parameters.
void convert(nn::Sequential& net) {
    net->to(torch::kBFloat16);
    for (auto& m : net->modules())
        if (auto conv = std::dynamic_pointer_cast<nn::Conv2dImpl>(m)) conv->bias = conv->bias.to(torch::kBFloat16);
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
    auto net = benchmark::peer::network(name);
    const int channels = small ? 1 : 3, size = small ? 28 : 32;
    auto images = torch::randn({samples, channels, size, size});
    const auto labels = torch::randint(0, 10, {samples}, torch::kLong);
    if (!small) { // channels last
        images = images.contiguous(at::MemoryFormat::ChannelsLast);
        benchmark::peer::set_channels_last(net);
    }
    torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.005).momentum(0.9).weight_decay(1e-4));

    const auto loss_of_logits = [&] {
        return nn::functional::cross_entropy(benchmark::peer::logits_of(net, images, bf16), labels);
    };
    const auto step = [&] {
        optimizer.zero_grad();
        const auto loss = loss_of_logits();
        loss.backward();
        optimizer.step();
        return loss.item<double>();
    };
    bool converted = false; // weights in bf16, not converted anew in each pass as under autocast
    const auto predict = [&] {
        const c10::InferenceMode guard;
        if (!converted) return loss_of_logits().item<double>();
        const auto logits = net->forward(images.to(torch::kBFloat16)).to(torch::kFloat);
        return nn::functional::cross_entropy(logits, labels).item<double>();
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
        if (bf16) convert(net), converted = true;
        if (!(std::abs(predict() - before) < 0.02 * before)) throw std::runtime_error("folding changed the answers");
        report.add_steps(first, 3, repetitions, predict);
    }
    report.print();
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
