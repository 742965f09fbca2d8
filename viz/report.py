"""One self-contained HTML page of a study: verdict, figures, tables, provenance. No script, no network."""

import base64
import math
import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from pandas.api.types import is_bool_dtype, is_numeric_dtype

MOST_ROWS = 200  # of a table that are shown; the CSV holds all
SHORT = 30  # rows; longer tables start folded


@dataclass(frozen=True)
class _Table:
    name: str  # of the CSV file
    columns: list[tuple[str, str]]  # name and CSS class of each
    rows: list[list[tuple[str, str]]]  # text of each cell, and its column's class
    n_rows: int
    folded: bool


def render_report(
    title: str,
    verdict: Sequence[str],
    explained: Sequence[tuple[str, Sequence[tuple[str, str, Sequence[str]]]]],
    figures: Sequence[tuple[str, bytes]],
    tables: Sequence[tuple[str, pd.DataFrame]],
    provenance: Mapping[str, str],
) -> str:
    """The page as HTML text, to be written as UTF-8. All text is escaped; figures are inside it.

    Args:
        title: Heading of the page.
        verdict: What was found, a sentence or two each; shown first, as a list.
        explained: For each condition its name, and questions with an answer and the figures behind it.
        figures: Caption and PNG bytes of each, in order.
        tables: Name (with or without .csv) and rows of each. More than 30 rows start folded; of more than 200 the first
            200 are shown, with a note where the rest is.
        provenance: What the results were made from (models, fingerprints, versions, command), in order.
    """
    source = (files(__package__) / "report.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(source).render(
        title=title,
        verdict=verdict,
        explained=explained,
        figures=[(caption, base64.b64encode(png).decode("ascii")) for caption, png in figures],
        tables=[_table(name, table) for name, table in tables],
        provenance=provenance,
    )
    return str(page)


def _table(name: str, table: pd.DataFrame) -> _Table:
    shown = table.head(MOST_ROWS)
    kinds = ["number" if is_numeric_dtype(kind) and not is_bool_dtype(kind) else "text" for kind in table.dtypes]
    columns = list(zip(map(str, table.columns), kinds, strict=True))
    rows = [
        [(_cell(value), kind) for value, kind in zip(row, kinds, strict=True)]
        for row in shown.itertuples(index=False, name=None)
    ]
    return _Table(name if name.endswith(".csv") else f"{name}.csv", columns, rows, len(table), len(table) > SHORT)


def _cell(value: object) -> str:
    """A cell's text: floats to four digits, a dash for a missing value, yes and no."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return f"{float(value):.4g}".replace("-", "−")
    return str(value)
