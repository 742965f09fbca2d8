"""How rows of tables are said: what is sure, a change with its interval, layers as spans."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..probes.statistics import holm
from .findings import SIGNIFICANT
from .run import Row

SMALL = 0.01  # values below it are told to six decimals

_GROUPS = {"untrained": "unseen ", "trained": "trained "}


def unknown(*probes: str) -> str:
    commands = " and ".join(f"`babelscope probe {name}`" for name in probes)
    return f"Unknown: run {commands} on the base's cache and this one."


def sure(row: Row, p: str = "p_value") -> bool:
    return bool(row[p] < SIGNIFICANT)


def excludes_zero(row: Row) -> bool:
    """Where there is an interval and no p."""
    return bool(row["ci_low"] > 0 or row["ci_high"] < 0)


def adjusted(rows: Sequence[Row]) -> list[Row]:
    """Rows with p_holm over all of them (undefined ones are left out): who looks for the largest has looked at all."""
    rows = [row for row in rows if np.isfinite(row["p_value"])]
    corrected = holm(np.array([row["p_value"] for row in rows], dtype=float)) if rows else ()
    return [{**row, "p_holm": float(p)} for row, p in zip(rows, corrected, strict=True)]


def over(row: Row) -> str:
    n = row["n_languages"]
    return f"over {n} {_GROUPS.get(row['group'], '')}language{'s' * (n > 1)}"


def change(row: Row, prefix: str = "", of: tuple[str, str] = ("base", "aligned")) -> str:
    """What was, what is, the difference and its interval; `of` names the columns of the first two."""
    first, second, delta = (row[f"{prefix}{name}"] for name in (*of, "delta"))
    digits = 3 if max(abs(first), abs(second)) >= SMALL else 6
    return f"{first:.{digits}f} to {second:.{digits}f}, {delta:+.{digits}f} {interval(row, prefix, digits)}"


def interval(row: Row, prefix: str = "", digits: int = 3) -> str:
    return f"[{row[f'{prefix}ci_low']:+.{digits}f}, {row[f'{prefix}ci_high']:+.{digits}f}]"


def by(rows: Sequence[Row], *columns: str) -> dict[tuple[Any, ...], list[Row]]:
    groups: dict[tuple[Any, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row[column] for column in columns), []).append(row)
    return groups


def in_layers(layers: Sequence[int]) -> str:
    """7 -> `layer 7`; 3 4 5 9 -> `layers 3-5, 9`."""
    spans = ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs(layers))
    return f"layer{'s' * (len(layers) > 1)} {spans}"


def runs(layers: Sequence[int]) -> list[list[int]]:
    """Layers that follow one another, together."""
    found: list[list[int]] = []
    for layer in sorted(layers):
        if found and layer == found[-1][-1] + 1:
            found[-1].append(layer)
        else:
            found.append([layer])
    return found
