// SPDX-License-Identifier: BSD-3-Clause
// The command line of fqt: trains registered networks in registered schemes on data sets in their usual files.
//
//     fqt list
//     fqt train --data DIR --network resnet20 --scheme w8a8g4 --run runs/first
//     fqt train --data DIR --network resnet20 --scheme w8a8g4 --run runs/first --resume
//     fqt report runs/first

#include "program/data.hpp"
#include "program/registry.hpp"
#include "program/report.hpp"
#include "program/results.hpp"
#include "program/run_log.hpp"
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <limits>
#include <new>
#include <optional>
#include <string_view>

namespace {

using program::settings;

// ---- what a run is ----

/// Whatever of the settings a run's bits depend on, as texts.
std::vector<std::pair<std::string, std::string>> options_of(const settings& s, const fqt::train_and_test& data) {
    const auto text = [](auto value) { return program::detail::written(value).dump(); };
    return {{"epochs", text(s.epochs)},
            {"batch", text(s.batch)},
            {"rate", text(s.rate)},
            {"schedule", s.schedule},
            {"momentum", text(s.momentum)},
            {"nesterov", s.nesterov ? "yes" : "no"},
            {"decay", text(s.decay)},
            {"decay of gamma", text(s.decay_gamma)},
            {"label smoothing", text(s.label_smoothing)},
            {"mixup", text(s.mixup)},
            {"initialisation", s.initialise},
            {"last gammas at first", text(s.last_gamma)},
            {"training set", program::fingerprint(data.train)},
            {s.held_out > 0 ? "held-out set" : "test set", program::fingerprint(data.test)}};
}

program::run_header header_of(const settings& s, const program::entry& e, const fqt::train_and_test& data,
                              const std::string& command) {
    const fqt::dataset& train = data.train;
    const fqt::augmentation augment = program::augmentation_of(s, train.image);
    program::run_header h;
    h.version = std::to_string(FQT_VERSION_MAJOR) + "." + std::to_string(FQT_VERSION_MINOR) + "."
        + std::to_string(FQT_VERSION_PATCH);
    h.network = s.network, h.scheme = s.scheme, h.rectifier = s.rectifier, h.optimizer = s.optimizer, h.data = s.data;
    h.augmentation = augment.pad > 0 ? "crops of pictures padded by " + std::to_string(augment.pad) : "no crops";
    if (augment.cutout > 0) h.augmentation += ", squares of " + std::to_string(augment.cutout) + " hidden";
    h.augmentation += augment.flip ? ", mirrored" : ", not mirrored";
    h.rectification = program::detail::written(s.rectification).get<double>();
    h.options = options_of(s, data);
    h.command = command;
    h.seed = s.seed;
    h.epochs = s.epochs;
    h.parameters = e.parameters, h.macs = e.macs;
    h.classes = train.class_names;
    for (int k = static_cast<int>(h.classes.size()); k < train.classes; ++k) h.classes.push_back(std::to_string(k));
    h.image = train.image;
    h.held_out = s.held_out > 0 ? "validation" : "test";
    return h;
}

/// Refuses to go on with a run by other options than it was begun with, which would be a run that nobody can repeat.
void check_same(const program::run_header& before, const program::run_header& now) {
    const auto check = [](const std::string& name, const std::string& a, const std::string& b) {
        if (a != b)
            fqt::fail("the run was begun with %s = %s and is to go on with %s; give the same, or another --run folder",
                      name.c_str(), a.c_str(), b.c_str());
    };
    check("version of fqt", before.version, now.version);
    check("network", before.network, now.network);
    check("scheme", before.scheme, now.scheme);
    check("optimizer", before.optimizer, now.optimizer);
    check("rectifier", before.rectifier, now.rectifier);
    check("rectification", program::detail::written(before.rectification).dump(),
          program::detail::written(now.rectification).dump());
    check("seed", std::to_string(before.seed), std::to_string(now.seed));
    check("what it is tested on", before.held_out, now.held_out);
    check("augmentation", before.augmentation, now.augmentation);
    for (const auto& [name, value] : now.options) {
        const auto same = std::ranges::find(before.options, name, &std::pair<std::string, std::string>::first);
        check(name, same == before.options.end() ? "nothing" : same->second, value);
    }
}

/// Errors: a folder that has a run which is not resumed, one that has none which is.
void check_folder(const settings& s) {
    std::error_code problem;
    const bool has_run = std::filesystem::exists(s.checkpoint(), problem);
    if (has_run && !s.resume)
        fqt::fail("the folder %s has a run already; add --resume to go on with it, or name another", s.run.c_str());
    if (!has_run && s.resume)
        fqt::fail("there is nothing to resume in %s; leave --resume out to begin a run there", s.run.c_str());
    if (s.resume && !std::filesystem::exists(s.log(), problem))
        fqt::fail("%s has a checkpoint and no log.jsonl, by which a run is resumed; name another folder to begin anew",
                  s.run.c_str());
}

/// Errors: results that would go into a file that the run itself keeps.
void check_results(const settings& s, const std::string& results) {
    std::error_code ignored;
    const auto place = [&](const std::string& path) { return std::filesystem::weakly_canonical(path, ignored); };
    for (const std::string& own : {s.log(), s.checkpoint(), s.report()})
        if (!s.run.empty() && !results.empty() && place(results) == place(own))
            fqt::fail("--results %s is a file that the run keeps in its folder; name another", results.c_str());
}

/// Makes the folder of a run where it is missing. Errors: one that cannot be made.
void make_folder(const settings& s) {
    std::error_code problem;
    std::filesystem::create_directories(s.run, problem);
    if (problem)
        fqt::fail("the folder %s cannot be made (%s); choose another for --run", s.run.c_str(),
                  problem.message().c_str());
}

// ---- subcommands ----

void list() {
    std::printf("%-18s %-18s %-9s %12s %14s %9s  %s\n", "network", "scheme", "optimizer", "parameters", "multiply-adds",
                "arena MB", "images");
    for (const program::entry& e : program::registry())
        std::printf("%-18s %-18s %-9s %12d %14lld %9.1f  %d x %d x %d, %d classes\n", e.network, e.scheme, e.optimizer,
                    e.parameters, static_cast<long long>(e.macs), static_cast<double>(e.arena_bytes(128, 1)) / 1e6,
                    e.input.channels, e.input.height, e.input.width, e.classes);
    std::printf("\nmultiply-adds: of one image's forward pass; arena: for batches of 128 on one thread\nrectifiers:");
    for (const auto& [name, rule] : program::rectifiers()) std::printf(" %s", name.c_str());
    std::printf("\n");
}

/// The loss of who knows how often each class comes and does not look at the pictures. smoothing: of the labels.
double loss_of_guessing(const fqt::dataset& data, double smoothing) {
    std::vector<int> counts(static_cast<std::size_t>(data.classes));
    for (const auto label : data.labels) ++counts[label];
    double loss = 0;
    for (const int count : counts) {
        const double share = (1 - smoothing) * count / data.size() + smoothing / data.classes;
        if (share > 0) loss -= share * std::log(share);
    }
    return loss;
}

/// Says where neither in the last epoch nor in the test a network did better than to guess.
void warn_of_guessing(const program::entry& e, const settings& s, const fqt::train_and_test& data, double training_loss,
                      double test_loss) {
    constexpr double nearly = 0.99;
    const double guess = loss_of_guessing(data.train, double{s.label_smoothing});
    if (guess <= 0) return; // all of one class
    if (training_loss < nearly * guess || test_loss < nearly * loss_of_guessing(data.test, 0)) return;
    std::fprintf(stderr,
                 "the last epoch's loss of %.4g is not below that of guessing (%.4g), so nothing was learnt: %s\n",
                 training_loss, guess,
                 e.own_rates ? "train for more --epochs, or with another --optimizer"
                             : "lower --rate, or train for more --epochs");
}

void train(const program::entry& e, const settings& s, const program::results_options& results,
           const std::string& command) {
    const fqt::train_and_test data = [&] {
        try {
            return program::load_data(s, e.input);
        } catch (const std::bad_alloc&) {
            fqt::fail("there is not memory enough for the pictures of %s; give fewer or smaller ones", s.data.c_str());
        }
    }();
    if (data.train.image != e.input || data.train.classes != e.classes)
        fqt::fail("the network '%s' takes images of %d x %d x %d in %d classes, and %s has %d x %d x %d in %d; choose "
                  "another of `fqt list`, or, for pictures in folders of as many classes, add --scale-pictures",
                  e.network, e.input.channels, e.input.height, e.input.width, e.classes, s.data.c_str(),
                  data.train.image.channels, data.train.image.height, data.train.image.width, data.train.classes);
    program::run_header header = header_of(s, e, data, command);
    std::vector<program::epoch_line> epochs; // of the whole run, also of what it continues
    std::optional<program::log_writer> log;
    check_results(s, results.file);
    if (!s.run.empty()) {
        check_folder(s);
        if (s.resume) {
            program::run_log before = program::read_log(s.log());
            check_same(before.run(), header);
            header.command = before.runs.front().command;
            epochs = std::move(before.epochs);
        }
    }
    std::optional<program::results_file> results_to;
    if (!results.file.empty()) results_to.emplace(results.file);
    program::listener listener;
    listener.on_start = [&](const program::run_header& known) {
        header.threads = known.threads;
        header.arena_bytes = static_cast<std::int64_t>(e.arena_bytes(s.batch, known.threads));
        header.first_epoch = known.first_epoch;
        header.steps_per_epoch = known.steps_per_epoch;
        std::erase_if(epochs, [&](const program::epoch_line& line) { return line.epoch >= known.first_epoch; });
        if (std::ssize(epochs) != known.first_epoch)
            std::fprintf(stderr, "%s has %zu of the %d epochs before; curves and seconds lack the others\n",
                         s.log().c_str(), epochs.size(), known.first_epoch);
        if (s.run.empty()) return;
        make_folder(s); // not before the network is made, so that what it refuses leaves nothing behind
        log.emplace(s.log());
        log->write(header);
    };
    listener.on_epoch = [&](const program::epoch_line& line) {
        epochs.push_back(line);
        if (log) log->write(line);
    };
    listener.on_steps = [&](const program::steps_line& line) {
        if (log) log->write(line);
    };
    program::outcome o = [&] {
        try {
            if (!s.quiet) e.summarize(s, stderr);
            return e.train(s, data, listener);
        } catch (const std::bad_alloc&) {
            fqt::fail("there is not memory enough for batches of %d images; choose a smaller --batch", s.batch);
        }
    }();
    for (const program::epoch_line& line : epochs) o.result.seconds += line.seconds;
    std::printf("%s %s, rectifier %s: %.2f %% of %d %s images\n", s.network.c_str(), s.scheme.c_str(),
                s.rectifier.c_str(), 100 * o.result.accuracy, data.test.size(), s.held_out > 0 ? "held-out" : "test");
    if (!epochs.empty()) warn_of_guessing(e, s, data, epochs.back().train.loss, o.result.loss);
    if (log) log->write(o.result);
    if (results_to) {
        const auto line = program::line_of(s, header, o, epochs, results);
        const bool trained = !o.history.epochs.empty();
        if (trained || !results_to->has(line)) results_to->append(line);
        else std::fprintf(stderr, "%s has the line of this finished run already\n", results.file.c_str());
    }
    if (log) {
        program::write_report(program::read_log(s.log()), s.report());
        std::printf("log, checkpoint and report: %s\n", s.run.c_str());
    }
}

void report(const std::string& run, const std::string& output) {
    const bool is_folder = std::filesystem::is_directory(run);
    const std::string log = is_folder ? run + "/log.jsonl" : run;
    const std::string to = !output.empty() ? output : is_folder ? run + "/report.html" : run + ".html";
    program::write_report(program::read_log(log), to);
    std::printf("%s\n", to.c_str());
}

/// What an option's word must be one of.
CLI::Validator one_of(std::vector<std::string> words) {
    return {[words](std::string& word) -> std::string {
                if (std::ranges::count(words, word) > 0) return {};
                return "there is no '" + word + "'; the nearest are " + program::nearest(word, words);
            },
            "NAME"};
}
/// A number's bounds, in words that a reader understands.
CLI::Validator from(double least, double most = 1e9) {
    return {[least, most](std::string& text) -> std::string {
                char* end = nullptr;
                const double value = std::strtod(text.c_str(), &end);
                const bool is_zero_as_float = value != 0 && static_cast<float>(value) == 0;
                if (!text.empty() && *end == 0 && value >= least && value <= most && !is_zero_as_float) return {};
                char bounds[64];
                if (most < 1e9) std::snprintf(bounds, sizeof bounds, "%g to %g", least, most);
                else std::snprintf(bounds, sizeof bounds, "%g on", least);
                return "'" + text + "' is not a number from " + bounds;
            },
            "NUMBER"};
}
/// A whole number's bounds; to be given to transform(), since leading zeros, which CLI11 takes for octal, are removed.
template <class Number>
CLI::Validator whole(Number least, Number most = std::numeric_limits<Number>::max()) {
    return {[least, most](std::string& text) -> std::string {
                Number value{};
                const char* end = text.data() + text.size();
                const auto [stop, problem] = std::from_chars(text.data(), end, value);
                if (problem == std::errc{} && stop == end && value >= least && value <= most) {
                    text = std::to_string(value);
                    return {};
                }
                return "'" + text + "' is not a whole number from " + std::to_string(least) + " to "
                    + std::to_string(most);
            },
            "NUMBER"};
}
CLI::Validator not_empty() {
    return {[](std::string& text) { return std::string(text.empty() ? "an empty name is given; name a place" : ""); },
            "PATH"};
}

void add_options(CLI::App& app, settings& s) {
    app.add_option("--data", s.data,
                   "folder of CIFAR-10, CIFAR-100 or MNIST files, or with train and test that hold a folder of PNG or "
                   "JPEG files for each class; or fashion-mnist, generated, generated-grey")
        ->required();
    app.add_option("--network", s.network, "one of `fqt list`");
    app.add_option("--scheme", s.scheme, "one of `fqt list`");
    app.add_option("--optimizer", s.optimizer, "one of `fqt list`");
    app.add_option("--rectifier", s.rectifier, "loss on batch normalization; `fqt list` shows them")
        ->check(one_of(program::words_of(program::rectifiers())));
    app.add_option("--rectification", s.rectification, "weight of the rectifier, such as 1e-3")->check(from(0));
    app.add_option("--epochs", s.epochs, "at which the run ends")->transform(whole(1));
    app.add_option("--batch", s.batch, "images of a step")->transform(whole(1));
    app.add_option("--rate", s.rate,
                   "greatest learning rate; 0.02 unless given where the network has no batch normalization")
        ->check(from(0));
    app.add_option("--schedule", s.schedule, "one-cycle, cosine, step (to a tenth after each third) or constant")
        ->check(one_of(program::words_of(program::schedules())));
    app.add_option("--momentum", s.momentum)->check(from(0, 0.999));
    app.add_flag("--nesterov", s.nesterov, "look ahead by the momentum");
    app.add_option("--decay", s.decay, "of weights")->check(from(0));
    app.add_option("--decay-gamma", s.decay_gamma, "of the scales of batch normalization")->check(from(0));
    app.add_option("--label-smoothing", s.label_smoothing)->check(from(0, 0.999));
    app.add_option("--mixup", s.mixup, "alpha of mixed pairs of training images, such as 0.2; 0: none")
        ->check(from(0, 4));
    app.add_option("--pad", s.pad, "random crops of pictures padded by so many pixels; -1: 4 for colour, 0 for grey")
        ->transform(whole(-1));
    CLI::Option* flip = app.add_flag("--flip", s.flip, "mirror half of the images; colour images: always");
    app.add_flag("--no-flip", s.no_flip, "mirror none")->excludes(flip);
    app.add_option("--cutout", s.cutout, "side of a square that is hidden in each training image, such as 16")
        ->transform(whole(0));
    app.add_option("--initialise", s.initialise, "he-uniform, he-normal, he-fan-out or glorot-uniform")
        ->check(one_of(program::words_of(program::weight_laws())));
    app.add_option("--last-gamma", s.last_gamma, "gamma of each residual block's end at first; 0: identities")
        ->check(from(0, 1000));
    app.add_flag("--scale-pictures", s.scale_pictures, "scale the middle of PNG and JPEG files to the network's input");
    app.add_option("--held-out", s.held_out, "test on so many training images, kept out of training")
        ->transform(whole(0));
    app.add_option("--train-images", s.train_images, "train on the first so many; 0: all")->transform(whole(0));
    app.add_option("--seed", s.seed)->transform(whole(std::uint64_t{0}));
    app.add_option("--threads", s.threads, "0: all; the bits are the same")->transform(whole(0, 1024));
    CLI::Option* run = app.add_option("--run", s.run, "folder for the log, a checkpoint of each epoch, and a report")
                           ->check(not_empty());
    app.add_flag("--resume", s.resume, "go on with the run in that folder")->needs(run);
    app.add_flag("--quiet", s.quiet, "no summary and no progress bar");
}

/// What contradicts itself.
void check_options(const program::entry& e, const settings& s, const CLI::App& given) {
    if (s.rectifier == "none" && s.rectification > 0)
        fqt::fail("--rectification %g is given without a --rectifier; name one, or leave the weight out",
                  double{s.rectification});
    if (s.rectifier != "none" && s.rectification == 0)
        fqt::fail("--rectifier %s is given without its weight; add --rectification, such as 1e-3", s.rectifier.c_str());
    if (s.rectifier != "none" && !e.has_normalization)
        fqt::fail("%s has no batch normalization to rectify; leave --rectifier out, or choose a network that has one",
                  e.network);
    if (s.nesterov && s.momentum == 0)
        fqt::fail("--nesterov looks ahead by the momentum, and --momentum is 0; leave one of them out");
    if (given.count("--label") > 0 && given.count("--results") == 0)
        fqt::fail("--label is given without --results, whose line it is of; add the file, or leave the label out");
    if (e.own_rates)
        for (const char* option : {"--rate", "--schedule", "--momentum", "--nesterov", "--decay", "--decay-gamma"})
            if (given.count(option) > 0)
                fqt::fail("%s is given, and the optimizer '%s' has rates of its own and no such thing; leave it out",
                          option, s.optimizer.c_str());
}

/// The words without places of this machine, for files that others read: DIR, RUN and FILE, and no --resume.
std::vector<std::string> without_places(std::vector<std::string> words) {
    std::erase(words, "--resume");
    const std::pair<std::string, std::string> places[] = {{"--data", "DIR"}, {"--run", "RUN"}, {"--results", "FILE"}};
    const auto is_place = [](const std::string& word) { return std::ranges::count(program::data_words, word) == 0; };
    for (std::size_t i = 0; i < words.size(); ++i)
        for (const auto& [option, name] : places) {
            const std::string with_value = option + "=";
            if (words[i].starts_with(with_value)) {
                if (is_place(words[i].substr(with_value.size()))) words[i] = with_value + name;
            } else if (i > 0 && words[i - 1] == option && is_place(words[i])) {
                words[i] = name;
            }
        }
    return words;
}

/// A command line that a shell reads as these words.
std::string command_of(const std::vector<std::string>& words) {
    constexpr const char* plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./=+:,@%";
    std::string command = "fqt";
    for (const std::string& word : words) {
        const bool needs_quotes = word.empty() || word.find_first_not_of(plain) != word.npos;
        command += needs_quotes ? " '" : " ";
        for (const char c : word) command += c == '\'' ? std::string("'\\''") : std::string(1, c);
        if (needs_quotes) command += '\'';
    }
    return command;
}

/// What a word that no option or subcommand takes was perhaps meant to be.
void print_nearest(const CLI::App& app) {
    const auto names_of = [](const auto& list) {
        std::vector<std::string> names;
        for (const auto* of : list) names.push_back(of->get_name());
        return names;
    };
    const auto print = [](const std::string& word, const std::vector<std::string>& known) {
        std::fprintf(stderr, "'%s' is not known; the nearest are %s\n", word.c_str(),
                     program::nearest(word, known).c_str());
    };
    const std::vector<std::string> words = app.remaining(true);
    if (app.get_subcommands().empty()) {
        if (!words.empty()) print(words.front(), names_of(app.get_subcommands({})));
        return;
    }
    for (const std::string& word : words) // others are values of options
        if (word.starts_with("-")) print(word, names_of(app.get_subcommands().front()->get_options()));
}

} // namespace

int main(int argc, char** argv) try {
    const std::vector<std::string> words(argv + std::min(1, argc), argv + argc);
    CLI::App app{"Trains convolutional networks in integers: weights, activations and gradients."};
    app.require_subcommand(1);
    app.option_defaults()->always_capture_default();
    app.add_subcommand("list", "shows the networks, schemes, optimizers and rectifiers of this program")
        ->callback(list);

    settings s;
    program::results_options results;
    CLI::App* training = app.add_subcommand("train", "trains a network and tests it");
    add_options(*training, s);
    training
        ->add_option("--results", results.file, "file that gets one line of JSON at the end, for studies of many runs")
        ->check(not_empty());
    training->add_option("--label", results.label, "of that line");
    training->callback([&] {
        const program::entry& e = program::find(s.network, s.scheme, s.optimizer);
        check_options(e, s, *training);
        if (training->count("--rate") == 0 && !e.own_rates && !e.has_normalization)
            s.rate = program::rate_without_normalization;
        results.command = command_of(without_places(words));
        train(e, s, results, command_of(words));
    });

    std::string run, output;
    CLI::App* reporting = app.add_subcommand("report", "makes the page of a run from its log");
    reporting->add_option("run", run, "folder of a run, or its log")->required();
    reporting->add_option("-o,--output", output, "file; report.html in the folder unless given");
    reporting->callback([&] { report(run, output); });

    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& e) {
        if (words.empty()) { // CLI11 would say that a subcommand is required, and not which there are
            std::fputs(app.help().c_str(), stderr);
            return e.get_exit_code();
        }
        const int code = app.exit(e);
        if (code != 0) print_nearest(app);
        return code;
    }
    errno = 0;
    if (std::fflush(stdout) != 0 || std::ferror(stdout))
        fqt::fail("what is printed cannot be written (%s); free space, or print to another place",
                  std::strerror(errno));
    return 0;
} catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
}
