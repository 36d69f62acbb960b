// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/io/record_files.hpp>
#include <fqt/train/batches.hpp>
#include <fqt/train/generated_images.hpp>
#include <fqt/train/schedule.hpp>
#include <fqt/train/trainer.hpp>

#include <doctest/doctest.h>

#include "files.hpp"
#include "train/linear_network.hpp"
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

using doctest::Contains;
using fqt_test::bytes, fqt_test::folder;

namespace {

constexpr fqt::shape picture{2, 12, 12};

/// Samples first to last - 1 as records of `labels` bytes, the last of them the label and 99 the others.
bytes records(const fqt::dataset& data, int first, int last, std::size_t labels = 1) {
    bytes file;
    for (int n = first; n < last; ++n) {
        file.insert(file.end(), labels - 1, std::uint8_t{99});
        file.push_back(static_cast<std::uint8_t>(data.labels[static_cast<std::size_t>(n)]));
        const auto pixels = data.pixels_of(n);
        file.insert(file.end(), pixels.begin(), pixels.end());
    }
    return file;
}

/// A data set, and the same in three files.
struct both {
    folder place;
    fqt::dataset data = fqt::generated_images(4, picture, 100, {1});
    std::vector<std::string> paths{place.write("a", records(data, 0, 40)), place.write("b", records(data, 40, 41)),
                                   place.write("c", records(data, 41, 100))};
    fqt::record_files files{paths, {.image = picture, .classes = 4}};
};

} // namespace

TEST_CASE("records in files are the samples of a source, across files and with any label of several") {
    both all;
    CHECK(all.files.size() == 100);
    CHECK(fqt::measure_scale(all.files) == all.data.scale);
    bytes memory(static_cast<std::size_t>(picture.size()));
    for (const int n : {0, 39, 40, 41, 99}) {
        const auto [pixels, label] = all.files.sample(n, memory);
        CHECK(label == all.data.labels[static_cast<std::size_t>(n)]);
        const auto expected = all.data.pixels_of(n);
        CHECK(bytes(pixels.begin(), pixels.end()) == bytes(expected.begin(), expected.end()));
    }
    const std::string path = all.place.write("fine", records(all.data, 0, 10, 3));
    fqt::record_files fine({path}, {.image = picture, .classes = 4, .label_bytes = 3, .label = 2});
    CHECK(fine.size() == 10);
    CHECK(fine.sample(9, memory).label == all.data.labels[9]);
    const fqt::record_files moved = std::move(fine);
    CHECK(moved.sample(8, memory).label == all.data.labels[8]);
}

TEST_CASE("labels of more than 256 classes have two bytes, the lower one first") {
    const fqt_test::folder place;
    bytes file{77, 0x34, 0x12, 1, 2, 77, 0xff, 0x00, 3, 4};
    const fqt::record_format format{.image = {1, 1, 2}, .classes = 0x1235, .label_bytes = 3, .label = 1};
    const fqt::record_files wide({place.write("wide", file)}, format);
    bytes memory(2);
    CHECK(wide.sample(0, memory).label == 0x1234);
    CHECK(memory == bytes{1, 2});
    CHECK(wide.sample(1, memory).label == 0xff);
    file[2] = 0x13;
    const fqt::record_files wrong({place.write("wrong", file)}, format);
    CHECK_THROWS_WITH_AS(wrong.sample(0, memory), Contains("record 0 of"), fqt::error);
}

TEST_CASE("training from files has the bits of training from memory") {
    both all;
    all.files.scale = fqt::measure_scale(all.files);
    const auto train = [](fqt::source_view data, bool ahead) {
        fqt_test::linear_network<picture, 4> network(64);
        fqt_test::descent<decltype(network)> optimizer{network};
        fqt::trainer_options options{.epochs = 2, .batch = 16, .augment = {.pad = 1, .flip = true}, .log = nullptr};
        options.ahead = ahead;
        options.threads = 2;
        fqt::trainer trainer(network, optimizer, fqt::schedule::constant{.rate = 0.02f}, options);
        const fqt::history history = trainer.run(data, data);
        return std::pair(history, network.weights);
    };
    const auto expected = train(all.data, false);
    CHECK(train(all.files, false) == expected);
    CHECK(train(all.files, true) == expected);
}

TEST_CASE("what goes wrong on the thread that prepares batches reaches whoever asks for them") {
    for (const auto& [threads, ahead] : {std::pair{1, false}, {2, false}, {1, true}, {2, true}}) {
        both all;
        fqt::batches over(all.files, {.size = 20, .shuffle = false, .threads = threads, .ahead = ahead});
        CHECK(over.next()->samples == 20);
        CHECK(over.next()->samples == 20); // with ahead, the third batch, from file c, may be prepared by now
        over.start(0);
        std::filesystem::resize_file(all.paths[2], 300);
        CHECK(over.next()->samples == 20);
        CHECK(over.next()->samples == 20);
        const std::string what = "record 1 of " + all.paths[2] + " cannot be read, since the file has become shorter";
        for (int i = 0; i < 3; ++i) CHECK_THROWS_WITH_AS(over.next(), Contains(what.c_str()), fqt::error);
        over.start(1);
        CHECK(over.next()->samples == 20);
        fqt::batches dropped(all.files, {.size = 40, .shuffle = false, .threads = threads, .ahead = ahead});
        CHECK(dropped.next()->samples == 40); // and what goes wrong with the next is dropped
    }
}

TEST_CASE("files of records that are missing, wrong or impossible are refused by name") {
    both all;
    const auto refuses = [](const std::vector<std::string>& paths, fqt::record_format format, const char* what) {
        CHECK_THROWS_WITH_AS(fqt::record_files(paths, format), Contains(what), fqt::error);
    };
    const fqt::record_format good{.image = picture, .classes = 4};
    refuses({}, good, "no files");
    refuses({all.paths[0], "/no/such/file"}, good, "/no/such/file cannot be opened (No such file");
    refuses({all.place.path}, good, "is no ordinary file");
    refuses({all.place.write("empty", {})}, good, "empty is empty");
    refuses({all.paths[0], all.place.write("short", bytes(500))}, good,
            "short has 500 bytes, which is not a whole number of records of 289 (1 of labels, 2 x 12 x 12 pixels)");
    refuses(all.paths, {.image = {0, 12, 12}, .classes = 4}, "0 x 12 x 12");
    refuses(all.paths, {.image = picture, .classes = 65537}, "65537 classes");
    refuses(all.paths, {.image = picture, .classes = 257},
            "label 0 of a record is asked for, of 2 bytes for 257 classes");
    refuses(all.paths, {.image = picture, .classes = 4, .label_bytes = 17}, "17 bytes of labels");
    refuses(all.paths, {.image = picture, .classes = 4, .label_bytes = 2, .label = 2}, "label 2 of a record");

    const fqt::record_files few(all.paths, {.image = picture, .classes = 3});
    CHECK_THROWS_WITH_AS(fqt::measure_scale(few), Contains("/a has label 3, and there are 3 classes"), fqt::error);
    all.files.scale = {{0.5f}, {0.5f}};
    CHECK_THROWS_WITH_AS(fqt::batches(all.files, {}), Contains("1 means"), fqt::error);
}
