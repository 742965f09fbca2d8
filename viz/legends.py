"""Legends outside the panels, in as many columns as the figure is wide."""

from collections.abc import Sequence
from typing import Literal

from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.legend import Legend


def add_legend(
    figure: Figure, handles: Sequence[Artist], columns: int, side: Literal["lower", "upper"] = "lower"
) -> Legend:
    """Add a legend below (or, with `side="upper"`, above) all panels; fewer than `columns` where they would not fit.

    Raises:
        ValueError: `columns` is below 1.
    """
    loc: Literal["outside lower center", "outside upper center"]
    loc = "outside lower center" if side == "lower" else "outside upper center"
    for n in range(columns, 0, -1):
        legend = figure.legend(handles=list(handles), loc=loc, ncols=n)
        if n == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return legend
        legend.remove()
    raise ValueError(f"a legend of {columns} columns: expected at least 1")
