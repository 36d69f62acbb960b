// SPDX-License-Identifier: BSD-3-Clause

#include <fqt/io/checkpoint.hpp>
#include <fqt/layers/activations.hpp>
#include <fqt/network/network.hpp>
#include <fqt/train/integer_sgd.hpp>
#include <fqt/train/loss.hpp>
#include <fqt/train/optimizer.hpp>

#include <doctest/doctest.h>

#include "files.hpp"
#include <csignal>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <limits>
#include <map>
#include <string>
#include <sys/resource.h>
#include <vector>

namespace {

using namespace fqt::layers;
using fqt_test::bytes;

constexpr auto small_block = residual(conv<4> | batch_norm<> | relu | conv<4> | batch_norm<>) | relu;
constexpr auto spec = input<1, 6, 6> | named<"stem">(conv<4> | batch_norm<> | relu) | named<"stage">(small_block)
    | global_avg_pool | dense<3>;
using network = fqt::network<spec, fqt::w8a8g4>;

// Two networks with as many weights, of another shape.
constexpr auto wide = input<2, 4, 4> | conv<4>;
constexpr auto mirrored = input<4, 4, 4> | conv<2>;
constexpr auto without_bias = input<1, 6, 6> | named<"stem">(conv<4>) | dense<3, fqt::without_bias>;

// The same tensors, and other functions of them.
template <int Size, fqt::window Window, class Activation>
constexpr auto alike = input<1, Size, Size> | conv<4, Window> | Activation{} | global_avg_pool | dense<3>;
constexpr auto narrow = alike<6, fqt::window{}, fqt::relu_spec>;
constexpr auto swished = alike<6, fqt::window{}, fqt::hard_swish_spec>;
constexpr auto strided = alike<6, fqt::window{.stride = 2}, fqt::relu_spec>;
constexpr auto larger = alike<9, fqt::window{}, fqt::relu_spec>;

/// What a layer of a user's own can do: two parameters of one name.
struct twins {
    float w = 1;
    template <class F>
    void each_parameter(F&& f) {
        for (int i = 0; i < 2; ++i)
            f(fqt::parameter{
                fqt::path{} / "a" / "weight", fqt::parameter_kind::weight, {&w, 1}, {&w, 1}, {1, 1, 1, 1}});
    }
    template <class F>
    void each_state(F&&) {}
    std::uint64_t seed_value() const { return 0; }
    std::uint32_t step() const { return 0; }
};

constexpr int samples = 4;

/// Images and labels that differ from step to step.
struct task {
    std::vector<float> images = std::vector<float>(samples * 36), gradient = std::vector<float>(samples * 3);
    std::vector<fqt::class_label> labels = std::vector<fqt::class_label>(samples);

    explicit task(std::uint32_t step) {
        const fqt::random_stream random{7, step, 0};
        for (std::size_t i = 0; i < images.size(); ++i)
            images[i] = 2 * fqt::uniform32(random.block(0, static_cast<std::uint32_t>(i))[0]) - 1;
        for (std::size_t n = 0; n < labels.size(); ++n) labels[n] = static_cast<fqt::class_label>((n + step) % 3);
    }
};

struct own_momentum {
    std::map<std::string, std::vector<float>> velocities{{"stem.0.weight", {1, 2}}};
    void each_state(auto&& f) {
        for (auto& [name, v] : velocities) f(name, std::as_writable_bytes(std::span(v)));
    }
};

template <class Network, class Optimizer>
void train(Network& net, Optimizer& optimizer, std::uint32_t from, std::uint32_t to) {
    for (std::uint32_t step = from; step < to; ++step) {
        task t(step);
        const auto loss = fqt::cross_entropy(net.forward(t.images, samples), t.labels, t.gradient);
        net.backward(loss.gradient);
        optimizer.step(0.05f);
    }
}

/// Every number that a run consists of, and what it predicts.
template <class Network, class Optimizer>
std::vector<float> everything(Network& net, Optimizer& optimizer) {
    std::vector<float> all{static_cast<float>(net.step()), static_cast<float>(net.seed_value())};
    net.each_parameter([&](const fqt::parameter& p) { all.insert(all.end(), p.value.begin(), p.value.end()); });
    net.each_state([&](const fqt::state& s) { all.insert(all.end(), s.value.begin(), s.value.end()); });
    optimizer.each_state([&](const fqt::path&, std::span<std::byte> b) {
        for (const std::byte v : b) all.push_back(static_cast<float>(v));
    });
    task t(1000);
    const auto logits = net.predict(t.images, samples);
    all.insert(all.end(), logits.begin(), logits.end());
    return all;
}

/// Saves after three steps, loads into a network with another seed and past, and compares both after three more.
template <class Optimizer>
void check_that_a_run_goes_on(fqt::sgd_options options) {
    const fqt_test::folder folder;
    const std::string path = folder.path + "/run.fqt";
    network saved(fqt::seed{11}, {.batch = samples, .threads = 1});
    Optimizer saved_optimizer(saved, options);
    train(saved, saved_optimizer, 0, 3);
    fqt::save(path, saved, saved_optimizer);
    const auto then = everything(saved, saved_optimizer);
    train(saved, saved_optimizer, 3, 6);

    network loaded(fqt::seed{12}, {.batch = samples, .threads = 1});
    Optimizer loaded_optimizer(loaded, options);
    train(loaded, loaded_optimizer, 20, 21);
    fqt::load(path, loaded, loaded_optimizer);
    CHECK(everything(loaded, loaded_optimizer) == then);
    train(loaded, loaded_optimizer, 3, 6);
    CHECK(everything(loaded, loaded_optimizer) == everything(saved, saved_optimizer));
    CHECK(everything(loaded, loaded_optimizer) != then);
}

/// A network, an optimizer and the file in which they were saved after a step.
struct run {
    fqt_test::folder folder;
    std::string path = folder.path + "/run.fqt";
    network net{fqt::seed{1}, {.batch = samples, .threads = 1}};
    fqt::sgd<network> optimizer{net, {}};
    bytes file;

    run() {
        train(net, optimizer, 0, 1);
        fqt::save(path, net, optimizer);
        file = fqt::read_file(path);
    }

    /// Checks that loading `changed` fails with `text` and leaves everything as it was.
    void refuses(const bytes& changed, const char* text) {
        const std::string other = folder.write("changed.fqt", changed);
        train(net, optimizer, 1, 2);
        const auto before = everything(net, optimizer);
        CHECK_THROWS_WITH_AS(fqt::load(other, net, optimizer), doctest::Contains(text), fqt::error);
        CHECK(everything(net, optimizer) == before);
    }
};

/// The file with its last four bytes made the checksum of what `change` left.
template <class F>
bytes with_checksum(bytes file, F&& change) {
    change(file);
    file.resize(file.size() - 4);
    fqt::detail::append_bytes(file, fqt::detail::crc32(file));
    return file;
}

std::size_t find(const bytes& file, std::string_view text) {
    const auto at = std::search(file.begin(), file.end(), text.begin(), text.end());
    REQUIRE(at != file.end());
    return static_cast<std::size_t>(at - file.begin());
}

} // namespace

TEST_CASE("the checksum is the CRC-32 of zlib") {
    const auto crc = [](std::string_view text) {
        return fqt::detail::crc32({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
    };
    CHECK(crc("123456789") == 0xCBF43926u);
    CHECK(crc("") == 0);
}

TEST_CASE("a run that is saved and loaded into another network goes on with the same bits") {
    check_that_a_run_goes_on<fqt::sgd<network>>({.momentum = 0.9f, .decay = 1e-3f, .nesterov = true});
}

TEST_CASE("a run with fixed-point master weights and momentum goes on with the same bits") {
    check_that_a_run_goes_on<fqt::sgd<network, fqt::fixed_point<16, fqt::stochastic>, fqt::fixed_point<8>>>(
        {.momentum = 0.9f});
}

TEST_CASE("saving changes nothing, and saves the same bytes every time") {
    run r;
    const auto before = everything(r.net, r.optimizer);
    fqt::save(r.folder.path + "/again.fqt", r.net, r.optimizer);
    CHECK(fqt::read_file(r.folder.path + "/again.fqt") == r.file);
    CHECK(everything(r.net, r.optimizer) == before);
}

TEST_CASE("a checkpoint holds the tensors by name, little-endian, between a header and a checksum") {
    run r;
    CHECK(std::string(r.file.begin(), r.file.begin() + 8)
          == "\x89"
             "fqt\r\n\x1a\n");
    CHECK(r.file[8] == 2);
    CHECK(r.file[16] + 256u * r.file[17] + 65536u * r.file[18] == r.file.size());
    CHECK(r.file[24] == 1); // the seed
    CHECK(r.file[32] == 1); // the step
    for (const char* name : {"parameter stem.0.weight", "parameter stage.0.body.4.beta", "state stem.1.variance",
                             "optimizer stem.0.weight.velocity"})
        find(r.file, name);
    const std::size_t weight = find(r.file, "parameter stem.0.weight");
    const auto stem = r.net.parameter("stem.0.weight");
    CHECK(std::memcmp(r.file.data() + weight + 23, stem.value.data(), stem.value.size_bytes()) == 0);
    CHECK(r.file[weight - 24] == 4); // k of the shape; r and s follow
    CHECK(r.file[weight - 20] == 3);
    CHECK(r.file[weight - 8] == 144); // bytes
}

TEST_CASE("a network alone can be saved, and loaded from either kind of file") {
    run r;
    const std::string alone = r.folder.path + "/alone.fqt";
    fqt::save(alone, r.net);
    task t(5);
    const std::vector<float> expected(r.net.predict(t.images, samples).begin(), r.net.predict(t.images, samples).end());
    for (const std::string& path : {alone, r.path}) {
        network other(fqt::seed{2}, {.batch = samples, .threads = 1});
        fqt::load(path, other);
        CHECK(std::ranges::equal(other.predict(t.images, samples), expected));
        CHECK(other.step() == 1);
    }
    CHECK_THROWS_WITH_AS(fqt::load(alone, r.net, r.optimizer), doctest::Contains("saved without an optimizer"),
                         fqt::error);
}

TEST_CASE("a network of another scheme that needs the same tensors can be loaded") {
    run r;
    fqt::network<spec, fqt::w8a8g8> other(fqt::seed{2}, {.batch = samples, .threads = 1});
    fqt::load(r.path, other);
    task t(5);
    CHECK(std::ranges::equal(other.predict(t.images, samples), r.net.predict(t.images, samples)));
}

TEST_CASE("other layers with the same tensors are refused, and an input of another size is not") {
    const fqt_test::folder folder;
    const std::string path = folder.path + "/narrow.fqt";
    fqt::network<narrow, fqt::fp32> saved(fqt::seed{1}, {.batch = 1, .threads = 1});
    fqt::save(path, saved);
    const auto loads = [&]<const auto & Spec>() {
        fqt::network<Spec, fqt::w8a8> other(fqt::seed{2}, {.batch = 1, .threads = 1});
        fqt::load(path, other);
    };
    CHECK_NOTHROW(loads.operator()<narrow>());
    CHECK_NOTHROW(loads.operator()<larger>());
    CHECK_THROWS_WITH_AS(loads.operator()<swished>(),
                         doctest::Contains("there layer '2' is relu, from 4x6x6 to 4x6x6, and here layer '2' "
                                           "is hard_swish"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(loads.operator()<strided>(),
                         doctest::Contains("there layer '1' is conv, from 1x6x6 to 4x6x6, and here layer '1' "
                                           "is conv, from 1x6x6 to 4x3x3"),
                         fqt::error);
}

TEST_CASE("a file of version 1, which does not say what its layers are, is loaded") {
    run r;
    const auto old = with_checksum(r.file, [](bytes& f) {
        const auto length_of_layers = static_cast<std::size_t>(f[56] + 256 * f[57]);
        f.erase(f.begin() + 36, f.begin() + static_cast<std::ptrdiff_t>(36 + 28 + 6 + length_of_layers));
        f[8] = 1;
        --f[12];
        for (std::size_t i = 0; i < 8; ++i) f[16 + i] = static_cast<std::uint8_t>(f.size() >> (8 * i));
    });
    network other(fqt::seed{2}, {.batch = samples, .threads = 1});
    fqt::sgd optimizer{other};
    fqt::load(r.folder.write("old.fqt", old), other, optimizer);
    CHECK(everything(other, optimizer) == everything(r.net, r.optimizer));
}

TEST_CASE("a loaded network does not go back through a forward pass from before the loading") {
    run r;
    task t(5);
    r.net.forward(t.images, samples);
    fqt::load(r.path, r.net, r.optimizer);
    CHECK_THROWS_WITH_AS(r.net.backward(t.gradient), doctest::Contains("forward()"), fqt::error);
}

TEST_CASE(
    "a file that is missing, of another kind, of another version, cut short, too long or damaged changes nothing") {
    run r;
    CHECK_THROWS_WITH_AS(fqt::load(r.folder.path + "/none.fqt", r.net, r.optimizer),
                         doctest::Contains("cannot be opened"), fqt::error);
    std::fclose(std::fopen((r.folder.path + "/empty.fqt").c_str(), "wb"));
    CHECK_THROWS_WITH_AS(fqt::load(r.folder.path + "/empty.fqt", r.net, r.optimizer),
                         doctest::Contains("file of another kind"), fqt::error);
    r.refuses({0, 0, 8, 3}, "file of another kind");
    r.refuses(fqt_test::changed(r.file, [](bytes& f) { f.erase(f.begin() + 4); }),
              "file of another kind"); // \r\n to \n
    r.refuses(fqt_test::changed(r.file, [](bytes& f) { f[8] = 3; }), "version 3, and this fqt reads versions up to 2");
    r.refuses(fqt_test::changed(r.file, [](bytes& f) { f[8] = 0; }), "version 0");
    for (const std::size_t size : {8u, 11u, 12u, 23u, 24u, 35u, 36u, 100u})
        r.refuses(bytes(r.file.begin(), r.file.begin() + static_cast<std::ptrdiff_t>(size)), "cut short");
    r.refuses(bytes(r.file.begin(), r.file.end() - 1), "cut short");
    r.refuses(fqt_test::changed(r.file, [](bytes& f) { f.push_back(0); }), "too long");
    for (const std::size_t at :
         {std::size_t{13}, std::size_t{30}, std::size_t{40}, r.file.size() / 2, r.file.size() - 1})
        r.refuses(fqt_test::changed(r.file, [&](bytes& f) { f[at] ^= 0x10; }), "checksum");
}

TEST_CASE("a file whose checksum is right but whose entries make no sense changes nothing") {
    run r;
    const std::size_t first = 36;
    r.refuses(with_checksum(r.file, [](bytes& f) { f[12] = static_cast<std::uint8_t>(f[12] + 1); }),
              "contradict its header"); // entries
    r.refuses(with_checksum(r.file, [](bytes& f) { f[12] = static_cast<std::uint8_t>(f[12] - 1); }),
              "contradict its header");
    r.refuses(with_checksum(r.file, [&](bytes& f) { f[first + 3] = 0xff; }),
              "contradict its header"); // length of a name
    r.refuses(with_checksum(r.file, [&](bytes& f) { f[first + 27] = 0xff; }), "contradict its header"); // bytes of data
    bytes tiny(r.file.begin(), r.file.begin() + 36);
    for (std::size_t i = 16; i < 24; ++i) tiny[i] = 0;
    tiny[16] = 36;
    r.refuses(tiny, "checksum");
}

TEST_CASE("numbers that are not finite are refused by name, in parameters, statistics and ranges") {
    run r;
    for (const char* name : {"parameter stem.0.weight", "state stem.1.mean", "state stem.0.range"}) {
        const auto spoil = [&](bytes& f) {
            const float nan = std::numeric_limits<float>::quiet_NaN();
            std::memcpy(f.data() + find(f, name) + std::strlen(name), &nan, sizeof nan);
        };
        r.refuses(with_checksum(r.file, spoil), ("number 0 of '" + std::string(name)).c_str());
    }
    // Nor do they take the place of a good file.
    r.net.parameter("stem.0.weight").value[2] = std::numeric_limits<float>::infinity();
    CHECK_THROWS_WITH_AS(fqt::save(r.path, r.net),
                         doctest::Contains("number 2 of 'parameter stem.0.weight' to be saved in"), fqt::error);
    CHECK(fqt::read_file(r.path) == r.file);
}

TEST_CASE("what an optimizer of one's own keeps is named by text") {
    own_momentum own, other;
    run r;
    fqt::save(r.path, r.net, own);
    other.velocities["stem.0.weight"] = {3, 4};
    fqt::load(r.path, r.net, other);
    CHECK(other.velocities == own.velocities);
}

namespace {

struct keeps_nothing {
    void each_state(auto&&) {}
};

} // namespace

TEST_CASE("an optimizer that keeps nothing is loaded from a file that has nothing of it") {
    keeps_nothing none;
    run r, other;
    fqt::save(r.path, r.net, none);
    fqt::load(r.path, other.net, none);
    CHECK(std::ranges::equal(other.net.parameter("stem.0.weight").value, r.net.parameter("stem.0.weight").value));
    CHECK_THROWS_WITH_AS(fqt::load(r.path, r.net, r.optimizer), doctest::Contains("saved without an optimizer"),
                         fqt::error);
}

TEST_CASE("a link leads to a file that is yet to be written") {
    run r;
    const std::string link = r.folder.path + "/first.fqt";
    std::filesystem::create_symlink("second.fqt", link);
    std::filesystem::create_symlink(r.folder.path + "/target.fqt", r.folder.path + "/second.fqt");
    fqt::save(link, r.net, r.optimizer);
    CHECK(std::filesystem::is_symlink(link));
    CHECK(fqt::read_file(r.folder.path + "/target.fqt") == fqt::read_file(link));
    const std::string endless = r.folder.path + "/endless.fqt";
    std::filesystem::create_symlink(endless, endless);
    CHECK_THROWS_WITH_AS(fqt::save(endless, r.net), doctest::Contains("links without end"), fqt::error);
    CHECK(std::filesystem::is_symlink(endless));
}

TEST_CASE("a link stays a link, and what it leads to is replaced") {
    run r;
    const std::string link = r.folder.path + "/latest.fqt";
    std::filesystem::create_symlink(r.path, link);
    train(r.net, r.optimizer, 1, 2);
    fqt::save(link, r.net, r.optimizer);
    CHECK(std::filesystem::is_symlink(link));
    CHECK(!std::filesystem::is_symlink(r.path));
    CHECK(fqt::read_file(r.path) != r.file);
    CHECK(fqt::read_file(r.path) == fqt::read_file(link));
}

TEST_CASE("a file with a name too many or too few names it") {
    run r;
    const auto renamed = with_checksum(r.file, [](bytes& f) { f[find(f, "parameter stem.1.gamma") + 17] = 'G'; });
    r.refuses(renamed, "the network differs");
    r.refuses(renamed, "the file lacks 'parameter stem.1.gamma', and only the file has 'parameter stem.1.Gamma'");
    fqt::network<without_bias, fqt::w8a8g4> other(fqt::seed{1}, {.batch = samples, .threads = 1});
    CHECK_THROWS_WITH_AS(fqt::load(r.path, other), doctest::Contains("only the file has 'parameter "), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::load(r.path, other), doctest::Contains(" more; "), fqt::error);
    fqt::sgd<decltype(other)> momentum{other, {}}; // whose entries, which differ as well, are not listed first
    CHECK_THROWS_WITH_AS(fqt::load(r.path, other, momentum), doctest::Contains("the network differs"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::load(r.path, other, momentum), doctest::Contains("only the file has 'parameter "),
                         fqt::error);
    fqt::integer_sgd<network, fqt::niti_update> integers(r.net);
    CHECK_THROWS_WITH_AS(fqt::load(r.path, r.net, integers), doctest::Contains("the optimizer differs"), fqt::error);
    CHECK_THROWS_WITH_AS(fqt::load(r.path, r.net, integers),
                         doctest::Contains("the file lacks 'optimizer stem.0.weight.exponent'"), fqt::error);
}

TEST_CASE("tensors of another size or shape are refused by name") {
    run r;
    fqt::sgd<network, fqt::full_precision, fqt::fixed_point<16>> narrow(r.net, {});
    CHECK_THROWS_WITH_AS(fqt::load(r.path, r.net, narrow),
                         doctest::Contains("'optimizer stem.0.weight.velocity' has 144 bytes there and 72 here"),
                         fqt::error);
    CHECK_THROWS_WITH_AS(fqt::load(r.path, r.net, narrow), doctest::Contains("the optimizer differs"), fqt::error);
    fqt::network<wide, fqt::w8a8g4> a(fqt::seed{1}, {.batch = 1, .threads = 1});
    fqt::network<mirrored, fqt::w8a8g4> b(fqt::seed{1}, {.batch = 1, .threads = 1});
    fqt::save(r.path, a);
    CHECK_THROWS_WITH_AS(fqt::load(r.path, b),
                         doctest::Contains("'parameter 1.weight' is 4 x 3 x 3 x 2 there and 2 x 3 x 3 x 4 here"),
                         fqt::error);
}

TEST_CASE("a network in which two tensors have one name is not saved") {
    fqt_test::folder folder;
    twins net;
    CHECK_THROWS_WITH_AS(fqt::save(folder.path + "/run.fqt", net),
                         doctest::Contains("two tensors are called 'parameter a.weight'"), fqt::error);
    CHECK(std::filesystem::is_empty(folder.path));
}

TEST_CASE("a file that cannot be written is an error that leaves the old file and nothing else") {
    run r;
    CHECK_THROWS_WITH_AS(fqt::save(r.folder.path + "/none/run.fqt", r.net),
                         doctest::Contains("cannot be opened for writing"), fqt::error);
    std::filesystem::create_directory(r.folder.path + "/is_a_folder");
    for (const std::string& path : {r.folder.path + "/is_a_folder", std::string("/dev/null")})
        CHECK_THROWS_WITH_AS(fqt::save(path, r.net), doctest::Contains((path + " is no file that").c_str()),
                             fqt::error);
    CHECK(std::filesystem::is_character_file("/dev/null"));
    // However long a path is, the message ends with the remedy.
    CHECK_THROWS_WITH_AS(fqt::save(r.folder.path + "/" + std::string(3000, 'x'), r.net),
                         doctest::Contains("check its folder and your permissions"), fqt::error);

    // A limit on the size of files stands for a full disk.
    train(r.net, r.optimizer, 1, 2);
    rlimit before{};
    REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
    rlimit tight = before;
    tight.rlim_cur = 100;
    const auto handler = std::signal(SIGXFSZ, SIG_IGN);
    REQUIRE(setrlimit(RLIMIT_FSIZE, &tight) == 0);
    std::string message;
    try {
        fqt::save(r.path, r.net, r.optimizer);
    } catch (const fqt::error& e) {
        message = e.what();
    }
    setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    CHECK(message.find("cannot be written") != message.npos);
    CHECK(fqt::read_file(r.path) == r.file);
    for (const auto& entry : std::filesystem::directory_iterator(r.folder.path))
        CHECK(entry.path().extension() != ".partial");
}
