// SPDX-License-Identifier: BSD-3-Clause
// Writes random numbers for dieharder to standard output, as bytes, until nobody reads them any more (dieharder.py).
// All come from seed 0, 16 bits at a time, in the order that the layout names:
//   positions   element by element through a tensor of 64 channels and 32 x 32 positions, sample by sample
//   samples     one element, sample by sample
//   steps       one element, step by step
//   tensors     one element, stream by stream
//   seeds       one element, seed by seed
//   constant    always the same: to see that a bad generator is noticed
#include <fqt/core/random.hpp>

#include <cstdint>
#include <cstdio>
#include <string_view>
#include <vector>

int main(int count, char** arguments) {
    constexpr int positions = 32 * 32, elements = 64 * positions;
    const std::string_view layout = count == 2 ? arguments[1] : "";
    const auto draw = [layout](std::uint64_t i) -> std::uint32_t {
        const auto low = static_cast<std::uint32_t>(i);
        if (layout == "positions") {
            const int element = static_cast<int>(i % elements);
            return fqt::random_stream{0, 0, 0}.bits16(static_cast<std::uint32_t>(i / elements), element / positions,
                                                      element % positions, positions);
        }
        if (layout == "samples") return fqt::random_stream{0, 0, 0}.bits16(low, 0, 0, positions);
        if (layout == "steps") return fqt::random_stream{0, low, 0}.bits16(0, 0, 0, positions);
        if (layout == "tensors") return fqt::random_stream{0, 0, low}.bits16(0, 0, 0, positions);
        if (layout == "seeds") return fqt::random_stream{i, 0, 0}.bits16(0, 0, 0, positions);
        return fqt::random_stream{0, 0, 0}.bits16(0, 0, 0, positions);
    };
    std::vector<std::uint16_t> numbers(1 << 15);
    for (std::uint64_t first = 0;; first += numbers.size()) {
        for (std::size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<std::uint16_t>(draw(first + i));
        if (std::fwrite(numbers.data(), sizeof numbers[0], numbers.size(), stdout) != numbers.size()) return 0;
    }
}
