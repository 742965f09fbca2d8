"""Repair patching by layer: what the parallel question's state does, beside states of other questions."""

from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .heatmap import delta_figure
from .legends import add_legend
from .lines import draw_line
from .panels import panels
from .style import GAIN, LOSS, NEUTRAL, figure_style, theme
from .tables import conditions_in, require, rows_where

NAMES = {"repaired": "wrong answers\nrepaired", "broken": "right answers\nbroken", "log_odds_gain": "gain in\nlog odds"}
SOURCES = {"parallel": GAIN, "same label": NEUTRAL, "other label": LOSS}
CONTROL = "same label"  # what the heat map is against: the stricter control

_COLUMNS = ("language", "condition", "position", "layer", "source", "quantity", "value", "ci_low", "ci_high")
_DELTA_COLUMNS = ("language", "condition", "position", "layer", "against", "quantity", "delta", "p_holm")


class _Panel(NamedTuple):
    condition: str
    position: str

    @property
    def title(self) -> str:
        return f"{self.condition}\nposition: {self.position}"


def plot_repair(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Draw one quantity by patched layer: one line per source of the state, with its 95% bootstrap band.

    Sources: the parallel question (blue), another question of the same label (grey) and one of another (vermilion).

    Args:
        ax: Where to draw.
        rows: Of `repair.csv`, of one language (or `all`), condition, position and quantity: language, condition,
            position, layer, source, quantity, value, ci_low, ci_high.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(rows, _COLUMNS, "repair table")
    for source, color in SOURCES.items():
        draw_line(ax, rows[rows["source"] == source], color, source, marker="o")
    ax.axhline(0, color=theme().ink, linewidth=0.4)
    ax.grid(axis="y")
    return ax


def repair_figure(values_table: pd.DataFrame) -> Figure:
    """`plot_repair` of all languages together: panels of quantity (down) by condition and position (across).

    Args:
        values_table: `repair.csv`, see `plot_repair`.

    Raises:
        DataError: an empty table, missing columns, or no rows for all languages together.
    """
    require(values_table, _COLUMNS, "repair table")
    pooled = rows_where(values_table, "language", "all", "repair table")
    columns, quantities = _panels(pooled), [str(q) for q in pd.unique(pooled["quantity"])]
    with figure_style():
        made = panels(len(quantities), len(columns), 1.45, 0.8)
        for line, quantity in zip(made.axes, quantities, strict=True):
            for ax, panel in zip(line, columns, strict=True):
                here = (pooled["condition"] == panel.condition) & (pooled["position"] == panel.position)
                plot_repair(ax, pooled[here & (pooled["quantity"] == quantity)])
        made.name_columns([panel.title for panel in columns])
        made.name_rows([NAMES.get(quantity, quantity) for quantity in quantities])
        made.name_layers("patched layer")
        handles = [Line2D([], [], color=hue, marker="o", label=f"from {name}") for name, hue in SOURCES.items()]
        add_legend(made.figure, handles, columns=3)
    return made.figure


def repair_delta_figure(deltas_table: pd.DataFrame) -> Figure:
    """Heat maps of parallel - same label, language by layer: panels of quantity (down) by condition and position.

    Blue: the parallel state does more of it. A dot marks Holm p < 0.05 over languages. Grey: undefined.

    Args:
        deltas_table: `repair_delta.csv`: language, condition, position, layer, against, quantity, delta, p_holm.

    Raises:
        DataError: an empty table, missing columns, or no rows against the same label.
    """
    require(deltas_table, _DELTA_COLUMNS, "repair_delta table")
    rows = rows_where(deltas_table, "against", CONTROL, "repair_delta table")
    columns = [
        (panel.title, (rows["condition"] == panel.condition) & (rows["position"] == panel.position))
        for panel in _panels(rows)
    ]
    return delta_figure(rows, columns, NAMES)


def _panels(table: pd.DataFrame) -> list[_Panel]:
    positions = [str(position) for position in pd.unique(table["position"])]
    return [_Panel(condition, position) for position in positions for condition in conditions_in(table)]
