"""Draw the pictures of docs/figures anew from a finished run, and write docs/gallery.md: `make gallery`."""

import re
import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd
from babelscope.errors import BabelscopeError, StudyError
from babelscope.figures import Drawing, drawings
from babelscope.results import draw_animations, read_tables
from babelscope.viz.projection_kinds import KINDS
from babelscope.viz.save import save_figure
from babelscope.viz.style import Style, figure_style
from PIL import Image

DOCS = Path(__file__).parent
DPI = 160
STEP = 5  # of 255 that colours are rounded to, which no eye sees and which makes files a quarter smaller

# What the tables of a drawing are made by, and the page that explains them, where it is not the probe's own.
PAGES = {
    "": "studies.md",
    **dict.fromkeys(("pca", "umap", "aligned-umap"), "probes/projections.md"),
}
# name of a picture -> drawing, style, what it shows
STYLED = {
    "pca-dark": ("pca", Style("dark"), "`--style dark`"),
    "alignment-one": ("alignment", Style(width="one"), "`--width one`: a column of an ACL page"),
}
# moving picture -> what it shows
ANIMATED = {
    "pca_layers": "PCA, each layer turned onto the one before",
    "aligned_umap_layers": "AlignedUMAP, in which places can be compared over layers",
}
# picture of the tutorial -> the folder that its commands fill
TUTORIAL = {"accuracy": "french", "predicted_share": "french", "alignment_delta": "french", "transplant": "closer"}

HEAD = """# Gallery

Every figure that babelscope draws, from the demo with all its probes
([studies/mechanism.yaml](../studies/mechanism.yaml), gemma-3-270m; the first one from the small grid,
[studies/small/grid.yaml](../studies/small/grid.yaml)). `make gallery` draws them anew and writes this page.

A language has one colour and marker in all of them: a hue per family, no two members with one marker, and languages
of one marker told apart with any colour vision. Where a line is a condition's own, base is grey and dashed, aligned
black (white on dark) and solid; further conditions follow in fixed tones. Where colour tells something else, as in the
logit lens and the subspaces, dashes alone tell the condition. Points are grey rings for base and filled for aligned.

Bands, bars and whiskers are 95% intervals. A dot in a heat map of differences is a Holm p < 0.05, in one of
correlations, and of what a head writes, an interval without 0. The matrices of all pairs of languages have no dots:
`alignment_matrix.csv` holds no test of a single pair. `alignment_pairs_delta` tests each language with all others.

```bash
babelscope plot runs/demo/tables --out figures                                     # PNG, and PDF with text to edit
babelscope plot runs/demo/tables --out figures --languages en,zh,sw --layers 0,9,18 --format svg
babelscope plot runs/demo/tables --out slides --style dark --animate gif           # or mp4, where ffmpeg is installed
babelscope plot runs/demo/tables/alignment.csv --out column --width one            # an ACL column; `two`, `iclr`
babelscope plot base.h5 aligned.h5 copy.h5 --probes accuracy,pca --out figures     # from caches
```

Chinese, Japanese, Devanagari, Bengali and Thai text needs fonts: `pip install 'babelscope[fonts]'`, or those of the
system (Debian: `fonts-noto-core`, `fonts-noto-cjk`). A script without a font is told when a figure is saved.

In Python, `X_figure(table)` composes a figure and `plot_X(ax, rows)` draws one panel on axes of yours:

```python
from babelscope.viz.repair import plot_repair
from babelscope.viz.style import Style, figure_style

with figure_style(Style("dark", "one")):
    plot_repair(ax, rows)
```
"""


def render(drawn: Collection[str]) -> str:
    """The page, with the pictures named in `drawn` (and what else there is, by name) in their order."""
    made = [drawing for drawing in drawings() if drawing.name in drawn]
    parts = [HEAD, *map(_entry, made)]
    if extra := [f"![{what}](figures/{name}.webp)\n\n{what}" for name, (_, _, what) in STYLED.items() if name in drawn]:
        parts += ["## Styles\n", *(f"{entry}\n" for entry in extra)]
    if moving := [f"![{what}](figures/{name}.gif)\n\n{what}\n" for name, what in ANIMATED.items() if name in drawn]:
        parts += ["## `--animate gif`\n", *moving]
    if rest := [drawing for drawing in drawings() if drawing.name not in drawn]:
        listed = "\n".join(f"- `{drawing.name}`: {drawing.caption} ({_tables(drawing)})" for drawing in rest)
        parts.append(f"## Not drawn here\n\nThe run has no tables for them.\n\n{listed}\n")
    return "\n".join(parts)


def _entry(drawing: Drawing) -> str:
    command = f"`babelscope probe {drawing.probe} base.h5 aligned.h5 --out results`" if drawing.probe else "a study"
    page = PAGES.get(drawing.probe, f"probes/{drawing.probe}.md")
    return (
        f"## {drawing.caption}\n\n![{drawing.caption}](figures/{drawing.name}.webp)\n\n"
        f"`{drawing.name}`, drawn from {_tables(drawing)}, which {command} makes. How to read it: [{page}]({page}).\n"
    )


def _tables(drawing: Drawing) -> str:
    return ", ".join(f"`{name}.csv`" for name in drawing.tables)


def tables_of(run: Path) -> dict[str, pd.DataFrame]:
    """A run's tables, and the training curve of its first adapter.

    Raises:
        StudyError: a figure's table is not there: the page says that one run made them all.
    """
    tables = read_tables(run / "tables") if (run / "tables").is_dir() else {}
    for curve in sorted(run.glob("adapters/*/training.csv"))[:1]:
        tables["training"] = pd.read_csv(curve)
    if missing := sorted({name for drawing in drawings() for name in drawing.tables} - set(tables)):
        raise StudyError(
            f"{run} lacks {len(missing)} of the tables that the gallery is drawn from: {', '.join(missing[:3])}"
            f"{', ...' if missing[3:] else ''}. Make them: `babelscope study run studies/mechanism.yaml --out {run}`."
        )
    return tables


def draw(tables: Mapping[str, pd.DataFrame], folder: Path, wanted: Mapping[str, tuple[str, Style]]) -> None:
    """Write pictures, by name: the drawing and its style."""
    by_name = {drawing.name: drawing for drawing in drawings()}
    for name, (of, style) in wanted.items():
        with figure_style(style):
            figure = by_name[of].draw(*(tables[table] for table in by_name[of].tables))
            (path,) = save_figure(figure, folder / name, ("png",), DPI)
        to_webp(path, path)
        path.unlink()


def to_webp(png: Path, target: Path) -> None:
    """Write `target`.webp: the picture without loss, but for its colours, see STEP."""
    with Image.open(png) as picture:
        rounded = picture.convert("RGB").point([STEP * round(value / STEP) for value in range(256)] * 3)
    rounded.save(target.with_suffix(".webp"), lossless=True)


def draw_tutorial(folder: Path) -> None:
    """The pictures of tutorial.md whose tables its commands have left here; one is drawn by the code on the page."""
    for name, made in TUTORIAL.items():
        if Path(made, "tables").is_dir():
            draw(read_tables(Path(made, "tables")), folder, {name: (name, Style())})
    if Path("closer", "tables").is_dir():
        (code,) = re.findall(
            r"^```python\n(.*?)^```", (DOCS / "tutorial.md").read_text("utf-8"), re.MULTILINE | re.DOTALL
        )
        exec(code, {})
        to_webp(Path("french.png"), folder / "french_linear")


def main(run: str = "runs/demo", grid: str = "runs/grid") -> None:
    """Draw from `run`; the grid, and the tutorial's, where what they are drawn from is there, else they stay."""
    tables, pictures = tables_of(Path(run)), DOCS / "figures"
    wanted = {drawing.name: (drawing.name, Style()) for drawing in drawings() if drawing.name != "grid"}
    draw(tables, pictures, wanted | {name: (of, style) for name, (of, style, _) in STYLED.items()})
    if (Path(grid) / "tables").is_dir():
        draw(read_tables(Path(grid) / "tables"), pictures, {"grid": ("grid", Style())})
    animated = [KINDS["pca"], KINDS["aligned-umap"]]
    names = [name for kind in animated for name in (kind.points, kind.quality)]
    draw_animations({name: tables[name] for name in names}, pictures, "gif")
    draw_tutorial(pictures / "tutorial")
    there = {path.stem for path in pictures.iterdir()}
    (DOCS / "gallery.md").write_text(render(there), encoding="utf-8")


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except BabelscopeError as error:
        sys.exit(f"error: {error}")
