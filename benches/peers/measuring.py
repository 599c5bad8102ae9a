"""What every peer measures, and how it reports: tokens a second of prefill and of decode, as one JSON object.

A peer is a class with `prefill(tokens)`, from an empty cache, and `decode(token)`, one step after what came before.
All get the same random token ids.
"""

import json
import os
import random
import resource
import statistics
import sys
import time
from dataclasses import dataclass
from typing import Callable

VOCAB = 199_998
"""Ordinary tokens only."""
DECODE_PROMPT = 64


@dataclass(frozen=True)
class Settings:
    threads: int
    runs: int
    prefills: list[int]
    decode_tokens: int


def settings_from(options):
    """Adds what every peer understands to `options` (argparse), and reads it."""
    options.add_argument("--threads", type=int, default=os.cpu_count())
    options.add_argument("--runs", type=int, default=3, help="measured runs of each kind, after one that warms up")
    options.add_argument("--prefills", type=lambda text: [int(n) for n in text.split(",")], default=[64, 512])
    options.add_argument("--decode-tokens", type=int, default=32)
    chosen = options.parse_args()
    return chosen, Settings(chosen.threads, chosen.runs, chosen.prefills, chosen.decode_tokens)


def ids(count: int, seed: int = 7) -> list[int]:
    return random.Random(seed).choices(range(VOCAB), k=count)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def warm_up(peer, settings: Settings) -> None:
    peer.prefill(ids(max(settings.prefills)))
    peer.decode(ids(1)[0])


def one_run(peer, settings: Settings, run: int) -> dict[str, float]:
    """Seconds by what was run: `prefill N`, and `decode` for a token. All kinds once, so drift hits them alike."""
    taken = {}
    for length in settings.prefills:
        prompt = ids(length, seed=run)
        taken[f"prefill {length}"] = seconds(lambda: peer.prefill(prompt))
    peer.prefill(ids(DECODE_PROMPT, seed=run))
    steps = ids(settings.decode_tokens, seed=1000 + run)
    taken["decode"] = seconds(lambda: [peer.decode(token) for token in steps]) / len(steps)
    return taken


def report(peer_name: str, taken: list[dict[str, float]], settings: Settings, **more) -> None:
    """Prints the object: medians over what `one_run` took."""
    medians = {kind: statistics.median(run[kind] for run in taken) for kind in taken[0]}
    print(
        json.dumps(
            {
                "peer": peer_name,
                "threads": settings.threads,
                "runs": settings.runs,
                "prefill_tok_s": {str(n): round(n / medians[f"prefill {n}"], 3) for n in settings.prefills},
                "decode_tok_s": round(1 / medians["decode"], 3),
                "rss_bytes": rss_bytes(),
                **more,
            }
        )
    )


def rss_bytes() -> int:
    """Memory that this process holds, mapped files included; where that is not known, the most that it held."""
    if sys.platform == "linux":
        with open("/proc/self/statm") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
