"""A figure to files, atomically."""

import os
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure

from .style import figure_style

DPI = 200  # of pictures; vector formats do not need it


def save_figure(figure: Figure, path: Path, formats: Sequence[str] = ("png", "pdf")) -> list[Path]:
    """Write `figure` as `path`.png, `path`.pdf, ...; returns the paths. The figure is empty afterwards.

    Each file is written under a temporary name beside its place and renamed, so that an interrupted run leaves the old
    file or none, never half of one. The folder is made if need be. Equal figures give equal bytes (no dates inside).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    saved = []
    for kind in formats:
        target = path.with_name(f"{path.name}.{kind}")
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial.{kind}")
        undated = {"CreationDate": None} if kind == "pdf" else {"Date": None} if kind == "svg" else None
        try:
            with figure_style():
                figure.savefig(partial, format=kind, dpi=DPI, metadata=undated)
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        saved.append(target)
    figure.clear()  # frees the artists; there is no pyplot registry to leave
    return saved
