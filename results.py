"""What studies and probes leave for people: tables and figures.

Every file is complete under its name or not there.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from .errors import StudyError
from .explaining.answers import Answer, Answers
from .explaining.questions import explain
from .figures import drawings
from .files import write_whole
from .progress import Progress, Steps, silent

if TYPE_CHECKING:
    from matplotlib.figure import Figure


log = logging.getLogger(__name__)

NAMES = {
    "condition": str,
    "language": str,
    "language_a": str,
    "language_b": str,
    "against": str,
    "id": str,
    "token": str,
}  # columns of tables that hold names, whatever they look like
FORMATS = ("png", "pdf")  # of figures
_AGAIN = "Make it again with `babelscope probe` or `babelscope study run`."


def write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    """One CSV per table, each complete under its name or not there."""
    paths = []
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))
        paths.append(folder / f"{name}.csv")
    return paths


def remove_older(tables: Mapping[str, pd.DataFrame], folder: Path) -> None:
    """Remove what an earlier run of the same probe left in `folder`, and this one, with these tables, does not make.

    Those are tables named after one of its own (`x_delta` after `x`), and the figures that are drawn from them.
    """
    there = {path.stem: path for path in (folder / "tables").glob("*.csv")}
    older = {name for name in there if name not in tables and any(name.startswith(f"{own}_") for own in tables)}
    figures = [drawing.name for drawing in drawings() if older & set(drawing.tables)]
    pictures = [path for name in figures for path in (folder / "figures").glob(f"{name}.*")]
    for path in [*(there[name] for name in older), *pictures]:
        path.unlink()


def write_text(path: Path, text: str) -> None:
    try:
        write_whole(path, text.encode())
        log.info("wrote %s", path)
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


def explanations(folder: Path) -> Answers:
    """Answers to the questions of `explain`, by condition, and by test where a study has several.

    Raises:
        StudyError: there are no tables, or one lacks a column.
    """
    with whole(folder):
        return Answers(answers_by_condition(*read_run(folder)))


@contextmanager
def whole(folder: Path) -> Iterator[None]:
    """Say it in words when a table of `folder` turns out to lack a column."""
    try:
        yield
    except KeyError as missing:
        raise StudyError(
            f"{folder}/tables: a table was edited, or is another version's; it lacks {missing}. {_AGAIN}"
        ) from missing


def read_run(folder: Path) -> tuple[dict[str, pd.DataFrame], dict[str, dict[str, pd.DataFrame]]]:
    """The tables of a run, and those of each of its tests where it has several."""
    if not folder.is_dir():
        raise StudyError(f"{folder} is no folder. Give the one of a study, or the --out of `babelscope probe`.")
    tests = sorted(path.name for path in (folder / "tables").glob("*/"))
    return read_tables(folder / "tables"), {test: read_tables(folder / "tables" / test) for test in tests}


def answers_by_condition(
    tables: Mapping[str, pd.DataFrame], by_test: Mapping[str, Mapping[str, pd.DataFrame]]
) -> dict[str, list[Answer]]:
    """`explanations` of tables that were read already."""
    if not by_test:
        return explain(tables)
    found: dict[str, list[Answer]] = {}
    for test, own in by_test.items():
        grids = {name: grid[grid["task"] == test] for name, grid in tables.items() if "task" in grid}
        by_condition = explain({**grids, **own})
        found |= {f"{condition}, {test}": answers for condition, answers in by_condition.items()}
    return found


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    """The CSV tables in `folder`, by name."""
    tables = {path.stem: read_table(path) for path in sorted(folder.glob("*.csv"))}
    if not tables:
        raise StudyError(f"{folder} holds no CSV tables. Make them with `babelscope probe` or `babelscope study run`.")
    return tables


def read_table(path: Path) -> pd.DataFrame:
    """One CSV table. Names stay names: `no` is a language, not an absent value.

    Raises:
        StudyError: there is no such file, or it is no table.
    """
    if not path.is_file():
        raise StudyError(f"{path} is not there. Give a CSV table, a folder of them, or caches (.h5).")
    try:
        return pd.read_csv(path, keep_default_na=False, na_values=[""], dtype=NAMES)
    except ValueError as error:  # pandas' own errors and those of decoding are among them
        raise StudyError(f"{path} cannot be read as a CSV table: {error}. {_AGAIN}") from error


def draw_figures(
    tables: Mapping[str, pd.DataFrame],
    folder: Path,
    formats: Sequence[str] = FORMATS,
    theme: str = "light",
    width: str = "two",
    on_progress: Progress = silent,
) -> list[Path]:
    """Draw every figure whose tables are at hand.

    Args:
        tables: By name.
        folder: Where files go, named for their drawings.
        formats: Some of png, pdf, svg.
        theme: Colours: light or dark.
        width: Of a page: `one` or `two` columns of ACL, or `iclr`.

    Raises:
        UsageError: an unknown format, theme or width.
        DataError: a table lacks columns or rows.
    """
    from .viz.style import Style, figure_style

    possible = [drawing for drawing in drawings() if all(name in tables for name in drawing.tables)]
    step, paths = Steps(on_progress, len(possible)), []
    with figure_style(Style(theme, width)):
        for drawing in possible:
            figure = drawing.draw(*(tables[name] for name in drawing.tables))
            paths += _save(figure, folder / drawing.name, formats)
            step()
    return paths


def draw_animations(
    tables: Mapping[str, pd.DataFrame],
    folder: Path,
    kind: str,
    theme: str = "light",
    width: str = "two",
    on_progress: Progress = silent,
) -> list[Path]:
    """A moving picture of every projection whose tables are at hand, layer after layer: `gif` or `mp4`.

    Raises:
        UsageError: another kind, or no ffmpeg for mp4.
    """
    from .viz.animation import projection_animation, save_animation
    from .viz.projection_kinds import KINDS
    from .viz.style import Style, figure_style

    paths = []
    with figure_style(Style(theme, width)):
        for name, of in KINDS.items():
            if of.points in tables and of.quality in tables:
                animation = projection_animation(tables[of.points], tables[of.quality], name, "mean")
                paths.append(save_animation(animation, folder / f"{of.points}_layers.{kind}", on_progress))
    return paths


def draw_training(table: Path, folder: Path, name: str) -> list[Path]:
    """Draw one adapter's training.csv."""
    from .viz.training import training_figure

    return _save(training_figure(pd.read_csv(table)), folder / f"training_{name}", FORMATS)


def _save(figure: "Figure", path: Path, formats: Sequence[str]) -> list[Path]:
    from .viz.save import save_figure

    try:
        saved = save_figure(figure, path, formats)
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}. Free space or choose another --out.") from error
    log.info("wrote %s", ", ".join(map(str, saved)))
    return saved
