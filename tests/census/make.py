"""Writes the cases of the census: one for each position of the SDKs' types at which a string may stand.

    make.py           writes tests/census/cases/
    make.py --check   says what there is to class and what would change, and fails if there is any
"""

import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True

from classes import Classes  # noqa: E402
from surfaces import surfaces  # noqa: E402
from walk import CANARY, CANARY_BYTES  # noqa: E402

HERE = Path(__file__).parent


def main():
    classes = Classes.read(HERE / "classes.toml")
    files, frames = {}, {}
    for surface in surfaces():
        lines = [line(case) for case in cases(surface, classes)]
        files[f"{surface.name}.jsonl"] = "".join(lines)
        frames |= {f"{surface.name}.{name}": frame for name, frame in surface.frames.items()}
    files["frames.json"] = "{\n" + ",\n".join(f" {dump(name)}: {dump(frame)}" for name, frame in frames.items()) + "\n}\n"
    problems = classes.problems()
    folder = HERE / "cases"
    if "--check" in sys.argv:
        kept = {path.name: path.read_text() for path in folder.iterdir()}
        problems += [f"{name}: {difference(kept.get(name, ''), text)}" for name, text in files.items() if kept.get(name) != text]
        problems += [f"{name}: no surface has this name" for name in kept.keys() - files.keys()]
    else:
        folder.mkdir(exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text)
    print(f"{sum(text.count(chr(10)) for name, text in files.items() if name != 'frames.json')} positions")
    if problems:
        sys.exit("\n".join(problems))


def cases(surface, classes):
    seen = set()
    for kind in surface.types:
        for position in surface.walk.positions(kind):
            same = surface.unversioned(position.at)
            if same in seen:
                continue
            seen.add(same)
            case = {"at": position.at} | classes.of(surface.name, position)
            if position.twin != "a":
                case["twin"] = position.twin
            value = surface.wrap(placed(position.value))
            if surface.frame:
                frame = surface.frame(json.loads(dump(value).replace(CANARY, position.twin)))
                case |= {"frame": f"{surface.name}.{frame}", "event": value}
            else:
                case["body"] = value
            yield case


def placed(value):
    """With the canary's mark in bytes, too."""
    return CANARY if value is CANARY_BYTES else (
        [placed(element) for element in value] if isinstance(value, list) else
        {key: placed(member) for key, member in value.items()} if isinstance(value, dict) else value
    )  # fmt: skip


def line(case):
    return dump(case) + "\n"


def dump(value):
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def difference(old, new):
    """What an upgrade of an SDK, say, has changed."""
    at = lambda text: {json.loads(line)["at"] for line in text.splitlines()} if text.startswith('{"at"') else set()
    added, gone = sorted(at(new) - at(old)), sorted(at(old) - at(new))
    told = [f"new: {name}" for name in added[:20]] + [f"gone: {name}" for name in gone[:20]]
    return f"{len(added)} new, {len(gone)} gone; run make.py\n  " + "\n  ".join(told)


main()
