"""`babelscope plot`: figures from tables or from caches."""

from pathlib import Path
from typing import Annotated

import typer

from ..terminal import hint, progress, show
from .options import JsonOption, LayersOption, OutOption, layer_numbers


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
        str | None, typer.Option("--animate", help="Also projections layer after layer: `gif`, or `mp4` (ffmpeg).")
    ] = None,
    probes: Annotated[
        str, typer.Option("--probes", help="What to compute from caches, see `babelscope probes`.")
    ] = "accuracy,pca",
    as_json: JsonOption = False,
) -> None:
    """Draw every figure that tables or caches allow. Example: `babelscope plot runs/demo/tables --out figures`"""
    from .. import commands

    with progress("plot") as report:
        paths = commands.plot(
            *sources,
            out=out,
            languages=languages.split(",") if languages else None,
            layers=layer_numbers(layers),
            style=style,
            width=width,
            formats=formats.split(","),
            animate=animate,
            probes=probes.split(","),
            on_progress=report,
        )
    show([{"file": str(path)} for path in paths], as_json)
    hint("plot", as_json)
