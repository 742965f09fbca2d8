"""Every language against every other: one measure of alignment in a spread of layers, before, after, and the change."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .alignment_names import NAMES
from .heatmap import add_colorbar, symmetric
from .legends import add_note
from .panels import panels
from .style import LANGUAGES, figure_style, page_width, theme
from .tables import conditions_in, require, rows_where

_WHAT = "alignment_matrix table"
_COLUMNS = ("language_a", "language_b", "condition", "layer", "position", "quantity", "value")
_PANELS = 4  # layers side by side: codes of twenty languages can still be read


def alignment_matrix_figure(
    matrix_table: pd.DataFrame, quantity: str, position: str, layers: Sequence[int] | None = None
) -> Figure:
    """Panels of condition and its difference from the base (down) by layer (across); languages ordered by family.

    A directed measure has its searching language down and the searched one across; of the others both halves are the
    same. Grey: undefined, or a language with itself. No dots mark changes: the table has no test of a single pair.

    Args:
        matrix_table: `alignment_matrix.csv`.
        quantity: A measure of pairs.
        position: Of the states.
        layers: Which to show; None: the middle of each fourth.

    Raises:
        DataError: an empty table, missing columns, or no such quantity or position.
    """
    require(matrix_table, _COLUMNS, _WHAT)
    table = rows_where(rows_where(matrix_table, "quantity", quantity, _WHAT), "position", position, _WHAT)
    conditions = conditions_in(table)
    languages = by_family([*pd.unique(table["language_a"]), *pd.unique(table["language_b"])])
    shown = list(layers) if layers is not None else spread_layers(sorted(pd.unique(table["layer"])), _PANELS)
    squares = {
        (condition, layer): square(table[(table["condition"] == condition) & (table["layer"] == layer)], languages)
        for condition in conditions
        for layer in shown
    }
    changes = {key: matrix - squares["base", key[1]] for key, matrix in squares.items() if key[0] != "base"}
    rows = [(name, squares, "value") for name in conditions]
    rows += [(name, changes, "change") for name in conditions if name != "base"]
    values = np.concatenate([matrix.ravel() for matrix in squares.values()])
    scales = {
        "value": _scale(values),
        "change": symmetric(np.concatenate([m.ravel() for m in changes.values()])) if changes else Normalize(-1, 1),
    }
    with figure_style():
        colours = {"value": "viridis", "change": theme().diverging}
        made = panels(len(rows), len(shown), page_width() / min(len(shown), _PANELS), 0.4, sharey="all")
        for line, (condition, matrices, kind) in zip(made.axes, rows, strict=True):
            for ax, layer in zip(line, shown, strict=True):
                plot_matrix(ax, matrices[condition, layer], languages, colours[kind], scales[kind])
        made.name_columns([f"layer {layer}" for layer in shown])
        made.name_rows([name if kind == "value" else f"{name} − base" for name, _, kind in rows])
        for i, axes in made.lines():
            delta = "Δ " if rows[i][2] == "change" else ""
            add_colorbar(made.figure, axes, delta + NAMES.get(quantity, quantity), aspect=20)
        add_note(made.figure, f"position: {position}")
    return made.figure


def plot_matrix(ax: Axes, matrix: np.ndarray, languages: Sequence[str], cmap: str, scale: Normalize) -> Axes:
    """Draw one [language, language] matrix, see `square`; grey where undefined."""
    ax.set_facecolor(theme().missing)
    ax.imshow(matrix, cmap=cmap, norm=scale, interpolation="nearest")
    size = 4 if len(languages) > 12 else 6
    ax.set_xticks(range(len(languages)), languages, fontsize=size, rotation=90)
    ax.set_yticks(range(len(languages)), languages, fontsize=size)
    ax.tick_params(length=0, pad=1)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def by_family(languages: Sequence[str]) -> list[str]:
    """Languages in the order of the house's table, in which families stand together; unknown ones last, by code."""
    order = list(LANGUAGES)
    return sorted(set(map(str, languages)), key=lambda code: (order.index(code) if code in order else len(order), code))


def spread_layers(layers: Sequence[int], n: int) -> list[int]:
    """Up to `n` of the layers, evenly spread, the last among them and the first (embeddings) not."""
    at = np.linspace(0, len(layers) - 1, n + 1).round().astype(int)[1:]
    return [int(layers[i]) for i in dict.fromkeys(at.tolist())]


def square(rows: pd.DataFrame, languages: Sequence[str]) -> np.ndarray:
    """`value` as [language, language]; a pair that stands once fills both halves, the diagonal is NaN."""
    codes = list(languages)
    wide = rows.pivot(index="language_a", columns="language_b", values="value").reindex(index=codes, columns=codes)
    matrix = wide.to_numpy(dtype=float)
    matrix = np.where(np.isnan(matrix), matrix.T, matrix)
    np.fill_diagonal(matrix, np.nan)
    return matrix


def _scale(values: np.ndarray) -> Normalize:
    """All values, from 0 if none is below."""
    if not np.isfinite(values).any():
        return Normalize(0, 1)
    return Normalize(min(0.0, float(np.nanmin(values))), float(np.nanmax(values)) or 1.0)
