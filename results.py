"""What a study leaves for people: tables, figures, and the report that gathers them.

Every file is complete under its name or not there.
"""

import os
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from .errors import StudyError

def write_tables(tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    """One CSV per table, each complete under its name or not there."""
    paths = []
    for name, table in tables.items():
        write_text(folder / f"{name}.csv", table.to_csv(index=False))
        paths.append(folder / f"{name}.csv")
    return paths


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise StudyError(f"{path} cannot be written: {error.strerror}. Free space or choose another --out.") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_report(folder: Path) -> Path:
    """Gather the tables and figures of `folder` in report.html."""
    from .analyses import verdict
    from .viz.report import render_report

    tables = {path.stem: pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in _sorted(folder, "csv")}
    figures = [(path.stem, path.read_bytes()) for path in _sorted(folder, "png")]
    if not tables:
        raise StudyError(f"{folder} holds no tables/*.csv to report on. Run a study or `babelscope probe` first.")
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


def _sorted(folder: Path, suffix: str) -> list[Path]:
    return sorted((folder / ("tables" if suffix == "csv" else "figures")).glob(f"*.{suffix}"))


def draw_figures(tables: Mapping[str, pd.DataFrame], folder: Path) -> list[Path]:
    return []


def verdict(tables: Mapping[str, pd.DataFrame]) -> list[str]:
    return []


def read_tables(folder: Path) -> dict[str, pd.DataFrame]:
    return {path.stem: pd.read_csv(path, keep_default_na=False, na_values=[""]) for path in sorted(folder.glob("*.csv"))}
