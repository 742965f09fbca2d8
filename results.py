"""What a study leaves for people: tables, figures, and the report that gathers them.

Every file is complete under its name or not there.
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .errors import StudyError
from .files import write_whole
from .findings import verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    """One CSV per table, each complete under its name or not there."""
    paths = []
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))
        paths.append(folder / f"{name}.csv")
    return paths


def write_text(path: Path, text: str) -> None:
    try:
        write_whole(path, text.encode())
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}. Free space or choose another --out.") from error


def write_grid(tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    """The grid as Markdown and LaTeX; nothing where the base stands alone."""
    from .viz.grid_text import grid_latex, grid_markdown

    if "grid_delta" not in tables:
        return []
    texts = {"grid.md": grid_markdown(tables), "grid.tex": grid_latex(tables)}
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


def write_report(folder: Path) -> Path:
    """Gather the tables and figures of `folder`, and of the tests in its subfolders, in report.html."""
    from .viz.report import render_report

    tables = read_tables(folder / "tables")
    tests = sorted(path.name for path in (folder / "tables").glob("*/"))
    figures = _pictures(folder / "figures", "")
    for test in tests:
        figures += _pictures(folder / "figures" / test, f"{test}: ")
        tables |= {f"{test}/{name}": table for name, table in read_tables(folder / "tables" / test).items()}
    curves = [("Training and validation loss", path) for path in sorted(folder.glob("figures/training_*.png"))]
    figures += [(caption, path.read_bytes()) for caption, path in curves]
    settings = folder / "study.yaml"
    provenance = {
        "command": " ".join(sys.argv),
        **{name: version(name) for name in ("babelscope", "torch", "transformers", "peft")},
        "settings": settings.read_text(encoding="utf-8") if settings.is_file() else "",
    }
    title = f"babelscope: {folder.resolve().name}"
    path = folder / "report.html"
    write_text(path, render_report(title, verdict(tables), figures, list(tables.items()), provenance))
    return path


def _pictures(folder: Path, test: str) -> list[tuple[str, bytes]]:
    """Caption and PNG of every drawn figure in a folder, in the order in which a reader wants them."""
    found = [(f"{test}{d.caption}", folder / f"{d.name}.png") for d in _drawings()]
    return [(caption, path.read_bytes()) for caption, path in found if path.is_file()]


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The CSV tables in `folder`, by name."""
    tables = {
        path.stem: pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in sorted(folder.glob("*.csv"))
    }
    if not tables:
        raise StudyError(f"{folder} holds no CSV tables. Make them with `babelscope probe` or `babelscope study run`.")
    return tables


@dataclass(frozen=True)
class _Drawing:
    """A figure, the tables it is drawn from, and what it is called."""

    name: str
    caption: str
    tables: tuple[str, ...]
    draw: Callable[..., "Figure"]


def _drawings() -> list[_Drawing]:
    """Every figure there is, in the order in which a reader wants them."""
    from functools import partial

    from .viz.accuracy import accuracy_figure, predicted_share_figure
    from .viz.alignment import plot_alignment, plot_alignment_delta
    from .viz.grid import grid_figure
    from .viz.logit_lens import plot_logit_lens, plot_logit_lens_delta
    from .viz.projection import plot_projection
    from .viz.training import training_figure

    return [
        _Drawing("grid", "Training sets and languages: difference from the base", ("grid_delta",), grid_figure),
        _Drawing(
            "accuracy",
            "Accuracy by language, base to aligned",
            ("accuracy_delta", "accuracy", "predicted_share"),
            _accuracy_above_chance,
        ),
        _Drawing(
            "auc",
            "AUC by language: discrimination apart from bias",
            ("accuracy_delta", "accuracy"),
            partial(accuracy_figure, quantity="auc"),
        ),
        _Drawing("predicted_share", "How often each answer is given", ("predicted_share",), predicted_share_figure),
        _Drawing("training", "Training and validation loss", ("training",), training_figure),
        _Drawing("logit_lens", "Logit lens at the answer position", ("logit_lens",), plot_logit_lens),
        _Drawing("logit_lens_delta", "Logit lens, aligned minus base", ("logit_lens_delta",), plot_logit_lens_delta),
        _Drawing("alignment", "Alignment with English by layer", ("alignment",), plot_alignment),
        _Drawing("alignment_delta", "Alignment, aligned minus base", ("alignment_delta",), plot_alignment_delta),
        _Drawing(
            "pca", "PCA of mean-pooled states", ("pca", "pca_variance"), partial(plot_projection, position="mean")
        ),
        _Drawing(
            "umap",
            "UMAP of mean-pooled states",
            ("umap", "umap_quality"),
            partial(plot_projection, kind="umap", position="mean"),
        ),
    ]


def _accuracy_above_chance(delta: pd.DataFrame, accuracy: pd.DataFrame, shares: pd.DataFrame) -> "Figure":
    from .viz.accuracy import accuracy_figure

    return accuracy_figure(delta, accuracy, chance=1 / shares["label"].nunique())


def draw_figures(tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    """Draw every figure whose tables are at hand, as PNG and PDF."""
    paths = []
    for drawing in _drawings():
        if all(name in tables for name in drawing.tables):
            figure = drawing.draw(*(tables[name] for name in drawing.tables))
            paths += _save(figure, folder / drawing.name)
    return paths


def draw_training(table: Path, folder: Path, name: str) -> list[Path]:
    """Draw one adapter's training.csv."""
    from .viz.training import training_figure

    return _save(training_figure(pd.read_csv(table)), folder / f"training_{name}")


def _save(figure: "Figure", path: Path) -> list[Path]:
    from .viz.save import save_figure

    try:
        return save_figure(figure, path)
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}. Free space or choose another --out.") from error
