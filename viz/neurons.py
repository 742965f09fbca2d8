"""Language neurons by layer, and what silencing them costs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .heatmap import add_colorbar, draw_cells, symmetric
from .legends import add_legend, add_note
from .panels import panels
from .style import GAIN, LOSS, figure_style, theme
from .tables import SIGNIFICANT, conditions_in, grid, require, rows_where

EVERY, RANDOM = "all", "random"
CLASSES = {"specific": (LOSS, "specific to one language"), "related": (GAIN, "related to several")}
_LAYERS = ("condition", "layer", "language", "class", "neurons")
_ABLATION = ("language", "condition", "ablated", "delta", "p_holm")


def plot_neurons(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Draw how many neurons of each class a layer has, each counted once, as stacked bars.

    Counts of one model on one corpus: they have no interval.

    Args:
        ax: Where to draw.
        rows: Of `neurons_by_layer.csv`, of one condition and the language `all`: condition, layer, language, class,
            neurons.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(rows, _LAYERS, "neurons_by_layer table")
    below = np.zeros(rows["layer"].nunique())
    for name, (color, label) in CLASSES.items():
        mine = rows[rows["class"] == name].sort_values("layer")
        ax.bar(mine["layer"], mine["neurons"], bottom=below, color=color, width=0.8, label=label)
        below = below + mine["neurons"].to_numpy()
    return ax


def plot_neuron_counts(ax: Axes, rows: pd.DataFrame, most: int | None = None) -> Axes:
    """Draw each language's neurons, specific and related, by layer, as a heat map.

    Args:
        ax: Where to draw.
        rows: Of `neurons_by_layer.csv`, of one condition, see `plot_neurons`; each class has its own row.
        most: Where the scale ends; None: at the largest count of these rows.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(rows, _LAYERS, "neurons_by_layer table")
    wide = grid(_counts(rows), "language", "layer", "neurons")
    layers = wide.columns.to_numpy(dtype=float)
    ax.imshow(
        wide.to_numpy(), cmap="viridis", vmin=0, vmax=most, aspect="auto", interpolation="nearest",
        extent=(layers[0] - 0.5, layers[-1] + 0.5, len(wide) - 0.5, -0.5),
    )  # fmt: skip
    ax.set_yticks(range(len(wide)), [str(code) for code in wide.index], fontsize=6.5)
    ax.xaxis.set_major_locator(MaxNLocator(9, integer=True))
    return ax


def neurons_figure(by_layer: pd.DataFrame) -> Figure:
    """`plot_neurons` above `plot_neuron_counts`, one column per condition; one scale for all.

    Args:
        by_layer: `neurons_by_layer.csv`.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(by_layer, _LAYERS, "neurons_by_layer table")
    once = rows_where(by_layer, "language", EVERY, "neurons_by_layer table")
    counts = _counts(by_layer)
    conditions = conditions_in(by_layer)
    most = max(int(counts["neurons"].max()), 1)
    with figure_style():
        heights = (1.3, max(0.115 * counts["language"].nunique(), 0.8))
        made = panels(2, len(conditions), heights, 0.9)
        for (above, below), condition in zip(made.axes.T, conditions, strict=True):
            plot_neurons(above, once[once["condition"] == condition])
            plot_neuron_counts(below, by_layer[by_layer["condition"] == condition], most)
            below.set_xlabel("layer")
        made.name_columns(conditions)
        made.name_rows(["neurons", ""])
        for i, axes in made.lines():
            if i == 1:
                bar = add_colorbar(made.figure, axes, "neurons of the language")
                bar.locator = MaxNLocator(5, integer=True)
        add_legend(made.figure, made.axes[0, 0].get_legend_handles_labels()[0], columns=2)
    return made.figure


def plot_ablation(ax: Axes, rows: pd.DataFrame, scale: Normalize | None = None) -> Axes:
    """Draw what silencing costs: languages of the text down, whose neurons are silenced across; last, random neurons.

    Colour: bits per byte more (vermilion) or less (blue) than the whole model needs; a dot: Holm p < 0.05.

    Args:
        ax: Where to draw.
        rows: Of `neurons_ablation.csv`, of one condition: language, condition, ablated, delta, p_holm.
        scale: From `symmetric`; None: one for these rows.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(rows, _ABLATION, "neurons_ablation table")
    languages = [str(code) for code in pd.unique(rows["language"])]
    columns = [*languages, RANDOM]
    delta, p = (
        grid(rows, "language", "ablated", column).reindex(columns=columns).to_numpy() for column in ("delta", "p_holm")
    )
    # A rise is a loss here: the theme's colours, turned round.
    colors = theme().diverging
    colors = colors.removesuffix("_r") if colors.endswith("_r") else f"{colors}_r"
    draw_cells(ax, delta, p < SIGNIFICANT, symmetric(delta) if scale is None else scale, colors)
    ax.axvline(len(languages) - 0.5, color=theme().paper, linewidth=1.5)
    ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize=6)
    ax.set_yticks(range(len(languages)), languages, fontsize=6.5)
    return ax


def neurons_ablation_figure(pairs: pd.DataFrame) -> Figure:
    """`plot_ablation` in one panel per condition, one scale for all.

    Args:
        pairs: `neurons_ablation.csv`.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(pairs, _ABLATION, "neurons_ablation table")
    conditions = conditions_in(pairs)
    scale = symmetric(pairs["delta"])
    with figure_style():
        height = max(0.135 * pairs["language"].nunique(), 1.2) + 0.3
        made = panels(1, len(conditions), height, 0.7, most=3, narrow=1, sharex=False)
        for ax, condition in zip(made.axes[0], conditions, strict=True):
            plot_ablation(ax, pairs[pairs["condition"] == condition], scale)
        made.name_columns(conditions)
        made.name_rows(["language of the text"])
        add_note(made.figure, "silenced: neurons of (dot: Holm p < 0.05)")
        add_colorbar(made.figure, list(made.axes.ravel()), "Δ bits per byte", aspect=25)
    return made.figure


def _counts(by_layer: pd.DataFrame) -> pd.DataFrame:
    """Neurons of each language by condition and layer, whatever their class."""
    single = by_layer[(by_layer["language"] != EVERY) & by_layer["class"].isin(list(CLASSES))]
    return single.groupby(["condition", "language", "layer"], sort=False)["neurons"].sum().reset_index()
