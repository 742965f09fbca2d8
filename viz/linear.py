"""What linear probes read by layer: label within and across languages, and the language, before and after."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .alignment import draw_means, mean_over_languages, means_legend, spanning, spread
from .heatmap import delta_figure
from .legends import add_legend
from .style import ALIGNED, NEUTRAL, TWO_COLUMNS, condition_tones, figure_style, language_color
from .tables import conditions_in, require

NAMES: Mapping[str, str] = {
    "label_from_pivot": "label, from pivot",
    "label_from_pivot_centred": "label, from pivot,\nlanguages centred",
    "label_from_base": "label, from pivot\nin the base",
    "label_within": "label, own language",
    "language": "language",
}

_COLUMNS = ("language", "condition", "layer", "position", "quantity", "value", "ci_low", "ci_high")
_DELTA_COLUMNS = ("language", "condition", "layer", "position", "quantity", "delta", "p_holm")
_CONTROL = "_control"
_GAP = 0.12  # of accuracy between names, which would else touch
_LABELLED = 3  # languages beside the mean: more lines touch


def plot_linear(values_table: pd.DataFrame) -> Figure:
    """Panels of probe (down) by position (across): accuracy on held-out ids by layer.

    Thick lines: mean over languages per condition, base grey and dashed, aligned black, with the 95% interval across
    languages. Thin lines, named at their end: a few languages that span the range, in the condition drawn black.
    Dotted: the mean of the control with shuffled classes, which is chance where nothing leaks; a probe without a
    control of its own has that of `label_from_pivot`.

    Args:
        values_table: `linear_probe.csv`: language, condition, layer, position, quantity, value, ci_low, ci_high.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(values_table, _COLUMNS, "linear_probe table")
    means = mean_over_languages(values_table)
    conditions = conditions_in(values_table)
    shown = next((name for name, tone in condition_tones(conditions).items() if tone is ALIGNED), conditions[0])
    present = set(values_table["quantity"])
    quantities = [quantity for quantity in NAMES if quantity in present]
    positions = [str(position) for position in pd.unique(values_table["position"])]
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 1.35 * len(quantities) + 0.8), layout="constrained")
        axes = figure.subplots(len(quantities), len(positions), sharex=True, sharey=True, squeeze=False)
        for i, quantity in enumerate(quantities):
            control = quantity + _CONTROL if quantity + _CONTROL in present else "label_from_pivot" + _CONTROL
            for j, position in enumerate(positions):
                here, mean = (t[t["position"] == position] for t in (values_table, means))
                _draw_languages(axes[i, j], here[(here["quantity"] == quantity) & (here["condition"] == shown)])
                _draw_control(axes[i, j], mean[mean["quantity"] == control])
                draw_means(axes[i, j], mean[mean["quantity"] == quantity], conditions)
            axes[i, 0].set_ylabel(NAMES[quantity])
        for ax, position in zip(axes[0], positions, strict=True):
            ax.set_title(f"position: {position}")
            ax.set_ylim(0, 1.03)
        for ax in axes[-1]:
            ax.set_xlabel("layer")
            ax.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        for ax in axes.ravel():
            ax.grid(axis="y")
        handles = means_legend(conditions, shown)
        handles.insert(-1, Line2D([], [], color=NEUTRAL, linestyle=":", linewidth=1, label="shuffled control"))
        add_legend(figure, handles, columns=5)
    return figure


def plot_linear_delta(deltas_table: pd.DataFrame) -> Figure:
    """Heat maps of aligned - base in accuracy, language by layer: panels of probe (down) by position and condition.

    Blue is a gain, red a loss; a dot marks Holm p < 0.05 over the languages of one layer.

    Args:
        deltas_table: `linear_probe_delta.csv`: language, condition, layer, position, quantity, delta, p_holm.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(deltas_table, _DELTA_COLUMNS, "linear_probe_delta table")
    columns = [
        (
            f"{condition} − base\nposition: {position}",
            (deltas_table["position"] == position) & (deltas_table["condition"] == condition),
        )
        for condition in conditions_in(deltas_table)
        for position in map(str, pd.unique(deltas_table["position"]))
    ]
    return delta_figure(deltas_table, columns, NAMES)


def _draw_languages(ax: Axes, rows: pd.DataFrame) -> None:
    named = spanning(rows, _LABELLED)
    lines = {language: rows[rows["language"] == language].sort_values("layer") for language in named}
    heights = spread(np.array([line["value"].iloc[-1] for line in lines.values()]), _GAP)
    for (language, line), height in zip(lines.items(), heights, strict=True):
        color = language_color(language)
        ax.plot(line["layer"], line["value"], color=color, linewidth=0.7, alpha=0.8, gid=f"language {language}")
        ax.annotate(
            language, (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=6.5,
            fontweight="bold", color=color, annotation_clip=False,
        )  # fmt: skip


def _draw_control(ax: Axes, means: pd.DataFrame) -> None:
    line = means.groupby("layer")["value"].mean()
    ax.plot(line.index, line, color=NEUTRAL, linestyle=":", linewidth=1, gid="control", zorder=3)
