"""How often each answer is given, whatever is asked."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..errors import DataError
from .accuracy import condition_offsets, point_style
from .legends import add_legend, add_note
from .panels import panels
from .style import NEUTRAL, ONE_COLUMN, condition_tones, figure_style, page_width
from .tables import conditions_in, require, rows_where

_TOGETHER = 3  # conditions whose points can be told apart on one line; more have a panel each
_SHARE_COLUMNS = ("language", "condition", "label", "share", "ci_low", "ci_high", "true_share")


def plot_predicted_share(ax: Axes, share_table: pd.DataFrame, label: str | None = None) -> Axes:
    """Draw how often each language is answered with one label, per condition, with the label's true share.

    x: share of answers in [0, 1] with its 95% interval; a grey tick marks how often the label is right. A language far
    from its tick is answered with one label whatever is asked.

    Args:
        ax: Where to draw.
        share_table: `predicted_share_table`: language, condition, label, share, ci_low, ci_high, true_share.
        label: Which label; the table's first by default (with two labels, the other one mirrors it).

    Raises:
        DataError: an empty table, missing columns or an unknown label.
    """
    require(share_table, _SHARE_COLUMNS, "predicted_share table")
    label = str(share_table["label"].iloc[0]) if label is None else label
    rows = rows_where(share_table, "label", label, "predicted_share table")
    conditions = conditions_in(rows)
    first = rows[rows["condition"] == conditions[0]].sort_values("share")
    place = {language: i for i, language in enumerate(first["language"])}
    missing = set(rows["language"]) - set(place)
    if missing:
        raise DataError(f"predicted_share table: {sorted(missing)[0]!r} has no rows of condition {conditions[0]!r}")
    steps = [0.7 * step for step in condition_offsets(len(conditions))]  # nearer to one another than to the next row
    for (name, tone), step in zip(condition_tones(conditions).items(), steps, strict=True):
        own = rows[rows["condition"] == name]
        y = own["language"].map(place).to_numpy(dtype=float) + step
        ax.hlines(y, own["ci_low"], own["ci_high"], color=tone.color, linewidth=1.0, label="_interval")
        ax.plot(own["share"], y, label=name, **point_style(tone))
    true = rows.drop_duplicates("language")
    at = true["language"].map(place).to_numpy(dtype=float)
    ax.vlines(true["true_share"], at - 0.42, at + 0.42, color=NEUTRAL, linewidth=1.6, alpha=0.55, label="true share")
    ax.set_yticks(range(len(place)), list(place))
    ax.set_ylim(-0.7, len(place) - 0.3)
    ax.set_xlim(-0.02, 1.02)
    ax.set_xlabel(f"share of answers “{label}”\n(95% interval)")
    ax.grid(axis="x")
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)
    return ax


def predicted_share_figure(share_table: pd.DataFrame) -> Figure:
    """`plot_predicted_share` for each label, on a figure of its own; of two labels the first, the other mirrors it.

    Many conditions have a panel each, beside the base.
    """
    require(share_table, _SHARE_COLUMNS, "predicted_share table")
    labels = [str(label) for label in pd.unique(share_table["label"])]
    shown = labels[:1] if len(labels) == 2 else labels
    conditions = conditions_in(share_table)
    together = [conditions] if len(conditions) <= _TOGETHER else [[conditions[0], name] for name in conditions[1:]]
    columns = [(label, names) for names in together for label in shown]
    with figure_style():
        height = (0.085 + 0.05 * len(together[0])) * share_table["language"].nunique() + 0.3
        width = ONE_COLUMN if len(columns) == 1 else page_width()
        made = panels(1, len(columns), height, 0.8, most=5, sharey="all", width=width)
        for ax, (label, names) in zip(made.axes[0], columns, strict=True):
            plot_predicted_share(ax, share_table[share_table["condition"].isin(names)], label)
            if len(together) > 1:
                ax.set_title(names[-1] if len(shown) == 1 else f"{names[-1]}: “{label}”")
                ax.set_xlabel("")
        handles, told = made.axes[0, 0].get_legend_handles_labels()
        if len(together) > 1:
            handles[told.index(together[0][1])].set_label("the condition above")
            what = f"answers “{shown[0]}”" if len(shown) == 1 else "each answer"
            add_note(made.figure, f"share of {what} (95% interval)")
        add_legend(made.figure, handles, columns=4, side="lower" if len(together) == 1 else "upper")
    return made.figure
