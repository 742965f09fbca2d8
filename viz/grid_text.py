"""Training sets against languages as text: Markdown to read, LaTeX to print."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from .grid import NAMES
from .tables import SIGNIFICANT

ACROSS = 5  # conditions in one table; more of them go into a further one
GROUPS = {"seen": "seen, mean", "unseen": "unseen, mean", "all": "all, mean"}


@dataclass(frozen=True)
class _Block:
    """One printed table: a test, a quantity and some conditions; cells are ready text."""

    title: str
    header: list[str]
    rows: list[list[str]]


def grid_markdown(tables: Mapping[str, pd.DataFrame]) -> str:
    """All tests and quantities as Markdown, from the tables grid, grid_delta and grid_groups."""
    parts = ["# Training sets and languages", _LEGEND]
    for block in _blocks(tables, "†", "*"):
        head = f"| {' | '.join(block.header)} |\n|{'---|' * len(block.header)}"
        parts.append(f"## {block.title}\n\n{head}\n" + "\n".join(f"| {' | '.join(row)} |" for row in block.rows))
    return "\n\n".join(parts) + "\n"


def grid_latex(tables: Mapping[str, pd.DataFrame]) -> str:
    """The same as LaTeX tables; they need the package booktabs."""
    parts = ["% Needs \\usepackage{booktabs}."]
    for block in _blocks(tables, "$^\\dagger$", "*"):
        columns = "l" + "r" * (len(block.header) - 1)
        lines = [" & ".join(map(_escaped, row)) + r" \\" for row in block.rows]
        at = len(lines) - sum(row[0] in GROUPS.values() for row in block.rows)
        body = "\n".join([*lines[:at], r"\midrule", *lines[at:]])
        header = " & ".join(map(_escaped, block.header))
        parts.append(
            f"\\begin{{table}}\n\\centering\\scriptsize\n\\caption{{{_escaped(f'{block.title}. {_LEGEND}')}}}\n"
            f"\\begin{{tabular}}{{{columns}}}\n\\toprule\n{header} \\\\\n\\midrule\n{body}\n\\bottomrule\n"
            "\\end{tabular}\n\\end{table}"
        )
    return "\n\n".join(parts) + "\n"


_LEGEND = (
    "Base in percent; then each condition's difference from it in points with its 95% interval. "
    "A dagger marks a language of a training pair, a star p < 0.05 (languages: Holm over languages; means: over "
    "resampled languages and questions). Several seeds are averaged; ± is their standard deviation."
)


def _blocks(tables: Mapping[str, pd.DataFrame], dagger: str, star: str) -> Iterator[_Block]:
    deltas, groups = (table[table["against"] == "base"] for table in (tables["grid_delta"], tables["grid_groups"]))
    for test in pd.unique(tables["grid"]["task"]):
        own, means = deltas[deltas["task"] == test], groups[groups["task"] == test]
        conditions = [str(name) for name in pd.unique(own["condition"])]
        for quantity, name in NAMES.items():
            for begin in range(0, len(conditions), ACROSS):
                chosen = conditions[begin : begin + ACROSS]
                rows = list(_rows(own[own["quantity"] == quantity], chosen, dagger, star))
                rows += list(_means(means[means["quantity"] == quantity], chosen, star))
                yield _Block(f"{test}: {name}", ["", "base", *chosen], rows)


def _rows(table: pd.DataFrame, chosen: Sequence[str], dagger: str, star: str) -> Iterator[list[str]]:
    at = {(row["condition"], row["language"]): row for row in table.to_dict("records")}
    for language in pd.unique(table["language"]):
        found = [at.get((name, language)) for name in chosen]
        base = next((f"{100 * row['reference']:.1f}" for row in found if row), "")
        yield [str(language), base, *_cells(found, lambda row: _marks(row, "p_holm", dagger, star))]


def _means(table: pd.DataFrame, chosen: Sequence[str], star: str) -> Iterator[list[str]]:
    """Averages; each condition's seen languages are its own, so only the base of all languages is one number."""
    at = {(row["condition"], row["group"]): row for row in table.to_dict("records")}
    for group, name in GROUPS.items():
        found = [at.get((condition, group)) for condition in chosen]
        base = next((f"{100 * row['reference']:.1f}" for row in found if row), "") if group == "all" else ""
        yield [name, base, *_cells(found, lambda row: _marks(row, "p_value", "", star))]


def _cells(found: Sequence[Mapping[Any, Any] | None], marks: Callable[[Mapping[Any, Any]], str]) -> Iterator[str]:
    for row in found:
        if row is None or pd.isna(row["delta"]):
            yield ""
            continue
        spread = "" if pd.isna(row["spread"]) else f" ±{100 * row['spread']:.1f}"
        low, high = (f"{100 * row[end]:+.1f}" for end in ("ci_low", "ci_high"))
        yield f"{100 * row['delta']:+.1f} [{low}, {high}]{spread}{marks(row)}"


def _marks(row: Mapping[Any, Any], p: str, dagger: str, star: str) -> str:
    return (star if row[p] < SIGNIFICANT else "") + (dagger if row.get("trained") is True else "")


def _escaped(text: str) -> str:
    for char in "&%#_":
        text = text.replace(char, f"\\{char}")
    return text.replace("±", "$\\pm$").replace("<", "$<$")
