"""A line with its interval, and names at the right edge of a panel."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from .style import Tone

_APART = 0.085  # of a panel's height between names, which would else touch


def draw_line(
    ax: Axes, rows: pd.DataFrame, color: str, gid: str, y: str = "value", band: float = 0.2, **line: Any
) -> Axes:
    """Draw `y` by layer with the interval from ci_low to ci_high as a band. `dashes` may be empty: a solid line."""
    rows = rows.sort_values("layer")
    ax.fill_between(
        rows["layer"], rows["ci_low"], rows["ci_high"], color=color, alpha=band, linewidth=0, zorder=1.5,
        gid=f"interval {gid}",
    )  # fmt: skip
    ax.plot(rows["layer"], rows[y], color=color, gid=gid, **line)
    return ax


def tone_handles(tones: Mapping[str, Tone], **line: Any) -> list[Line2D]:
    """A legend's lines of conditions."""
    return [Line2D([], [], color=tone.color, dashes=tone.dashes, label=name, **line) for name, tone in tones.items()]


def name_at_edge(ax: Axes, ends: Mapping[str, tuple[float, str]], height: float = _APART, **text: Any) -> None:
    """Write names right of where lines end (name -> y, colour), pushed apart by `height` of the panel, within it.

    Call it when the panel has its limits.
    """
    ordered = sorted(ends.items(), key=lambda end: end[1][0])
    low, high = ax.get_ylim()
    to_axes = ax.get_yscale() != "linear"
    values = np.array([value for _, (value, _) in ordered], dtype=float)
    if to_axes and len(values):
        values = ax.transAxes.inverted().transform(ax.transData.transform(np.c_[np.zeros(len(values)), values]))[:, 1]
        low, high = 0.0, 1.0
    places = spread(values, height * (high - low))
    if len(places):  # as a whole back into the panel
        places += max(low - places[0], 0) - max(places[-1] - high, 0)
    at = ("axes fraction", "axes fraction" if to_axes else "data")
    look: dict[str, Any] = {"fontsize": 6.5, "fontweight": "bold"} | text
    for (name, (_, color)), y in zip(ordered, places, strict=True):
        ax.annotate(name, (1.01, y), xycoords=at, va="center", color=color, annotation_clip=False, **look)


def name_lines(ax: Axes, tones: Mapping[str, Tone]) -> None:
    """Name the lines of conditions (or whatever `tones` are of) at the right edge, in their colours."""
    lines = {str(line.get_gid()).removeprefix("mean "): line.get_ydata() for line in ax.lines}
    found = {name: (last_value(np.asarray(lines[name])), tone.color) for name, tone in tones.items() if name in lines}
    name_at_edge(ax, {name: end for name, end in found.items() if np.isfinite(end[0])}, 0.1)


def last_value(values: Sequence[float] | np.ndarray | pd.Series) -> float:
    """The last value that is defined; NaN where none is."""
    found = np.asarray(values, dtype=float)
    found = found[np.isfinite(found)]
    return float(found[-1]) if len(found) else float("nan")


def spread(values: np.ndarray, gap: float) -> np.ndarray:
    """Sorted `values`, moved so that neighbours are at least `gap` apart; those that touch keep their common middle."""
    groups = [[float(value)] for value in values]
    centres = [float(value) for value in values]
    i = 0
    while i < len(groups) - 1:
        room = gap * (len(groups[i]) + len(groups[i + 1])) / 2
        if centres[i + 1] - centres[i] >= room - 1e-12:
            i += 1
            continue
        merged = groups[i] + groups.pop(i + 1)
        groups[i] = merged
        centres.pop(i + 1)
        centres[i] = sum(merged) / len(merged)
        i = max(i - 1, 0)
    places = [c + gap * (k - (len(g) - 1) / 2) for g, c in zip(groups, centres, strict=True) for k in range(len(g))]
    return np.array(places)
