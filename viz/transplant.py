"""Transplants by depth: how much of the difference between base and adapter each part of the layers brings."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from .alignment import draw_languages, languages_legend, name_languages
from .legends import add_legend
from .lines import draw_line
from .panels import panels
from .style import NEUTRAL, figure_style, theme
from .tables import require, rows_where

NAMES = {"accuracy": "accuracy", "auc": "AUC", "log_odds": "log odds (nats)"}
KINDS = {  # kind -> title, x axis
    "adapter_up_to": ("adapter in blocks\nup to here", "last block with the adapter"),
    "adapter_only": ("adapter in one group\nof blocks", "last block of the group"),
    "state_into_base": ("adapted state\ninto the base", "layer"),
    "state_into_adapted": ("base state into\nthe adapted model", "layer"),
}

_LABELLED = 3  # languages named at the edge of a panel

_COLUMNS = (
    "language", "condition", "kind", "layer", "against", "quantity", "reference", "delta", "ci_low", "ci_high",
)  # fmt: skip


def plot_transplant(ax: Axes, rows: pd.DataFrame, whole: float | None = None) -> Axes:
    """Draw the difference from the base by depth, for one adapter, kind of transplant and quantity.

    Thick: mean over languages with its 95% bootstrap band; thin: each language, of which a few that span the range have
    their own band, see `draw_languages`.

    Args:
        ax: Where to draw.
        rows: Of `transplant_delta.csv`, against the base: language, condition, kind, layer, against, quantity,
            reference, delta, ci_low, ci_high.
        whole: The whole difference between the adapted model and the base; dashed.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(rows, _COLUMNS, "transplant_delta table")
    ax.axhline(0, color=theme().ink, linewidth=0.4)
    if whole is not None:
        ax.axhline(whole, color=NEUTRAL, linestyle="--", linewidth=1, gid="whole")
    single = rows["language"] != "all"
    draw_languages(ax, rows[single].assign(value=rows["delta"]), _LABELLED)
    draw_line(ax, rows[~single], theme().ink, "mean", "delta", linewidth=1.8, marker="o", zorder=4)
    ax.grid(axis="y")
    return ax


def transplant_figure(deltas_table: pd.DataFrame) -> Figure:
    """`plot_transplant` in panels of quantity (down) by kind of transplant (across), adapters one below another.

    Args:
        deltas_table: `transplant_delta.csv`, see `plot_transplant`.

    Raises:
        DataError: an empty table, missing columns, or no differences from the base.
    """
    require(deltas_table, _COLUMNS, "transplant_delta table")
    rows = rows_where(deltas_table, "against", "base", "transplant_delta table")
    lines = list(dict.fromkeys(zip(rows["condition"], rows["quantity"], strict=True)))
    kinds = [kind for kind in KINDS if kind in set(rows["kind"])]
    with figure_style():
        made = panels(len(lines), len(kinds), 1.45, 1.2)
        for line, (condition, quantity) in zip(made.axes, lines, strict=True):
            for ax, kind in zip(line, kinds, strict=True):
                here = (rows["kind"] == kind) & (rows["condition"] == condition) & (rows["quantity"] == quantity)
                plot_transplant(ax, rows[here], _whole(deltas_table, str(condition), kind, str(quantity)))
        made.name_columns([KINDS[kind][0] for kind in kinds])
        made.name_rows([f"Δ {NAMES.get(quantity, quantity)}\n{condition} − base" for condition, quantity in lines])
        made.name_layers()
        for ax, kind in zip(made.axes[-1], kinds, strict=True):
            ax.set_xlabel(KINDS[kind][1])
        for ax in made.axes.ravel():
            name_languages(ax)
        handles = [
            Line2D([], [], color=theme().ink, linewidth=1.8, marker="o", label="mean over languages"),
            Patch(color=NEUTRAL, alpha=0.3, linewidth=0, label="95% interval"),
            Line2D([], [], color=NEUTRAL, linewidth=0.6, label="thin: one language"),
            Line2D([], [], color=NEUTRAL, linestyle="--", label="the whole difference"),
        ]
        add_legend(made.figure, handles, columns=4, side="upper")
        languages = [code for code in map(str, pd.unique(rows["language"])) if code != "all"]
        add_legend(made.figure, languages_legend(languages), columns=10)
    return made.figure


def _whole(table: pd.DataFrame, condition: str, kind: str, quantity: str) -> float:
    """The mean difference between the two models themselves."""
    rows = table[(table["condition"] == condition) & (table["kind"] == kind) & (table["quantity"] == quantity)]
    reference = rows[rows["language"] == "all"].groupby("against")["reference"].first()
    return float(reference[condition] - reference["base"])
