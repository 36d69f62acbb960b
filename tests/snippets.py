#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Compiles every ```cpp block of README.md and docs/**/*.md, so that no page shows code that does not work.

    ```cpp              a program, declarations, or statements, which become the body of a function; <fqt/fqt.hpp> and
                        `using namespace fqt::layers` need not be said
    ```cpp continued    goes on where the page's last block ended, and sees its declarations
    ```cpp no-compile   shows a mistake: this block must fail to compile

Blocks are compiled together, each in a namespace of its own, since most of the time goes into headers.

Usage: snippets.py [--without <header>]... <root of the repository> -- <compiler and its arguments>
"""
import argparse
import concurrent.futures
import dataclasses
import os
import pathlib
import re
import subprocess
import sys

TOGETHER = 12  # blocks in one compilation
FENCE = re.compile(r"^( *)```(.*)$")
INCLUDE = re.compile(r"^\s*#\s*include\b.*$", re.MULTILINE)
# A line at the left margin that no function body has, and lines that a function body and a namespace may both have.
DECLARATION = re.compile(r"(template|namespace|inline|concept|#include)\b|(struct|class|enum)\b.*\{"
                         r"|[\w:<>&*, ]+ \w+\(.*\{$")
EITHER = re.compile(r"(constexpr|using|static_assert)\b")
FLOW = re.compile(r"(for|if|while|switch|else|do)\b")
KINDS = {"": "alone", "continued": "continued", "no-compile": "no-compile"}


@dataclasses.dataclass
class Block:
    page: str
    line: int
    kind: str
    text: str

    def declares(self):
        """Does the block belong to a namespace? If not, it is statements of a function."""
        heads = [line for line in self.text.splitlines() if re.match(r"[\w#\[:]", line) and not FLOW.match(line)]
        return any(map(DECLARATION.match, heads)) or all(map(EITHER.match, heads))

    def code(self):
        """The block without its includes, and a note for the compiler where it stands."""
        return f'#line {self.line} "{self.page}"\n' + INCLUDE.sub("", self.text)


def blocks_of(path, page):
    block, margin = None, ""
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = FENCE.match(line)
        if block is not None and fence:
            yield block
            block = None
        elif block is not None:
            block.text += line.removeprefix(margin) + "\n"
        elif fence and fence[2].split(" ")[0] == "cpp":
            margin, word = fence[1], fence[2][len("cpp"):].strip()
            if word not in KINDS:
                sys.exit(f"{page}:{number}: a block marked '{word}'; known: {', '.join(filter(None, KINDS))}")
            block = Block(page, number + 1, KINDS[word], "")
        elif fence:
            block = Block(page, number + 1, "other", "")  # another language; read to its end


def groups_of(root, without):
    """Lists of blocks that belong together."""
    for path in [root / "README.md", *sorted((root / "docs").rglob("*.md"))]:
        page, groups = str(path.relative_to(root)), []
        for block in blocks_of(path, page):
            if block.kind == "other" or any(header in block.text for header in without):
                continue
            if block.kind == "continued" and not groups:
                sys.exit(f"{page}:{block.line}: nothing to continue")
            if block.kind == "continued":
                groups[-1].append(block)
            else:
                groups.append([block])
        yield from groups


def unit(groups):
    """One translation unit: includes first, then a namespace for each group, its statements in one function."""
    text = "".join(block.text for group in groups for block in group)
    yield "#include <fqt/fqt.hpp>"
    yield from dict.fromkeys(line.strip() for line in INCLUDE.findall(text))
    yield "namespace fqt::layers {}"
    for number, group in enumerate(groups):
        yield f"namespace snippet_{number} {{\nusing namespace fqt::layers;"
        yield from (block.code() for block in group if block.declares())
        yield "[[maybe_unused]] void statements() {"
        yield from (block.code() for block in group if not block.declares())
        yield "}\n}"


def compile_groups(command, groups):
    text = "\n".join(unit(groups)) + "\n"
    return subprocess.run([*command, "-fsyntax-only", "-x", "c++", "-"], input=text, capture_output=True, text=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", action="append", default=[])
    parser.add_argument("root", type=pathlib.Path)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()

    groups = list(groups_of(options.root, options.without))
    wrong = [block for group in groups for block in group if block.kind == "no-compile"]
    right = [[block for block in group if block.kind != "no-compile"] for group in groups]
    right = [group for group in right if group]
    batches = [right[i:i + TOGETHER] for i in range(0, len(right), TOGETHER)]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        compiled = list(pool.map(lambda batch: compile_groups(options.command, batch),
                                 [*batches, *([[block]] for block in wrong)]))

    errors = [done.stderr for done in compiled[:len(batches)] if done.returncode]
    errors += [f"{block.page}:{block.line}: marked no-compile, but compiles"
               for block, done in zip(wrong, compiled[len(batches):]) if not done.returncode]
    print("\n".join(errors) or f"{sum(map(len, right))} blocks compile, {len(wrong)} fail to, as they should")
    return 1 if errors else 0


if __name__ == "__main__":
    sys.exit(main())
