"""Direct logit attribution: curves by layer, and heads as heat maps."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .heatmap import add_colorbar, draw_cells, symmetric
from .legends import add_note
from .lines import draw_line, name_lines
from .panels import panels
from .style import condition_tones, figure_style, theme
from .tables import SIGNIFICANT, conditions_in, grid, require, rows_where

WRITERS = {"attention": "attention", "mlp": "MLP"}

_COLUMNS = ("language", "condition", "kind", "layer", "head", "value", "ci_low", "ci_high")
_DELTA_COLUMNS = ("language", "condition", "kind", "layer", "head", "delta", "p_holm")


def plot_attribution(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Draw what one kind of writer adds for the right answer by layer: one line per condition with its 95% band.

    Args:
        ax: Where to draw.
        rows: Of `attribution.csv`, of one language (or `all`) and kind: language, condition, kind, layer, head, value,
            ci_low, ci_high.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(rows, _COLUMNS, "attribution table")
    for condition, tone in condition_tones(conditions_in(rows)).items():
        draw_line(ax, rows[rows["condition"] == condition], tone.color, condition, dashes=tone.dashes)
    ax.axhline(0, color=theme().ink, linewidth=0.4)
    ax.grid(axis="y")
    return ax


def attribution_figure(values_table: pd.DataFrame) -> Figure:
    """What attention and MLP of each block write for the right answer, mean over languages: see `plot_attribution`.

    Args:
        values_table: `attribution.csv`.

    Raises:
        DataError: an empty table, missing columns, or no rows for all languages together.
    """
    require(values_table, _COLUMNS, "attribution table")
    pooled = rows_where(values_table, "language", "all", "attribution table")
    with figure_style():
        made = panels(1, len(WRITERS), 1.7, 0.6)
        for ax, kind in zip(made.axes[0], WRITERS, strict=True):
            plot_attribution(ax, rows_where(pooled, "kind", kind, "attribution table"))
        made.name_columns(list(WRITERS.values()))
        made.name_rows(["logits, right − wrong"])
        made.name_layers("layer that the block writes to")
        name_lines(made.axes[0, -1], condition_tones(conditions_in(pooled)))
    return made.figure


def plot_heads(ax: Axes, rows: pd.DataFrame, scale: Normalize | None = None) -> Axes:
    """Draw heads by layer as a heat map; blue speaks for the right answer.

    A dot marks Holm p < 0.05 over all heads in differences, and in values a 95% interval without 0.

    Args:
        ax: Where to draw.
        rows: Of one condition, each head of each layer once: layer, head, and delta, p_holm or value, ci_low, ci_high.
        scale: From `symmetric`; None: one for these rows.

    Raises:
        DataError: two rows claim the same cell.
    """
    shown = "delta" if "delta" in rows else "value"
    values = grid(rows, "head", "layer", shown)
    if shown == "delta":
        dots = grid(rows, "head", "layer", "p_holm").to_numpy() < SIGNIFICANT
    else:
        low, high = (grid(rows, "head", "layer", column).to_numpy() for column in ("ci_low", "ci_high"))
        dots = (low > 0) | (high < 0)
    draw_cells(ax, values.to_numpy(), dots, symmetric(rows[shown]) if scale is None else scale)
    for axis, names in ((ax.xaxis, values.columns), (ax.yaxis, values.index)):
        step = max(1, int(np.ceil(len(names) / 9)))
        axis.set_ticks(range(0, len(names), step), [f"{name:.0f}" for name in names[::step]])
    return ax


def attribution_heads_figure(values_table: pd.DataFrame, deltas_table: pd.DataFrame) -> Figure:
    """`plot_heads` of the mean over languages: each condition, and each one's difference from the base.

    Args:
        values_table: `attribution.csv`, see `plot_attribution`.
        deltas_table: `attribution_delta.csv`: language, condition, kind, layer, head, delta, p_holm.

    Raises:
        DataError: an empty table, missing columns, or no heads for all languages together.
    """
    require(values_table, _COLUMNS, "attribution table")
    require(deltas_table, _DELTA_COLUMNS, "attribution_delta table")
    heads, moved = (
        rows_where(rows_where(table, "language", "all", "attribution"), "kind", "head", "attribution")
        for table in (values_table, deltas_table)
    )
    maps = [(name, heads[heads["condition"] == name]) for name in conditions_in(heads)]
    maps += [(f"{name} − base", moved[moved["condition"] == name]) for name in conditions_in(moved)]
    scales = {"value": symmetric(heads["value"]), "delta": symmetric(moved["delta"])}
    with figure_style():
        height = max(0.9, 0.12 * heads["head"].nunique()) + 0.35
        made = panels(len(maps), 1, height, 0.3, sharey="all")
        for ax, (title, rows) in zip(made.axes[:, 0], maps, strict=True):
            plot_heads(ax, rows, scales["delta" if "delta" in rows else "value"])
            ax.set_title(title)
            ax.set_ylabel("head")
            add_colorbar(made.figure, [ax], "logits", aspect=10)
        add_note(made.figure, "layer that the block writes to (dot: Holm p < 0.05, or interval without 0)")
    return made.figure
