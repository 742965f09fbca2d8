"""Concept against language by layer: which word a translation prompt gives with another prompt's states in it."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .legends import add_legend
from .style import GAIN, LOSS, NEUTRAL, TWO_COLUMNS, figure_style
from .tables import conditions_in, require, rows_where

# quantity -> what the legend says, colour, dashes: blue is the patched concept, dashed the source's language
LINES: dict[str, tuple[str, str, tuple[float, ...]]] = {
    "source_concept_target_language": ("patched concept, asked language", GAIN, ()),
    "target_concept_target_language": ("prompt's concept, asked language", LOSS, ()),
    "source_concept_source_language": ("patched concept, source's language", GAIN, (3.0, 1.5)),
    "target_concept_source_language": ("prompt's concept, source's language", LOSS, (3.0, 1.5)),
    "other_concept_target_language": ("another concept, asked language", NEUTRAL, ()),
}
POSITIONS = {"word": "word patched\nfrom the layer on", "answer": "answer position patched\nin the layer"}
RIGHT = "target_concept_target_language"  # what an unpatched prompt should say

_COLUMNS = ("language", "condition", "position", "layer", "source", "quantity", "value", "ci_low", "ci_high")


def plot_concept(patching_table: pd.DataFrame, unpatched_table: pd.DataFrame) -> Figure:
    """Panels of position (down) by condition and source (across): mean over asked languages, by patched layer.

    Each line is the probability of one word, with its 95% bootstrap band. Dotted: the right word without a patch.

    Args:
        patching_table: `concept_patching.csv`: language, condition, position, layer, source, quantity, value, ci_low,
            ci_high.
        unpatched_table: `concept_unpatched.csv`: language, condition, quantity, value.

    Raises:
        DataError: an empty table, missing columns, or no rows for all languages together.
    """
    require(patching_table, _COLUMNS, "concept_patching table")
    require(unpatched_table, ("language", "condition", "quantity", "value"), "concept_unpatched table")
    pooled = rows_where(patching_table, "language", "all", "concept_patching table")
    plain = rows_where(unpatched_table, "language", "all", "concept_unpatched table")
    right = plain[plain["quantity"] == RIGHT].set_index("condition")["value"]
    positions = [str(position) for position in pd.unique(pooled["position"])]
    columns = [(name, source) for name in conditions_in(pooled) for source in pd.unique(pooled["source"])]
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 1.8 * len(positions) + 0.9), layout="constrained")
        axes = figure.subplots(len(positions), len(columns), sharex=True, sharey=True, squeeze=False)
        for row, position in zip(axes, positions, strict=True):
            for ax, (condition, source) in zip(row, columns, strict=True):
                here = (pooled["position"] == position) & (pooled["condition"] == condition)
                _draw(ax, pooled[here & (pooled["source"] == source)], float(right[condition]))
            row[0].set_ylabel(f"probability\n{POSITIONS.get(position, position)}")
        for ax, (condition, source) in zip(axes[0], columns, strict=True):
            ax.set_title(f"{condition}\n{source} source")
        for ax in axes[-1]:
            ax.set_xlabel("layer")
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        handles = [Line2D([], [], color=hue, dashes=dashes, label=text) for text, hue, dashes in LINES.values()]
        handles.append(Line2D([], [], color=LOSS, linestyle=":", label="prompt's concept, unpatched"))
        add_legend(figure, handles, columns=3)
    return figure


def _draw(ax: Axes, rows: pd.DataFrame, right: float) -> None:
    ax.axhline(right, color=LOSS, linestyle=":", linewidth=1, gid="unpatched")
    for quantity, (_, color, dashes) in LINES.items():
        line = rows[rows["quantity"] == quantity].sort_values("layer")
        ax.fill_between(
            line["layer"], line["ci_low"], line["ci_high"], color=color, alpha=0.15, linewidth=0,
            gid=f"interval {quantity}",
        )  # fmt: skip
        ax.plot(line["layer"], line["value"], color=color, dashes=dashes, gid=quantity)
    ax.grid(axis="y")
