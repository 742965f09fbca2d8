"""What linear probes read by layer: label within and across languages, and the language, before and after."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .alignment import draw_languages, draw_means, mean_over_languages, means_legend, name_languages
from .heatmap import delta_figure, differences
from .legends import add_legend
from .panels import panels
from .style import NEUTRAL, figure_style, foremost
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
_LABELLED = 3  # languages beside the mean: more lines touch


def plot_linear(ax: Axes, rows: pd.DataFrame, control: pd.DataFrame) -> Axes:
    """Draw the accuracy of one probe on held-out ids by layer.

    Thick lines: mean over languages per condition, base grey and dashed, aligned in the theme's ink, with the 95%
    interval across languages. Thin lines with their own band: a few languages that span the range, in the foremost
    condition; `alignment.name_languages` names them. Dotted: the mean of the control with shuffled classes, which is
    chance where nothing leaks.

    Args:
        ax: Where to draw.
        rows: Of `linear_probe.csv`, of one quantity and position: language, condition, layer, position, quantity,
            value, ci_low, ci_high.
        control: The same for its control.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(rows, _COLUMNS, "linear_probe table")
    conditions = conditions_in(rows)
    draw_languages(ax, rows[rows["condition"] == foremost(conditions)], _LABELLED, only_named=True)
    chance = control.groupby("layer")["value"].mean()
    ax.plot(chance.index, chance, color=NEUTRAL, linestyle=":", linewidth=1, gid="control", zorder=3)
    draw_means(ax, mean_over_languages(rows), conditions)
    ax.grid(axis="y")
    return ax


def linear_figure(values_table: pd.DataFrame) -> Figure:
    """`plot_linear` in panels of probe (down) by position (across).

    Args:
        values_table: `linear_probe.csv`, see `plot_linear`.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(values_table, _COLUMNS, "linear_probe table")
    present = set(values_table["quantity"])
    quantities = [quantity for quantity in NAMES if quantity in present]
    positions = [str(position) for position in pd.unique(values_table["position"])]
    with figure_style():
        made = panels(len(quantities), len(positions), 1.35, 0.8)
        for line, quantity in zip(made.axes, quantities, strict=True):
            for ax, position in zip(line, positions, strict=True):
                here = values_table[values_table["position"] == position]
                plot_linear(ax, here[here["quantity"] == quantity], here[here["quantity"] == quantity + _CONTROL])
            line[0].set_ylim(top=1.03)
        made.name_columns([f"position: {position}" for position in positions])
        made.name_rows([NAMES[quantity] for quantity in quantities])
        made.name_layers()
        for ax in made.axes.ravel():
            name_languages(ax)
        handles = means_legend(conditions_in(values_table))
        handles.insert(-1, Line2D([], [], color=NEUTRAL, linestyle=":", linewidth=1, label="shuffled control"))
        add_legend(made.figure, handles, columns=6)
    return made.figure


def linear_delta_figure(deltas_table: pd.DataFrame) -> Figure:
    """Heat maps of aligned - base in accuracy, language by layer: panels of probe (down) by position and condition.

    Blue is a gain, red a loss; a dot marks Holm p < 0.05 over the languages of one layer.

    Args:
        deltas_table: `linear_probe_delta.csv`: language, condition, layer, position, quantity, delta, p_holm.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(deltas_table, _DELTA_COLUMNS, "linear_probe_delta table")
    probes = deltas_table[deltas_table["quantity"].isin(NAMES)]
    return delta_figure(probes, differences(probes), NAMES)
