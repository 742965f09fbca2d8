"""Concept against language by layer: which word a translation prompt gives with another prompt's states in it."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from .legends import add_legend
from .lines import draw_line
from .panels import panels
from .style import GAIN, LOSS, NEUTRAL, figure_style
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
_UNPATCHED = ("language", "condition", "quantity", "value", "ci_low", "ci_high")


def plot_concept(ax: Axes, rows: pd.DataFrame, unpatched: pd.DataFrame) -> Axes:
    """Draw the probability of each word by patched layer, with its 95% bootstrap band.

    Dotted, with its interval: the right word without a patch.

    Args:
        ax: Where to draw.
        rows: Of `concept_patching.csv`, of one language (or `all`), condition, position and source: language,
            condition, position, layer, source, quantity, value, ci_low, ci_high.
        unpatched: The same language's and condition's rows of `concept_unpatched.csv`: language, condition, quantity,
            value, ci_low, ci_high.

    Raises:
        DataError: missing columns, or no rows for the right word without a patch.
    """
    require(rows, _COLUMNS, "concept_patching table")
    right = rows_where(unpatched, "quantity", RIGHT, "concept_unpatched table").iloc[0]
    ax.axhspan(right["ci_low"], right["ci_high"], color=LOSS, alpha=0.1, linewidth=0, gid="interval unpatched")
    ax.axhline(right["value"], color=LOSS, linestyle=":", linewidth=1, gid="unpatched")
    for quantity, (_, color, dashes) in LINES.items():
        draw_line(ax, rows[rows["quantity"] == quantity], color, quantity, band=0.15, dashes=dashes)
    ax.grid(axis="y")
    return ax


def concept_figure(patching_table: pd.DataFrame, unpatched_table: pd.DataFrame) -> Figure:
    """`plot_concept`, mean over asked languages: panels of position (down) by condition and source (across).

    Args:
        patching_table: `concept_patching.csv`.
        unpatched_table: `concept_unpatched.csv`.

    Raises:
        DataError: an empty table, missing columns, or no rows for all languages together.
    """
    require(patching_table, _COLUMNS, "concept_patching table")
    require(unpatched_table, _UNPATCHED, "concept_unpatched table")
    pooled = rows_where(patching_table, "language", "all", "concept_patching table")
    plain = rows_where(unpatched_table, "language", "all", "concept_unpatched table")
    positions = [str(position) for position in pd.unique(pooled["position"])]
    columns = [(name, source) for name in conditions_in(pooled) for source in pd.unique(pooled["source"])]
    with figure_style():
        made = panels(len(positions), len(columns), 1.8, 0.9, sharey="all")
        for line, position in zip(made.axes, positions, strict=True):
            for ax, (condition, source) in zip(line, columns, strict=True):
                here = (pooled["position"] == position) & (pooled["condition"] == condition)
                plot_concept(ax, pooled[here & (pooled["source"] == source)], plain[plain["condition"] == condition])
        made.name_columns([f"{condition}\n{source} source" for condition, source in columns])
        made.name_rows([f"probability\n{POSITIONS.get(position, position)}" for position in positions])
        made.name_layers()
        handles = [Line2D([], [], color=hue, dashes=dashes, label=text) for text, hue, dashes in LINES.values()]
        handles.append(Line2D([], [], color=LOSS, linestyle=":", label="prompt's concept, unpatched"))
        add_legend(made.figure, handles, columns=3)
    return made.figure
