#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// A run on file: parameters, running statistics and ranges, what the optimizer keeps, the seed and the step -
// everything on which the next step's bits depend, so a run that was saved and loaded goes on as if never stopped.
// Saving replaces a file only by a whole one, and loading changes a network only if the whole file fits it.
//
// The file, little-endian: magic (8 bytes), version (4), entries (4), length of the file (8), seed (8), step (4); for
// each entry length of its name (4), shape (4 x 4), bytes (8), the name, the data; at the end the CRC-32 of all that
// (4). The first entry, "layers", is text: what the network is made of. Version 1 had no such entry.

#include <fqt/core/fail.hpp>
#include <fqt/core/random.hpp>
#include <fqt/io/idx.hpp>
#include <fqt/layers/layer.hpp>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>
#if __has_include(<unistd.h>)
#include <sys/stat.h>
#include <unistd.h>
#endif

namespace fqt {

static_assert(std::endian::native == std::endian::little,
              "fqt: io/checkpoint.hpp writes memory as it is, little-endian");

namespace detail {

// No text begins like this, and a transfer that rewrites line ends damages it visibly.
inline constexpr std::string_view checkpoint_magic{"\x89"
                                                   "fqt\r\n\x1a\n",
                                                   8};
inline constexpr std::uint32_t checkpoint_version = 2;
inline constexpr std::size_t checkpoint_header = 36;

/// The CRC-32 of zlib, PNG and Ethernet (polynomial 0xEDB88320, reflected), by a table.
inline std::uint32_t crc32(std::span<const std::uint8_t> bytes) {
    static constexpr auto table = [] {
        std::array<std::uint32_t, 256> result{};
        for (std::uint32_t i = 0; i < 256; ++i) {
            std::uint32_t c = i;
            for (int bit = 0; bit < 8; ++bit) c = (c & 1u) ? c >> 1 ^ 0xEDB88320u : c >> 1;
            result[i] = c;
        }
        return result;
    }();
    std::uint32_t crc = 0xFFFFFFFFu;
    for (const std::uint8_t b : bytes) crc = table[(crc ^ b) & 0xFFu] ^ crc >> 8;
    return ~crc;
}

/// One tensor of a run, where it lives.
struct checkpoint_entry {
    std::string name; ///< "parameter stem.0.weight", "state stem.1.mean", "optimizer stem.0.weight.velocity"
    std::array<std::int32_t, 4> shape{};
    std::span<std::byte> bytes;
};

inline bool of_optimizer(std::string_view name) { return name.starts_with("optimizer "); }

struct no_optimizer {
    template <class F>
    void each_state(F&&) {}
};

/// All that a run consists of, in the order of the layers. Two tensors of one name could not be told apart in a file.
template <class Network, class Optimizer>
std::vector<checkpoint_entry> entries_of(Network& network, Optimizer& optimizer) {
    std::vector<checkpoint_entry> entries;
    const auto add = [&](std::string_view what, std::string_view name, std::array<std::int32_t, 4> shape,
                         std::span<std::byte> bytes) {
        entries.push_back({std::string(what) + std::string(name), shape, bytes});
    };
    network.each_parameter([&](const parameter& p) {
        add("parameter ", p.name, {p.shape[0], p.shape[1], p.shape[2], p.shape[3]}, std::as_writable_bytes(p.value));
    });
    network.each_state([&](const state& s) {
        add("state ", s.name, {static_cast<std::int32_t>(s.value.size()), 1, 1, 1}, std::as_writable_bytes(s.value));
    });
    optimizer.each_state(
        [&](std::string_view name, std::span<std::byte> bytes) { add("optimizer ", name, {}, bytes); });

    std::vector<std::string_view> names;
    for (const auto& e : entries) names.push_back(e.name);
    std::ranges::sort(names);
    if (const auto twin = std::ranges::adjacent_find(names); twin != names.end())
        fail("two tensors are called '%s', so a checkpoint could not tell them apart; "
             "give parts of the network different and shorter names (named<\"...\">)",
             std::string(*twin).c_str());
    return entries;
}

/// The file that a path leads to, through links, also where there is none yet. Errors: links without end, and what is
/// no regular file, such as a device or a folder, which a checkpoint would take the place of.
inline std::string real_path(const std::string& path, int links = 0) {
#if __has_include(<unistd.h>)
    struct ::stat found {};
    if (::stat(path.c_str(), &found) != 0) {
        char target[4096];
        const auto length = ::readlink(path.c_str(), target, sizeof target);
        if (length <= 0) return path; // no link
        if (links == 40) fail("%s is a link among links without end; choose another path", path.c_str());
        const std::string to(target, static_cast<std::size_t>(length));
        return real_path(to[0] == '/' ? to : path.substr(0, path.rfind('/') + 1) + to, links + 1);
    }
    if (!S_ISREG(found.st_mode))
        fail("%s is no file that a checkpoint may take the place of; choose another path", path.c_str());
    const std::unique_ptr<char, void (*)(void*)> real(::realpath(path.c_str(), nullptr), std::free);
    if (real) return real.get();
#endif
    return path;
}

/// Writes a file beside the one at `given` and moves it there, so that it is at every moment the old one or the new.
inline void replace_file(const std::string& given, std::span<const std::uint8_t> bytes) {
    const std::string path = real_path(given);
    const std::string partial = path + ".partial";
    errno = 0;
    std::FILE* file = std::fopen(partial.c_str(), "wb");
    if (!file)
        fail("the checkpoint %s cannot be opened for writing (%s); check its folder and your permissions",
             partial.c_str(), std::strerror(errno));
    bool sound = std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size() && std::fflush(file) == 0;
#if __has_include(<unistd.h>)
    // Else a power failure after the renaming could leave an empty file in place of the old one.
    sound = sound && ::fsync(::fileno(file)) == 0;
#endif
    const int write_error = errno;
    sound = std::fclose(file) == 0 && sound;
    if (!sound) {
        std::remove(partial.c_str());
        fail("the checkpoint %s cannot be written (%s); free space on its disk, or choose another path", path.c_str(),
             std::strerror(write_error ? write_error : errno));
    }
    if (std::rename(partial.c_str(), path.c_str()) != 0) {
        const int rename_error = errno;
        std::remove(partial.c_str());
        fail("the checkpoint %s cannot be put in its place (%s); check the path and your permissions", path.c_str(),
             std::strerror(rename_error));
    }
}

template <class Number>
void append_bytes(std::vector<std::uint8_t>& to, Number value) {
    const auto bytes = std::bit_cast<std::array<std::uint8_t, sizeof(Number)>>(value);
    to.insert(to.end(), bytes.begin(), bytes.end());
}

/// A whole checkpoint in memory, checked to be what it says.
class checkpoint_file {
public:
    struct saved {
        std::array<std::int32_t, 4> shape{};
        std::span<const std::uint8_t> bytes;
        bool wanted = false;
    };
    std::uint64_t seed{};
    std::uint32_t step{};
    std::unordered_map<std::string, saved> entries;

    explicit checkpoint_file(const std::string& path) : path_(path), bytes_(read_file(path)) {
        const char* name = path_.c_str();
        if (bytes_.size() < checkpoint_magic.size()
            || std::memcmp(bytes_.data(), checkpoint_magic.data(), checkpoint_magic.size()) != 0)
            fail("%s does not begin like a checkpoint of fqt; it is a file of another kind, or a transfer as text "
                 "changed it",
                 name);
        at_ = checkpoint_magic.size();
        const auto version = take<std::uint32_t>();
        if (version < 1 || version > checkpoint_version)
            fail("%s is a checkpoint of version %lu, and this fqt reads versions up to %lu; load it with the fqt that "
                 "saved it",
                 name, static_cast<unsigned long>(version), static_cast<unsigned long>(checkpoint_version));
        const auto count = take<std::uint32_t>();
        const auto length = take<std::uint64_t>();
        if (bytes_.size() != length)
            fail("%s has %zu bytes, and it says %llu; it is %s, so fetch it again", name, bytes_.size(),
                 static_cast<unsigned long long>(length), bytes_.size() < length ? "cut short" : "too long");
        seed = take<std::uint64_t>();
        step = take<std::uint32_t>();
        const std::size_t end = bytes_.size() < at_ + 4 ? at_ : bytes_.size() - 4;
        std::uint32_t expected = 0;
        if (end + 4 == bytes_.size()) std::memcpy(&expected, bytes_.data() + end, 4);
        if (end + 4 != bytes_.size() || crc32(std::span(bytes_).first(end)) != expected)
            fail("the checksum of %s is wrong; the file is damaged, so fetch it again", name);
        bytes_.resize(end); // so that nothing below reads the checksum as data
        for (std::uint32_t i = 0; i < count; ++i) add_entry();
        if (at_ != bytes_.size()) refuse_entries();
    }

    const char* path() const { return path_.c_str(); }

private:
    std::string path_;
    std::vector<std::uint8_t> bytes_;
    std::size_t at_{};

    void add_entry() {
        const auto name_bytes = take<std::uint32_t>();
        saved entry;
        for (auto& extent : entry.shape) extent = take<std::int32_t>();
        const auto data_bytes = take<std::uint64_t>();
        const auto name = take_bytes(name_bytes);
        entry.bytes = take_bytes(data_bytes);
        if (!entries.emplace(std::string(name.begin(), name.end()), entry).second) refuse_entries();
    }
    template <class Number>
    Number take() {
        Number value;
        std::memcpy(&value, take_bytes(sizeof value).data(), sizeof value);
        return value;
    }
    std::span<const std::uint8_t> take_bytes(std::uint64_t count) {
        if (count > bytes_.size() - at_) {
            if (at_ < checkpoint_header)
                fail("%s has %zu bytes, fewer than its header; it is cut short, so fetch it again", path(),
                     bytes_.size());
            refuse_entries();
        }
        const auto part = std::span<const std::uint8_t>(bytes_).subspan(at_, static_cast<std::size_t>(count));
        at_ += static_cast<std::size_t>(count);
        return part;
    }
    // Past the checksum this is no damage but another program's work.
    [[noreturn]] void refuse_entries() const {
        fail("the entries of %s contradict its header; save it again with fqt::save", path());
    }
};

/// "'a', 'b' and 5 more".
inline std::string listed(const std::vector<std::string>& names) {
    std::string text;
    const std::size_t shown = std::min<std::size_t>(names.size(), 3);
    for (std::size_t i = 0; i < shown; ++i) text += (i ? ", '" : "'") + names[i] + "'";
    return names.size() > shown ? text + " and " + std::to_string(names.size() - shown) + " more" : text;
}

inline std::string text_of_shape(const std::array<std::int32_t, 4>& s) {
    std::string text;
    for (const std::int32_t extent : s) text += (text.empty() ? "" : " x ") + std::to_string(extent);
    return text;
}

/// What a network is made of: a line for its input, and one for each layer with its name, kind and shapes.
template <class Network>
std::vector<std::string> layers_of(Network& network) {
    std::vector<std::string> lines;
    if constexpr (requires { network.describe([](const description&) {}); }) {
        lines.push_back(text_of(Network::input));
        network.describe([&](const description& d) {
            lines.push_back("'" + std::string(d.name.view()) + "' is " + d.kind + ", from " + text_of(d.in) + " to "
                            + text_of(d.out));
        });
    }
    return lines;
}

/// Refuses another architecture whose tensors are alike. Formats may differ, and shapes where the input's does.
inline void check_layers(const checkpoint_file& file, const std::vector<std::string>& here) {
    const auto entry = file.entries.find("layers");
    if (entry == file.entries.end() || here.empty()) return;
    std::vector<std::string> there(1);
    for (const std::uint8_t c : entry->second.bytes)
        if (c == '\n') there.emplace_back();
        else there.back() += static_cast<char>(c);
    there.pop_back(); // each line ends in \n
    const bool same_input = !there.empty() && there[0] == here[0];
    const auto kind_of = [&](const std::string& line) { return same_input ? line : line.substr(0, line.find(',')); };
    for (std::size_t i = 1; i < std::min(here.size(), there.size()); ++i)
        if (kind_of(there[i]) != kind_of(here[i]))
            fail("the network differs from the one saved in %s: there layer %s, and here layer %s; construct the "
                 "network that was saved, or copy the tensors that are to be the same",
                 file.path(), kind_of(there[i]).c_str(), kind_of(here[i]).c_str());
    if (here.size() != there.size())
        fail("the network differs from the one saved in %s: it had %zu layers there and has %zu here; construct the "
             "network that was saved, or copy the tensors that are to be the same",
             file.path(), there.size() - 1, here.size() - 1);
}

/// Refuses a file that is not of exactly these entries; entries of an optimizer may be left over where none is given.
inline void check_entries(checkpoint_file& file, const std::vector<checkpoint_entry>& entries, bool with_optimizer) {
    std::vector<std::string> missing, unknown;
    bool has_optimizer = false;
    for (const auto& [name, entry] : file.entries) has_optimizer = has_optimizer || of_optimizer(name);
    const auto wanted = [](const checkpoint_entry& e) { return of_optimizer(e.name); };
    if (with_optimizer && !has_optimizer && std::ranges::any_of(entries, wanted)) // else it keeps nothing
        fail("%s was saved without an optimizer; load it by load(path, network), which starts the optimizer anew",
             file.path());
    for (const checkpoint_entry& e : entries) {
        const auto found = file.entries.find(e.name);
        if (found == file.entries.end()) missing.push_back(e.name);
        else found->second.wanted = true;
    }
    for (const auto& [name, entry] : file.entries)
        if (!entry.wanted && name != "layers" && (with_optimizer || !of_optimizer(name))) unknown.push_back(name);
    // The network's first: where it differs, so do the optimizer's.
    std::ranges::sort(unknown, {}, [&](const std::string& name) { return std::pair(of_optimizer(name), name); });
    if (!missing.empty() || !unknown.empty())
        fail("the %s differs from the one saved in %s: %s%s%s%s; construct the network and the optimizer that were "
             "saved",
             std::ranges::all_of(missing, of_optimizer) && std::ranges::all_of(unknown, of_optimizer) ? "optimizer"
                                                                                                      : "network",
             file.path(), missing.empty() ? "" : "the file lacks ", listed(missing).c_str(),
             unknown.empty() ? "" : (missing.empty() ? "only the file has " : ", and only the file has "),
             listed(unknown).c_str());
    for (const checkpoint_entry& e : entries) {
        const auto& saved = file.entries.at(e.name);
        if (saved.bytes.size() != e.bytes.size())
            fail("the %s differs from the one saved in %s: '%s' has %zu bytes there and %zu here; construct the "
                 "network and the optimizer that were saved",
                 of_optimizer(e.name) ? "optimizer" : "network", file.path(), e.name.c_str(), saved.bytes.size(),
                 e.bytes.size());
        if (saved.shape != e.shape)
            fail("the network differs from the one saved in %s: '%s' is %s there and %s here; construct the network "
                 "that was saved",
                 file.path(), e.name.c_str(), text_of_shape(saved.shape).c_str(), text_of_shape(e.shape).c_str());
    }
}

/// Refuses learnt numbers and statistics that are NaN or infinite, in memory or in a file: they would spread, some
/// unseen until predictions. Of what an optimizer keeps it alone knows what the bytes are.
inline void check_finite(const std::string& name, const void* bytes, std::size_t count, const char* which,
                         const char* file) {
    if (of_optimizer(name)) return;
    for (std::size_t at = 0; at + sizeof(float) <= count; at += sizeof(float)) {
        float value;
        std::memcpy(&value, static_cast<const char*>(bytes) + at, sizeof value);
        if (!std::isfinite(value))
            fail("number %zu of '%s' %s %s is %g; the run had diverged, so load an earlier checkpoint",
                 at / sizeof value, name.c_str(), which, file, double{value});
    }
}

template <class Network, class Optimizer>
void save_all(const std::string& path, Network& network, Optimizer& optimizer) {
    auto entries = entries_of(network, optimizer);
    std::uint64_t length = checkpoint_header + 4;
    for (const auto& e : entries) {
        check_finite(e.name, e.bytes.data(), e.bytes.size(), "to be saved in", path.c_str());
        length += 28 + e.name.size() + e.bytes.size();
    }
    std::string layers;
    for (const std::string& line : layers_of(network)) layers += line + "\n";
    entries.insert(entries.begin(), {"layers", {}, std::as_writable_bytes(std::span(layers))});
    length += 28 + entries[0].name.size() + layers.size();
    std::vector<std::uint8_t> bytes;
    bytes.reserve(static_cast<std::size_t>(length));
    bytes.insert(bytes.end(), checkpoint_magic.begin(), checkpoint_magic.end());
    append_bytes(bytes, checkpoint_version);
    append_bytes(bytes, static_cast<std::uint32_t>(entries.size()));
    append_bytes(bytes, length);
    append_bytes(bytes, network.seed_value());
    append_bytes(bytes, network.step());
    for (const auto& e : entries) {
        append_bytes(bytes, static_cast<std::uint32_t>(e.name.size()));
        append_bytes(bytes, e.shape);
        append_bytes(bytes, std::uint64_t{e.bytes.size()});
        bytes.insert(bytes.end(), e.name.begin(), e.name.end());
        const auto* data = reinterpret_cast<const std::uint8_t*>(e.bytes.data());
        bytes.insert(bytes.end(), data, data + e.bytes.size());
    }
    append_bytes(bytes, crc32(bytes));
    replace_file(path, bytes);
}

template <class Network, class Optimizer>
void load_all(const std::string& path, Network& network, Optimizer& optimizer, bool with_optimizer) {
    checkpoint_file file(path);
    const auto entries = entries_of(network, optimizer);
    check_entries(file, entries, with_optimizer);
    check_layers(file, layers_of(network));
    for (const checkpoint_entry& e : entries) {
        const auto& bytes = file.entries.at(e.name).bytes;
        check_finite(e.name, bytes.data(), bytes.size(), "in", file.path());
    }
    for (const checkpoint_entry& e : entries)
        if (const auto& saved = file.entries.at(e.name); !saved.bytes.empty())
            std::memcpy(e.bytes.data(), saved.bytes.data(), saved.bytes.size());
    network.set_seed(seed{file.seed});
    network.set_step(file.step);
}

} // namespace detail

/// Saves a run. The file at `path`, or that a link there leads to, is replaced when the new one is complete; one beside
/// it, whose name ends in .partial, is used meanwhile. Learning rates and options are the caller's and not saved.
/// Errors: a file that cannot be written (folder, permissions, full disk), after which the old one is still there;
/// what is no file, such as a device; two tensors of one name; numbers of the network that are not finite.
template <class Network, class Optimizer>
void save(const std::string& path, Network& network, Optimizer& optimizer) {
    detail::save_all(path, network, optimizer);
}
/// The same without an optimizer: enough to predict, or to start another training.
template <class Network>
void save(const std::string& path, Network& network) {
    detail::no_optimizer none;
    detail::save_all(path, network, none);
}

/// Makes a network and its optimizer those that were saved, seed and step included: the next step gives the same bits
/// as it would have given there. The scheme may be another one where it needs the same tensors, and the input another
/// size where the layers take it. Errors, each before
/// anything is changed: a file that is missing, of another kind or version, cut short, too long or damaged; names,
/// sizes or shapes that are not those of this network and optimizer; layers of another kind or, where the input is the
/// same, shape, such as a relu in place of a hard_swish or another stride; numbers of the network that are not finite.
template <class Network, class Optimizer>
void load(const std::string& path, Network& network, Optimizer& optimizer) {
    detail::load_all(path, network, optimizer, true);
}
/// The same for the network alone; what the file holds of an optimizer is not used.
template <class Network>
void load(const std::string& path, Network& network) {
    detail::no_optimizer none;
    detail::load_all(path, network, none, false);
}

} // namespace fqt
