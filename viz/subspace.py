"""Removal of the language subspace and steering, by layer, beside random edits of the same size."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .legends import add_legend
from .lines import draw_line, tone_handles
from .panels import panels
from .style import GAIN, LOSS, NEUTRAL, Tone, condition_tones, figure_style, theme
from .tables import conditions_in, require, rows_where

EDITS = {"remove": ("language subspace removed", LOSS), "steer": ("steered to the pivot", GAIN)}
PANELS = {
    ("last", "accuracy"): "accuracy\nedit: answer position",
    ("question", "accuracy"): "accuracy\nedit: question",
    ("text", "own_language"): "goes on in own language\nedit: all tokens",
    ("text", "pivot_language"): "goes on in pivot\nedit: all tokens",
}

_COLUMNS = ("language", "condition", "position", "layer", "edit", "against", "quantity", "delta", "ci_low", "ci_high")


def plot_subspace(ax: Axes, rows: pd.DataFrame, edit: str) -> Axes:
    """Draw what an edit changes, by edited layer, with 95% bootstrap bands.

    Coloured: directions of language; grey: random directions of the same rank and size. Dashes tell conditions.

    Args:
        ax: Where to draw.
        rows: Of `subspace_delta.csv`, of one language (or `all`), position and quantity against no edit: language,
            condition, position, layer, edit, against, quantity, delta, ci_low, ci_high.
        edit: A row of EDITS.

    Raises:
        DataError: missing columns.
    """
    _, color = EDITS[edit]
    for condition, tone in condition_tones(conditions_in(rows)).items():
        for name, hue in ((f"{edit} random", NEUTRAL), (edit, color)):
            line = rows[(rows["edit"] == name) & (rows["condition"] == condition)]
            draw_line(ax, line, hue, f"{condition} {name}", "delta", 0.15, dashes=tone.dashes, marker="o")
    ax.axhline(0, color=theme().ink, linewidth=0.4)
    ax.grid(axis="y")
    return ax


def subspace_figure(deltas_table: pd.DataFrame) -> Figure:
    """`plot_subspace`, mean over languages: edits (down) by what they change (across).

    Args:
        deltas_table: `subspace_delta.csv`, see `plot_subspace`.

    Raises:
        DataError: an empty table, missing columns, or no rows for all languages against no edit.
    """
    require(deltas_table, _COLUMNS, "subspace_delta table")
    rows = rows_where(
        rows_where(deltas_table, "language", "all", "subspace_delta"), "against", "none", "subspace_delta"
    )
    tones = condition_tones(conditions_in(rows))
    with figure_style():
        made = panels(len(EDITS), len(PANELS), 1.6, 0.9)
        for line, edit in zip(made.axes, EDITS, strict=True):
            for ax, (position, quantity) in zip(line, PANELS, strict=True):
                plot_subspace(ax, rows[(rows["position"] == position) & (rows["quantity"] == quantity)], edit)
        made.name_columns(list(PANELS.values()))
        made.name_rows([f"Δ, {title}" for title, _ in EDITS.values()])
        made.name_layers("edited layer")
        handles = [
            *(Line2D([], [], color=color, label=title) for title, color in EDITS.values()),
            Line2D([], [], color=NEUTRAL, label="random, same size"),
            *tone_handles({name: Tone(theme().ink, tone.dashes, 0) for name, tone in tones.items()}),
        ]
        add_legend(made.figure, handles, columns=len(handles))
    return made.figure
