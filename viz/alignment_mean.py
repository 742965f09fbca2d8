"""Mean over all pairs of languages: each measure of alignment by layer, before and after."""

import math

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .alignment_names import NAMES
from .legends import add_legend, add_note
from .lines import draw_line, tone_handles
from .panels import NARROW, panels
from .style import condition_tones, figure_style, page_width
from .tables import SIGNIFICANT, conditions_in, require

_VALUES = ("condition", "layer", "position", "quantity", "value", "ci_low", "ci_high")
_DELTAS = ("condition", "layer", "position", "quantity", "aligned", "p_holm")


def plot_alignment_mean(ax: Axes, rows: pd.DataFrame, deltas: pd.DataFrame) -> Axes:
    """Draw one quantity at one position by layer: a line and its 95% band (over ids) per condition.

    A dot on a condition's line marks a difference from the base with Holm p < 0.05 (over layers).

    Args:
        ax: Where to draw.
        rows: Of `alignment_mean.csv`: condition, layer, position, quantity, value, ci_low, ci_high.
        deltas: Of `alignment_mean_delta.csv`: condition, layer, position, quantity, aligned, p_holm.

    Raises:
        DataError: an empty table of values or missing columns.
    """
    require(rows, _VALUES, "alignment_mean table")
    significant = deltas[deltas["p_holm"] < SIGNIFICANT]
    for name, tone in condition_tones(conditions_in(rows)).items():
        draw_line(ax, rows[rows["condition"] == name], tone.color, name, dashes=tone.dashes)
        dots = significant[significant["condition"] == name]
        ax.scatter(dots["layer"], dots["aligned"], s=6, color=tone.color, linewidths=0, gid=f"significant {name}")
    ax.grid(axis="y")
    return ax


def alignment_mean_figure(mean_table: pd.DataFrame, delta_table: pd.DataFrame) -> Figure:
    """`plot_alignment_mean` in panels of quantity (down, in two halves on a wide page) by position (across).

    Args:
        mean_table: `alignment_mean.csv`.
        delta_table: `alignment_mean_delta.csv`.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(mean_table, _VALUES, "alignment_mean table")
    require(delta_table, _DELTAS, "alignment_mean_delta table")
    tones = condition_tones(conditions_in(mean_table))
    quantities = [str(name) for name in pd.unique(mean_table["quantity"])]
    positions = [str(name) for name in pd.unique(mean_table["position"])]
    with figure_style():
        halves = 1 if page_width() < NARROW else min(2, len(quantities))  # of them, side by side
        height = math.ceil(len(quantities) / halves)
        made = panels(height, halves * len(positions), 1.25, 0.8, sharey="none")
        for k, quantity in enumerate(quantities):
            row, side = k % height, k // height
            beside = made.axes[row, side * len(positions) : (side + 1) * len(positions)]
            for ax, position in zip(beside, positions, strict=True):
                values, deltas = (
                    table[(table["quantity"] == quantity) & (table["position"] == position)]
                    for table in (mean_table, delta_table)
                )
                plot_alignment_mean(ax, values, deltas)
                ax.tick_params(labelsize=6)
            beside[0].set_ylabel(NAMES.get(quantity, quantity))
        made.name_columns([f"position: {position}" for position in positions] * halves)
        made.name_layers("")
        for ax in [ax for ax in made.axes.ravel() if not ax.has_data()]:
            ax.set_axis_off()
        made.figure.align_ylabels()
        add_note(made.figure, "layer (band: 95% over sentences; dot: differs from base, Holm p < 0.05 over layers)")
        add_legend(made.figure, tone_handles(tones), columns=6, side="upper")
    return made.figure
