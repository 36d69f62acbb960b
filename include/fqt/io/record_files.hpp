#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// Pictures that stay in their files until a batch needs them, for data that exceed the memory. Files consist of records
// of equal size, as those of CIFAR (io/cifar.hpp): the bytes of labels, then the pixels, channel by channel.

#include <fqt/core/fail.hpp>
#include <fqt/core/shape.hpp>
#include <fqt/train/source.hpp>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <fcntl.h>
#include <iterator>
#include <limits>
#include <span>
#include <string>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace fqt {

/// What a record is.
struct record_format {
    shape image{};
    int classes{};       ///< 1 to most_classes
    int label_bytes = 1; ///< before the pixels, 1 to 16
    int label = 0;       ///< number of the byte that is used; above 256 classes the next one is its upper half
};

/// A source for batches, evaluate and the trainer:
///     fqt::record_files train({"a.bin", "b.bin"}, {.image = {3, 64, 64}, .classes = 200});
///     train.scale = fqt::measure_scale(train); // reads all of it once; or give the scale that you know
/// Holds an open file each and none of their contents. Several threads may read at once.
class record_files {
public:
    shape image{}; ///< as the format has it; not to be changed
    int classes{}; ///< likewise
    pixel_scale scale{};

    /// Errors, each naming the file: no files; a format that is not possible; a file that cannot be opened, is empty or
    /// no whole number of records; more than 2^31 - 1 records.
    record_files(const std::vector<std::string>& paths, record_format format)
        : image(format.image), classes(format.classes), format_(format) {
        check_image(image);
        check_classes(classes, "the set of records");
        if (format.label_bytes < 1 || format.label_bytes > most_label_bytes)
            fail("the records have %d bytes of labels; it takes 1 to %d", format.label_bytes, most_label_bytes);
        if (format.label < 0 || format.label > format.label_bytes - label_size())
            fail("label %d of a record is asked for, of %d %s for %d classes, and it has %d; ask for 0 to %d, or give "
                 "label_bytes as they are",
                 format.label, label_size(), label_size() == 1 ? "byte" : "bytes", classes, format.label_bytes,
                 format.label_bytes - label_size());
        if (paths.empty()) fail("no files of records are given; give at least one");
        for (const std::string& path : paths) add(path);
    }

    /// Number of records in all files.
    int size() const { return files_.back().end; }

    /// Refuses a scale that is not usable. The files have been checked when they were opened.
    void check() const { scale.check(image.channels); }

    /// Reads record n, 0 <= n < size(), unchecked, into `memory`, of image.size() bytes. Errors: a file that cannot be
    /// read or has become shorter; a label that is no class.
    labelled_pixels sample(int n, std::span<std::uint8_t> memory) const {
        const auto file =
            std::upper_bound(files_.begin(), files_.end(), n, [](int i, const open_file& f) { return i < f.end; });
        const int number = n - (file == files_.begin() ? 0 : std::prev(file)->end);
        std::array<std::uint8_t, most_label_bytes> labels{};
        read(*file, number, labels, memory);
        int label = 0;
        for (int i = label_size(); i-- > 0;) label = label << 8 | labels[static_cast<std::size_t>(format_.label + i)];
        if (label >= classes)
            fail("record %d of %s has label %d, and there are %d classes; "
                 "give the right number of classes, or the right file",
                 number, file->path.c_str(), label, classes);
        return {memory, static_cast<class_label>(label)};
    }

private:
    static constexpr int most_label_bytes = 16;

    /// An open file that closes itself.
    struct open_file {
        std::string path;
        int handle = -1;
        int end = 0; ///< number of records up to its end, from the first file on

        explicit open_file(std::string name)
            : path(std::move(name)), handle(::open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
        open_file(open_file&& other) noexcept
            : path(std::move(other.path)), handle(std::exchange(other.handle, -1)), end(other.end) {}
        open_file& operator=(open_file&& other) noexcept {
            std::swap(path, other.path);
            std::swap(handle, other.handle);
            std::swap(end, other.end);
            return *this;
        }
        ~open_file() {
            if (handle >= 0) ::close(handle);
        }
    };

    int label_size() const { return classes > 256 ? 2 : 1; }
    std::int64_t record_bytes() const { return std::int64_t{format_.label_bytes} + image.size(); }

    void add(const std::string& path) {
        open_file file(path);
        struct stat facts {};
        if (file.handle < 0 || fstat(file.handle, &facts) != 0)
            fail("the file %s cannot be opened (%s); check the path", path.c_str(), std::strerror(errno));
        if (!S_ISREG(facts.st_mode))
            fail("%s is no ordinary file, and records are read at any place; copy it", path.c_str());
        const std::int64_t bytes = facts.st_size;
        if (bytes == 0) fail("%s is empty, and a file of records has at least one; fetch it again", path.c_str());
        if (bytes % record_bytes() != 0)
            fail("%s has %lld bytes, which is not a whole number of records of %lld (%d of labels, %d x %d x %d "
                 "pixels); "
                 "the file is cut short or of another format",
                 path.c_str(), static_cast<long long>(bytes), static_cast<long long>(record_bytes()),
                 format_.label_bytes, image.channels, image.height, image.width);
        const std::int64_t end = (files_.empty() ? 0 : files_.back().end) + bytes / record_bytes();
        if (end > std::numeric_limits<int>::max())
            fail("the files up to %s have %lld records; it takes at most 2^31 - 1", path.c_str(),
                 static_cast<long long>(end));
        file.end = static_cast<int>(end);
        files_.push_back(std::move(file));
    }

    /// Reads the labels and pixels of one record of a file.
    void read(const open_file& file, int number, std::span<std::uint8_t> labels, std::span<std::uint8_t> pixels) const {
        const auto label_bytes = static_cast<std::size_t>(format_.label_bytes);
        const std::size_t size = label_bytes + pixels.size();
        const std::int64_t start = number * record_bytes();
        for (std::size_t done = 0; done < size;) {
            const std::size_t of_labels = std::min(done, label_bytes), of_pixels = done - of_labels;
            const std::array<iovec, 2> to{iovec{labels.data() + of_labels, label_bytes - of_labels},
                                          iovec{pixels.data() + of_pixels, pixels.size() - of_pixels}};
            const ssize_t got = preadv(file.handle, to.data(), 2, start + static_cast<std::int64_t>(done));
            if (got < 0 && errno == EINTR) continue;
            if (got < 0)
                fail("record %d of %s cannot be read (%s); check the disk", number, file.path.c_str(),
                     std::strerror(errno));
            if (got == 0)
                fail("record %d of %s cannot be read, since the file has become shorter; leave it alone while it is "
                     "used",
                     number, file.path.c_str());
            done += static_cast<std::size_t>(got);
        }
    }

    record_format format_;
    std::vector<open_file> files_;
};

} // namespace fqt
