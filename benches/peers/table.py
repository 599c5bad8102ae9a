"""The table: tokens a second of everyone, and how many times faster the engine is."""

from statistics import median

OURS = "portcullis"
BUSY = 0.05
"""Cores that others kept busy meanwhile, above which figures are called provisional."""

Results = dict[str, list[dict]]
"""What each contestant reported, round by round."""


def table(results: Results, conditions: dict) -> str:
    """Markdown. A cell is the median of the rounds (lowest-highest); a ratio is one of medians, ours over theirs."""
    columns = list(figures(next(iter(results.values()))[0]))
    rates = {name: by_column(rounds, columns) for name, rounds in results.items()}
    ours = rates.get(OURS)
    head = ["tok/s", *columns, "RSS", *([f"{OURS} is faster by"] if ours else [])]
    rows = []
    for name, theirs in rates.items():
        row = [title(name, results), *(cell(theirs[column]) for column in columns), resident(results[name])]
        if ours:
            row.append("" if name == OURS else ", ".join(ratio(ours[column], theirs[column]) for column in columns))
        rows.append(row)
    lines = [line(head), line(["---"] * len(head)), *(line(row) for row in rows)]
    return "\n".join([*remarks(results, conditions), "", *lines])


def summary(result: dict) -> str:
    return ", ".join(f"{column} {rate:.2f}" for column, rate in figures(result).items())


def figures(result: dict) -> dict[str, float]:
    """Tokens a second by column."""
    prefills = {f"pp{length}": rate for length, rate in result["prefill_tok_s"].items()}
    return {**prefills, "decode": result["decode_tok_s"]}


def by_column(rounds: list[dict], columns: list[str]) -> dict[str, list[float]]:
    return {column: [figures(one)[column] for one in rounds] for column in columns}


def resident(rounds: list[dict]) -> str:
    """What was in memory; nothing of one that had some of the layers only."""
    sizes = [one.get("rss_bytes") for one in rounds]
    return f"{median(sizes) / 1e9:.1f} GB" if all(sizes) else "-"


def title(name: str, results: Results) -> str:
    return results[name][0].get("peer", name)


def cell(rates: list[float]) -> str:
    return f"{median(rates):.2f} ({min(rates):.2f}-{max(rates):.2f})"


def ratio(ours: list[float], theirs: list[float]) -> str:
    return f"{median(ours) / median(theirs):.2f}"


def line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def remarks(results: Results, conditions: dict) -> list[str]:
    """What a reader must know to believe the table."""
    lines = [
        f"{conditions['shape']} shape, random weights, {conditions['threads']} threads, median of "
        f"{conditions['rounds']} rounds; {conditions['date']}; {conditions['machine']}",
        f"`{conditions['command']}`",
    ]
    others = max(one["cores_of_others"] for rounds in results.values() for one in rounds)
    if others > BUSY:
        lines.append(f"PROVISIONAL: others kept up to {others:.2f} cores busy meanwhile.")
    for name, rounds in results.items():
        if said := "; ".join(remarks_of(rounds[0], conditions)):
            lines.append(f"- {title(name, results)}: {said}")
    return lines


def remarks_of(result: dict, conditions: dict):
    yield from (f"{package} {version}" for package, version in result.get("versions", {}).items())
    if "note" in result:
        yield result["note"]
    if "features" in result:
        yield result["features"]
    yield from result.get("buffers", [])
    if "decode_floor_tok_s" in result:
        bandwidth = result["bandwidth_bytes_per_s"] / 1e9
        yield f"the floor of decode is {result['decode_floor_tok_s']:.2f} tok/s at {bandwidth:.1f} GB/s"
    if result["threads"] != conditions["threads"]:
        yield f"with {result['threads']} threads"
    if not result.get("finite", True):
        yield "WORTHLESS: its logits are not finite"
