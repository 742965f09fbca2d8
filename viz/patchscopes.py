"""Patchscopes by layer: how far the word of a state is read out in English, and in its own language."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .legends import add_legend
from .lines import draw_line, tone_handles
from .panels import panels
from .style import NEUTRAL, condition_tones, figure_style
from .tables import conditions_in, require, rows_where

NAMES = {"probability": "probability", "recognised": "recognised"}  # quantities that have panels
CONTROL = "control"

_COLUMNS = ("language", "condition", "word", "prompt", "layer", "quantity", "value", "ci_low", "ci_high")


def plot_patchscopes(ax: Axes, rows: pd.DataFrame, control: pd.DataFrame | None = None) -> Axes:
    """Draw one quantity by layer: one line per condition with its 95% bootstrap band.

    Args:
        ax: Where to draw.
        rows: Of `patchscopes.csv`, of one language (or `all`), word, prompt and quantity: language, condition, word,
            prompt, layer, quantity, value, ci_low, ci_high.
        control: The probability under other words' states, in one condition; dotted.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(rows, _COLUMNS, "patchscopes table")
    for name, tone in condition_tones(conditions_in(rows)).items():
        draw_line(ax, rows[rows["condition"] == name], tone.color, name, dashes=tone.dashes)
    if control is not None:
        draw_line(ax, control, NEUTRAL, CONTROL, linestyle=":")
    ax.grid(axis="y")
    return ax


def patchscopes_figure(values_table: pd.DataFrame) -> Figure:
    """`plot_patchscopes`, mean over languages: panels of quantity (down) by target prompt and looked-for word (across).

    Dotted: the probability under other words' states, of the base.

    Args:
        values_table: `patchscopes.csv`, see `plot_patchscopes`.

    Raises:
        DataError: an empty table, missing columns, or no rows for all languages together.
    """
    require(values_table, _COLUMNS, "patchscopes table")
    pooled = rows_where(values_table, "language", "all", "patchscopes table")
    columns = list(dict.fromkeys(zip(pooled["prompt"], pooled["word"], strict=True)))
    conditions = conditions_in(pooled)
    with figure_style():
        made = panels(len(NAMES), len(columns), 1.6, 0.8)
        for line, quantity in zip(made.axes, NAMES, strict=True):
            for ax, (prompt, word) in zip(line, columns, strict=True):
                here = pooled[(pooled["prompt"] == prompt) & (pooled["word"] == word)]
                control = here[(here["quantity"] == CONTROL) & (here["condition"] == conditions[0])]
                values = here[here["quantity"] == quantity]
                plot_patchscopes(ax, values, control if quantity == "probability" else None)
        made.name_columns([f"{prompt} prompt\n{word} word" for prompt, word in columns])
        made.name_rows(list(NAMES.values()))
        made.name_layers()
        handles = tone_handles(condition_tones(conditions))
        handles.append(Line2D([], [], color=NEUTRAL, linestyle=":", label="other words' states"))
        add_legend(made.figure, handles, columns=6)
    return made.figure
