// SPDX-License-Identifier: BSD-3-Clause
// The peer of network.cpp on dlib, in fp32: ResNet-20 (its halving shortcuts average, then pad), the same batch size
// and optimizer. dlib decides itself how many threads run its products.
//
//     dlib train <threads> <batch> <repetitions>
#include "report.hpp"
#include <cstdlib>
#include <dlib/dnn.h>
#include <string>
#include <vector>

namespace {

using namespace dlib;

template <int N, int Stride, class Below>
using conv3 = add_layer<con_<N, 3, 3, Stride, Stride, 1, 1>, Below>;
template <int N, int Stride, class Below>
using body = bn_con<conv3<N, 1, relu<bn_con<conv3<N, Stride, Below>>>>>;
template <int N, class Below>
using block = relu<add_prev1<body<N, 1, tag1<Below>>>>;
template <int N, class Below>
using halving_block = relu<add_prev2<avg_pool<2, 2, 2, 2, skip1<tag2<body<N, 2, tag1<Below>>>>>>>;
template <class Below>
using first_stage = block<16, block<16, block<16, relu<bn_con<conv3<16, 1, Below>>>>>>;
template <class Below>
using stages = block<64, block<64, halving_block<64, block<32, block<32, halving_block<32, first_stage<Below>>>>>>>;
using network = loss_multiclass_log<fc<10, avg_pool_everything<stages<input_rgb_image>>>>;

} // namespace

int main(int argc, char** argv) {
    if (argc != 5 || std::string(argv[1]) != "train") {
        std::fprintf(stderr, "usage: dlib train <threads> <batch> <repetitions>\n");
        return 1;
    }
    const int samples = std::atoi(argv[3]);
    network net;
    dlib::rand random;
    std::vector<matrix<rgb_pixel>> images(static_cast<std::size_t>(samples), matrix<rgb_pixel>(32, 32));
    std::vector<unsigned long> labels(images.size());
    for (auto& m : images)
        for (auto& pixel : m)
            pixel = rgb_pixel(random.get_random_8bit_number(), random.get_random_8bit_number(),
                              random.get_random_8bit_number());
    for (auto& label : labels) label = random.get_random_32bit_number() % 10;
    resizable_tensor input;
    net.to_tensor(images.begin(), images.end(), input);
    std::vector<sgd> solvers(network::num_computational_layers, sgd(1e-4f, 0.9f));

    const auto step = [&] {
        const double loss = net.compute_parameter_gradients(input, labels.begin());
        net.update_parameters(make_sstack(solvers), 0.005);
        return loss;
    };
    benchmark::report report;
    report.add_steps(step(), 1, std::atoi(argv[4]), step);
    report.print();
}
