"""Repair patching by layer: what the parallel question's state does, beside states of other questions."""

from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .heatmap import delta_figure
from .legends import add_legend
from .style import GAIN, LOSS, NEUTRAL, TWO_COLUMNS, figure_style
from .tables import conditions_in, require, rows_where

NAMES = {"repaired": "wrong answers repaired", "broken": "right answers broken", "log_odds_gain": "gain in log odds"}
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


def plot_repair(values_table: pd.DataFrame) -> Figure:
    """Panels of quantity (down) by condition and position (across): all languages together, by patched layer.

    One line per source of the state, with its 95% bootstrap band: the parallel question (blue), another question of
    the same label (grey) and one of another label (vermilion).

    Args:
        values_table: `repair.csv`: language, condition, position, layer, source, quantity, value, ci_low, ci_high.

    Raises:
        DataError: an empty table, missing columns, or no rows for all languages together.
    """
    require(values_table, _COLUMNS, "repair table")
    pooled = rows_where(values_table, "language", "all", "repair table")
    panels, quantities = _panels(pooled), [str(q) for q in pd.unique(pooled["quantity"])]
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 1.45 * len(quantities) + 0.8), layout="constrained")
        axes = figure.subplots(len(quantities), len(panels), sharex=True, sharey="row", squeeze=False)
        for i, quantity in enumerate(quantities):
            for ax, panel in zip(axes[i], panels, strict=True):
                here = (pooled["condition"] == panel.condition) & (pooled["position"] == panel.position)
                _draw(ax, pooled[here & (pooled["quantity"] == quantity)])
                if i == 0:
                    ax.set_title(panel.title)
            axes[i, 0].set_ylabel(NAMES.get(quantity, quantity))
        for ax in axes[-1]:
            ax.set_xlabel("patched layer")
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        add_legend(
            figure, [Line2D([], [], color=hue, label=f"from {name}") for name, hue in SOURCES.items()], columns=3
        )
    return figure


def plot_repair_delta(deltas_table: pd.DataFrame) -> Figure:
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


def _draw(ax: Axes, rows: pd.DataFrame) -> None:
    for source, color in SOURCES.items():
        line = rows[rows["source"] == source].sort_values("layer")
        ax.fill_between(
            line["layer"],
            line["ci_low"],
            line["ci_high"],
            color=color,
            alpha=0.2,
            linewidth=0,
            gid=f"interval {source}",
        )
        ax.plot(line["layer"], line["value"], color=color, marker="o", gid=source)
    ax.axhline(0, color="black", linewidth=0.4)
    ax.grid(axis="y")
