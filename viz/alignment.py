"""How like English the other languages' states are, by layer, before and after."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy import stats

from ..errors import DataError
from .alignment_names import NAMES
from .heatmap import delta_figure, differences
from .legends import add_legend
from .lines import draw_line, last_value, name_at_edge, tone_handles
from .panels import panels
from .style import NEUTRAL, condition_tones, figure_style, foremost, language_color, language_marker
from .tables import conditions_in, require

SHOWN = ("pc1_pearson", "retrieval_from_pivot", "retrieval_to_pivot")  # the paper's measure and both searches

_VALUES = "alignment table"
_VALUE_COLUMNS = ("language", "condition", "layer", "position", "quantity", "value", "ci_low", "ci_high")
_DELTA_COLUMNS = ("language", "condition", "layer", "position", "quantity", "delta", "p_holm")
_LABELLED = 5  # languages named at the edge of a panel: more would touch


def mean_over_languages(values_table: pd.DataFrame, keys: Sequence[str] = ("position", "quantity")) -> pd.DataFrame:
    """Mean of `value` over languages and its 95% t interval, which tells how much *languages* differ.

    Columns: condition, layer, `keys`, n_languages, value, ci_low, ci_high. Undefined values (NaN) are left out; with
    one language there is no interval (NaN).
    """
    groups = values_table.dropna(subset=["value"]).groupby(["condition", "layer", *keys], sort=False)["value"]
    table = groups.agg(n_languages="count", value="mean", sd="std").reset_index()
    n = table["n_languages"].to_numpy(dtype=float)
    with np.errstate(invalid="ignore"):  # one language: 0 degrees of freedom give NaN, as documented
        half = stats.t.ppf(0.975, n - 1) * table["sd"] / np.sqrt(n)
    return table.assign(ci_low=table["value"] - half, ci_high=table["value"] + half).drop(columns="sd")


def plot_alignment(ax: Axes, rows: pd.DataFrame) -> Axes:
    """Draw one quantity at one position by layer: mean over languages per condition, and single languages.

    Thick lines: means, base grey and dashed, aligned in the theme's ink, with the 95% interval across languages. Thin
    lines: each language in the foremost condition (`aligned`, or the first adapter); a few that span the range carry
    their own 95% bootstrap band (all bands at once would hide one another), and their names: see `name_languages`.

    Args:
        ax: Where to draw.
        rows: Of `alignment.csv`: language, condition, layer, position, quantity, value, ci_low, ci_high.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(rows, _VALUE_COLUMNS, _VALUES)
    conditions = conditions_in(rows)
    draw_languages(ax, rows[rows["condition"] == foremost(conditions)], _LABELLED)
    draw_means(ax, mean_over_languages(rows), conditions)
    ax.grid(axis="y")
    return ax


def alignment_figure(values_table: pd.DataFrame, quantities: Sequence[str] = SHOWN) -> Figure:
    """`plot_alignment` in panels of quantity (down) by position (across), with languages named at the edge.

    Args:
        values_table: `alignment.csv`, see `plot_alignment`.
        quantities: Those to show; a page has room for four.

    Raises:
        DataError: an empty table, missing columns, or none of the quantities in it.
    """
    require(values_table, _VALUE_COLUMNS, _VALUES)
    values_table = _only(values_table, quantities, _VALUES)
    conditions = conditions_in(values_table)
    drawn, positions = _panels(values_table)
    with figure_style():
        made = panels(len(drawn), len(positions), 1.75, 0.9)
        for i, quantity in enumerate(drawn):
            for ax, position in zip(made.axes[i], positions, strict=True):
                here = (values_table["quantity"] == quantity) & (values_table["position"] == position)
                plot_alignment(ax, values_table[here])
        made.name_columns([f"position: {position}" for position in positions])
        made.name_rows([NAMES.get(quantity, quantity) for quantity in drawn])
        made.name_layers()
        for ax in made.axes.ravel():
            name_languages(ax)  # when all panels of a row are drawn: they share their limits
        add_legend(made.figure, means_legend(conditions), columns=5, side="upper")
        languages = [str(code) for code in pd.unique(values_table["language"])]
        add_legend(made.figure, languages_legend(languages), columns=10)
    return made.figure


def alignment_delta_figure(deltas_table: pd.DataFrame, quantities: Sequence[str] = SHOWN) -> Figure:
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
    return delta_figure(deltas_table, differences(deltas_table), NAMES)


def _only(table: pd.DataFrame, quantities: Sequence[str], what: str) -> pd.DataFrame:
    rows = table[table["quantity"].isin(quantities)]
    if rows.empty:
        found = ", ".join(map(str, pd.unique(table["quantity"])))
        raise DataError(f"{what}: none of the quantities {', '.join(quantities)}; expected some of {found}")
    return rows


def _panels(table: pd.DataFrame) -> tuple[list[str], list[str]]:
    return [str(q) for q in pd.unique(table["quantity"])], [str(p) for p in pd.unique(table["position"])]


def draw_languages(ax: Axes, rows: pd.DataFrame, named: int, only_named: bool = False) -> Axes:
    """Thin lines of single languages in their colours; `named` of them, that span the range, have their band."""
    labelled = spanning(rows, named)
    for language in labelled if only_named else map(str, pd.unique(rows["language"])):
        line = rows[rows["language"] == language].sort_values("layer")
        color = language_color(language)
        ax.plot(
            line["layer"], line["value"], color=color, linewidth=0.6, alpha=0.75, marker=language_marker(language),
            markersize=2, markeredgewidth=0, markevery=3, zorder=2, gid=f"language {language}",
        )  # fmt: skip
        if language in labelled:
            band = ax.fill_between(line["layer"], line["ci_low"], line["ci_high"], color=color, alpha=0.12, linewidth=0)
            band.set_gid(f"interval {language}")
    return ax


def spanning(rows: pd.DataFrame, n: int) -> list[str]:
    """Up to n languages whose values at the last layer span the range: the lowest, the highest, and evenly between."""
    last = rows[rows["layer"] == rows["layer"].max()].dropna(subset=["value"]).sort_values("value")
    at = np.linspace(0, len(last) - 1, min(n, len(last))).round().astype(int)
    return [str(code) for code in last["language"].iloc[at]]


def name_languages(ax: Axes) -> None:
    """Codes of the languages with a band, right of where their lines end; when the panel has its limits."""
    named = [str(band.get_gid()).removeprefix("interval ") for band in ax.collections]
    gids = {str(line.get_gid()): line.get_ydata() for line in ax.lines}
    values = {gid.removeprefix("language "): y for gid, y in gids.items() if gid.startswith("language ")}
    ends = {code: (last_value(np.asarray(values[code])), language_color(code)) for code in named if code in values}
    name_at_edge(ax, ends)


def draw_means(ax: Axes, means: pd.DataFrame, conditions: Sequence[str]) -> Axes:
    """Mean over languages by layer, with its interval across them, for each condition; see `mean_over_languages`."""
    for name, tone in condition_tones(conditions).items():
        draw_line(
            ax, means[means["condition"] == name], tone.color, f"mean {name}", dashes=tone.dashes, linewidth=1.8,
            zorder=5 if name == "base" else 4,  # its dashes leave an equal aligned line in sight
        )  # fmt: skip
    return ax


def means_legend(conditions: Sequence[str]) -> list[Line2D | Patch]:
    """Handles for what `draw_means` draws, and for the thin lines of single languages."""
    tones = {f"mean, {name}": tone for name, tone in condition_tones(conditions).items()}
    return [
        *tone_handles(tones, linewidth=1.8),
        Patch(color=NEUTRAL, alpha=0.3, linewidth=0, label="95% interval across languages"),
        Line2D([], [], color=NEUTRAL, linewidth=0.6, label=f"thin: one language, {foremost(conditions)}"),
    ]


def languages_legend(languages: Sequence[str]) -> list[Line2D]:
    """Handles for the thin lines of `draw_languages`."""
    return [
        Line2D([], [], color=language_color(code), marker=language_marker(code), lw=0.6, markersize=3, label=code)
        for code in languages
    ]
