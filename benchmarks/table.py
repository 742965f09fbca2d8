"""Rows and notes of the cases -> one Markdown page."""

import os
import platform
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

HEAD = ("case", "way", "seconds", "tokens/s", "peak memory, MB", "speed ratio", "memory ratio", "target")

LEGEND = """\
- Seconds and tokens/s are medians over rounds; ways that are compared take turns in one process.
- Peak memory is what resident memory rose by over the opened, warmed-up model, each way in a process of its own.
- Speed ratio: babelscope's speed / this way's speed, median over rounds (lowest to highest). Above 1, ours is faster.
- Memory ratio: babelscope's peak / this way's peak. Below 1, ours takes less."""


@dataclass(frozen=True)
class Row:
    """One measured way. Lists have one entry per round; what was not measured is empty or None."""

    case: str
    way: str
    seconds: Sequence[float] = ()
    tokens: Sequence[int] = ()
    peak: float | None = None  # MB
    speed_ratio: Sequence[float] = ()
    memory_ratio: float | None = None
    target: str = ""


@dataclass(frozen=True)
class Outcome:
    rows: list[Row]
    notes: list[str] = field(default_factory=list)


def at_least(ratios: Sequence[float], bound: float) -> str:
    return f"speed >= {bound:g}: {_verdict(statistics.median(ratios) >= bound)}"


def at_most(ratio: float, bound: float) -> str:
    return f"memory <= {bound:g}: {_verdict(ratio <= bound)}"


def _verdict(met: bool) -> str:
    return "met" if met else "MISSED"


def markdown(outcomes: Sequence[Outcome], command: str) -> str:
    rows = [_cells(row) for outcome in outcomes for row in outcome.rows]
    lines = [" | ".join(cells) for cells in (HEAD, ["---"] * 2 + ["---:"] * 5 + ["---"], *rows)]
    table = "\n".join(f"| {line} |" for line in lines)
    notes = "\n".join(f"- {note}" for outcome in outcomes for note in outcome.notes)
    return f"# Benchmarks\n\n{_machine()}\n\n`{command}`\n\n{table}\n\n{LEGEND}\n{notes}\n"


def _cells(row: Row) -> list[str]:
    speeds = [tokens / seconds for tokens, seconds in zip(row.tokens, row.seconds, strict=bool(row.tokens))]
    return [
        row.case,
        row.way,
        f"{statistics.median(row.seconds):.2f}" if row.seconds else "",
        f"{statistics.median(speeds):,.0f}" if speeds else "",
        f"{row.peak:,.0f}" if row.peak is not None else "",
        _spread(row.speed_ratio) if row.speed_ratio else "",
        f"{row.memory_ratio:.2f}" if row.memory_ratio is not None else "",
        row.target,
    ]


def _spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _machine() -> str:
    import torch

    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    processor = names[0] if names else platform.processor()
    versions = ", ".join(f"{package} {version(package)}" for package in ("torch", "transformers", "transformer-lens"))
    cores = f"{os.cpu_count()} cores, {torch.get_num_threads()} torch threads"
    return f"{processor}, {cores}; Python {platform.python_version()}, {versions}."
