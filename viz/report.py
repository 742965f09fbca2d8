"""One self-contained HTML page of a study: verdict, interactive sections, figures, tables, provenance. No network.

The scripts in `page/` are the project's own and small (a canvas for points, SVG and HTML for the rest): a plotting
library would bring 4.5 MB and WebGL, and its own ways with keyboard, print and dark pages. The page's content policy
names the hash of this one script and of the style sheet, so that nothing else that stands in the data can run.
"""

import base64
import gzip
import hashlib
import json
import math
import numbers
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from pandas.api.types import is_bool_dtype, is_numeric_dtype

from .page_data import Study, page_data

MOST_ROWS = 200  # of a table that are shown; the CSV holds all
SHORT = 30  # rows; longer tables start folded
FEW = 6  # figures behind an answer; more start folded
MOST_CARRIED = 12_500_000  # characters of data, figures and CSV files; the latter get what is left, the smallest first
# In the order in which they build upon one another.
SCRIPTS = (
    *("dom", "markers", "tip", "choice", "controls", "accuracy", "cloud", "examples", "projection", "panel"),
    *("lens", "alignment", "training", "download", "main"),
)


@dataclass(frozen=True)
class _Table:
    name: str  # of the CSV file
    columns: list[tuple[str, str]]  # name and CSS class of each
    rows: list[list[tuple[str, str]]]  # text of each cell, and its column's class
    n_rows: int
    folded: bool
    download: str | None  # the CSV file, compressed, in base64; None where the page has no room for it
    size: str


def render_report(
    title: str,
    verdict: Sequence[str],
    explained: Sequence[tuple[str, Sequence[tuple[str, str, Sequence[str]]]]],
    figures: Sequence[tuple[str, bytes]],
    tables: Sequence[tuple[str, pd.DataFrame]],
    provenance: Mapping[str, str],
    studies: Sequence[Study] = (),
    csv: Mapping[str, bytes] | None = None,
) -> str:
    """The page as HTML text, to be written as UTF-8. All text is escaped; figures are inside it.

    Args:
        title: Heading of the page.
        verdict: What was found, a sentence or two each; shown first, as a list.
        explained: For each condition its name, and questions with an answer and the figures behind it.
        figures: Caption and WebP bytes of each, in order.
        tables: Name (with or without .csv) and rows of each. More than 30 rows start folded; of more than 200 the first
            200 are shown, with a note where the rest is.
        provenance: What the results were made from (models, fingerprints, versions, command), in order.
        studies: What the interactive sections show; none: there are no such sections.
        csv: Bytes of the file of each table, by name, to be downloaded from the page as long as there is room.
    """
    style = _read(["page.css"]) + (_palette(data) if (data := page_data(studies) if studies else None) else "")
    script = '"use strict";\n(() => {\n' + _read(f"{name}.js" for name in SCRIPTS) + "})();\n"
    pictures = [(caption, base64.b64encode(webp).decode("ascii")) for caption, webp in figures]
    record = as_json(data) if data else ""
    downloads = _downloads(csv or {}, MOST_CARRIED - len(record) - sum(len(webp) for _, webp in pictures))
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    page = environment.from_string(_read(["page.html.j2"])).render(
        title=title,
        verdict=verdict,
        explained=explained,
        few=FEW,
        figures=pictures,
        tables=[_table(name, table, downloads, len((csv or {}).get(name, b""))) for name, table in tables],
        provenance=provenance,
        data=Markup(record),
        style=Markup(style),
        script=Markup(script),
        policy=f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; script-src '{_hash(script)}'; "
        "base-uri 'none'; form-action 'none'",
    )
    return str(page)


def as_json(value: Any) -> str:
    """JSON that can stand in a script element: no text in it can end the element or begin a comment."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def _read(names: Iterable[str]) -> str:
    return "\n".join((files(__package__) / "page" / name).read_text(encoding="utf-8") for name in names)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")


def _palette(data: Mapping[str, Any]) -> str:
    """Colours as CSS variables by number; names come from data, and stay out of the style sheet."""

    def rules(shade: str) -> str:
        named = {kind: [row[shade] for row in data[f"{kind}s"]] for kind in ("language", "condition")}
        return " ".join(f"--{kind}-{i}: {color};" for kind, colors in named.items() for i, color in enumerate(colors))

    on_dark = "@media screen and (prefers-color-scheme: dark)"
    return f":root {{ {rules('light')} }}\n{on_dark} {{ :root {{ {rules('dark')} }} }}\n"


def _downloads(csv: Mapping[str, bytes], room: int) -> dict[str, str]:
    """Files that fit into so many characters, compressed, in base64."""
    found = {}
    encoded = {name: base64.b64encode(gzip.compress(data, mtime=0)).decode("ascii") for name, data in csv.items()}
    for name in sorted(encoded, key=lambda name: len(encoded[name])):
        room -= len(encoded[name])
        if room >= 0:
            found[name] = encoded[name]
    return found


def _table(name: str, table: pd.DataFrame, downloads: Mapping[str, str], n_bytes: int) -> _Table:
    shown = table.head(MOST_ROWS)
    kinds = ["number" if is_numeric_dtype(kind) and not is_bool_dtype(kind) else "text" for kind in table.dtypes]
    columns = list(zip(map(str, table.columns), kinds, strict=True))
    rows = [
        [(_cell(value), kind) for value, kind in zip(row, kinds, strict=True)]
        for row in shown.itertuples(index=False, name=None)
    ]
    file = name if name.endswith(".csv") else f"{name}.csv"
    size = f"{n_bytes / 1e6:.1f} MB" if n_bytes > 1e6 else f"{math.ceil(n_bytes / 1e3)} kB"
    return _Table(file, columns, rows, len(table), len(table) > SHORT, downloads.get(name), size)


def _cell(value: object) -> str:
    """A cell's text: floats to four digits, a dash for a missing value, yes and no."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "–"
    if isinstance(value, numbers.Real) and not isinstance(value, numbers.Integral):
        return f"{float(value):.4g}".replace("-", "−")
    return str(value)
