"""Draw the pictures of docs/figures anew from a finished run, and write docs/gallery.md: `make gallery`."""

import sys
from collections.abc import Collection, Mapping
from pathlib import Path

import pandas as pd
from babelscope.figures import Drawing, drawings
from babelscope.results import draw_animations, read_tables
from babelscope.viz.save import save_figure
from babelscope.viz.style import Style, figure_style
from PIL import Image

DOCS = Path(__file__).parent
DPI = 160
COLOURS = 200  # of a picture's palette, which makes its file a third as large

# What the tables of a drawing are made by, and the page that explains them, where it is not the probe's own.
PAGES = {
    "": "studies.md",
    "accuracy": "results.md",
    **dict.fromkeys(("pca", "umap", "aligned-umap"), "probes/projections.md"),
}
# name of a picture -> drawing, style, what it shows
STYLED = {
    "pca-dark": ("pca", Style("dark"), "`--style dark`"),
    "alignment-one": ("alignment", Style(width="one"), "`--width one`: a column of an ACL page"),
}
ANIMATED = "pca_layers.gif"

HEAD = """# Gallery

Every figure that babelscope draws, from the demo with all its probes
([studies/mechanism.yaml](../studies/mechanism.yaml), gemma-3-270m; the first one from the small grid,
[studies/small/grid.yaml](../studies/small/grid.yaml)). `make gallery` draws them anew and writes this page.

A language has one colour and marker in all of them: a hue per family, no two members with one marker, and languages
of one marker told apart with any colour vision. Base is always grey and dashed, aligned always black (white on dark);
further conditions follow in fixed tones. Bands, bars and whiskers are 95% intervals; heat maps of differences have a
dot where Holm p < 0.05.

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
    if extra := [f"![{what}](figures/{name}.png)\n\n{what}" for name, (_, _, what) in STYLED.items() if name in drawn]:
        parts += ["## Styles\n", *(f"{entry}\n" for entry in extra)]
    if Path(ANIMATED).stem in drawn:
        parts.append(f"`--animate gif`\n\n![PCA, layer after layer](figures/{ANIMATED})\n")
    if rest := [drawing for drawing in drawings() if drawing.name not in drawn]:
        listed = "\n".join(f"- `{drawing.name}`: {drawing.caption} ({_tables(drawing)})" for drawing in rest)
        parts.append(f"## Not drawn here\n\nThe run has no tables for them.\n\n{listed}\n")
    return "\n".join(parts)


def _entry(drawing: Drawing) -> str:
    command = f"`babelscope probe {drawing.probe} base.h5 aligned.h5 --out results`" if drawing.probe else "a study"
    page = PAGES.get(drawing.probe, f"probes/{drawing.probe}.md")
    return (
        f"## {drawing.caption}\n\n![{drawing.caption}](figures/{drawing.name}.png)\n\n"
        f"`{drawing.name}`, drawn from {_tables(drawing)}, which {command} makes. How to read it: [{page}]({page}).\n"
    )


def _tables(drawing: Drawing) -> str:
    return ", ".join(f"`{name}.csv`" for name in drawing.tables)


def tables_of(run: Path) -> dict[str, pd.DataFrame]:
    """A run's tables, and the training curve of its first adapter."""
    tables = read_tables(run / "tables")
    for curve in sorted(run.glob("adapters/*/training.csv"))[:1]:
        tables["training"] = pd.read_csv(curve)
    return tables


def draw(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Write every picture whose tables are at hand, in its usual style and in those of STYLED."""
    plain = {drawing.name: (drawing.name, Style()) for drawing in drawings()}
    wanted = plain | {name: (of, style) for name, (of, style, _) in STYLED.items()}
    by_name = {drawing.name: drawing for drawing in drawings()}
    for name, (of, style) in wanted.items():
        drawing = by_name[of]
        if all(table in tables for table in drawing.tables):
            with figure_style(style):
                figure = drawing.draw(*(tables[table] for table in drawing.tables))
                (path,) = save_figure(figure, folder / name, ("png",), DPI)
            with Image.open(path) as picture:
                picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(path, optimize=True)


def main(run: str = "runs/demo", grid: str = "runs/grid") -> None:
    """Draw from `run`; the grid from the run with many adapters where that is there, else it is left as it is."""
    tables = tables_of(Path(run))
    tables.pop("grid_delta", None)
    if (Path(grid) / "tables").is_dir():
        tables["grid_delta"] = read_tables(Path(grid) / "tables")["grid_delta"]
    draw(tables, DOCS / "figures")
    draw_animations({name: tables[name] for name in ("pca", "pca_variance")}, DOCS / "figures", "gif")
    there = {path.stem for path in (DOCS / "figures").iterdir()}
    (DOCS / "gallery.md").write_text(render(there), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
