#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Opens the report of a made-up run (long_report.cpp) in chromium: it must build the expected elements, draw something
everywhere, and have nothing to complain of. Also parses every SVG as XML.

Usage: browser.py <program>
"""
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
import zlib

SKIPPED = 77
EXPECTED = {"<h1>": 1, "<svg ": 8, "<figure>": 40, 'class="cell': 110, "<tr>": 1 + 11 + 1 + 15, "<script": 0}
WIDTH, HEIGHT = 800, 6000


def chromium(browser, folder, *arguments):
    return subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr",
         "--virtual-time-budget=2000", f"--user-data-dir={folder}/profile", *arguments,
         (folder / "report.html").as_uri()],
        capture_output=True, text=True, timeout=300)


def lines_of(png):
    """The lines of an 8-bit PNG, each as bytes. By the PNG specification: chunks, then filters."""
    data, at, packed = png.read_bytes(), 8, b""
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + size]
        if kind == b"IHDR":
            width, height, _, colours = struct.unpack(">IIBB", body[:10])
        elif kind == b"IDAT":
            packed += body
        at += size + 12
    step = {2: 3, 6: 4}[colours]
    raw, before = zlib.decompress(packed), bytes(width * step)
    for y in range(height):
        how, line = raw[y * (width * step + 1)], bytearray(raw[y * (width * step + 1) + 1:(y + 1) * (width * step + 1)])
        for i in range(len(line) if how else 0):
            a, b, c = line[i - step] if i >= step else 0, before[i], before[i - step] if i >= step else 0
            if how == 4:
                p = a + b - c
                guess = min((abs(p - a), 0, a), (abs(p - b), 1, b), (abs(p - c), 2, c))[2]
            else:
                guess = (a, b, (a + b) // 2)[how - 1]
            line[i] = line[i] + guess & 255
        before = bytes(line)
        yield before


def errors(browser, program, folder):
    subprocess.run([program, folder], check=True)
    page = (folder / "report.html").read_text()
    for svg in re.findall(r"<svg .*?</svg>", page, re.DOTALL):
        xml.etree.ElementTree.fromstring(svg)

    dom = chromium(browser, folder, "--dump-dom")
    for part, times in EXPECTED.items():
        if dom.stdout.count(part) != times:
            yield f"the browser has {part} {dom.stdout.count(part)} times, not {times}"
    shot = chromium(browser, folder, f"--screenshot={folder}/page.png", f"--window-size={WIDTH},{HEIGHT}")
    for line in (dom.stderr + shot.stderr).splitlines():
        if "CONSOLE" in line:
            yield line
    different = len(set(lines_of(folder / "page.png")))
    print(f"{different} of the picture's {HEIGHT} lines differ")
    if different < HEIGHT / 5:
        yield "the picture of the page is blank, or nearly"


def main(program):
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if not browser:
        print("skipped: chromium is missing (Debian: chromium)")
        return SKIPPED
    with tempfile.TemporaryDirectory() as folder:
        found = list(errors(browser, program, pathlib.Path(folder)))
    print("\n".join(found) or "the browser shows the report")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
