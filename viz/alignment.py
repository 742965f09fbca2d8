"""How like English the other languages' states are, by layer, before and after."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from scipy import stats

from ..errors import DataError
from .alignment_names import NAMES
from .heatmap import delta_figure
from .legends import add_legend
from .style import ALIGNED, NEUTRAL, TWO_COLUMNS, condition_tones, figure_style, language_color, language_marker
from .tables import conditions_in, require

SHOWN = ("pc1_pearson", "retrieval_from_pivot", "retrieval_to_pivot")  # the paper's measure and both searches

_VALUES = "alignment table"
_VALUE_COLUMNS = ("language", "condition", "layer", "position", "quantity", "value", "ci_low", "ci_high")
_DELTA_COLUMNS = ("language", "condition", "layer", "position", "quantity", "delta", "p_holm")
_LABELLED = 5  # languages named at the edge of a panel: more would touch


def mean_over_languages(values_table: pd.DataFrame) -> pd.DataFrame:
    """Mean of `value` over languages and its 95% t interval, which tells how much *languages* differ.

    Columns: condition, layer, position, quantity, n_languages, value, ci_low, ci_high. Undefined values (NaN) are left
    out; with one language there is no interval (NaN).
    """
    keys = ["condition", "layer", "position", "quantity"]
    groups = values_table.dropna(subset=["value"]).groupby(keys, sort=False)["value"]
    table = groups.agg(n_languages="count", value="mean", sd="std").reset_index()
    n = table["n_languages"].to_numpy(dtype=float)
    with np.errstate(invalid="ignore"):  # one language: 0 degrees of freedom give NaN, as documented
        half = stats.t.ppf(0.975, n - 1) * table["sd"] / np.sqrt(n)
    return table.assign(ci_low=table["value"] - half, ci_high=table["value"] + half).drop(columns="sd")


def plot_alignment(values_table: pd.DataFrame, quantities: Sequence[str] = SHOWN) -> Figure:
    """Panels of quantity (down) by position (across): alignment with the pivot language by layer.

    Thick lines: mean over languages per condition, base grey and dashed, aligned black, with the 95% interval across
    languages. Thin lines: each language in the condition drawn black (`aligned`, or the first adapter), in its colour;
    a few that span the range are named at the right edge and carry their own 95% bootstrap band (all 19 bands at once
    would hide one another).

    Args:
        values_table: `alignment.csv`: language, condition, layer, position, quantity, value, ci_low, ci_high.
        quantities: Those to show; a page has room for four.

    Raises:
        DataError: an empty table, missing columns, or none of the quantities in it.
    """
    require(values_table, _VALUE_COLUMNS, _VALUES)
    values_table = _only(values_table, quantities, _VALUES)
    means = mean_over_languages(values_table)
    conditions = conditions_in(values_table)
    shown = next((name for name, tone in condition_tones(conditions).items() if tone is ALIGNED), conditions[0])
    languages = [str(code) for code in pd.unique(values_table["language"])]
    drawn, positions = _panels(values_table)
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 1.75 * len(drawn) + 0.9), layout="constrained")
        axes = figure.subplots(len(drawn), len(positions), sharex=True, sharey="row", squeeze=False)
        for i, quantity in enumerate(drawn):
            for j, position in enumerate(positions):
                ax = axes[i, j]
                here = (values_table["quantity"] == quantity) & (values_table["position"] == position)
                _draw_languages(ax, values_table[here & (values_table["condition"] == shown)])
                draw_means(ax, means[(means["quantity"] == quantity) & (means["position"] == position)], conditions)
                ax.grid(axis="y")
                if i == 0:
                    ax.set_title(f"position: {position}")
                if j == 0:
                    ax.set_ylabel(NAMES.get(quantity, quantity))
        for ax in axes[-1]:
            ax.set_xlabel("layer")
            ax.xaxis.set_major_locator(MaxNLocator(7, integer=True))
        for ax in axes.ravel():
            _name_at_edge(ax)  # when all panels of a row are drawn: they share their limits
        add_legend(figure, means_legend(conditions, shown), columns=4, side="upper")
        add_legend(figure, _legend_of_languages(languages), columns=10)
    return figure


def plot_alignment_delta(deltas_table: pd.DataFrame, quantities: Sequence[str] = SHOWN) -> Figure:
    """Heat maps of aligned - base, language by layer: panels of quantity (down) by position and condition (across).

    Blue is a gain, red a loss; the scale is centred on 0 and shared by the panels of one quantity. A dot marks Holm
    p < 0.05 (over the languages of one layer). Grey: undefined.

    Args:
        deltas_table: `alignment_delta.csv`: language, condition, layer, position, quantity, delta, p_holm.
        quantities: Those to show; a page has room for four.

    Raises:
        DataError: an empty table, missing columns, or none of the quantities in it.
    """
    require(deltas_table, _DELTA_COLUMNS, "alignment_delta table")
    deltas_table = _only(deltas_table, quantities, "alignment_delta table")
    _, positions = _panels(deltas_table)
    columns = [
        (
            f"{condition} − base\nposition: {position}",
            (deltas_table["position"] == position) & (deltas_table["condition"] == condition),
        )
        for condition in conditions_in(deltas_table)
        for position in positions
    ]
    return delta_figure(deltas_table, columns, NAMES)


def _only(table: pd.DataFrame, quantities: Sequence[str], what: str) -> pd.DataFrame:
    rows = table[table["quantity"].isin(quantities)]
    if rows.empty:
        found = ", ".join(map(str, pd.unique(table["quantity"])))
        raise DataError(f"{what}: none of the quantities {', '.join(quantities)}; expected some of {found}")
    return rows


def _panels(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    return [str(q) for q in pd.unique(table["quantity"])], [str(p) for p in pd.unique(table["position"])]


def _draw_languages(ax: Axes, rows: pd.DataFrame) -> None:
    labelled = spanning(rows, _LABELLED)
    for language in map(str, pd.unique(rows["language"])):
        line = rows[rows["language"] == language].sort_values("layer")
        color = language_color(language)
        ax.plot(
            line["layer"], line["value"], color=color, linewidth=0.6, alpha=0.75, marker=language_marker(language),
            markersize=2, markeredgewidth=0, markevery=3, zorder=2, gid=f"language {language}",
        )  # fmt: skip
        if language in labelled:
            band = ax.fill_between(line["layer"], line["ci_low"], line["ci_high"], color=color, alpha=0.12, linewidth=0)
            band.set_gid(f"interval {language}")


def spanning(rows: pd.DataFrame, n: int) -> list[str]:
    """Up to n languages whose values at the last layer span the range: the lowest, the highest, and evenly between."""
    last = rows[rows["layer"] == rows["layer"].max()].dropna(subset=["value"]).sort_values("value")
    at = np.linspace(0, len(last) - 1, min(n, len(last))).round().astype(int)
    return [str(code) for code in last["language"].iloc[at]]


def _name_at_edge(ax: Axes) -> None:
    """Codes of the languages with a band, right of where their lines end, pushed apart where they would touch."""
    named = [str(band.get_gid()).removeprefix("interval ") for band in ax.collections]
    values = {str(line.get_gid()).removeprefix("language "): np.asarray(line.get_ydata(), float) for line in ax.lines}
    ends = dict(sorted(((code, _last(values[code])) for code in named if code in values), key=lambda end: end[1]))
    low, high = ax.get_ylim()
    gap = 0.085 * (high - low)
    heights = spread(np.array(list(ends.values())), gap)
    if len(heights):  # as a whole back into the panel
        heights += max(low - heights[0], 0) - max(heights[-1] - high, 0)
    for language, y in zip(ends, heights, strict=True):
        ax.annotate(
            language, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=6.5, fontweight="bold",
            color=language_color(language), annotation_clip=False,
        )  # fmt: skip


def _last(values: np.ndarray) -> float:
    """The last value that is defined."""
    return float(values[np.isfinite(values)][-1])


def spread(values: np.ndarray, gap: float) -> np.ndarray:
    """Sorted `values`, moved so that neighbours are at least `gap` apart; those that touch keep their common middle."""
    groups = [[float(value)] for value in values]
    centres = [float(value) for value in values]
    i = 0
    while i < len(groups) - 1:
        room = gap * (len(groups[i]) + len(groups[i + 1])) / 2
        if centres[i + 1] - centres[i] >= room - 1e-12:
            i += 1
            continue
        merged = groups[i] + groups.pop(i + 1)
        groups[i] = merged
        centres.pop(i + 1)
        centres[i] = sum(merged) / len(merged)
        i = max(i - 1, 0)
    places = [c + gap * (k - (len(g) - 1) / 2) for g, c in zip(groups, centres, strict=True) for k in range(len(g))]
    return np.array(places)


def draw_means(ax: Axes, means: pd.DataFrame, conditions: Sequence[str]) -> None:
    """Mean over languages by layer, with its interval across them, for each condition; see `mean_over_languages`."""
    for name, tone in condition_tones(conditions).items():
        line = means[means["condition"] == name].sort_values("layer")
        ax.fill_between(
            line["layer"], line["ci_low"], line["ci_high"], color=tone.color, alpha=0.22, linewidth=0, zorder=3,
            gid="interval across languages",
        )  # fmt: skip
        ax.plot(
            line["layer"],
            line["value"],
            color=tone.color,
            dashes=tone.dashes,
            linewidth=2,
            gid=f"mean {name}",
            zorder=5 if name == "base" else 4,  # its dashes leave an equal aligned line in sight
        )


def means_legend(conditions: Sequence[str], shown: str) -> list[Line2D | Patch]:
    """Handles for what `draw_means` draws, and for the thin lines of single languages in the condition `shown`."""
    handles: list[Line2D | Patch] = []
    for name, tone in condition_tones(conditions).items():
        line = Line2D([], [], color=tone.color, linewidth=2, label=f"mean, {name}")
        line.set_dashes(tone.dashes or (None, None))
        handles.append(line)
    handles.append(Patch(color=NEUTRAL, alpha=0.3, linewidth=0, label="95% interval across languages"))
    handles.append(Line2D([], [], color=NEUTRAL, linewidth=0.6, label=f"thin: one language, {shown}"))
    return handles


def _legend_of_languages(languages: list[str]) -> list[Line2D]:
    return [
        Line2D([], [], color=language_color(code), marker=language_marker(code), lw=0.6, markersize=3, label=code)
        for code in languages
    ]
