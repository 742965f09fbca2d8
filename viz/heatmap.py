"""Differences as heat maps, language by layer: blue gains, red losses, a dot where the difference is significant."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from .legends import add_note
from .panels import panels
from .style import ONE_COLUMN, figure_style, page_width, theme
from .tables import SIGNIFICANT, conditions_in, grid

_STRONG = 0.6  # share of the scale from which a cell is dark on white paper, or light on black
_MARGIN = 0.6  # inches beside the panels of a figure
_GAP = 0.15  # inches between one of them and the next below
_LABELS = 6.5  # points of languages' codes, where a row has room for it


def symmetric(values: Sequence[float] | np.ndarray | pd.Series) -> Normalize:
    """A colour scale centred on 0 that reaches the largest size among `values` (NaN left out)."""
    sizes = np.abs(np.asarray(values, dtype=np.float64))
    largest = float(np.nanmax(sizes)) if np.isfinite(sizes).any() else 0.0
    return Normalize(-(largest or 1.0), largest or 1.0)


def differences(table: pd.DataFrame) -> list[tuple[str, pd.Series]]:
    """Columns for `delta_figure`: each condition's difference from the base, at each position if there are several."""
    here = {name: table["condition"] == name for name in conditions_in(table)}
    if "position" not in table:
        return [(f"{name} − base", mask) for name, mask in here.items()]
    return [
        (f"{name} − base\nposition: {position}", mask & (table["position"] == position))
        for name, mask in here.items()
        for position in pd.unique(table["position"])
    ]


def delta_figure(table: pd.DataFrame, columns: Sequence[tuple[str, pd.Series]], names: Mapping[str, str]) -> Figure:
    """Panels of quantity (down) by `columns` (across), each a title and a mask of the table's rows.

    All panels have the table's languages and layers; those of one quantity share a scale. `names` are what to call the
    quantities; one that is not among them keeps its own name. One or two columns wide, as many panels as there are.
    """
    languages = [str(code) for code in pd.unique(table["language"])]
    layers = sorted(int(layer) for layer in pd.unique(table["layer"]))
    quantities = [str(quantity) for quantity in pd.unique(table["quantity"])]
    scales = [symmetric(table[table["quantity"] == quantity]["delta"]) for quantity in quantities]
    with figure_style():
        height = max(0.105 * len(languages) + 0.15, 1.3)
        width = ONE_COLUMN if len(columns) == 1 else page_width()
        made = panels(len(quantities), len(columns), height, _MARGIN, sharey="all", width=width)
        for i, quantity in enumerate(quantities):
            for ax, (_, mask) in zip(made.axes[i], columns, strict=True):
                plot_deltas(ax, table[(table["quantity"] == quantity) & mask], scales[i], languages, layers)
        made.name_columns([title for title, _ in columns], fontsize=7.5 if len(columns) < 3 else 7)
        for i, axes in made.lines():
            quantity = quantities[i]
            add_colorbar(made.figure, axes, f"Δ {names.get(quantity, quantity)}")
        add_note(made.figure, "layer (dot: Holm p < 0.05)")
        rows = made.axes[0, 0].get_gridspec().nrows
        line = 72 * ((made.figure.get_size_inches()[1] - _MARGIN) / rows - _GAP) / len(languages)
        for ax in made.axes.ravel():
            ax.tick_params(axis="y", labelsize=min(_LABELS, 0.87 * line))
    return made.figure


def plot_deltas(
    ax: Axes,
    rows: pd.DataFrame,
    scale: Normalize | None = None,
    languages: Sequence[str] | None = None,
    layers: Sequence[int] | None = None,
) -> Axes:
    """Draw `delta` of one condition and quantity: languages down, layers across, a dot where p_holm < 0.05.

    Cells without a value (NaN or no row) are grey. Layers need not be consecutive: columns are labelled with them.

    Args:
        ax: Where to draw.
        rows: language, layer, delta, p_holm; each pair of language and layer once.
        scale: From `symmetric`, shared by the panels that are to be compared; None: one for these rows.
        languages: Rows of the map, from the top; None: those there are.
        layers: Its columns; None: those there are.

    Raises:
        DataError: two rows claim the same cell.
    """
    wide = {column: grid(rows, "language", "layer", column) for column in ("delta", "p_holm")}
    down = list(wide["delta"].index) if languages is None else list(languages)
    across = list(wide["delta"].columns) if layers is None else list(layers)
    delta, p = (table.reindex(index=down, columns=across).to_numpy() for table in wide.values())
    draw_cells(ax, delta, p < SIGNIFICANT, symmetric(delta) if scale is None else scale)
    step = max(1, len(across) // 6)
    ax.set_xticks(range(0, len(across), step), [str(layer) for layer in across[::step]])
    ax.set_yticks(range(len(down)), [str(code) for code in down], fontsize=_LABELS)
    return ax


def draw_cells(
    ax: Axes, values: np.ndarray, dots: np.ndarray, scale: Normalize, cmap: str | None = None, gid: str = "significant"
) -> Axes:
    """Draw `values` [down, across] as cells without a frame, with a dot where `dots`; grey where undefined.

    `cmap` is the theme's diverging one by default; another one must be light where it is weak on white paper.
    """
    ax.set_facecolor(theme().missing)
    ax.imshow(values, cmap=cmap or theme().diverging, norm=scale, aspect="auto", interpolation="nearest")
    y, x = np.nonzero(dots)
    strong = np.abs(values[y, x]) > _STRONG * float(scale.vmax or 1.0)
    ax.scatter(x, y, s=2.5, c=np.where(strong, theme().paper, theme().ink), linewidths=0, gid=gid)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    return ax


def add_colorbar(figure: Figure, axes: Sequence[Axes], label: str, **place: object) -> Colorbar:
    """A frameless colour bar of the last of `axes`, beside them all."""
    bar = figure.colorbar(axes[-1].images[0], ax=list(axes), **{"pad": 0.01, "aspect": 18} | place)  # type: ignore[arg-type]
    bar.set_label(label)
    bar.outline.set_visible(False)
    return bar
