"""A figure to files, each whole or not there."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

from ..errors import UsageError
from ..files import write_whole
from .fonts import warn_of_missing
from .style import figure_style

DPI = 200  # of pictures; vector formats do not need it
FORMATS = ("png", "pdf", "svg")


def save_figure(figure: Figure, path: Path, formats: Sequence[str] = ("png", "pdf"), dpi: int = DPI) -> list[Path]:
    """Write `figure` as `path`.png, `path`.pdf, ...; returns the paths. The figure is empty afterwards.

    The folder is made if need be. Equal figures give equal bytes (no dates inside). A figure of another than the usual
    style is saved within its `figure_style`.

    Raises:
        UsageError: a format that is none of FORMATS.
    """
    if unknown := set(formats) - set(FORMATS):
        raise UsageError(f"No figure format {sorted(unknown)[0]!r}. Known: {', '.join(FORMATS)}.")
    warn_of_missing(text.get_text() for text in figure.findobj(Text))
    saved = []
    for kind in formats:
        target = path.with_name(f"{path.name}.{kind}")
        undated = {"CreationDate": None} if kind == "pdf" else {"Date": None} if kind == "svg" else None
        picture = BytesIO()
        with figure_style():
            figure.savefig(picture, format=kind, dpi=dpi, metadata=undated)
            figure.set_layout_engine("none")  # everything has its place: the other formats need not look for it again
        write_whole(target, picture.getbuffer())
        saved.append(target)
    figure.clear()  # frees the artists; there is no pyplot registry to leave
    return saved
