// SPDX-License-Identifier: BSD-3-Clause
#include <fqt/io/cifar.hpp>

#include <doctest/doctest.h>

#include "files.hpp"
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

using doctest::Approx;
using doctest::Contains;
using fqt_test::bytes, fqt_test::changed, fqt_test::folder, fqt_test::labels_of;

namespace {

/// Records whose last label is given; pixel i of the n-th is first + n in channel 0, 50 in 1, i % 256 in 2.
bytes records(const std::vector<bytes>& labels, int first) {
    bytes file;
    for (std::size_t n = 0; n < labels.size(); ++n) {
        file.insert(file.end(), labels[n].begin(), labels[n].end());
        file.insert(file.end(), 1024, static_cast<std::uint8_t>(first + static_cast<int>(n)));
        file.insert(file.end(), 1024, std::uint8_t{50});
        for (int i = 0; i < 1024; ++i) file.push_back(static_cast<std::uint8_t>(i % 256));
    }
    return file;
}

std::string batch(int number) { return "data_batch_" + std::to_string(number) + ".bin"; }

/// Two records in each of the five files, and one to test on.
void write_cifar10(const folder& place, const std::string& below = "") {
    for (int b = 1; b <= 5; ++b)
        place.write(below + batch(b),
                    records({{static_cast<std::uint8_t>(b)}, {static_cast<std::uint8_t>(2 * b - 1)}}, 10 * b));
    place.write(below + "test_batch.bin", records({{7}}, 200));
}

} // namespace

TEST_CASE("CIFAR-10 is read from its six files, record by record, on the scale of the training set") {
    const folder place;
    write_cifar10(place);
    CHECK(fqt::has_cifar10(place.path));
    const fqt::train_and_test sets = fqt::cifar10(place.path);
    CHECK(sets.train.image == fqt::shape{3, 32, 32});
    CHECK(sets.train.classes == 10);
    CHECK(sets.train.labels == labels_of{1, 1, 2, 3, 3, 5, 4, 7, 5, 9});
    CHECK(sets.test.labels == labels_of{7});
    CHECK(sets.train.pixels_of(3)[0] == 21);
    CHECK(sets.train.pixels_of(3)[1023] == 21);
    CHECK(sets.train.pixels_of(3)[1024] == 50);
    CHECK(sets.train.pixels_of(3)[2048 + 300] == 44);
    CHECK(sets.test.pixels_of(0)[0] == 200);
    CHECK(sets.train.scale.mean[0] == Approx(30.5 / 255));
    CHECK(sets.train.scale.deviation[0] == Approx(std::sqrt(200.25) / 255));
    CHECK(sets.train.scale.mean[2] == Approx(127.5 / 255));
    CHECK(sets.test.scale == sets.train.scale);
    CHECK(sets.train.class_names.at(9) == "truck");
    CHECK(sets.test.class_names == sets.train.class_names);
    sets.train.check();
    sets.test.check();
}

TEST_CASE("CIFAR-100 is read with its fine labels, from the subfolder that its archive makes") {
    const folder place;
    std::filesystem::create_directories(place.path + "/cifar-100-binary");
    CHECK_FALSE(fqt::has_cifar100(place.path));
    place.write("cifar-100-binary/train.bin", records({{3, 99}, {19, 0}, {0, 42}}, 1));
    place.write("cifar-100-binary/test.bin", records({{5, 17}}, 1));
    CHECK(fqt::has_cifar100(place.path));
    CHECK(fqt::has_cifar100(place.path + "/cifar-100-binary"));
    const fqt::train_and_test sets = fqt::cifar100(place.path);
    CHECK(sets.train.classes == 100);
    CHECK(sets.train.labels == labels_of{99, 0, 42});
    CHECK(sets.test.labels == labels_of{17});
    CHECK(sets.train.pixels_of(2)[0] == 3);
    CHECK(sets.train.class_names.empty());

    std::string names;
    for (int k = 0; k < 100; ++k) names += "class" + std::to_string(k) + "\r\n";
    place.write("cifar-100-binary/fine_label_names.txt", bytes(names.begin(), names.end()));
    CHECK(fqt::cifar100(place.path).test.class_names.at(99) == "class99");
}

TEST_CASE("class names come from the file beside the pictures, and must be as many as classes") {
    const folder place;
    std::filesystem::create_directories(place.path + "/cifar-10-batches-bin");
    write_cifar10(place, "cifar-10-batches-bin/");
    const std::string ten = "a\nb\nc\nd\ne\nf\ng\nh\ni\nten\n\n", nine = "a\nb\nc\nd\ne\nf\ng\nh\ni";
    place.write("cifar-10-batches-bin/batches.meta.txt", bytes(ten.begin(), ten.end()));
    CHECK(fqt::cifar10(place.path).train.class_names.at(9) == "ten");
    place.write("cifar-10-batches-bin/batches.meta.txt", bytes(nine.begin(), nine.end()));
    CHECK_THROWS_WITH_AS(fqt::cifar10(place.path), Contains("batches.meta.txt names 9 classes"), fqt::error);
}

TEST_CASE("CIFAR folders and files that are missing or wrong are refused by name") {
    const folder place;
    const auto refuses = [&](const char* what) {
        CHECK_THROWS_WITH_AS(fqt::cifar10(place.path), Contains(what), fqt::error);
    };
    CHECK_THROWS_WITH_AS(
        fqt::cifar10("/no/such/folder"),
        Contains("/no/such/folder does not exist; give the one in which CIFAR-10's files data_batch_1"), fqt::error);
    CHECK_FALSE(fqt::has_cifar10("/no/such/folder"));
    CHECK_FALSE(fqt::has_cifar10(place.path));
    refuses("data_batch_1.bin is missing");
    write_cifar10(place);
    std::filesystem::remove(place.path + "/data_batch_4.bin");
    CHECK_FALSE(fqt::has_cifar10(place.path));
    refuses("data_batch_4.bin is missing; give the folder in which");
    const bytes good = records({{1}, {2}}, 5);
    place.write(batch(4), {});
    refuses("data_batch_4.bin is empty");
    place.write(batch(4), changed(good, [](bytes& f) { f.pop_back(); }));
    refuses("data_batch_4.bin has 6145 bytes, which is not a whole number of CIFAR-10's records of 3073");
    place.write(batch(4), changed(good, [](bytes& f) { f[3073] = 10; }));
    refuses("data_batch_4.bin has label 10, and CIFAR-10's are below 10");
    refuses("record 1 of ");
    place.write(batch(4), good);
    CHECK(fqt::cifar10(place.path).train.size() == 10);

    place.write("test.bin", records({{1, 2}}, 5));
    place.write("train.bin", records({{20, 2}}, 5));
    CHECK_THROWS_WITH_AS(fqt::cifar100(place.path), Contains("train.bin has label 20, and CIFAR-100's are below 20"),
                         fqt::error);
    place.write("train.bin", records({{1, 100}}, 5));
    CHECK_THROWS_WITH_AS(fqt::cifar100(place.path), Contains("train.bin has label 100"), fqt::error);
    place.write("train.bin", records({{1}}, 5));
    CHECK_THROWS_WITH_AS(fqt::cifar100(place.path), Contains("not a whole number of CIFAR-100's records of 3074"),
                         fqt::error);
}
