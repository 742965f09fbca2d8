"""Direct logit attribution: curves by layer, and heads as heat maps."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .heatmap import symmetric
from .legends import add_legend
from .style import DIVERGING, TWO_COLUMNS, condition_tones, figure_style
from .tables import SIGNIFICANT, conditions_in, grid, require, rows_where

WRITERS = {"attention": "attention", "mlp": "MLP"}

_COLUMNS = ("language", "condition", "kind", "layer", "head", "value", "ci_low", "ci_high")
_DELTA_COLUMNS = ("language", "condition", "kind", "layer", "head", "delta", "p_holm")


def plot_attribution(values_table: pd.DataFrame) -> Figure:
    """What attention and MLP of each block write for the right answer: mean over languages, one line per condition.

    Args:
        values_table: `attribution.csv`: language, condition, kind, layer, head, value, ci_low, ci_high.

    Raises:
        DataError: an empty table, missing columns, or no rows for all languages together.
    """
    require(values_table, _COLUMNS, "attribution table")
    pooled = rows_where(values_table, "language", "all", "attribution table")
    tones = condition_tones(conditions_in(pooled))
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 2.3), layout="constrained")
        axes = figure.subplots(1, len(WRITERS), sharex=True, sharey=True)
        for ax, (kind, title) in zip(axes, WRITERS.items(), strict=True):
            for condition, tone in tones.items():
                line = pooled[(pooled["kind"] == kind) & (pooled["condition"] == condition)].sort_values("layer")
                low, high = line["ci_low"], line["ci_high"]
                ax.fill_between(line["layer"], low, high, color=tone.color, alpha=0.2, linewidth=0)
                style = {"color": tone.color, "linestyle": (0, tone.dashes) if tone.dashes else "-"}
                ax.plot(line["layer"], line["value"], **style, gid=condition)
            ax.axhline(0, color="black", linewidth=0.4)
            ax.set_title(title)
            ax.set_xlabel("layer that the block writes to")
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            ax.grid(axis="y")
        axes[0].set_ylabel("logits, right − wrong")
        handles = [
            Line2D([], [], color=tone.color, linestyle=(0, tone.dashes) if tone.dashes else "-", label=condition)
            for condition, tone in tones.items()
        ]
        add_legend(figure, handles, columns=len(handles))
    return figure


def plot_attribution_heads(values_table: pd.DataFrame, deltas_table: pd.DataFrame) -> Figure:
    """Heads by layer, mean over languages: each condition, and each one's difference from the base.

    Blue speaks for the right answer. A dot marks Holm p < 0.05 over all heads.

    Args:
        values_table: `attribution.csv`, see `plot_attribution`.
        deltas_table: `attribution_delta.csv`: language, condition, kind, layer, head, delta, p_holm.

    Raises:
        DataError: an empty table, missing columns, or no heads for all languages together.
    """
    require(values_table, _COLUMNS, "attribution table")
    require(deltas_table, _DELTA_COLUMNS, "attribution_delta table")
    heads = rows_where(rows_where(values_table, "language", "all", "attribution"), "kind", "head", "attribution")
    moved = rows_where(rows_where(deltas_table, "language", "all", "attribution"), "kind", "head", "attribution")
    moved = moved.rename(columns={"delta": "value"})
    maps = [(name, heads[heads["condition"] == name]) for name in conditions_in(heads)]
    maps += [(f"{name} − base", moved[moved["condition"] == name]) for name in conditions_in(moved)]
    scales = [symmetric(table["value"]) for table in (heads, moved)]
    with figure_style():
        height = max(0.9, 0.12 * heads["head"].nunique())
        figure = Figure(figsize=(TWO_COLUMNS, len(maps) * (height + 0.35) + 0.3), layout="constrained")
        axes = figure.subplots(len(maps), 1, sharex=True, squeeze=False)[:, 0]
        for ax, (title, rows) in zip(axes, maps, strict=True):
            image = _draw(ax, rows, scales["p_holm" in rows])
            ax.set_title(title)
            ax.set_ylabel("head")
            bar = figure.colorbar(image, ax=ax, pad=0.01, aspect=10)
            bar.set_label("logits")
            bar.outline.set_visible(False)
        axes[-1].set_xlabel("layer that the block writes to    (dot: Holm p < 0.05)")
    return figure


def _draw(ax: Axes, rows: pd.DataFrame, scale: Normalize) -> AxesImage:
    values = grid(rows, "head", "layer", "value")
    image = ax.imshow(values.to_numpy(), cmap=DIVERGING, norm=scale, aspect="auto", interpolation="nearest")
    if "p_holm" in rows:
        head, layer = np.nonzero(grid(rows, "head", "layer", "p_holm").to_numpy() < SIGNIFICANT)
        ax.scatter(layer, head, s=3, c="black", linewidths=0, gid="significant")
    for axis, names in ((ax.xaxis, values.columns), (ax.yaxis, values.index)):
        step = max(1, len(names) // 9)
        axis.set_ticks(range(0, len(names), step), [str(name) for name in names[::step]])
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return image
