"""What the cases found -> one Markdown page, a table for each case."""

import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

LEGEND = """\
Seconds and tokens/s are medians over rounds; ways that are compared take turns in one process. Peak memory is what
resident memory rose by over the opened, warmed-up model, each way in a process of its own. Speed ratio: babelscope's
speed / this way's speed, median over rounds (lowest to highest); above 1, babelscope is faster. Memory ratio:
babelscope's peak / this way's peak; below 1, babelscope takes less. What limits the speed is told in
[performance.md](performance.md)."""


@dataclass(frozen=True)
class Row:
    """One measured way."""

    way: str
    cells: Mapping[str, str]  # column -> text
    target: str = ""


@dataclass(frozen=True)
class Outcome:
    """One table; its columns are those of its rows, in the order in which they first appear."""

    title: str
    rows: list[Row]
    notes: list[str] = field(default_factory=list)


def timed(
    way: str,
    seconds: Sequence[float] = (),
    tokens: int | None = None,
    peak: float | None = None,
    speed: Sequence[float] = (),
    memory: float | None = None,
    target: str = "",
) -> Row:
    """The row of a way that was timed; what was not measured stays empty.

    Args:
        seconds: of each round.
        tokens: of each round.
        peak: memory in MB.
        speed: speed ratio of each round.
        memory: memory ratio.
    """
    cells = {
        "seconds": f"{statistics.median(seconds):.2f}" if seconds else "",
        "tokens/s": f"{tokens / statistics.median(seconds):,.0f}" if tokens is not None else "",
        "peak memory, MB": f"{peak:,.0f}" if peak is not None else "",
        "speed ratio": spread(speed) if speed else "",
        "memory ratio": f"{memory:.2f}" if memory is not None else "",
    }
    return Row(way, cells, target)


def spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def at_least(value: float, bound: float, what: str = "speed") -> str:
    return f"{what} >= {bound:g}: {_verdict(value >= bound)}"


def at_most(value: float, bound: float, what: str = "memory") -> str:
    return f"{what} <= {bound:g}: {_verdict(value <= bound)}"


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def markdown(outcomes: Sequence[Outcome], command: str) -> str:
    head = f"# Benchmarks\n\n`{command}` wrote this page. {_machine()}\n\n{LEGEND}\n"
    return "\n".join([head, *map(_section, outcomes)])


def _section(outcome: Outcome) -> str:
    found = dict.fromkeys(column for row in outcome.rows for column, text in row.cells.items() if text)
    columns = [*found, "target"] if any(row.target for row in outcome.rows) else [*found]
    lines = [["way", *columns], ["---", *["---:"] * len(found), *["---"] * (len(columns) - len(found))]]
    for row in outcome.rows:
        cells = {**row.cells, "target": row.target}
        lines.append([row.way, *(cells.get(column, "") for column in columns)])
    table = "\n".join(f"| {' | '.join(line)} |" for line in lines)
    notes = "\n".join(f"- {note}" for note in outcome.notes)
    return f"## {outcome.title}\n\n{table}\n" + (f"\n{notes}\n" if notes else "")


def _machine() -> str:
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    packages = ("torch", "transformers", "peft", "transformer-lens")
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
    return f"{processor}, {cores}; Python {platform.python_version()}, {versions}."
