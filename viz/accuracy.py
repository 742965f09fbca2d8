"""How often each language is answered rightly before and after, and by how much that differs."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ..errors import DataError
from .legends import add_legend, add_note
from .panels import NARROW, panels
from .style import (
    BASE,
    GAIN,
    LOSS,
    NEUTRAL,
    TALLEST,
    Tone,
    condition_tones,
    figure_style,
    page_width,
    theme,
)  # fmt: skip
from .tables import SIGNIFICANT, require

# What a quantity's columns are called: in the table of differences and in that of conditions.
_DELTA_COLUMNS = {
    "accuracy": ("base", "aligned", "delta", "ci_low", "ci_high", "p_holm"),
    "auc": ("auc_base", "auc_aligned", "auc_delta", "auc_ci_low", "auc_ci_high", "auc_p_holm"),
}
_VALUE_COLUMNS = {"accuracy": ("accuracy", "ci_low", "ci_high"), "auc": ("auc", "auc_ci_low", "auc_ci_high")}
_NAMES = {"accuracy": "accuracy", "auc": "AUC"}
_ROW = 0.165  # inches per language and condition: two lines of type do not touch
_MARGIN = {"wide": 1.1, "narrow": 1.9}  # inches for axis labels and legend, which has more rows on a narrow page


class _Row(NamedTuple):
    """One dumbbell: what the table says of a language and condition, and where it is drawn."""

    language: str
    condition: str
    trained: bool
    y: float
    tone: Tone
    base: float
    aligned: float
    delta: float
    ci_low: float
    ci_high: float
    p_holm: float


def plot_accuracy(
    axes: tuple[Axes, Axes],
    delta_table: pd.DataFrame,
    accuracy_table: pd.DataFrame | None = None,
    quantity: str = "accuracy",
    chance: float = 0.5,
) -> tuple[Axes, Axes]:
    """Draw base and aligned accuracy of each language as a dumbbell, and the difference with its 95% interval beside.

    Left axes: share of right answers (or AUC) in [0, 1], one line per language and further condition, sorted by base;
    a line at `chance`; with `accuracy_table`, the 95% interval of either end as a pale bar. Right axes: aligned - base
    with its interval; filled where Holm p < 0.05. Gains are blue, losses vermilion. Languages of a training pair are
    bold with a dagger. An undefined value (NaN) is written as such.

    Args:
        axes: Left and right, of the same height.
        delta_table: `accuracy_delta_table`: language, trained, condition, and base, aligned, delta, ci_low, ci_high,
            p_holm, or the same with the prefix auc_ for `quantity="auc"`.
        accuracy_table: `accuracy_table`: language, condition, and accuracy, ci_low, ci_high, or auc, auc_ci_low,
            auc_ci_high.
        quantity: `accuracy` or `auc`.
        chance: Where guessing leads: 1 / labels for accuracy, 0.5 for AUC.

    Raises:
        DataError: an empty table, missing columns or an unknown quantity.
    """
    rows = _delta_rows(delta_table, quantity)
    left, right = axes
    for row in rows:
        _dumbbell(left, row)
        _difference(right, row)
    if accuracy_table is not None:
        _draw_intervals_of_ends(left, rows, accuracy_table, quantity)
    left.axvline(chance, color=NEUTRAL, linewidth=0.8, linestyle=":", zorder=0.5, gid="chance")
    right.axvline(0, color=NEUTRAL, linewidth=0.8, zorder=0.5, gid="zero")
    _label_languages(left, rows)
    right.set_yticks(left.get_yticks(), [])
    right.set_ylim(left.get_ylim())
    left.set_xlabel(_NAMES[quantity])
    right.set_xlabel(
        "difference\n(95% interval)" if page_width() < NARROW else f"difference in {_NAMES[quantity]} (95% interval)"
    )
    for ax in axes:
        ax.grid(axis="x")
        ax.tick_params(axis="y", length=0)
        ax.spines["left"].set_visible(False)
    return axes


def accuracy_figure(
    delta_table: pd.DataFrame,
    accuracy_table: pd.DataFrame | None = None,
    quantity: str = "accuracy",
    chance: float = 0.5,
) -> Figure:
    """`plot_accuracy` on a figure of its own, with its legend below. Same arguments and errors.

    Where there are too many conditions for one page, each has a panel of its differences alone: `plot_differences`.
    """
    rows = _delta_rows(delta_table, quantity)
    conditions = list(dict.fromkeys(row.condition for row in rows))
    height = _ROW * len(rows) + _MARGIN["narrow" if page_width() < NARROW else "wide"]
    if height > TALLEST:
        return _differences_figure(delta_table, conditions, quantity)
    with figure_style():
        figure = Figure(figsize=(page_width(), height), layout="constrained")
        left, right = figure.subplots(1, 2, width_ratios=(3, 2))
        plot_accuracy((left, right), delta_table, accuracy_table, quantity, chance)
        handles = _legend(conditions, accuracy_table is not None, any(row.trained for row in rows))
        add_legend(figure, handles, columns=4)
    return figure


def plot_differences(ax: Axes, delta_table: pd.DataFrame, quantity: str = "accuracy") -> Axes:
    """Draw one condition's difference from the base by language, with its 95% interval: `plot_accuracy`'s right part.

    Raises:
        DataError: an empty table, missing columns or an unknown quantity.
    """
    rows = _delta_rows(delta_table, quantity)
    for row in rows:
        _difference(ax, row)
    ax.axvline(0, color=NEUTRAL, linewidth=0.8, zorder=0.5, gid="zero")
    _label_languages(ax, rows)
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return ax


def _differences_figure(delta_table: pd.DataFrame, conditions: list[str], quantity: str) -> Figure:
    with figure_style():
        height = 0.13 * delta_table["language"].nunique() + 0.3
        made = panels(1, len(conditions), height, 0.6, most=5, sharey="all")
        for ax, condition in zip(made.axes[0], conditions, strict=True):
            plot_differences(ax, delta_table[delta_table["condition"] == condition], quantity)
        made.name_columns(conditions)
        add_note(made.figure, f"difference in {_NAMES[quantity]} from the base (95% interval)")
        trained = bool(delta_table["trained"].any())
        add_legend(made.figure, _legend_of_differences(trained), columns=5, side="upper")
    return made.figure


def _delta_rows(table: pd.DataFrame, quantity: str) -> list[_Row]:
    """The table's rows of one quantity with their heights: languages sorted by base, the best on top."""
    if quantity not in _DELTA_COLUMNS:
        raise DataError(f"quantity {quantity!r}: expected one of {', '.join(_DELTA_COLUMNS)}")
    columns = ("language", "condition", "trained", *_DELTA_COLUMNS[quantity])
    require(table, columns, "accuracy_delta table")
    conditions = [str(name) for name in pd.unique(table["condition"])]
    each = table.drop_duplicates("language").sort_values(columns[3], na_position="first")
    place = {str(language): i for i, language in enumerate(each["language"])}
    steps = dict(zip(conditions, condition_offsets(len(conditions)), strict=True))
    tones = condition_tones(conditions)
    return [
        _Row(code, name, bool(trained), place[code] + steps[name], tones[name], *map(float, numbers))
        for code, name, trained, *numbers in table[list(columns)].itertuples(index=False, name=None)
    ]


def condition_offsets(n: int) -> list[float]:
    """Heights of n conditions within a language's row of height 1, first on top."""
    return [0.0] if n == 1 else [float(step) for step in np.linspace(0.24, -0.24, n)]


def point_style(tone: Tone) -> dict[str, Any]:
    """Keywords of a condition's points: base hollow, others filled."""
    face = theme().paper if tone is BASE else tone.color
    return {
        "linestyle": "none", "marker": "o", "markersize": 4.2, "color": tone.color,
        "markerfacecolor": face, "markeredgewidth": 1.1, "zorder": 4,
    }  # fmt: skip


def _sign_color(delta: float) -> str:
    return GAIN if delta > 0 else LOSS if delta < 0 else NEUTRAL


def _dumbbell(ax: Axes, row: _Row) -> None:
    ends, color = [row.base, row.aligned], _sign_color(row.delta)
    ax.plot(ends, [row.y, row.y], color=color, linewidth=1.8, zorder=3, gid="change")
    ax.plot([row.base], [row.y], gid="base", **point_style(BASE))
    ax.plot([row.aligned], [row.y], gid=row.condition, **point_style(row.tone))


def _difference(ax: Axes, row: _Row) -> None:
    if np.isnan(row.delta):
        ax.annotate("undefined", (0, row.y), (3, 0), textcoords="offset points", va="center", fontsize=6, color=NEUTRAL)
        return
    color = _sign_color(row.delta)
    ax.hlines([row.y], row.ci_low, row.ci_high, color=color, linewidth=1.2)
    face = color if row.p_holm < SIGNIFICANT else theme().paper
    ax.plot(
        [row.delta], [row.y], marker="D", markersize=4, color=color, markerfacecolor=face, markeredgewidth=1.1,
        zorder=4, gid="significant" if row.p_holm < SIGNIFICANT else "not significant",
    )  # fmt: skip


def _draw_intervals_of_ends(ax: Axes, rows: list[_Row], table: pd.DataFrame, quantity: str) -> None:
    """Pale bars, that of base in the upper half of its row, so that two that overlap can be told apart."""
    _, low, high = _VALUE_COLUMNS[quantity]
    require(table, ("language", "condition", low, high), "accuracy table")
    keys = zip(table["language"], table["condition"], strict=True)
    intervals = dict(zip(keys, zip(table[low].astype(float), table[high].astype(float), strict=True), strict=True))
    half = 0.34 / len({row.condition for row in rows})
    for row in rows:
        for name, tone, bottom in (("base", BASE, row.y), (row.condition, row.tone, row.y - half)):
            if (row.language, name) not in intervals:
                raise DataError(f"accuracy table: no row of language {row.language!r}, condition {name!r}")
            start, end = intervals[row.language, name]
            bar = ax.barh(bottom, end - start, half, start, align="edge", color=tone.color, alpha=0.22, gid="interval")
            bar[0].sticky_edges.x.clear()  # or the limits would end at the longest interval


def _label_languages(ax: Axes, rows: list[_Row]) -> None:
    """Codes at the left, trained ones bold with a dagger."""
    trained = {row.language: row.trained for row in sorted(rows, key=lambda row: row.y)}
    ax.set_yticks(range(len(trained)), [f"{language} †" if it else language for language, it in trained.items()])
    for text, it in zip(ax.get_yticklabels(), trained.values(), strict=False):  # hidden ones are not there
        text.set_fontweight("bold" if it else "normal")
    ax.set_ylim(-0.7, len(trained) - 0.3)


def _legend(conditions: list[str], with_intervals: bool, trained: bool) -> list[Line2D | Patch]:
    tones = condition_tones(conditions)
    handles: list[Line2D | Patch] = [Line2D([], [], label="base", **point_style(BASE))]
    handles += [Line2D([], [], label=name, **point_style(tones[name])) for name in conditions]
    if with_intervals:
        handles.append(Patch(color=NEUTRAL, alpha=0.3, linewidth=0, label="95% interval of an end"))
    handles.append(Line2D([], [], color=NEUTRAL, linestyle=":", linewidth=0.8, label="chance"))
    handles += [Line2D([], [], color=c, linewidth=1.8, label=name) for c, name in ((GAIN, "gain"), (LOSS, "loss"))]
    return handles + _legend_of_differences(trained)


def _legend_of_differences(trained: bool) -> list[Line2D | Patch]:
    diamond: dict[str, Any] = {"linestyle": "none", "marker": "D", "markersize": 4, "color": NEUTRAL}
    handles: list[Line2D | Patch] = [
        Line2D([], [], label="Holm p < 0.05", **diamond),
        Line2D([], [], label="Holm p ≥ 0.05", markerfacecolor=theme().paper, **diamond),
    ]
    if trained:
        dagger: dict[str, Any] = {"linestyle": "none", "marker": r"$\dagger$", "color": theme().ink}
        handles.append(Line2D([], [], label="in a training pair (bold)", **dagger))
    return handles
