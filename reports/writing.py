"""The report of a run: its tables, figures and caches in one page, complete under its name or not there."""

import io
import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from ..errors import UsageError
from ..explaining.findings import verdict
from ..figures import drawings
from ..progress import Progress, Steps, silent
from ..results import answers_by_condition, read_run, write_text
from .caches import RunCaches

if TYPE_CHECKING:
    from ..viz.page_data import Study


def write_report(folder: Path, caches: Mapping[str, Path] | None = None, on_progress: Progress = silent) -> Path:
    """Gather the tables, figures and caches of `folder`, and of the tests in its subfolders, in report.html.

    Args:
        folder: Of a study, or the `--out` of probes.
        caches: What the tables were made from, by condition; by default those that lie in the folder, as a study's do.

    Raises:
        StudyError: there are no tables, or the page cannot be written.
        CacheError: a cache is damaged.
        UsageError: caches for a folder with several tests.
    """
    from ..viz.report import render_report

    tables, by_test = read_run(folder)
    if caches and by_test:
        raise UsageError(f"{folder} holds several tests ({', '.join(by_test)}), each with its caches. Give no others.")
    found = RunCaches.of(folder, caches or {})
    explained = [
        (condition, [(one.question, one.answer, one.figures) for one in answers])
        for condition, answers in answers_by_condition(tables, by_test).items()
    ]
    pictures = _pictures(folder / "figures", "")
    for test in by_test:
        pictures += _pictures(folder / "figures" / test, f"{test}: ")
    pictures += [
        (f"Training and validation loss, {path.stem.removeprefix('training_')}", path)
        for path in sorted(folder.glob("figures/training_*.png"))
    ]
    step, figures = Steps(on_progress, len(pictures) + 1), []  # the page itself is the last part
    for caption, path in pictures:
        figures.append((caption, _webp(path)))
        step()
    studies = [_study(found, test, own) for test, own in (by_test or {"": tables}).items()]
    every = dict(tables)
    for test, own in by_test.items():
        every |= {f"{test}/{name}": table for name, table in own.items()}
    page = render_report(
        f"babelscope: {folder.resolve().name}",
        verdict(tables),
        explained,
        figures,
        list(every.items()),
        _provenance(folder, found),
        studies,
        {name: (folder / "tables" / f"{name}.csv").read_bytes() for name in every},
    )
    write_text(folder / "report.html", page)
    step()
    return folder / "report.html"


def _study(caches: RunCaches, test: str, tables: Mapping[str, pd.DataFrame]) -> "Study":
    from ..viz.page_data import Study

    texts, answers = caches.texts_and_answers(test)
    return Study(test, tables, texts, answers, caches.curves())


def _provenance(folder: Path, caches: RunCaches) -> dict[str, str]:
    """Commands, versions, fingerprints of the caches, settings."""
    manifest, settings = folder / "manifest.json", folder / "study.yaml"
    told = json.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
    made = {"command of the study": told["command"]} if "command" in told else {}
    return {
        **made,
        "command of this page": " ".join(sys.argv),
        **{name: version(name) for name in ("babelscope", "torch", "transformers", "peft")},
        **caches.fingerprints(),
        "settings": settings.read_text(encoding="utf-8") if settings.is_file() else "",
    }


def _pictures(folder: Path, test: str) -> list[tuple[str, Path]]:
    """Caption and file of every drawn figure in a folder, in the order in which a reader wants them."""
    found = [(f"{test}{d.caption}", folder / f"{d.name}.png") for d in drawings()]
    return [(caption, path) for caption, path in found if path.is_file()]


def _webp(png: Path) -> bytes:
    """The same picture, without loss, in half the bytes."""
    from PIL import Image

    found = io.BytesIO()
    with Image.open(png) as image:
        image.convert("RGB").save(found, "WEBP", lossless=True, method=2)
    return found.getvalue()
