"""Results on stdout: JSON for machines, wide rows for pipes, and on a terminal tables that fit it."""

import json
import sys
from collections.abc import Iterable, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

from .levels import speaks

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

WIDE = 10_000  # piped output is for grep and awk: no row is ever folded
LONG = 20  # characters; longer texts may be folded
NARROWEST = 12  # columns that they are folded to
GAP = 2  # between columns


def show(rows: "list[dict[str, Any]] | pd.DataFrame", as_json: bool, extra: dict[str, Any] | None = None) -> None:
    """Print rows as a table, or everything as one JSON object."""
    if not speaks():
        return
    records: list[Any] = rows if isinstance(rows, list) else rows.to_dict("records")
    if as_json:
        print(json.dumps({"rows": _json_safe(records), **(extra or {})}, ensure_ascii=False, indent=2))
        return
    from rich.console import Console

    width = screen_width()
    console = Console(width=width or WIDE, markup=False, highlight=False)
    for n, table in enumerate(arranged(records, width or WIDE)):
        if n:
            print()
        console.print(table)
    for name, lines in (extra or {}).items():
        print(f"{name}:" if lines else f"{name}: none")
        for line in lines:
            text = f"  {line}"
            print(fill(text, width, subsequent_indent="    ", break_on_hyphens=False) if width else text)


def screen_width() -> int | None:
    """Columns of the terminal that stdout is; None where it is a pipe or a file."""
    if not sys.stdout.isatty():
        return None
    from rich.console import Console

    return Console().width


def arranged(records: Sequence[dict[str, Any]], width: int) -> "list[Table]":
    """Tables that show `records` within `width` columns; no cell is cut, and no number folded.

    One table, if need be with folded text; else several that share the rows and repeat the first columns of text; else
    one table a record, a row for each of its fields.
    """
    if not records:
        return []
    cells = {str(key): [_cell(record[key]) for record in records] for key in records[0]}
    text = {key for key, values in cells.items() if max(map(len, values)) > LONG and not _numbers(records, key)}
    for fold in (False, True):
        headings = {key: _folded(key, values) if fold else key for key, values in cells.items()}
        natural = {key: _widest([*headings[key].split("\n"), *values]) for key, values in cells.items()}
        least = {key: NARROWEST if key in text else natural[key] for key in cells}
        if _sum(natural.values()) <= width or (text and _sum(least.values()) <= width):
            return [_table(cells, text, headings)]
    keys = _leading_text(records, cells)
    if not text and 0 < len(keys) < len(cells) and _sum(least[key] for key in keys) <= width // 2:
        return [_table(part, text, headings) for part in _parts(cells, keys, least, width)]
    return [_record({key: values[n] for key, values in cells.items()}) for n in range(len(records))]


def _parts(
    cells: dict[str, list[str]], keys: Sequence[str], least: dict[str, int], width: int
) -> list[dict[str, list[str]]]:
    """The columns divided so that each part fits; every part begins with the `keys`."""
    parts: list[list[str]] = [[*keys]]
    for key in cells:
        if key in keys:
            continue
        if len(parts[-1]) > len(keys) and _sum(least[one] for one in [*parts[-1], key]) > width:
            parts.append([*keys])
        parts[-1].append(key)
    return [{key: cells[key] for key in part} for part in parts]


def _table(cells: dict[str, list[str]], text: set[str], headings: dict[str, str]) -> "Table":
    from rich.table import Table

    table = Table(box=None, header_style="bold", padding=(0, GAP, 0, 0), pad_edge=False)
    for key in cells:
        foldable = key in text
        table.add_column(
            headings[key], overflow="fold", no_wrap=not foldable, min_width=NARROWEST if foldable else None
        )
    for row in zip(*cells.values(), strict=True):
        table.add_row(*row)
    return table


def _record(fields: dict[str, str]) -> "Table":
    from rich.table import Table

    table = Table.grid(padding=(0, GAP, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in fields.items():
        table.add_row(name, value)
    return table


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)


def _folded(heading: str, values: list[str]) -> str:
    """A heading on several lines, where it is wider than what stands under it."""
    return heading.replace("_", "_\n").replace(" ", "\n") if len(heading) > _widest(values) else heading


def _widest(texts: Iterable[str]) -> int:
    from rich.cells import cell_len

    return max(map(cell_len, texts))


def _sum(widths: Iterable[int]) -> int:
    found = list(widths)
    return sum(found) + GAP * (len(found) - 1)


def _numbers(records: Sequence[dict[str, Any]], key: str) -> bool:
    return all(isinstance(record[key], int | float) for record in records)


def _leading_text(records: Sequence[dict[str, Any]], cells: dict[str, list[str]]) -> list[str]:
    """The columns before the first one of numbers; yes and no are none."""
    found = []
    for key in cells:
        if any(isinstance(record[key], int | float) and not isinstance(record[key], bool) for record in records):
            break
        found.append(key)
    return found


def _json_safe(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """JSON has no NaN: an undefined number is null."""
    return [{k: None if isinstance(v, float) and v != v else v for k, v in row.items()} for row in records]


def readable(stage: dict[str, Any]) -> dict[str, Any]:
    """A planned stage with bytes in GB and a dash for what it does not need."""
    sizes = {f"{key} [GB]": f"{stage[key] / 1e9:.2f}" if stage[key] else "-" for key in ("disk", "memory")}
    counts = {key: f"{stage[key]:,}" if stage[key] else "-" for key in ("prompts", "tokens")}
    return {"stage": stage["name"], "state": stage["state"], **counts, **sizes, "note": stage["note"]}


def total(stages: list[dict[str, Any]]) -> list[str]:
    todo = [stage for stage in stages if stage["state"] != "complete"]
    prompts, tokens, disk = (sum(stage[key] for stage in todo) for key in ("prompts", "tokens", "disk"))
    memory = max((stage["memory"] for stage in todo), default=0)
    return [
        f"{prompts:,} prompts and pairs, {tokens:,} tokens, {disk / 1e9:.2f} GB of disk, "
        f"{memory / 1e9:.1f} GB of memory at the height"
    ]
