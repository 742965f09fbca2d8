"""Language neurons by layer, and what silencing them costs."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .heatmap import symmetric
from .legends import add_legend
from .style import GAIN, LOSS, TWO_COLUMNS, figure_style
from .tables import SIGNIFICANT, conditions_in, grid, require, rows_where

EVERY, RANDOM = "all", "random"
CLASSES = {"specific": (LOSS, "specific to one language"), "related": (GAIN, "related to several")}
_LAYERS = ("condition", "layer", "language", "class", "neurons")
_ABLATION = ("language", "condition", "ablated", "delta", "p_holm")


def plot_neurons(by_layer: pd.DataFrame) -> Figure:
    """Language neurons by layer, one column per condition.

    Above: neurons of each class by layer, each counted once (stacked bars). Below: a heat map of each language's
    neurons, specific and related, by layer; one scale for all conditions.

    Args:
        by_layer: `neurons_by_layer.csv`: condition, layer, language (`all`: whatever the languages), class, neurons.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(by_layer, _LAYERS, "neurons_by_layer table")
    once = rows_where(by_layer, "language", EVERY, "neurons_by_layer table")
    single = by_layer[(by_layer["language"] != EVERY) & by_layer["class"].isin(list(CLASSES))]
    counts = single.groupby(["condition", "language", "layer"], sort=False, as_index=False)["neurons"].sum()
    conditions = conditions_in(by_layer)
    n_languages = counts["language"].nunique()
    top = max(int(counts["neurons"].max()), 1)
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 1.3 + max(0.115 * n_languages, 0.8) + 0.9), layout="constrained")
        axes = figure.subplots(
            2, len(conditions), sharex=True, sharey="row", squeeze=False,
            height_ratios=(1.3, max(0.115 * n_languages, 0.8)),
        )  # fmt: skip
        for column, condition in zip(axes.T, conditions, strict=True):
            _draw_classes(column[0], once[once["condition"] == condition])
            column[0].set_title(condition)
            wide = grid(counts[counts["condition"] == condition], "language", "layer", "neurons")
            layers = wide.columns.to_numpy(dtype=float)
            image = column[1].imshow(
                wide.to_numpy(), cmap="viridis", vmin=0, vmax=top, aspect="auto", interpolation="nearest",
                extent=(layers[0] - 0.5, layers[-1] + 0.5, len(wide) - 0.5, -0.5),
            )  # fmt: skip
            column[1].set_yticks(range(len(wide)), [str(code) for code in wide.index], fontsize=6.5)
            column[1].xaxis.set_major_locator(MaxNLocator(9, integer=True))
            column[1].set_xlabel("layer")
        axes[0, 0].set_ylabel("neurons")
        bar = figure.colorbar(image, ax=list(axes[1]), pad=0.01, aspect=18, ticks=MaxNLocator(5, integer=True))
        bar.set_label("neurons of the language")
        bar.outline.set_visible(False)
        add_legend(figure, axes[0, 0].get_legend_handles_labels()[0], columns=2)
    return figure


def plot_neurons_ablation(pairs: pd.DataFrame) -> Figure:
    """One panel per condition: languages of the text down, whose neurons are silenced across; last, random neurons.

    Colour: bits per byte more (vermilion) or less than the whole model needs, one scale for all; a dot: Holm p < 0.05.

    Args:
        pairs: `neurons_ablation.csv`: language, condition, ablated, delta, p_holm.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(pairs, _ABLATION, "neurons_ablation table")
    conditions = conditions_in(pairs)
    languages = [str(code) for code in pd.unique(pairs["language"])]
    scale = symmetric(pairs["delta"])
    with figure_style():
        size = (TWO_COLUMNS, max(0.135 * len(languages), 1.2) + 1.0)
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(1, len(conditions), sharey=True, squeeze=False)[0]
        for ax, condition in zip(axes, conditions, strict=True):
            here = pairs[pairs["condition"] == condition]
            columns = [*languages, RANDOM]
            delta = grid(here, "language", "ablated", "delta").reindex(columns=columns).to_numpy()
            p = grid(here, "language", "ablated", "p_holm").reindex(columns=columns).to_numpy()
            image = ax.imshow(delta, cmap="RdBu_r", norm=scale, aspect="auto", interpolation="nearest")
            language, ablated = np.nonzero(p < SIGNIFICANT)
            strong = np.abs(delta[language, ablated]) > 0.6 * float(scale.vmax or 1.0)
            dots = np.where(strong, "white", "black")
            ax.scatter(ablated, language, s=2.5, c=dots, linewidths=0, gid="significant")
            ax.axvline(len(languages) - 0.5, color="white", linewidth=1.5)
            ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize=6)
            ax.set_yticks(range(len(languages)), languages, fontsize=6.5)
            ax.tick_params(length=0)
            ax.set_title(condition)
        axes[0].set_ylabel("language of the text")
        figure.supxlabel("silenced: neurons of    (dot: Holm p < 0.05)", fontsize=7.5)
        bar = figure.colorbar(image, ax=list(axes), pad=0.01, aspect=25)
        bar.set_label("Δ bits per byte")
        bar.outline.set_visible(False)
    return figure


def _draw_classes(ax: Axes, rows: pd.DataFrame) -> None:
    below = np.zeros(rows["layer"].nunique())
    for name, (color, label) in CLASSES.items():
        mine = rows[rows["class"] == name].sort_values("layer")
        ax.bar(mine["layer"], mine["neurons"], bottom=below, color=color, width=0.8, label=label)
        below = below + mine["neurons"].to_numpy()
