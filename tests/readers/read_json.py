"""Reads documents with Python's json: each line of stdin one in hex, each line of stdout what was read.

`-` for what is refused, else every key and string with its path, sorted: `[index]` and `{key in hex}`, `=` and the text in hex.
"""

import json
import sys


def spelled(text):
    return text.encode(errors="surrogatepass").hex()


def dump(value, path, out):
    if isinstance(value, str):
        out.append(f"{path}={spelled(value)}")
    elif isinstance(value, list):
        for index, element in enumerate(value):
            dump(element, f"{path}[{index}]", out)
    elif isinstance(value, dict):
        for key, member in value.items():
            out.append(f"{path}{{{spelled(key)}}}")
            dump(member, out[-1], out)


for line in sys.stdin:
    found = []
    try:
        dump(json.loads(bytes.fromhex(line)), "", found)
        print(";".join(sorted(found)))
    except (ValueError, RecursionError):
        print("-")
