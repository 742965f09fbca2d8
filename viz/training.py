"""The loss of a training run, and its learning rate and speed."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from .lines import last_value, name_at_edge
from .panels import panels
from .style import GAIN, NEUTRAL, ONE_COLUMN, figure_style, theme
from .tables import require

_COLUMNS = ("step", "loss", "val_loss", "tokens_per_second", "lr")


def plot_training(ax: Axes, table: pd.DataFrame) -> Axes:
    """Draw training and validation loss (nats per answer token) over optimiser steps, each named at its end.

    Steps without a value (NaN: validation is not run at every step) are left out of their line. One run has no
    interval: repeat it with other seeds to see how far its losses vary.

    Args:
        ax: Where to draw.
        table: `training.csv`: step, loss, val_loss, tokens_per_second, lr.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(table, _COLUMNS, "training table")
    loss, validation = table.dropna(subset=["loss"]), table.dropna(subset=["val_loss"])
    ax.plot(loss["step"], loss["loss"], color=NEUTRAL, linewidth=0.9, label="training")
    ax.plot(validation["step"], validation["val_loss"], color=theme().ink, marker="o", label="validation")
    ax.set_ylabel("loss (nats/token)")
    ax.set_xlabel("step")
    ax.grid(axis="y")
    ends = {"training": (last_value(loss["loss"]), NEUTRAL)}
    ends["validation"] = (last_value(validation["val_loss"]), theme().ink)
    name_at_edge(ax, {name: end for name, end in ends.items() if end[0] == end[0]}, 0.11)
    return ax


def training_figure(table: pd.DataFrame) -> Figure:
    """`plot_training`, and below it the learning rate and the tokens per second of each step. One column wide."""
    require(table, _COLUMNS, "training table")
    with figure_style():
        made = panels(3, 1, (1.8, 0.6, 0.6), 0.4, width=ONE_COLUMN)
        top, *below = made.axes[:, 0]
        plot_training(top, table)
        top.set_xlabel("")
        for ax, column, label in zip(below, ("lr", "tokens_per_second"), ("learning\nrate", "tokens/s"), strict=True):
            rows = table.dropna(subset=[column])
            ax.plot(rows["step"], rows[column], color=GAIN if column == "lr" else NEUTRAL, linewidth=0.9)
            ax.set_ylim(bottom=0)
            ax.set_ylabel(label)
            ax.grid(axis="y")
        below[-1].set_xlabel("step")
        made.figure.align_ylabels()
    return made.figure
