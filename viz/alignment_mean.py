"""Mean over all pairs of languages: each measure of alignment by layer, before and after."""

from collections.abc import Mapping

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .alignment_names import NAMES
from .legends import add_legend
from .style import TWO_COLUMNS, Tone, condition_tones, figure_style
from .tables import SIGNIFICANT, conditions_in, require

_VALUES = ("condition", "layer", "position", "quantity", "value", "ci_low", "ci_high")
_DELTAS = ("condition", "layer", "position", "quantity", "aligned", "p_holm")


def plot_alignment_mean(mean_table: pd.DataFrame, delta_table: pd.DataFrame) -> Figure:
    """Panels of quantity and position: a line and its 95% band (over ids) per condition, by layer.

    A dot on a condition's line marks a difference from the base with Holm p < 0.05 (over layers).

    Args:
        mean_table: `alignment_mean.csv`.
        delta_table: `alignment_mean_delta.csv`.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(mean_table, _VALUES, "alignment_mean table")
    require(delta_table, _DELTAS, "alignment_mean_delta table")
    significant = delta_table[delta_table["p_holm"] < SIGNIFICANT]
    tones = condition_tones(conditions_in(mean_table))
    quantities = [str(name) for name in pd.unique(mean_table["quantity"])]
    positions = [str(name) for name in pd.unique(mean_table["position"])]
    height = (len(quantities) + 1) // 2
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 1.25 * height + 0.8), layout="constrained")
        axes = figure.subplots(height, 2 * len(positions), sharex=True, squeeze=False)
        for k, quantity in enumerate(quantities):
            row, side = k % height, k // height
            panels = axes[row, side * len(positions) : (side + 1) * len(positions)]
            for ax, position in zip(panels, positions, strict=True):
                here = mean_table[(mean_table["quantity"] == quantity) & (mean_table["position"] == position)]
                dots = significant[(significant["quantity"] == quantity) & (significant["position"] == position)]
                _draw(ax, here, dots, tones)
                ax.grid(axis="y")
                ax.set_title(f"{NAMES.get(quantity, quantity)}: {position}", fontsize=7)
                ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
                ax.tick_params(labelsize=6)
        for ax in axes.ravel()[[not ax.has_data() for ax in axes.ravel()]]:
            ax.set_axis_off()
        note = "layer    (band: 95% over sentences; dot: differs from base, Holm p < 0.05 over layers)"
        figure.supxlabel(note, fontsize=7)
        handles = [Line2D([], [], color=tone.color, label=name) for name, tone in tones.items()]
        for handle, tone in zip(handles, tones.values(), strict=True):
            handle.set_dashes(tone.dashes or (None, None))
        add_legend(figure, handles, columns=6, side="upper")
    return figure


def _draw(ax: Axes, rows: pd.DataFrame, significant: pd.DataFrame, tones: Mapping[str, Tone]) -> None:
    for name, tone in tones.items():
        line = rows[rows["condition"] == name].sort_values("layer")
        dots = significant[significant["condition"] == name]
        ax.fill_between(line["layer"], line["ci_low"], line["ci_high"], color=tone.color, alpha=0.2, linewidth=0)
        ax.plot(line["layer"], line["value"], color=tone.color, dashes=tone.dashes, gid=name)
        ax.scatter(dots["layer"], dots["aligned"], s=6, color=tone.color, linewidths=0, gid=f"significant {name}")
