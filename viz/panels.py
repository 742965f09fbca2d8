"""Panels in rows and columns: as many across as the page is wide, axes shared, labels at the outside only."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .style import TALLEST, page_width

NARROW = 4.0  # inches; a narrower page has room for two panels across
Sharing = Literal["all", "row", "none"]


@dataclass(frozen=True)
class Panels:
    """The panels of a figure; columns that do not fit the page stand below the others, in a further band."""

    figure: Figure
    axes: np.ndarray  # of Axes, [rows, columns]
    across: int  # columns in one band

    def lines(self) -> Iterator[tuple[int, list[Axes]]]:
        """What stands side by side on the page: the row, and its panels in one band."""
        rows, columns = self.axes.shape
        for start in range(0, columns, self.across):
            for i in range(rows):
                yield i, list(self.axes[i, start : start + self.across])

    def name_columns(self, names: Sequence[str], **text: Any) -> None:
        """Titles above the first row."""
        for ax, name in zip(self.axes[0], names, strict=True):
            ax.set_title(name, **text)

    def name_rows(self, names: Sequence[str], **text: Any) -> None:
        """Labels left of the leftmost panels."""
        leftmost = {i: panels[0] for i, panels in self.lines()}
        for i, panels in self.lines():
            panels[0].set_ylabel(names[i], **text)
        self.figure.align_ylabels(list(leftmost.values()))

    def name_layers(self, name: str = "layer") -> None:
        """Label the shared layer axis below each column's lowest panel that is in use, with whole numbers at its ticks.

        Call it when the panels are drawn.
        """
        for column in self.axes.T:
            lowest = next((ax for ax in column[::-1] if ax.has_data()), column[-1])
            lowest.set_xlabel(name)
            lowest.tick_params(labelbottom=True)
            lowest.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def panels(
    rows: int,
    columns: int,
    height: float | Sequence[float],
    margin: float,
    *,
    most: int = 4,
    narrow: int = 2,
    sharex: bool = True,
    sharey: Sharing = "row",
    width: float | None = None,
    engine: Any = "constrained",
) -> Panels:
    """Empty panels on a new figure; call it within `figure_style`.

    Args:
        rows: Of panels.
        columns: Of panels; more than fit one band stand below the others, evenly.
        height: Inches of one row, or of each.
        margin: Inches for legends and labels beside the panels.
        most: Columns in one band on a wide page.
        narrow: The same on a narrow one.
        sharex: Whether all panels share their x axis.
        sharey: Which panels share their y axis.
        width: Inches; the page's by default, which it never exceeds.
        engine: Of the layout.
    """
    width = min(width or page_width(), page_width())
    bands = math.ceil(columns / (narrow if width < NARROW else most))
    across = math.ceil(columns / bands)
    heights = [height] * rows if isinstance(height, (int, float)) else list(height)
    figure = Figure(figsize=(width, min(bands * sum(heights) + margin, TALLEST)), layout=engine)
    cells = figure.add_gridspec(bands * rows, across, height_ratios=heights * bands)
    axes = np.empty((rows, columns), dtype=object)
    for i in range(rows):
        for j in range(columns):
            leader = {"all": axes[0, 0], "row": axes[i, 0], "none": None}[sharey]
            cell = cells[j // across * rows + i, j % across]
            axes[i, j] = figure.add_subplot(cell, sharex=axes[0, 0] if sharex else None, sharey=leader)
            axes[i, j].tick_params(
                labelleft=sharey == "none" or j % across == 0, labelbottom=not sharex or i == rows - 1
            )
    return Panels(figure, axes, across)
