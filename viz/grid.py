"""Training sets against languages: what each adapter changed, as a heat map."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle

from .heatmap import symmetric
from .style import DIVERGING, TWO_COLUMNS, figure_style
from .tables import SIGNIFICANT, grid, require

NAMES = {"accuracy": "accuracy", "auc": "AUC", "calibrated": "calibrated accuracy"}
_COLUMNS = ("task", "condition", "against", "language", "trained", "quantity", "delta", "p_holm")


def grid_figure(
    delta_table: pd.DataFrame, against: str = "base", quantities: Sequence[str] = ("accuracy", "auc")
) -> Figure:
    """Panels of tests (down) by quantities (across): conditions down, languages across, colour the difference.

    Args:
        delta_table: `grid_delta_table`.
        against: Which reference the differences are taken from.
        quantities: accuracy, auc or calibrated; panels of one quantity share a scale.

    Raises:
        DataError: an empty table or missing columns.
    """
    require(delta_table, _COLUMNS, "grid_figure")
    table = delta_table[delta_table["against"] == against]
    tests = [str(test) for test in pd.unique(table["task"])]
    languages = [str(code) for code in pd.unique(table["language"])]
    heights = [table[table["task"] == test]["condition"].nunique() for test in tests]
    with figure_style():
        height = 0.15 * sum(heights) + 0.45 * len(tests) + 0.7
        figure = Figure(figsize=(TWO_COLUMNS, height), layout="constrained")
        axes = figure.subplots(
            len(tests), len(quantities), squeeze=False, sharey="row", gridspec_kw={"height_ratios": heights}
        )
        for j, quantity in enumerate(quantities):
            here = table[table["quantity"] == quantity]
            scale = symmetric(here["delta"])
            for i, test in enumerate(tests):
                image = plot_grid(axes[i][j], here[here["task"] == test], scale, languages)
                axes[i][j].set_title(f"{test}: Δ {NAMES.get(quantity, quantity)}", fontsize=7.5)
            bar = figure.colorbar(image, ax=list(axes[:, j]), orientation="horizontal", aspect=40, pad=0.02)
            bar.outline.set_visible(False)
        figure.supxlabel("dot: Holm p < 0.05 over languages    frame: language of a training pair", fontsize=7)
    return figure


def plot_grid(ax: Axes, rows: pd.DataFrame, scale: Normalize, languages: Sequence[str]) -> AxesImage:
    """Draw `delta` of one test and quantity: conditions down, `languages` across.

    A dot is a Holm p < 0.05, a frame a language of the condition's training pairs, grey a missing value.
    """
    conditions = [str(name) for name in pd.unique(rows["condition"])]
    delta, p, trained = (
        grid(rows, "condition", "language", column).reindex(index=conditions, columns=list(languages))
        for column in ("delta", "p_holm", "trained")
    )
    ax.set_facecolor("#E6E6E6")
    image = ax.imshow(delta.to_numpy(), cmap=DIVERGING, norm=scale, aspect="auto", interpolation="nearest")
    down, across = np.nonzero(p.to_numpy() < SIGNIFICANT)
    strong = np.abs(delta.to_numpy()[down, across]) > 0.6 * float(scale.vmax or 1.0)
    ax.scatter(across, down, s=3, c=np.where(strong, "white", "black"), linewidths=0, gid="significant")
    for y, x in zip(*np.nonzero(trained.to_numpy() == 1), strict=True):
        ax.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor="black", linewidth=0.6))
    ax.set_xticks(range(len(languages)), list(languages), fontsize=5.5)
    ax.set_yticks(range(len(conditions)), conditions, fontsize=6.5)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return image
