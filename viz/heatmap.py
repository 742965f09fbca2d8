"""Differences as heat maps, language by layer: blue gains, red losses, a dot where the difference is significant."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from .style import DIVERGING, ONE_COLUMN, TWO_COLUMNS, figure_style
from .tables import SIGNIFICANT, grid


def symmetric(values: Sequence[float] | np.ndarray | pd.Series) -> Normalize:
    """A colour scale centred on 0 that reaches the largest size among `values` (NaN left out)."""
    sizes = np.abs(np.asarray(values, dtype=np.float64))
    largest = float(np.nanmax(sizes)) if np.isfinite(sizes).any() else 0.0
    return Normalize(-(largest or 1.0), largest or 1.0)


def delta_figure(table: pd.DataFrame, columns: Sequence[tuple[str, pd.Series]], names: Mapping[str, str]) -> Figure:
    """Panels of quantity (down) by `columns` (across), each a title and a mask of the table's rows.

    All panels have the table's languages and layers; those of one quantity share a scale. `names` are what to call the
    quantities; one that is not among them keeps its own name. One or two columns wide, as many panels as there are.
    """
    languages = [str(code) for code in pd.unique(table["language"])]
    layers = sorted(int(layer) for layer in pd.unique(table["layer"]))
    quantities = [str(quantity) for quantity in pd.unique(table["quantity"])]
    with figure_style():
        width = ONE_COLUMN if len(columns) == 1 else TWO_COLUMNS
        height = len(quantities) * max(0.105 * len(languages) + 0.15, 1.3) + 0.6
        figure = Figure(figsize=(width, height), layout="constrained")
        axes = figure.subplots(len(quantities), len(columns), sharex=True, sharey=True, squeeze=False)
        for i, quantity in enumerate(quantities):
            here = table["quantity"] == quantity
            scale = symmetric(table[here]["delta"])
            for ax, (title, mask) in zip(axes[i], columns, strict=True):
                image = draw_deltas(ax, table[here & mask], scale, languages, layers)
                if i == 0:
                    ax.set_title(title, fontsize=7.5 if len(columns) < 3 else 7)
            bar = figure.colorbar(image, ax=list(axes[i]), pad=0.01, aspect=18)
            bar.set_label(f"Δ {names.get(quantity, quantity)}")
            bar.outline.set_visible(False)
        figure.supxlabel("layer    (dot: Holm p < 0.05)", fontsize=7.5)
    return figure


def draw_deltas(
    ax: Axes, rows: pd.DataFrame, scale: Normalize, languages: Sequence[str], layers: Sequence[int]
) -> AxesImage:
    """Draw `delta` of one condition and quantity: languages down, layers across, a dot where p_holm < 0.05.

    Cells without a value (NaN or no row) are grey. Layers need not be consecutive: columns are labelled with them.

    Args:
        ax: Where to draw.
        rows: language, layer, delta, p_holm; each pair of language and layer once.
        scale: From `symmetric`, shared by the panels that are to be compared.
        languages: Rows of the map, from the top.
        layers: Its columns.

    Returns:
        The image, for a colour bar.
    """
    delta = grid(rows, "language", "layer", "delta").reindex(index=list(languages), columns=list(layers))
    p = grid(rows, "language", "layer", "p_holm").reindex(index=list(languages), columns=list(layers))
    ax.set_facecolor("#E6E6E6")
    image = ax.imshow(delta.to_numpy(), cmap=DIVERGING, norm=scale, aspect="auto", interpolation="nearest")
    language, layer = np.nonzero(p.to_numpy() < SIGNIFICANT)
    strong = np.abs(delta.to_numpy()[language, layer]) > 0.6 * float(scale.vmax or 1.0)
    ax.scatter(layer, language, s=2.5, c=np.where(strong, "white", "black"), linewidths=0, gid="significant")
    step = max(1, len(layers) // 6)
    ax.set_xticks(range(0, len(layers), step), [str(layer) for layer in layers[::step]])
    ax.set_yticks(range(len(delta)), languages, fontsize=6.5)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return image
