"""States as points in a plane (PCA, UMAP or AlignedUMAP), base above aligned, one column per layer."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

from ..errors import DataError
from .legends import add_legend
from .panels import NARROW
from .projection_kinds import KINDS, SILHOUETTES
from .style import NEUTRAL, TALLEST, figure_style, language_color, language_marker, page_width, theme
from .tables import conditions_in, require, rows_where

_LAYERS = {"narrow": 2, "wide": 5}  # columns that fit a page
_MANY = 400  # points of a panel: they are drawn small and pale, so that their density shows
_MOST_LABELLED = 20  # languages; beyond, codes cover the points


class Projection(NamedTuple):
    """Tables of one projection, checked, at one position of the states."""

    points: pd.DataFrame
    quality: pd.DataFrame
    x: str  # columns of coordinates
    y: str


def projection_of(points_table: pd.DataFrame, quality_table: pd.DataFrame, kind: str, position: str) -> Projection:
    """Check the tables of a projection. Arguments and errors: see `projection_figure`."""
    if kind not in KINDS:
        raise DataError(f"projection of kind {kind!r}: expected one of {', '.join(KINDS)}")
    x, y = KINDS[kind].coordinates
    require(points_table, ("language", "condition", "layer", "position", x, y), f"{kind} points table")
    require(quality_table, ("layer", "position", *KINDS[kind].measures, *SILHOUETTES), f"{kind} quality table")
    points = rows_where(points_table, "position", position, f"{kind} points table")
    quality = rows_where(quality_table, "position", position, f"{kind} quality table")
    if untold := sorted(set(points["layer"].astype(int)) - set(quality["layer"].astype(int))):
        raise DataError(
            f"{kind} quality table: no row for layer {untold[0]} at position {position!r}, expected one for every "
            "layer with points; a picture is not drawn without what tells how far to trust it; run the probe again"
        )
    return Projection(points, quality, x, y)


def plot_projection(ax: Axes, rows: pd.DataFrame, kind: str = "pca") -> Axes:
    """Draw the states of one condition and layer as points, coloured by language with a marker each.

    Args:
        ax: Where to draw.
        rows: language, and pc1, pc2 or umap1, umap2.
        kind: `pca`, `umap` or `aligned-umap`.

    Raises:
        DataError: an empty table or missing columns.
    """
    x, y = KINDS[kind].coordinates
    require(rows, ("language", x, y), f"{kind} points table")
    size, alpha = (4, 0.35) if len(rows) > _MANY else (10, 0.7)
    for language in map(str, pd.unique(rows["language"])):
        own = rows[rows["language"] == language]
        ax.scatter(
            own[x], own[y], s=size, color=language_color(language), marker=language_marker(language), alpha=alpha,
            linewidths=0, gid=f"language {language}", label=language,
        )  # fmt: skip
    return ax


def projection_figure(
    points_table: pd.DataFrame,
    quality_or_variance_table: pd.DataFrame,
    kind: str = "pca",
    position: str = "last",
    layers: Sequence[int] | None = None,
) -> Figure:
    """`plot_projection` in panels: conditions down (base on top), layers across.

    The conditions of a layer share their limits, so that they can be compared; layers do so only where places can be
    followed over them (`aligned-umap`). The title tells how far to trust the picture, in means over seeds: the share of
    variance that each component explains and its stability (PCA); the trustworthiness and the Procrustes disparity over
    seeds (UMAP, whose axes have no unit); these and the displacement of points from the layer before, with figures of
    separately fitted pictures in brackets (AlignedUMAP); then the silhouettes of languages and of meanings (ids).
    Languages' mean points carry their code where there is room.

    Args:
        points_table: Of `pca_table`, `umap_table` or `aligned_umap_tables`: language, condition, layer, position, and
            pc1, pc2 or umap1, umap2.
        quality_or_variance_table: The table that comes with it.
        kind: `pca`, `umap` or `aligned-umap`.
        position: Which position's states.
        layers: Which layers; by default as many as fit (five, or two in one column), evenly from first to last.

    Raises:
        DataError: an empty table, missing columns, an unknown kind, or a position or layer that is not in the table.
    """
    points, quality, x, y = projection_of(points_table, quality_or_variance_table, kind, position)
    conditions = conditions_in(points)
    languages = [str(code) for code in pd.unique(points["language"])]
    with figure_style():
        shown = _evenly(points, layers, kind)
        side = min((page_width() - 0.4) / len(shown), 2.4, (TALLEST - 1.4) / len(conditions))
        size = (min(max(side * len(shown), 2.6) + 0.4, page_width()), side * len(conditions) + 1.4)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(len(conditions), len(shown), squeeze=False)
        for j, layer in enumerate(shown):
            of_layer = points[points["layer"] == layer]
            framed = points[points["layer"].isin(shown)] if KINDS[kind].follows else of_layer
            for i, condition in enumerate(conditions):
                plot_projection(axes[i, j], of_layer[of_layer["condition"] == condition], kind)
                frame(axes[i, j], framed[[x, y]].to_numpy(dtype=float))
            told = quality_text(quality[quality["layer"] == layer], kind)
            axes[0, j].set_title(f"layer {layer}", fontweight="bold", pad=5 + 7.25 * len(told.splitlines()))
            axes[0, j].text(
                0.5, 1.02, told, transform=axes[0, j].transAxes,
                ha="center", va="bottom", fontsize=6, gid="quality",
            )  # fmt: skip
        for i, condition in enumerate(conditions):
            axes[i, 0].set_ylabel(condition, fontweight="bold")
        # After all panels have their final size, because what fits depends on it.
        add_legend(figure, languages_legend(languages), columns=10)
        figure.draw_without_rendering()
        if len(languages) <= _MOST_LABELLED:
            for ax in axes.ravel():
                name_centres(ax)
    return figure


def _evenly(points: pd.DataFrame, layers: Sequence[int] | None, kind: str) -> list[int]:
    present = sorted(int(layer) for layer in pd.unique(points["layer"]))
    if layers is None:
        most = min(_LAYERS["narrow" if page_width() < NARROW else "wide"], len(present))
        return sorted({present[round(i)] for i in np.linspace(0, len(present) - 1, most)})
    for layer in layers:
        rows_where(points, "layer", layer, f"{kind} points table")
    if not layers:
        raise DataError(f"{kind}: an empty list of layers; name some of {present}, or None for a choice of them")
    return list(layers)


def quality_text(rows: pd.DataFrame, kind: str) -> str:
    """How far to trust the picture of one layer, from its rows of the quality table, in a few lines."""
    return "\n".join(KINDS[kind].told(rows))


def frame(ax: Axes, points: np.ndarray) -> Axes:
    """Limits that hold every one of `points` [n, 2], with a margin; no ticks, the unit has no meaning."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    margin = np.where(high > low, 0.06 * (high - low), 1.0)
    ax.set_xlim(low[0] - margin[0], high[0] + margin[0])
    ax.set_ylim(low[1] - margin[1], high[1] + margin[1])
    ax.set_xticks([])
    ax.set_yticks([])
    for spine in ax.spines.values():
        spine.set_visible(True)
        spine.set_color(NEUTRAL)
    return ax


def name_centres(ax: Axes) -> Axes:
    """Codes above the languages' mean points; one that would cover another is left out."""
    if not np.ptp(ax.dataLim.get_points(), axis=0).any():
        ax.text(0.5, 0.57, "all states are equal", transform=ax.transAxes, ha="center", color=NEUTRAL)
        return ax
    width, height = ax.bbox.width / ax.figure.dpi * 72, ax.bbox.height / ax.figure.dpi * 72
    taken: list[tuple[float, float]] = []
    for points in ax.collections:
        cx, cy = np.asarray(points.get_offsets()).mean(axis=0)
        px, py = ax.transLimits.transform((cx, cy)) * (width, height)  # in points of type
        if any(abs(px - qx) < 10 and abs(py - qy) < 7.5 for qx, qy in taken):
            continue
        taken.append((px, py))
        language = str(points.get_label())
        halo = [withStroke(linewidth=1.6, foreground=theme().paper)]
        ax.annotate(
            language, (cx, cy), (0, 2.5), textcoords="offset points", ha="center", fontsize=6.5, fontweight="bold",
            color=language_color(language), path_effects=halo, zorder=5,
        )  # fmt: skip
    return ax


def languages_legend(languages: Sequence[str]) -> list[Line2D]:
    """Handles of languages' points."""
    return [
        Line2D([], [], linestyle="none", color=language_color(code), marker=language_marker(code), label=code)
        for code in languages
    ]
