"""`babelscope plot`: figures from tables or from caches."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .errors import UsageError
from .options import JsonOption, LayersOption, OutOption, layer_numbers, opened
from .terminal import progress, show

if TYPE_CHECKING:
    import pandas as pd


def plot(
    sources: Annotated[
        list[Path], typer.Argument(help="Folders with CSV tables, single tables, or caches: the base first.")
    ],
    out: OutOption,
    languages: Annotated[
        str | None, typer.Option("--languages", "-l", help="Codes: zh,de,sw. Default: all in the tables.")
    ] = None,
    layers: LayersOption = None,
    style: Annotated[str, typer.Option("--style", help="Colours: `light` or `dark`.")] = "light",
    width: Annotated[
        str, typer.Option("--width", help="Of the figures: `one` or `two` columns of ACL, or `iclr`.")
    ] = "two",
    formats: Annotated[str, typer.Option("--format", help="Some of png,pdf,svg.")] = "png,pdf",
    animate: Annotated[
        str | None, typer.Option("--animate", help="Also PCA and UMAP layer after layer: `gif`, or `mp4` (ffmpeg).")
    ] = None,
    probes: Annotated[
        str, typer.Option("--probes", help="What to compute from caches, see `babelscope probes`.")
    ] = "accuracy,pca",
    as_json: JsonOption = False,
) -> None:
    """Draw every figure that tables or caches allow. Example: `babelscope plot runs/demo/tables --out figures`"""
    from .results import draw_animations, draw_figures
    from .viz.tables import select

    numbers = layer_numbers(layers)
    chosen = select(_tables(sources, probes, numbers), languages.split(",") if languages else None, numbers)
    paths = draw_figures(chosen, out, formats.split(","), style, width)
    if animate:
        paths += draw_animations(chosen, out, animate, style, width)
    if not paths:
        raise UsageError(f"No figure can be drawn from {', '.join(chosen) or 'no tables'}: other tables are needed.")
    show([{"file": str(path)} for path in paths], as_json)


def _tables(sources: list[Path], probes: str, layers: tuple[int, ...] | None) -> "dict[str, pd.DataFrame]":
    """Tables by name, read from folders and files, or computed from caches."""
    from .analyses import Settings, analyse
    from .results import read_table, read_tables

    caches = [source for source in sources if source.suffix == ".h5"]
    if caches and caches != sources:
        raise UsageError("Caches and tables do not go together: draw them by two commands.")
    tables: dict[str, pd.DataFrame] = {}
    for source in [] if caches else sources:
        tables |= {source.stem: read_table(source)} if source.suffix == ".csv" else read_tables(source)
    if caches:
        with opened(caches) as conditions:
            for name in probes.split(","):
                with progress(name) as report:
                    tables |= analyse(name, conditions, Settings(layers=layers), report)
    return tables
