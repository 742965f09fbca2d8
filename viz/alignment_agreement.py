"""Which measures of alignment agree, and which go with accuracy: rank correlations as heat maps."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .alignment_names import NAMES
from .heatmap import add_colorbar, draw_cells
from .legends import add_note
from .panels import panels
from .style import figure_style
from .tables import conditions_in, grid, require, rows_where

_WHAT = "alignment_agreement table"
_COLUMNS = (
    *("layer", "position", "over", "of", "condition", "quantity", "against"),
    *("n", "spearman", "ci_low", "ci_high"),
)
_SCALE = Normalize(-1, 1)
_DOT = "(dot: 95% interval over languages without 0)"


def plot_agreement(
    ax: Axes, rows: pd.DataFrame, across: str, names: Sequence[str], columns: Sequence[str] | Sequence[int]
) -> Axes:
    """Draw Spearman correlations: quantities down, the values of the column `across` across, a dot where 0 is excluded.

    Args:
        ax: Where to draw.
        rows: Of `alignment_agreement.csv`, each cell once: quantity, spearman, ci_low, ci_high and `across`. With
            `across="against"` a pair that stands once fills both halves.
        across: layer or against.
        names: Quantities, from the top.
        columns: What stands across, from the left.

    Raises:
        DataError: two rows claim the same cell.
    """
    cells = []
    for column in ("spearman", "ci_low", "ci_high"):
        wide = grid(rows, "quantity", across, column).reindex(index=list(names), columns=list(columns)).to_numpy()
        cells.append(np.where(np.isnan(wide), wide.T, wide) if across == "against" else wide)
    value, low, high = cells
    draw_cells(ax, value, (low > 0) | (high < 0), _SCALE, gid="interval without 0")
    step = 1 if across == "against" else max(1, len(columns) // 9)
    told = [NAMES.get(str(name), str(name)) for name in columns[::step]]
    ax.set_xticks(range(0, len(columns), step), told, fontsize=6)
    ax.set_yticks(range(len(names)), [NAMES.get(name, name) for name in names], fontsize=6)
    return ax


def agreement_figure(agreement_table: pd.DataFrame, layer: int | None = None) -> Figure:
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
        made = panels(1, len(positions), 2.6, 0.7, narrow=1, sharex=False)
        for ax, position in zip(made.axes[0], positions, strict=True):
            plot_agreement(ax, table[table["position"] == position], "against", names, names)
            ax.tick_params(axis="x", rotation=90)
        made.name_columns([f"{position}, layer {shown}, base" for position in positions])
        add_colorbar(made.figure, list(made.axes.ravel()), "Spearman correlation", aspect=25)
        add_note(made.figure, f"over {int(table['n'].max())} pairs of languages {_DOT}")
    return made.figure


def outcome_figure(agreement_table: pd.DataFrame, outcome: str = "auc") -> Figure:
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
    questions = [
        (condition, of)
        for condition in conditions_in(table)
        for of in ("level", "change", "before")
        if ((table["condition"] == condition) & (table["of"] == of)).any()
    ]
    positions = [str(position) for position in pd.unique(table["position"])]
    with figure_style():
        made = panels(len(questions), len(positions), 0.115 * len(names) + 0.32, 0.5, sharey="all")
        for line, (condition, of) in zip(made.axes, questions, strict=True):
            here = (table["condition"] == condition) & (table["of"] == of)
            for ax, position in zip(line, positions, strict=True):
                plot_agreement(ax, table[here & (table["position"] == position)], "layer", names, layers)
                ax.set_title(f"{_title(condition, of, outcome)}, {position}", fontsize=6)
        add_colorbar(made.figure, list(made.axes.ravel()), "Spearman correlation", aspect=25)
        add_note(made.figure, f"layer; over {int(table['n'].max())} languages {_DOT}")
    return made.figure


def _title(condition: str, of: str, outcome: str) -> str:
    name = NAMES[outcome]
    return {
        "level": f"{condition}: with {name}",
        "change": f"{condition} − base: with Δ {name}",
        "before": f"base: with Δ {name} of {condition}",
    }[of]
