"""A projection layer after layer, as a moving picture."""

import math
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from matplotlib.animation import FFMpegWriter, FuncAnimation, PillowWriter
from matplotlib.figure import Figure
from scipy.linalg import orthogonal_procrustes

from ..errors import DataError, UsageError
from ..files import write_whole
from ..progress import Progress, silent
from .legends import add_legend
from .projection import frame, languages_legend, name_centres, plot_projection, projection_of, quality_text
from .projection_kinds import KINDS
from .style import figure_style, page_width
from .tables import conditions_in

WRITERS: dict[str, type[PillowWriter | FFMpegWriter]] = {"gif": PillowWriter, "mp4": FFMpegWriter}
_DPI = 110
_PER_SECOND = 1  # layers
_BESIDE = 4  # parts of what is told of a layer that fit a line


def projection_animation(
    points_table: pd.DataFrame, quality_or_variance_table: pd.DataFrame, kind: str = "pca", position: str = "last"
) -> FuncAnimation:
    """One frame per layer, conditions side by side; limits stay, and directions, see `steady`.

    Places that can be compared over layers (`aligned-umap`) are left as they are.

    Colours, markers and the lines that tell how far to trust the picture are those of `projection_figure`, whose
    arguments and errors these are. Keep the result until it is saved, in the `figure_style` in which it was made.
    """
    points, quality, x, y = projection_of(points_table, quality_or_variance_table, kind, position)
    points = points if KINDS[kind].follows else steady(points, x, y)
    conditions = conditions_in(points)
    layers = sorted(int(layer) for layer in pd.unique(points["layer"]))
    with figure_style():
        side = min((page_width() - 0.2) / len(conditions), 3.0)
        figure = Figure(figsize=(side * len(conditions) + 0.2, side + 1.3), layout="constrained")
        axes = figure.subplots(1, len(conditions), squeeze=False)[0]
        limits = points[[x, y]].to_numpy(dtype=float)
        add_legend(figure, languages_legend([str(code) for code in pd.unique(points["language"])]), columns=10)

    def draw(layer: int) -> tuple[()]:
        with figure_style():
            now = points[points["layer"] == layer]
            told = quality_text(quality[quality["layer"] == layer], kind).splitlines()
            beside = math.ceil(len(told) / math.ceil(len(told) / _BESIDE))
            lines = ["   ".join(told[i : i + beside]) for i in range(0, len(told), beside)]
            figure.suptitle("\n".join([f"layer {layer} of {layers[-1]}", *lines]), fontsize=7)
            for ax, condition in zip(axes, conditions, strict=True):
                ax.clear()
                plot_projection(ax, now[now["condition"] == condition], kind)
                frame(ax, limits)
                ax.set_title(condition, fontweight="bold")
            figure.draw_without_rendering()
            for ax in axes:
                name_centres(ax)
        return ()

    return FuncAnimation(figure, draw, frames=layers, init_func=lambda: (), cache_frame_data=False)


def steady(points: pd.DataFrame, x: str, y: str) -> pd.DataFrame:
    """Points that can be followed from layer to layer: each layer centred, scaled and turned onto the one before.

    Layers have bases and units of their own, and states grow by orders of magnitude with depth. Each layer's points (of
    all conditions together) are moved to mean 0, divided by their root mean square distance from it, and turned or
    mirrored (orthogonal Procrustes; Schoenemann 1966, doi 10.1007/BF02289451) to lie nearest to the layer before. What
    is near what within a layer does not change.

    Args:
        points: language, id, condition, layer, and the columns `x` and `y`; the same rows in each layer.

    Raises:
        DataError: layers have different points.
    """
    keys = ["language", "id", "condition"]
    made: list[pd.DataFrame] = []
    for layer, rows in points.groupby("layer"):
        placed = rows.set_index(keys)
        if made:
            before = made[-1].set_index(keys)
            if set(placed.index) != set(before.index):
                raise DataError(f"layer {layer} has other points than the layer before; expected the same in each")
            placed = placed.loc[before.index]
        here = placed[[x, y]].to_numpy(dtype=float)
        here = here - here.mean(axis=0)
        here /= np.sqrt((here**2).sum(axis=1).mean()) or 1.0
        if made:
            here = here @ orthogonal_procrustes(here, before[[x, y]].to_numpy())[0]
        made.append(placed.assign(**{x: here[:, 0], y: here[:, 1]}).reset_index())
    return pd.concat(made)


def save_animation(animation: FuncAnimation, path: Path, on_progress: Progress = silent) -> Path:
    """Write a GIF or, where ffmpeg is installed, an MP4: what the name of `path` ends with. Progress counts frames.

    Raises:
        UsageError: another ending, or there is no ffmpeg.
    """
    kind = path.suffix.removeprefix(".")
    if kind not in WRITERS:
        raise UsageError(f"No moving picture of kind {kind!r}. Known: {', '.join(WRITERS)}.")
    if not WRITERS[kind].isAvailable():
        raise UsageError(f"{kind} needs ffmpeg, which is not installed. Install it, or choose gif.")

    def tell(frame: int, total: int) -> None:
        if frame == 0:
            on_progress(0, total)
        on_progress(frame + 1, total)

    with figure_style(), TemporaryDirectory() as folder:
        part = Path(folder) / path.name
        animation.save(str(part), writer=WRITERS[kind](fps=_PER_SECOND), dpi=_DPI, progress_callback=tell)
        write_whole(path, part.read_bytes())
    return path
