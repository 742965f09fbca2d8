"""Removal of the language subspace and steering, by layer, beside random edits of the same size."""

import textwrap

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

    Coloured: directions of language; grey: random directions of the same rank and size. Dashes tell conditions, of
    which two can be told apart.

    Args:
        ax: Where to draw.
        rows: Of `subspace_delta.csv`, of one language (or `all`), position and quantity against no edit: language,
            condition, position, layer, edit, against, quantity, delta, ci_low, ci_high.
        edit: A row of EDITS.

    Raises:
        DataError: missing columns.
    """
    _, color = EDITS[edit]
    tones = condition_tones(conditions_in(rows))
    for condition, tone in tones.items():
        for name, hue in ((f"{edit} random", NEUTRAL), (edit, color)):
            line = rows[(rows["edit"] == name) & (rows["condition"] == condition)]
            dashes = tone.dashes if len(tones) > 1 else ()
            draw_line(ax, line, hue, f"{condition} {name}", "delta", 0.15, dashes=dashes, marker="o")
    ax.axhline(0, color=theme().ink, linewidth=0.4)
    ax.grid(axis="y")
    return ax


def subspace_figure(deltas_table: pd.DataFrame) -> Figure:
    """`plot_subspace`, mean over languages: edits (down) by what they change (across).

    More than two conditions stand below one another.

    Args:
        deltas_table: `subspace_delta.csv`, see `plot_subspace`.

    Raises:
        DataError: an empty table, missing columns, or no rows for all languages against no edit.
    """
    require(deltas_table, _COLUMNS, "subspace_delta table")
    rows = rows_where(
        rows_where(deltas_table, "language", "all", "subspace_delta"), "against", "none", "subspace_delta"
    )
    conditions = conditions_in(rows)
    together = [conditions] if len(conditions) < 3 else [[name] for name in conditions]
    columns = [(names, panel) for names in together for panel in PANELS]
    with figure_style():
        made = panels(len(EDITS), len(columns), 1.6, 0.9)
        for line, edit in zip(made.axes, EDITS, strict=True):
            for ax, (names, (position, quantity)) in zip(line, columns, strict=True):
                here = (rows["position"] == position) & (rows["quantity"] == quantity)
                plot_subspace(ax, rows[here & rows["condition"].isin(names)], edit)
        above = "" if len(together) == 1 else "{}\n"
        made.name_columns([above.format(names[0]) + PANELS[panel] for names, panel in columns])
        made.name_rows([textwrap.fill(f"Δ, {title}", 16) for title, _ in EDITS.values()])
        made.name_layers("edited layer")
        handles = [
            *(Line2D([], [], color=color, label=title) for title, color in EDITS.values()),
            Line2D([], [], color=NEUTRAL, label="random, same size"),
        ]
        if len(together) == 1:
            dashes = {name: tone.dashes for name, tone in condition_tones(conditions).items()}
            handles += tone_handles({name: Tone(theme().ink, of, 0) for name, of in dashes.items()})
        add_legend(made.figure, handles, columns=len(handles))
    return made.figure
