#!/usr/bin/env python3
"""Writes json_goldens.txt: what Python, Node and Go read in each of json_cases.txt. Needs all three.

One line a case: its name, then what read_json.py says of it for each, after tabs.
"""

import pathlib
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
READERS = [[sys.executable, "read_json.py"], ["node", "read_json.js"], ["go", "run", "read_json.go"]]


def document(escaped):
    return re.sub(rb"\\(\\|x..)", lambda m: b"\\" if m[1] == b"\\" else bytes.fromhex(m[1][1:].decode()), escaped)


cases = [line.split(b"\t") for line in (HERE / "json_cases.txt").read_bytes().splitlines()]
lines = "".join(document(escaped).hex() + "\n" for _, escaped in cases)


def read(reader):
    return subprocess.run(reader, cwd=HERE, input=lines, capture_output=True, text=True, check=True).stdout.split("\n")


with (HERE / "json_goldens.txt").open("w") as goldens:
    for (name, _), *told in zip(cases, *map(read, READERS)):
        print(name.decode(), *told, sep="\t", file=goldens)
