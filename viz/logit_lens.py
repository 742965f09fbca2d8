"""Logit lens by layer and language: in which language does a layer speak, and how sure is it?"""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from .heatmap import delta_figure, differences
from .legends import add_legend
from .lines import draw_line
from .panels import NARROW, panels
from .style import GAIN, LOSS, condition_tones, fade, figure_style, page_width, theme
from .tables import conditions_in, grid, require, rows_where

ENTROPY = "entropy_bits"
MASSES = {"english_mass": (GAIN, "English words"), "target_mass": (LOSS, "target-language words")}

_TABLE = "logit_lens table"
_COLUMNS = ("language", "condition", "layer", "quantity", "value", "ci_low", "ci_high")
_DELTA_COLUMNS = ("language", "condition", "layer", "quantity", "delta", "p_holm")
_ACROSS = {"narrow": 3, "wide": 5}  # panels that fit beside one another
_STRIP_COLORS = "viridis"


def plot_logit_lens(ax: Axes, rows: pd.DataFrame, scale: Normalize | None = None) -> Axes:
    """Draw the lens probability of one language's answer words by layer, with a strip of entropy beneath.

    Lines: probability in [0, 1] of the English (blue) and of the target-language words (vermilion) with 95% bands;
    base pale and dashed, aligned dark and solid. English has no target words of its own. Strips, inset below the
    panel: entropy in bits, one bar per condition, in their order.

    Args:
        ax: Where to draw.
        rows: One language's rows of `logit_lens.csv`: language, condition, layer, quantity, value, ci_low, ci_high,
            with the quantities english_mass, target_mass (absent or NaN where undefined) and entropy_bits.
        scale: Colours of the strips, in bits; None: up to the largest of these rows.

    Raises:
        DataError: an empty table, missing columns, or no rows of entropy_bits.
    """
    require(rows, _COLUMNS, _TABLE)
    entropy = rows_where(rows, "quantity", ENTROPY, _TABLE)
    conditions = conditions_in(rows)
    tall = _strips(conditions)
    _draw_masses(ax, rows.dropna(subset=["value"]), conditions)
    bars = ax.inset_axes((0, -0.05 - tall, 1, tall), sharex=ax)
    _draw_entropy(bars, entropy, conditions, scale or Normalize(0, max(float(entropy["value"].max()), 1e-9)))
    ax.tick_params(labelbottom=False, bottom=False)
    return ax


def logit_lens_figure(values_table: pd.DataFrame) -> Figure:
    """`plot_logit_lens` in one panel per language; all share their axes and the scale of entropy.

    Args:
        values_table: `logit_lens.csv`, see `plot_logit_lens`.

    Raises:
        DataError: an empty table, missing columns, or no rows of english_mass or entropy_bits.
    """
    require(values_table, _COLUMNS, _TABLE)
    rows_where(values_table, "quantity", "english_mass", _TABLE)
    entropy = rows_where(values_table, "quantity", ENTROPY, _TABLE)
    masses = values_table[values_table["quantity"].isin(list(MASSES))].dropna(subset=["value"])
    languages = [str(code) for code in pd.unique(values_table["language"])]
    conditions = conditions_in(values_table)
    scale = Normalize(0, max(float(entropy["value"].max()), 1e-9))
    top = 1.05 * max(float(masses[["value", "ci_high"]].max().max()), 1e-9)
    with figure_style():
        most = _ACROSS["narrow" if page_width() < NARROW else "wide"]
        n_rows = math.ceil(len(languages) / most)
        n_columns = math.ceil(len(languages) / n_rows)
        engine = ConstrainedLayoutEngine(h_pad=0.03, w_pad=0.02, hspace=0.02, wspace=0.02)
        height = 1.0 + _strips(conditions)
        made = panels(n_rows, n_columns, height, 0.85, most=most, narrow=most, sharey="all", engine=engine)
        axes = made.axes.ravel()
        for i, (ax, language) in enumerate(zip(axes, languages, strict=False)):
            plot_logit_lens(ax, values_table[values_table["language"] == language], scale)
            ax.set_title(language, fontweight="bold", pad=2)
            ax.set_ylim(0, top)
            bars = ax.child_axes[0]
            below = i + n_columns >= len(languages)
            bars.tick_params(axis="y", length=0, labelleft=i % n_columns == 0)
            bars.tick_params(labelbottom=below)
            if below:
                bars.set_xlabel("layer", labelpad=1)
        for unused in axes[len(languages) :]:
            unused.remove()
        made.figure.supylabel("lens probability", fontsize=7.5)
        _add_keys(made.figure, axes[: len(languages)], scale, conditions, n_rows)
    return made.figure


def logit_lens_delta_figure(deltas_table: pd.DataFrame) -> Figure:
    """Heat maps of aligned - base, language by layer: panels of quantity (down) by condition (across).

    Blue is a rise, red a fall (of probability, or of entropy in bits); a dot marks Holm p < 0.05. Grey: undefined.

    Args:
        deltas_table: `logit_lens_delta.csv`: language, condition, layer, quantity, delta, p_holm.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(deltas_table, _DELTA_COLUMNS, "logit_lens_delta table")
    names = {"english_mass": "P(English words)", "target_mass": "P(target words)", ENTROPY: "entropy (bits)"}
    deltas_table = deltas_table[deltas_table["quantity"].isin(list(names))]
    return delta_figure(deltas_table, differences(deltas_table), names)


def _strips(conditions: list[str]) -> float:
    """Height of the bars of entropy, in heights of a panel."""
    return 0.1 * len(conditions)


def _draw_masses(ax: Axes, rows: pd.DataFrame, conditions: list[str]) -> None:
    tones = condition_tones(conditions)
    for quantity, (hue, _) in MASSES.items():
        for name, tone in tones.items():
            line = rows[(rows["quantity"] == quantity) & (rows["condition"] == name)]
            if not line.empty:
                # Base on top: where both agree, its dashes leave the aligned line in sight.
                above = 4 if name == "base" else 3
                draw_line(
                    ax, line, fade(hue, tone.fade), f"{quantity} {name}", band=0.25, dashes=tone.dashes, zorder=above
                )


def _draw_entropy(ax: Axes, rows: pd.DataFrame, conditions: list[str], scale: Normalize) -> None:
    cells = grid(rows, "condition", "layer", "value").reindex(conditions)
    ax.pcolormesh(
        edges(cells.columns.to_numpy(dtype=float)), np.arange(len(conditions) + 1), cells.to_numpy(),
        norm=scale, cmap=_STRIP_COLORS, linewidth=0, rasterized=True,
    )  # fmt: skip
    for between in range(1, len(conditions)):
        ax.axhline(between, color=theme().paper, linewidth=1)
    ax.set_ylim(len(conditions), 0)
    ax.set_yticks(np.arange(len(conditions)) + 0.5, conditions, fontsize=6)
    ax.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for spine in ax.spines.values():
        spine.set_visible(False)


def edges(centres: np.ndarray) -> np.ndarray:
    """Borders of heat cells around sorted `centres` [n]: halfway between neighbours; [n + 1]."""
    if len(centres) == 1:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])


def _add_keys(figure: Figure, axes: np.ndarray, scale: Normalize, conditions: list[str], n_rows: int) -> None:
    handles = []
    for hue, words in MASSES.values():
        for name, tone in condition_tones(conditions).items():
            line = Line2D([], [], color=fade(hue, tone.fade), label=f"{words}, {name}")
            line.set_dashes(tone.dashes or (None, None))
            handles.append(line)
    add_legend(figure, handles, columns=4)
    shrink = 0.9 if n_rows == 1 else 0.5
    bar = figure.colorbar(ScalarMappable(scale, _STRIP_COLORS), ax=list(axes), shrink=shrink, aspect=30, pad=0.01)
    bar.set_label("entropy (bits)")
    bar.outline.set_visible(False)
