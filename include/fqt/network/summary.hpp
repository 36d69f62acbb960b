#pragma once
// SPDX-License-Identifier: BSD-3-Clause
// What a network is made of, as text: a row for every layer, totals, the memory it takes, and the format of every
// tensor that crosses a pass. The rows come from the layers themselves and the formats from the scheme's types, so what
// is printed cannot differ from what is computed.

#include <fqt/core/fail.hpp>
#include <fqt/layers/context.hpp>
#include <fqt/layers/layer.hpp>
#include <fqt/quant/scheme.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace fqt {

namespace detail {

inline constexpr std::size_t summary_width = 140;

/// `text` in lines of at most `width` characters, broken after a comma or semicolon where that wastes little.
inline std::vector<std::string> wrapped(std::string_view text, std::size_t width) {
    std::vector<std::string> result;
    while (text.size() > width) {
        const std::string_view line = text.substr(0, width + 1);
        std::size_t cut = width;
        if (const std::size_t space = line.rfind(' '); space != line.npos && space > 0) cut = space;
        for (std::size_t i = cut; 2 * i > width; --i)
            if (line[i] == ' ' && (line[i - 1] == ',' || line[i - 1] == ';')) {
                cut = i;
                break;
            }
        result.emplace_back(text.substr(0, cut));
        text.remove_prefix(text[cut] == ' ' ? cut + 1 : cut);
    }
    result.emplace_back(text);
    return result;
}

/// Rows of cells in aligned columns; the last column takes the room that the others leave, in several lines.
class text_table {
public:
    static constexpr std::size_t columns = 7, gap = 2;
    using row = std::array<std::string, columns>;

    /// Which columns hold numbers, flush right, and how wide each may become; a longer cell gets a line of its own.
    text_table(std::array<bool, columns> right, std::array<std::size_t, columns> most) : right_(right), most_(most) {}
    void add(row cells) { rows_.push_back(std::move(cells)); }

    void print(std::string& to, std::string_view indent) const {
        std::array<std::size_t, columns> width{};
        std::size_t used = indent.size();
        for (std::size_t c = 0; c + 1 < columns; ++c) {
            for (const row& r : rows_) width[c] = std::max(width[c], std::min(r[c].size(), most_[c]));
            if (width[c] > 0) used += width[c] + gap;
        }
        for (const row& r : rows_) print(to, r, width, indent, used);
    }

private:
    void print(std::string& to, const row& cells, const std::array<std::size_t, columns>& width,
               std::string_view indent, std::size_t used) const {
        std::string line(indent);
        for (std::size_t c = 0; c + 1 < columns; ++c) {
            if (width[c] == 0) continue;
            const std::size_t size = cells[c].size(), blanks = size < width[c] ? width[c] - size : 0;
            const std::size_t begin = line.size();
            if (right_[c]) line.append(blanks, ' ');
            line += cells[c];
            if (!right_[c]) line.append(blanks, ' ');
            if (size > width[c]) line += "\n" + std::string(begin + width[c], ' ');
            line.append(gap, ' ');
        }
        for (const std::string& part : wrapped(cells[columns - 1], summary_width - used)) {
            line += part;
            line.erase(line.find_last_not_of(' ') + 1);
            to += line + "\n";
            line.assign(used, ' ');
        }
    }

    std::array<bool, columns> right_;
    std::array<std::size_t, columns> most_;
    std::vector<row> rows_;
};

/// What a quantizer's grid spans, for each of its granularities.
template <class Q>
std::string range_rule_of() {
    using range = typename quantizer_traits<Q>::range;
    if constexpr (is_real<Q>) {
        return "none needed";
    } else {
        std::string rule = "range by a rule of your own";
        if constexpr (std::same_as<range, full_range>) rule = "largest magnitude";
        else if constexpr (requires { range::name; }) rule = range::name;
        if constexpr (is_blocked<Q>)
            return rule + (is_tiled<Q> ? " of each tile of " : " of each block of ") + std::to_string(block_size_of<Q>);
        else if constexpr (has_granularity<Q, per_householder>) return rule + " of each sample, reflected in groups";
        else if constexpr (has_granularity<Q, per_sample>) return rule + " of each sample";
        else if constexpr (has_granularity<Q, per_channel>) return rule + " of each output channel";
        else return rule + " of the tensor";
    }
}

template <class Q>
std::string type_of() {
    if constexpr (is_real<Q>) return "fp32";
    else return std::to_string(bits_of<Q>) + "-bit codes" + (is_linear<Q> ? "" : ", own grid");
}

template <class Q>
const char* rounding_of() {
    return is_real<Q> ? "nearest even" : quantizer_traits<Q>::rounding_name;
}

/// Whether activations by Q cover what there is.
template <class Q>
inline constexpr bool has_plain_range = std::same_as<typename quantizer_traits<Q>::range, full_range> && !is_blocked<Q>;

/// One row for what a quantizer stores, and one for the network's first and last product where they differ.
template <class Q, class Edge>
void add_format(text_table& table, const char* tensor, const char* range = nullptr) {
    table.add({tensor, type_of<Q>(), range && !is_real<Q> ? range : range_rule_of<Q>(), rounding_of<Q>(), {}, {}, {}});
    if constexpr (!std::same_as<Q, Edge>)
        table.add({"  first and last product",
                   type_of<Edge>(),
                   range && !is_real<Edge> ? range : range_rule_of<Edge>(),
                   rounding_of<Edge>(),
                   {},
                   {},
                   {}});
}

/// The formats of a scheme: nothing that one pass leaves for another is missing here.
template <class Scheme>
void print_legend(std::string& to) {
    using edge = typename edge_scheme<Scheme>::type;
    using weight = typename Scheme::weight_quantizer;
    using activation = typename Scheme::activation_quantizer;
    using sums = typename Scheme::sums_type;
    constexpr bool integer = is_linear<weight> && is_linear<activation>,
                   halves = integer && std::same_as<sums, binary16>;
    text_table table({}, {24, 22, 60, 16, 0, 0, 0});
    table.add({"tensor", "type", "range", "rounding", {}, {}, {}});
    add_format<weight, typename edge::weight_quantizer>(table, "weights");
    add_format<activation, typename edge::activation_quantizer>(
        table, "activations",
        has_plain_range<activation> ? "bound known before the pass, or measured; unsigned if >= 0" : nullptr);
    table.add({"sums",
               integer ? name_of_type<sums>() : "fp32",
               halves ? "none needed: the int32 sum times a power of two fits" : "none needed",
               "nearest even",
               {},
               {},
               {}});
    table.add({"gradient between layers",
               name_of_type<typename Scheme::gradient_type>(),
               "none needed",
               "nearest even",
               {},
               {},
               {}});
    add_format<typename Scheme::input_gradient_quantizer, typename edge::input_gradient_quantizer>(table, "h into dX");
    add_format<typename Scheme::weight_gradient_quantizer, typename edge::weight_gradient_quantizer>(table,
                                                                                                     "h into dW");
    table.add({"residual sum",
               name_of_type<typename Scheme::residual_type>(),
               "none needed; stored only where no product reads it as codes",
               "nearest even",
               {},
               {},
               {}});
    table.add({"running statistics", "fp32", "none needed", "nearest even", {}, {}, {}});
    table.add({"parameters, gradients",
               "fp32",
               "none needed; an optimizer may hold parameters to fewer bits",
               "nearest even",
               {},
               {},
               {}});
    to += "No hidden precision. Every tensor that crosses a pass (a part under with<scheme> says its own above):\n";
    table.print(to, "  ");
    to += "h is the gradient by a product's sums. In evaluation sums stay exact, and batch statistics are the running "
          "ones.\n";
}

inline void print_memory(std::string& to, const memory_plan& plan, int batch, int threads) {
    const auto line = [&](const char* name, std::size_t bytes, const std::string& what) {
        char text[192];
        std::snprintf(text, sizeof text, "  %-10s %14zu  %s\n", name, bytes, what.c_str());
        to += text;
    };
    const auto team = static_cast<std::size_t>(threads);
    to += "Memory for batches of " + std::to_string(batch) + " on " + std::to_string(threads)
        + (threads == 1 ? " thread, bytes:\n" : " threads, bytes:\n");
    line("persistent", plan.persistent, "parameters, their gradients, codes of weights, statistics");
    line("saved", plan.saved, "kept from the forward to the backward pass");
    line("sums", plan.sums, "of products, likewise");
    line("gradients", plan.between_layers() - plan.sums,
         "between layers, beside those that lie where sums were; evaluation has its sums in place of all these");
    line("shared", plan.shared, "during one layer's call");
    line("scratch", plan.scratch * team, std::to_string(plan.scratch) + " a thread");
    line("arena", plan.bytes(threads),
         "all of it: arena_bytes(" + std::to_string(batch) + ", " + std::to_string(threads) + ")");
}

} // namespace detail

/// What summary() prints, as text in lines of at most 140 characters.
template <class Network>
std::string summary_text(Network& network) {
    detail::text_table table({false, false, false, true, true, true, false}, {28, 16, 32, 12, 14, 12, 0});
    table.add({"layer", "kind", "in -> out", "parameters", "MACs", "saved bytes", "formats"});
    std::int64_t parameters = 0, forward = 0, backward = 0;
    std::size_t saved = 0;
    network.describe([&](const description& d) {
        parameters += d.parameters;
        forward += d.macs;
        backward += d.backward_macs;
        saved += d.saved_bytes;
        table.add({d.name.c_str(), d.kind, detail::text_of(d.in) + " -> " + detail::text_of(d.out),
                   std::to_string(d.parameters), std::to_string(d.macs), std::to_string(d.saved_bytes), d.formats});
    });

    std::string text;
    table.print(text, "");
    text += "\nParameters: " + std::to_string(parameters) + "\n";
    text += "Multiply-adds a sample: forward " + std::to_string(forward) + ", whole step "
        + std::to_string(forward + backward) + "\n";
    text +=
        "Saved bytes a sample: " + std::to_string(saved) + "; instruction set: " + Network::arch_type::name + "\n\n";
    detail::print_memory(text, network.plan(), network.batch(), network.threads());
    text += "\n";
    detail::print_legend<typename Network::scheme_type>(text);
    return text;
}

/// Prints a table of every layer - name, kind, shapes (channels x rows x columns), parameters, multiply-adds and bytes
/// kept for the backward pass, both a sample, formats - then totals, the memory planned for the network's batch, and
/// the type, range rule and rounding of every tensor that crosses a pass. Errors: a file that cannot be written.
template <class Network>
void summary(Network& network, std::FILE* to = stdout) {
    const std::string text = summary_text(network);
    if (std::fputs(text.c_str(), to) < 0 || std::fflush(to) != 0)
        fail("the summary of a network cannot be written; free space on the disk, or choose another file");
}

} // namespace fqt
