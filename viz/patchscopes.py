"""Patchscopes by layer: how far the word of a state is read out in English, and in its own language."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .legends import add_legend
from .style import NEUTRAL, TWO_COLUMNS, condition_tones, figure_style
from .tables import conditions_in, require, rows_where

NAMES = {"probability": "probability", "recognised": "recognised"}  # quantities that have panels
CONTROL = "control"

_COLUMNS = ("language", "condition", "word", "prompt", "layer", "quantity", "value", "ci_low", "ci_high")


def plot_patchscopes(values_table: pd.DataFrame) -> Figure:
    """Panels of quantity (down) by target prompt and looked-for word (across): mean over languages, by layer.

    One line per condition with its 95% bootstrap band. Dotted: the probability under other words' states, of the base.

    Args:
        values_table: `patchscopes.csv`: language, condition, word, prompt, layer, quantity, value, ci_low, ci_high.

    Raises:
        DataError: an empty table, missing columns, or no rows for all languages together.
    """
    require(values_table, _COLUMNS, "patchscopes table")
    pooled = rows_where(values_table, "language", "all", "patchscopes table")
    columns = list(dict.fromkeys(zip(pooled["prompt"], pooled["word"], strict=True)))
    conditions = conditions_in(pooled)
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 1.6 * len(NAMES) + 0.8), layout="constrained")
        axes = figure.subplots(len(NAMES), len(columns), sharex=True, sharey="row", squeeze=False)
        for row, (quantity, name) in zip(axes, NAMES.items(), strict=True):
            for ax, (prompt, word) in zip(row, columns, strict=True):
                here = pooled[(pooled["prompt"] == prompt) & (pooled["word"] == word)]
                _draw(ax, here[here["quantity"] == quantity], conditions)
                if quantity == "probability":
                    _draw_control(ax, here[(here["quantity"] == CONTROL) & (here["condition"] == conditions[0])])
            row[0].set_ylabel(name)
        for ax, (prompt, word) in zip(axes[0], columns, strict=True):
            ax.set_title(f"{prompt} prompt\n{word} word")
        for ax in axes[-1]:
            ax.set_xlabel("layer")
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        tones = condition_tones(conditions)
        handles = [Line2D([], [], color=tone.color, dashes=tone.dashes, label=name) for name, tone in tones.items()]
        handles.append(Line2D([], [], color=NEUTRAL, linestyle=":", label="other words' states"))
        add_legend(figure, handles, columns=4)
    return figure


def _draw(ax: Axes, rows: pd.DataFrame, conditions: list[str]) -> None:
    for name, tone in condition_tones(conditions).items():
        line = rows[rows["condition"] == name].sort_values("layer")
        ax.fill_between(
            line["layer"], line["ci_low"], line["ci_high"], color=tone.color, alpha=0.2, linewidth=0,
            gid=f"interval {name}",
        )  # fmt: skip
        ax.plot(line["layer"], line["value"], color=tone.color, dashes=tone.dashes, gid=name)
    ax.grid(axis="y")


def _draw_control(ax: Axes, rows: pd.DataFrame) -> None:
    line = rows.sort_values("layer")
    ax.plot(line["layer"], line["value"], color=NEUTRAL, linestyle=":", gid=CONTROL)
