"""Which measures of alignment agree, and which go with accuracy: rank correlations as heat maps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from .alignment_names import NAMES
from .style import DIVERGING, TWO_COLUMNS, figure_style
from .tables import conditions_in, grid, require, rows_where

_WHAT = "alignment_agreement table"
_COLUMNS = (
    *("layer", "position", "over", "of", "condition", "quantity", "against"),
    *("n", "spearman", "ci_low", "ci_high"),
)
_NUMBERS = ("spearman", "ci_low", "ci_high")
_SCALE = Normalize(-1, 1)
_DOT = "(dot: 95% interval over languages without 0)"


def plot_alignment_agreement(agreement_table: pd.DataFrame, layer: int | None = None) -> Figure:
    """Spearman between measures over pairs of languages at one layer, in the base: panels of position (across).

    Args:
        agreement_table: `alignment_agreement.csv`.
        layer: Which one; None: the middle one of those in the table.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(agreement_table, _COLUMNS, _WHAT)
    layers = sorted(pd.unique(agreement_table["layer"]))
    shown = layers[len(layers) // 2] if layer is None else layer
    of = (agreement_table["over"] == "pairs") & (agreement_table["of"] == "level")
    table = agreement_table[of & (agreement_table["condition"] == "base") & (agreement_table["layer"] == shown)]
    require(table, _COLUMNS, f"{_WHAT}, layer {shown}")
    names = list(dict.fromkeys([*table["quantity"], *table["against"]]))
    positions = [str(position) for position in pd.unique(table["position"])]
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 3.3), layout="constrained")
        axes = figure.subplots(1, len(positions), sharey=True, squeeze=False)[0]
        for ax, position in zip(axes, positions, strict=True):
            rows = table[table["position"] == position]
            value, low, high = (_symmetric(rows, names, column) for column in _NUMBERS)
            image = _draw(ax, value, low, high, names, names)
            ax.set_title(f"position: {position}, layer {shown}, base")
            ax.tick_params(axis="x", rotation=90)
        _bar(figure, image, list(axes))
        figure.supxlabel(f"over {int(table['n'].max())} pairs of languages    {_DOT}", fontsize=7)
    return figure


def plot_alignment_and_outcome(agreement_table: pd.DataFrame, outcome: str = "auc") -> Figure:
    """Spearman of measures with an outcome over languages, by layer: panels of what (down) by position (across).

    What: level with level in each condition, then change with change, and the base's level with the change.

    Args:
        agreement_table: `alignment_agreement.csv`.
        outcome: accuracy or auc.

    Raises:
        DataError: an empty table, missing columns, or no such outcome.
    """
    require(agreement_table, _COLUMNS, _WHAT)
    table = rows_where(agreement_table, "against", outcome, _WHAT)
    names = [str(name) for name in pd.unique(table["quantity"])]
    layers = sorted(int(layer) for layer in pd.unique(table["layer"]))
    panels = [
        (condition, of)
        for condition in conditions_in(table)
        for of in ("level", "change", "before")
        if ((table["condition"] == condition) & (table["of"] == of)).any()
    ]
    positions = [str(position) for position in pd.unique(table["position"])]
    with figure_style():
        height = len(panels) * (0.115 * len(names) + 0.32) + 0.5
        figure = Figure(figsize=(TWO_COLUMNS, min(height, 9)), layout="constrained")
        axes = figure.subplots(len(panels), len(positions), sharex=True, sharey=True, squeeze=False)
        for row, (condition, of) in zip(axes, panels, strict=True):
            here = (table["condition"] == condition) & (table["of"] == of)
            for ax, position in zip(row, positions, strict=True):
                rows = table[here & (table["position"] == position)]
                value, low, high = (_wide(rows, "layer", column, names, layers) for column in _NUMBERS)
                image = _draw(ax, value, low, high, names, [str(layer) for layer in layers])
                ax.set_title(f"{_title(condition, of, outcome)}, position: {position}", fontsize=6.5)
        _bar(figure, image, list(axes.ravel()))
        figure.supxlabel(f"layer    over {int(table['n'].max())} languages    {_DOT}", fontsize=7)
    return figure


def _title(condition: str, of: str, outcome: str) -> str:
    name = NAMES[outcome]
    return {
        "level": f"{condition}: with {name}",
        "change": f"{condition} − base: with Δ {name}",
        "before": f"base: with Δ {name} of {condition}",
    }[of]


def _symmetric(rows: pd.DataFrame, names: Sequence[str], column: str) -> np.ndarray:
    wide = _wide(rows, "against", column, names, names)
    return np.where(np.isnan(wide), wide.T, wide)


def _wide(
    rows: pd.DataFrame, across: str, column: str, names: Sequence[str], columns: Sequence[str] | Sequence[int]
) -> np.ndarray:
    return grid(rows, "quantity", across, column).reindex(index=list(names), columns=list(columns)).to_numpy()


def _draw(
    ax: Axes, value: np.ndarray, low: np.ndarray, high: np.ndarray, down: Sequence[str], across: Sequence[str]
) -> AxesImage:
    ax.set_facecolor("#E6E6E6")
    image = ax.imshow(value, cmap=DIVERGING, norm=_SCALE, aspect="auto", interpolation="nearest")
    y, x = np.nonzero((low > 0) | (high < 0))
    colours = np.where(np.abs(value[y, x]) > 0.6, "white", "black")
    ax.scatter(x, y, s=2.5, c=colours, linewidths=0, gid="interval without 0")
    ax.set_xticks(range(len(across)), [NAMES.get(name, name) for name in across], fontsize=6)
    ax.set_yticks(range(len(down)), [NAMES.get(name, name) for name in down], fontsize=6)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return image


def _bar(figure: Figure, image: AxesImage, axes: list[Axes]) -> None:
    bar = figure.colorbar(image, ax=axes, pad=0.01, aspect=25)
    bar.set_label("Spearman correlation")
    bar.outline.set_visible(False)
