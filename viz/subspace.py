"""Removal of the language subspace and steering, by layer, beside random edits of the same size."""

from typing import NamedTuple

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .legends import add_legend
from .style import GAIN, LOSS, NEUTRAL, TWO_COLUMNS, Tone, condition_tones, figure_style
from .tables import conditions_in, require, rows_where

EDITS = {"remove": ("language subspace removed", LOSS), "steer": ("steered to the pivot", GAIN)}
PANELS = {
    ("last", "accuracy"): "accuracy\nedit: answer position",
    ("question", "accuracy"): "accuracy\nedit: question",
    ("text", "own_language"): "goes on in own language\nedit: all tokens",
    ("text", "pivot_language"): "goes on in pivot\nedit: all tokens",
}

_COLUMNS = ("language", "condition", "position", "layer", "edit", "against", "quantity", "delta", "ci_low", "ci_high")


class _Line(NamedTuple):
    edit: str
    color: str
    condition: str
    tone: Tone


def plot_subspace(deltas_table: pd.DataFrame) -> Figure:
    """Edits (down) by what they change (across): difference from no edit, mean over languages, by edited layer.

    Coloured: directions of language; grey: random directions of the same rank and size. Dashed: the base. Bands are 95%
    bootstrap intervals.

    Args:
        deltas_table: `subspace_delta.csv`: language, condition, position, layer, edit, against, quantity, delta,
            ci_low, ci_high.

    Raises:
        DataError: an empty table, missing columns, or no rows for all languages against no edit.
    """
    require(deltas_table, _COLUMNS, "subspace_delta table")
    rows = rows_where(
        rows_where(deltas_table, "language", "all", "subspace_delta"), "against", "none", "subspace_delta"
    )
    tones = condition_tones(conditions_in(rows))
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 1.6 * len(EDITS) + 0.9), layout="constrained")
        axes = figure.subplots(len(EDITS), len(PANELS), sharex=True, sharey="row")
        for i, (edit, (title, color)) in enumerate(EDITS.items()):
            for ax, ((position, quantity), name) in zip(axes[i], PANELS.items(), strict=True):
                here = rows[(rows["position"] == position) & (rows["quantity"] == quantity)]
                for condition, tone in tones.items():
                    _draw(ax, here, _Line(f"{edit} random", NEUTRAL, condition, tone))
                    _draw(ax, here, _Line(edit, color, condition, tone))
                ax.axhline(0, color="black", linewidth=0.4)
                ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
                ax.grid(axis="y")
                if i == 0:
                    ax.set_title(name)
            axes[i, 0].set_ylabel(f"Δ, {title}")
        for ax in axes[-1]:
            ax.set_xlabel("edited layer")
        handles = [
            *(Line2D([], [], color=color, label=title) for title, color in EDITS.values()),
            Line2D([], [], color=NEUTRAL, label="random, same size"),
            *(
                Line2D([], [], color="black", linestyle=(0, tone.dashes) if tone.dashes else "-", label=condition)
                for condition, tone in tones.items()
            ),
        ]
        add_legend(figure, handles, columns=len(handles))
    return figure


def _draw(ax: Axes, rows: pd.DataFrame, line: _Line) -> None:
    points = rows[(rows["edit"] == line.edit) & (rows["condition"] == line.condition)].sort_values("layer")
    ax.fill_between(points["layer"], points["ci_low"], points["ci_high"], color=line.color, alpha=0.15, linewidth=0)
    style = (0, line.tone.dashes) if line.tone.dashes else "-"
    gid = f"{line.condition} {line.edit}"
    ax.plot(points["layer"], points["delta"], color=line.color, linestyle=style, marker="o", gid=gid)
