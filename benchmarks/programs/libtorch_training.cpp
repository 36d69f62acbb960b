// SPDX-License-Identifier: BSD-3-Clause
// The peer of training.cpp: the same network, batches, weights' law, rates and decay on libtorch. Batches are fqt's, so
// that both see the same pictures in the same order.
//
//     libtorch_training fp32|bf16 <folder of CIFAR-10> <threads> <epochs> <images>
#include "libtorch_networks.hpp"
#include "training.hpp"
#include <algorithm>
#include <cstdio>
#include <string>
#include <torch/torch.h>

namespace {

namespace nn = torch::nn;

torch::Tensor images_of(const fqt::batch& now) {
    auto* pixels = const_cast<float*>(now.images.data()); // from_blob takes no const; nothing writes there
    return torch::from_blob(pixels, {now.samples, 3, 32, 32}).contiguous(at::MemoryFormat::ChannelsLast);
}

torch::Tensor labels_of(const fqt::batch& now) {
    auto labels = torch::empty({now.samples}, torch::kLong);
    std::copy(now.labels.begin(), now.labels.end(), labels.data_ptr<std::int64_t>());
    return labels;
}

double accuracy(nn::Sequential& net, const fqt::dataset& data, const benchmark::training& t, bool bf16) {
    torch::NoGradGuard guard;
    net->eval();
    fqt::batches over(data, {.size = t.batch, .shuffle = false, .threads = t.threads});
    std::int64_t right = 0;
    while (const auto now = over.next())
        right += (benchmark::peer::logits_of(net, images_of(*now), bf16).argmax(1) == labels_of(*now))
                     .sum()
                     .item<std::int64_t>();
    net->train();
    return static_cast<double>(right) / data.size();
}

} // namespace

int main(int argc, char** argv) try {
    if (argc != 6) fqt::fail("this program takes fp32|bf16 <folder of CIFAR-10> <threads> <epochs> <images>");
    const bool bf16 = std::string(argv[1]) == "bf16";
    const benchmark::training t(argv + 2);
    torch::set_num_threads(t.threads);
    torch::manual_seed(1);
    auto net = benchmark::peer::network("resnet20");
    // Weights decay, and neither gammas, betas nor the bias do: as in fqt.
    std::vector<torch::Tensor> weights, others;
    for (auto& p : net->parameters()) {
        if (p.dim() > 1) nn::init::kaiming_uniform_(p);
        (p.dim() > 1 ? weights : others).push_back(p);
    }
    benchmark::peer::set_channels_last(net);
    torch::optim::SGD optimizer(weights, torch::optim::SGDOptions(0.1).momentum(t.momentum).weight_decay(t.decay));
    optimizer.add_param_group(torch::optim::OptimizerParamGroup(
        others, std::make_unique<torch::optim::SGDOptions>(torch::optim::SGDOptions(0.1).momentum(t.momentum))));

    const auto rate = t.rate();
    fqt::batches over(t.data.train, {.size = t.batch, .augment = t.augment(), .threads = t.threads, .ahead = true});
    benchmark::curve curve;
    std::int64_t step = 0;
    for (int epoch = 0; epoch < t.epochs; ++epoch) {
        over.start(static_cast<std::uint32_t>(epoch));
        while (const auto now = over.next()) {
            for (auto& group : optimizer.param_groups()) group.options().set_lr(double{rate(step)});
            ++step;
            optimizer.zero_grad();
            const auto logits = benchmark::peer::logits_of(net, images_of(*now), bf16);
            nn::functional::cross_entropy(logits, labels_of(*now)).backward();
            optimizer.step();
        }
        curve.epoch([&] { return accuracy(net, t.data.test, t, bf16); });
    }
    curve.print();
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
