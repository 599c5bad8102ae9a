"""Measures the engine and its peers in turn, in one run; prints a table of ratios, then everything as JSON.

Every contestant is a process of its own, for two of them do not fit into memory together. The rounds interleave them,
so that a machine that drifts drifts for all.
"""

import argparse
import datetime
import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from pathlib import Path

from places import program, scratch
from shapes import SHAPES
from table import OURS, summary, table

HERE = Path(__file__).resolve().parent
VENV = scratch() / "venv" / "bin" / "python"
PEERS = {
    "llama.cpp-bf16": ["llama_cpp_peer.py", "--dense", "bf16"],
    "llama.cpp-q8_0": ["llama_cpp_peer.py", "--dense", "q8_0"],
    "transformers": ["transformers_peer.py"],
    "transformers-fp32": ["transformers_peer.py", "--dtype", "float32"],
}
FLAGS = "avx2 avx512f avx512_vnni avx512_bf16 amx_int8 amx_bf16 asimd asimddp i8mm bf16".split()


def main() -> None:
    chosen = arguments()
    if importlib.util.find_spec("gguf") is None:
        sys.exit(f"error: the peers are not installed for {sys.executable}: run {HERE / 'setup.sh'}, then use {VENV}")
    prepare(chosen)
    conditions = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="minutes"),
        "machine": machine(),
        "threads": chosen.threads,
        "shape": chosen.shape,
        "rounds": chosen.rounds,
        "runs": chosen.runs,
        "command": shlex.join(["compare.py", *sys.argv[1:]]),
    }
    commands = {OURS: engine_command(chosen)} if chosen.engine else {}
    commands |= {name: peer_command(name, chosen) for name in chosen.peers}
    results: dict[str, list[dict]] = {name: [] for name in commands}
    for number in range(chosen.rounds):
        for name, command in commands.items():
            print(f"round {number + 1} of {chosen.rounds}: {name}", file=sys.stderr)
            results[name].append(run(command))
            print(f"  {summary(results[name][-1])}", file=sys.stderr)
    written = json.dumps({**conditions, "results": results})
    print(table(results, conditions), written, sep="\n\n")
    if chosen.out:
        chosen.out.write_text(written + "\n")


def arguments() -> argparse.Namespace:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = options.add_argument
    add("--shape", choices=SHAPES, default="20b")
    add("--peers", type=names, default=list(PEERS)[:3], metavar="NAME,NAME", help=f"some of {', '.join(PEERS)}")
    add("--rounds", type=int, default=3)
    add("--runs", type=int, default=2, help="measured runs of each peer in each round (default: %(default)s)")
    add("--threads", type=int, default=os.cpu_count(), help="of each (default: %(default)s)")
    add("--engine", type=Path, default=program(), help="the program (default: %(default)s)")
    add("--engine-options", type=shlex.split, default=[], help="more options for its `bench engine`")
    add("--no-engine", dest="engine", action="store_const", const=None, help="the peers alone")
    add("--dir", type=Path, default=scratch(), help="for the weights (PEERS_DIR; default: %(default)s)")
    add("--out", type=Path, help="where to write the JSON as well")
    chosen = options.parse_args()
    if chosen.engine and not chosen.engine.exists():
        options.error(f"{chosen.engine} is not there: build it with `cargo build --release`, or say --no-engine")
    return chosen


def names(text: str) -> list[str]:
    wanted = text.split(",")
    if unknown := [name for name in wanted if name not in PEERS]:
        raise argparse.ArgumentTypeError(f"unknown {', '.join(unknown)}; the peers are {', '.join(PEERS)}")
    return wanted


def prepare(chosen: argparse.Namespace) -> None:
    """Writes the weights that are missing: writing disturbs, and a full disk should be found out first, not last."""
    for script, *options in (PEERS[name] for name in chosen.peers):
        if script == "llama_cpp_peer.py":
            where = ["--shape", chosen.shape, "--dir", str(chosen.dir)]
            command = [sys.executable, str(HERE / "make_gguf.py"), *where, *options]
            if subprocess.run(command, stdout=subprocess.DEVNULL).returncode != 0:
                sys.exit(1)


def peer_command(name: str, chosen: argparse.Namespace) -> list[str]:
    script, *options = PEERS[name]
    if script == "llama_cpp_peer.py":
        options += ["--dir", str(chosen.dir)]
    common = ["--shape", chosen.shape, "--threads", str(chosen.threads), "--runs", str(chosen.runs)]
    return [sys.executable, str(HERE / script), *common, *options]


def engine_command(chosen: argparse.Namespace) -> list[str]:
    fixed = ["bench", "engine", "--shape", chosen.shape, "--random", "--json", "--concurrency", "0"]
    return [str(chosen.engine), *fixed, "--threads", str(chosen.threads), *chosen.engine_options]


def run(command: list[str]) -> dict:
    """What the command prints, as its one JSON object, and how busy others were meanwhile. Its remarks go through."""
    start, others = time.monotonic(), cpu_seconds_of_others()
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    others = (cpu_seconds_of_others() - others) / (time.monotonic() - start)
    if done.returncode != 0:
        sys.exit(f"error: {shlex.join(command)} ended with {done.returncode}\n{done.stdout}")
    try:
        return {**json.loads(done.stdout[done.stdout.index("{") :]), "cores_of_others": round(max(others, 0), 2)}
    except ValueError:
        sys.exit(f"error: {shlex.join(command)} printed something else than one JSON object\n{done.stdout}")


def cpu_seconds_of_others() -> float:
    """Processor time since the machine started that neither this process nor its children took; 0 where not known."""
    if sys.platform != "linux":
        return 0.0
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    mine = os.times()
    everyone = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return everyone - mine.user - mine.system - mine.children_user - mine.children_system


def machine() -> str:
    """The processor, its cores, its vector extensions, the memory."""
    model, flags = platform.processor() or platform.machine(), set()
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                model = value.strip()
            elif key.strip() in ("flags", "Features"):
                flags = set(value.split())
    extensions = " ".join(flag for flag in FLAGS if flag in flags)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, {extensions}"


if __name__ == "__main__":
    main()
