"""Training sets against languages: what each adapter changed, as a heat map."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from .heatmap import add_colorbar, draw_cells, symmetric
from .legends import add_note
from .panels import panels
from .style import figure_style, theme
from .tables import SIGNIFICANT, grid, require

NAMES = {"accuracy": "accuracy", "auc": "AUC", "calibrated": "calibrated accuracy"}
_COLUMNS = ("task", "condition", "against", "language", "trained", "quantity", "delta", "p_holm")


def grid_figure(
    delta_table: pd.DataFrame, against: str = "base", quantities: Sequence[str] = ("accuracy", "auc")
) -> Figure:
    """Panels of tests (down) by quantities (across): conditions down, languages across, colour the difference.

    On a narrow page the quantities stand below one another.

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
    heights = [0.15 * table[table["task"] == test]["condition"].nunique() + 0.45 for test in tests]
    with figure_style():
        made = panels(len(tests), len(quantities), heights, 0.9, most=2, narrow=1, sharex=False)
        for j, quantity in enumerate(quantities):
            here = table[table["quantity"] == quantity]
            scale = symmetric(here["delta"])
            for ax, test in zip(made.axes[:, j], tests, strict=True):
                plot_grid(ax, here[here["task"] == test], scale, languages)
                ax.set_title(f"{test}: Δ {NAMES.get(quantity, quantity)}", fontsize=7.5)
            add_colorbar(made.figure, list(made.axes[:, j]), "", orientation="horizontal", aspect=40, pad=0.02)
        add_note(made.figure, "dot: Holm p < 0.05 over languages; frame: language of a training pair")
    return made.figure


def plot_grid(
    ax: Axes, rows: pd.DataFrame, scale: Normalize | None = None, languages: Sequence[str] | None = None
) -> Axes:
    """Draw `delta` of one test and quantity: conditions down, `languages` across.

    A dot is a Holm p < 0.05, a frame a language of the condition's training pairs, grey a missing value.

    Args:
        ax: Where to draw.
        rows: Of `grid_delta_table`, against one reference: condition, language, trained, delta, p_holm.
        scale: From `symmetric`; None: one for these rows.
        languages: In order; None: those there are.
    """
    conditions = [str(name) for name in pd.unique(rows["condition"])]
    codes = list(map(str, pd.unique(rows["language"]))) if languages is None else list(languages)
    delta, p, trained = (
        grid(rows, "condition", "language", column).reindex(index=conditions, columns=codes).to_numpy()
        for column in ("delta", "p_holm", "trained")
    )
    draw_cells(ax, delta, p < SIGNIFICANT, symmetric(delta) if scale is None else scale)
    for y, x in zip(*np.nonzero(trained == 1), strict=True):
        ax.add_patch(Rectangle((x - 0.46, y - 0.44), 0.92, 0.88, fill=False, edgecolor=theme().ink, linewidth=0.6))
    ax.set_xticks(range(len(codes)), codes, fontsize=5.5)
    ax.set_yticks(range(len(conditions)), conditions, fontsize=6.5)
    return ax
