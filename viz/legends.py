"""Legends outside the panels, in as many columns as the figure is wide."""

import math
import textwrap
from collections.abc import Sequence
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.legend import Legend

_LETTER = 0.0545  # inches that a letter of a note is wide
_WIDEST = 0.94  # of the figure: type that is hinted for another resolution is up to 5% wider than when measured


def add_note(figure: Figure, text: str) -> None:
    """Write a line below all panels, broken where the figure ends."""
    figure.supxlabel(textwrap.fill(text, int(figure.get_size_inches()[0] / _LETTER)), fontsize=7)


def add_legend(
    figure: Figure, handles: Sequence[Artist], columns: int, side: Literal["lower", "upper"] = "lower"
) -> Legend:
    """Add a legend below (or, with `side="upper"`, above) all panels; fewer than `columns` where they would not fit.

    Handles are spread evenly over the rows that are needed.

    Raises:
        ValueError: `columns` is below 1.
    """
    loc: Literal["outside lower center", "outside upper center"]
    loc = "outside lower center" if side == "lower" else "outside upper center"
    for most in range(columns, 0, -1):
        rows = math.ceil(len(handles) / most)
        n = max(math.ceil(len(handles) / max(rows, 1)), 1)
        legend = figure.legend(handles=list(handles), loc=loc, ncols=n)
        if n == 1 or legend.get_window_extent().width <= _WIDEST * figure.bbox.width:
            return legend
        legend.remove()
    raise ValueError(f"a legend of {columns} columns: expected at least 1")
