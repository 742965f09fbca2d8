"""Transplants by depth: how much of the difference between base and adapter each part of the layers brings."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from .legends import add_legend
from .style import ALIGNED, NEUTRAL, TWO_COLUMNS, figure_style, language_color
from .tables import require, rows_where

NAMES = {"accuracy": "accuracy", "auc": "AUC", "log_odds": "log odds (nats)"}
KINDS = {  # kind -> title, x axis
    "adapter_up_to": ("adapter in blocks\nup to here", "last block with the adapter"),
    "adapter_only": ("adapter in one group\nof blocks", "last block of the group"),
    "state_into_base": ("adapted state\ninto the base", "layer"),
    "state_into_adapted": ("base state into\nthe adapted model", "layer"),
}

_COLUMNS = (
    "language", "condition", "kind", "layer", "against", "quantity", "reference", "delta", "ci_low", "ci_high",
)  # fmt: skip


def plot_transplant(deltas_table: pd.DataFrame) -> Figure:
    """Panels of quantity (down) by kind of transplant (across): difference from the base by depth.

    Thick: mean over languages with its 95% bootstrap band; thin: each language. Dashed: the whole difference between
    the adapted model and the base. Several adapters are drawn one below the other.

    Args:
        deltas_table: `transplant_delta.csv`: language, condition, kind, layer, against, quantity, reference, delta,
            ci_low, ci_high.

    Raises:
        DataError: an empty table, missing columns, or no differences from the base.
    """
    require(deltas_table, _COLUMNS, "transplant_delta table")
    rows = rows_where(deltas_table, "against", "base", "transplant_delta table")
    lines = list(dict.fromkeys(zip(rows["condition"], rows["quantity"], strict=True)))
    kinds = [kind for kind in KINDS if kind in set(rows["kind"])]
    with figure_style():
        figure = Figure(figsize=(TWO_COLUMNS, 1.45 * len(lines) + 0.9), layout="constrained")
        axes = figure.subplots(len(lines), len(kinds), sharex=True, sharey="row", squeeze=False)
        for i, (condition, quantity) in enumerate(lines):
            for ax, kind in zip(axes[i], kinds, strict=True):
                here = (rows["kind"] == kind) & (rows["condition"] == condition) & (rows["quantity"] == quantity)
                whole = _whole(deltas_table, str(condition), kind, str(quantity))
                _draw(ax, rows[here], whole)
                if i == 0:
                    ax.set_title(KINDS[kind][0])
            axes[i, 0].set_ylabel(f"Δ {NAMES.get(quantity, quantity)}\n{condition} − base")
        for ax, kind in zip(axes[-1], kinds, strict=True):
            ax.set_xlabel(KINDS[kind][1])
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        handles = [
            Line2D([], [], color=ALIGNED.color, linewidth=2, label="mean over languages"),
            Patch(color=NEUTRAL, alpha=0.3, linewidth=0, label="95% interval"),
            Line2D([], [], color=NEUTRAL, linewidth=0.6, label="one language"),
            Line2D([], [], color=NEUTRAL, linestyle="--", label="the whole difference"),
        ]
        add_legend(figure, handles, columns=4)
    return figure


def _whole(table: pd.DataFrame, condition: str, kind: str, quantity: str) -> float:
    """The mean difference between the two models themselves."""
    rows = table[(table["condition"] == condition) & (table["kind"] == kind) & (table["quantity"] == quantity)]
    reference = rows[rows["language"] == "all"].groupby("against")["reference"].first()
    return float(reference[condition] - reference["base"])


def _draw(ax: Axes, rows: pd.DataFrame, whole: float) -> None:
    ax.axhline(0, color="black", linewidth=0.4)
    ax.axhline(whole, color=NEUTRAL, linestyle="--", linewidth=1, gid="whole")
    for language in map(str, pd.unique(rows["language"])):
        line = rows[rows["language"] == language].sort_values("layer")
        if language == "all":
            ax.fill_between(
                line["layer"], line["ci_low"], line["ci_high"], color=NEUTRAL, alpha=0.3, linewidth=0, zorder=3,
                gid="interval",
            )  # fmt: skip
            ax.plot(line["layer"], line["delta"], color=ALIGNED.color, linewidth=2, marker="o", zorder=4, gid="mean")
        else:
            color = language_color(language)
            ax.plot(line["layer"], line["delta"], color=color, linewidth=0.6, alpha=0.6, gid=f"language {language}")
    ax.grid(axis="y")
